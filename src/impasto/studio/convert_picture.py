"""``python -m impasto.studio.convert_picture SOURCE TARGET OPTIONS``: write a result in a format.

Each conversion gets a separate process, which frees the memory of a large picture. It starts from
a file with the same bits a sample, so no pixel changes. If it fails, it prints the reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

from impasto import files
from impasto.errors import ImpastoError
from impasto.images import decode
from impasto.images.encode import encode_image
from impasto.output.options import OutputOptions

# The file of a work to start from, by its bits a sample.
SOURCES = {8: "picture.png", 16: "picture.tiff"}
_LABEL = "the picture"


def convert(source: Path, target: Path, options: OutputOptions) -> None:
    """Write a finished picture in the format of the target's ending.

    Args:
        source: the work's file with ``options.bits`` bits a sample.
        target: the file to write.
        options: bits, print size, and whether to leave out the recipe.

    Raises:
        ImageError: the format cannot hold the picture.
    """
    metadata = decode.decode_texts(source.read_bytes(), _LABEL)
    if options.no_recipe:
        metadata.pop("Recipe", None)
    if options.bits == 8:
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(source) as image:
            image.load()
            picture, width_px = image, image.width
    else:
        import pyvips

        picture = pyvips.Image.new_from_file(str(source)).numpy()
        width_px = picture.shape[1]
    dpi = options.dpi_of(width_px)
    files.replace(target, encode_image(picture, target.suffix, metadata=metadata, dpi=dpi))


if __name__ == "__main__":
    first, second, chosen = sys.argv[1:]
    try:
        convert(Path(first), Path(second), OutputOptions(**json.loads(chosen)))
    except ImpastoError as error:
        sys.stdout.write(str(error))
        sys.exit(2)
