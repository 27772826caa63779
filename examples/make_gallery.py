"""Paint the pictures of README.md and docs/gallery.md: python examples/make_gallery.py.

All of them take about a quarter of an hour on two cores; with names, only those sheets are painted.
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

import impasto
from impasto.images import samples

PHOTOGRAPHS = ("chelsea", "coffee", "rocket")
PAINTINGS = ("nocturne", "glass", "woodcut")
LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
LARGEST_BYTES = 290_000
GAP_PX = 6


def front(size_px: int) -> Image.Image:
    """Paint the first picture of the README, a single large one."""
    return _transfer("chelsea", "nocturne", size_px)


def grid(size_px: int) -> Image.Image:
    """Paint every photograph in every style; paintings at the top, photographs on the left."""
    corner = Image.new("RGB", (1, 1), "white")
    rows = [[corner, *(_open("style", name) for name in PAINTINGS)]]
    for photograph in PHOTOGRAPHS:
        painted = [_transfer(photograph, painting, size_px) for painting in PAINTINGS]
        rows.append([_open("content", photograph), *painted])
    return _sheet(rows, (size_px, size_px * 2 // 3))


def modes(size_px: int) -> Image.Image:
    """Paint one photograph and one painting in the three modes."""
    photograph, painting = samples.path("content", "dancing"), samples.path("style", "picasso")
    row = [
        impasto.style_transfer(photograph, painting, size=size_px).image,
        impasto.content(photograph, size=size_px).image,
        impasto.style(painting, size=size_px, aspect="1:1").image,
    ]
    return _sheet([row], (size_px, size_px))


def layers(size_px: int) -> Image.Image:
    """Rebuild one photograph from each of five layers of the network."""
    photograph = samples.path("content", "chelsea")
    row = [
        impasto.content(photograph, content_layers=layer, size=size_px).image for layer in LAYERS
    ]
    return _sheet([row], (size_px, size_px * 2 // 3))


# Name of the file, painter, and the longest side of one picture in it, in pixels.
SHEETS: dict[str, tuple[Callable[[int], Image.Image], int]] = {
    "front": (front, 448),
    "grid": (grid, 192),
    "modes": (modes, 320),
    "layers": (layers, 224),
}


def main() -> None:
    """Paint the named sheets, and print their paths."""
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or SHEETS:
        began_s = time.perf_counter()
        painter, size_px = SHEETS[name]
        file = args.out / f"{name}.jpg"
        file.write_bytes(_encode(painter(args.size or size_px)))
        print(f"{file}: {file.stat().st_size // 1000} kB, {time.perf_counter() - began_s:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paint the gallery of the documents.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(SHEETS)}")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1] / "docs" / "gallery",
        help="folder to write to; by default docs/gallery of the checkout",
    )
    parser.add_argument(
        "--size", type=int, help="longest side of one picture in pixels; by default each sheet's"
    )
    args = parser.parse_args()
    if unknown := set(args.names) - set(SHEETS):
        parser.error(f"expected any of {', '.join(SHEETS)}, got {', '.join(sorted(unknown))}")
    return args


def _transfer(photograph: str, painting: str, size_px: int) -> Image.Image:
    content, style = samples.path("content", photograph), samples.path("style", painting)
    return impasto.style_transfer(content, style, size=size_px).image


def _open(kind: samples.Kind, name: str) -> Image.Image:
    return Image.open(samples.path(kind, name))


def _sheet(rows: Sequence[Sequence[Image.Image]], size_px: tuple[int, int]) -> Image.Image:
    """Arrange pictures in rows on white, each cropped to one size."""
    width_px, height_px = size_px
    sheet = Image.new(
        "RGB",
        (
            len(rows[0]) * (width_px + GAP_PX) - GAP_PX,
            len(rows) * (height_px + GAP_PX) - GAP_PX,
        ),
        "white",
    )
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            fitted = ImageOps.fit(picture.convert("RGB"), size_px, Image.Resampling.LANCZOS)
            sheet.paste(fitted, (column * (width_px + GAP_PX), row * (height_px + GAP_PX)))
    return sheet


def _encode(image: Image.Image) -> bytes:
    """Encode as JPEG, at the best quality below the size limit."""
    quality = 92
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() < LARGEST_BYTES:
            return buffer.getvalue()
        quality -= 3


if __name__ == "__main__":
    main()
