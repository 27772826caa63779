"""``python -m impasto.studio.inspect_upload FILE SMALL MOST``: inspect a picture.

Each upload gets a separate process. If a hostile file crashes the decoder, the server goes on, and
the memory is freed. The process prints one line of JSON, and writes a small copy.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from impasto import files
from impasto.errors import ImageError
from impasto.images import decode
from impasto.images.encode import encode_image
from impasto.job import recipe

_SMALL_PX = 1024
_LABEL = "the picture"
_TOO_LARGE, _NOT_A_PICTURE, _DAMAGED = 413, 415, 422


def inspect(path: Path, small: Path, most_pixels: int) -> dict[str, Any]:
    """Read a picture, and write a small copy of it.

    Args:
        path: the file.
        small: the path of the copy, a JPEG.
        most_pixels: larger pictures are not decoded.

    Returns:
        ``width_px``, ``height_px``, and ``recipe`` as text or None; or ``error`` and the
        HTTP ``status``.
    """
    data = path.read_bytes()
    try:
        width_px, height_px = decode.read_size(BytesIO(data), _LABEL)
    except ImageError as error:
        return {"status": _NOT_A_PICTURE, "error": str(error)}
    if width_px * height_px > most_pixels:
        return {
            "status": _TOO_LARGE,
            "error": f"expected a picture of at most {most_pixels // 10**6} megapixels, got "
            f"{width_px} x {height_px} pixels; scale it down first",
        }
    try:
        rgb, _ = decode.decode(data, _LABEL)
        texts = decode.decode_texts(data, _LABEL)
    except ImageError as error:
        return {"status": _DAMAGED, "error": str(error)}
    files.replace(small, _small_copy(rgb))
    return {
        "width_px": rgb.shape[1],
        "height_px": rgb.shape[0],
        "recipe": _recipe(texts.get("Recipe")),
    }


def _small_copy(rgb: Any) -> bytes:
    image = Image.fromarray((rgb * 255 + 0.5).astype("uint8"))
    image.thumbnail((_SMALL_PX, _SMALL_PX))
    return encode_image(image, "jpg")


def _recipe(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return recipe.parse(text, _LABEL).text()
    except ImageError:
        return None


if __name__ == "__main__":
    file, copy, most = sys.argv[1:]
    sys.stdout.write(json.dumps(inspect(Path(file), Path(copy), int(most))))
