"""Paint the style pictures that come with the package: python examples/make_styles.py.

Every picture is painted with a fixed seed, so the same versions of NumPy and Pillow write the same
file.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from atelier import cubist, glass, nocturne, pointillist, woodcut
from atelier.fields import Array
from PIL import Image

# Name of the file, painter, and height as a share of the longest side.
PAINTINGS: dict[str, tuple[Callable[[int], Array], float]] = {
    "glass": (glass.paint, 1.0),
    "nocturne": (nocturne.paint, 0.8),
    "picasso": (cubist.paint, 1.0),
    "pointillist": (pointillist.paint, 0.8),
    "woodcut": (woodcut.paint, 0.8),
}
LARGEST_BYTES = 300_000


def main() -> None:
    """Paint the named pictures, and print their paths."""
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or PAINTINGS:
        began_s = time.perf_counter()
        painter, share = PAINTINGS[name]
        pixels = painter(round(args.size * share))
        file = args.out / f"{name}.jpg"
        file.write_bytes(_encode(pixels))
        print(f"{file}: {file.stat().st_size // 1000} kB, {time.perf_counter() - began_s:.1f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paint the bundled style pictures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(PAINTINGS)}")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1] / "img" / "style",
        help="folder to write to; by default img/style of the checkout",
    )
    parser.add_argument("--size", type=int, default=768, help="longest side in pixels, at least 64")
    args = parser.parse_args()
    if unknown := set(args.names) - set(PAINTINGS):
        parser.error(f"expected any of {', '.join(PAINTINGS)}, got {', '.join(sorted(unknown))}")
    if args.size < 64:
        parser.error(f"expected a size of at least 64 pixels, got {args.size}; choose a larger one")
    return args


def _encode(pixels: Array) -> bytes:
    """Encode as JPEG with full colour resolution, at the best quality below the size limit."""
    image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    quality = 92
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        if buffer.tell() < LARGEST_BYTES:
            return buffer.getvalue()
        quality -= 3


if __name__ == "__main__":
    main()
