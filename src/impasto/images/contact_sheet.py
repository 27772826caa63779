"""Contact sheets: many small pictures side by side, each with its label."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

# Maximum side of a sheet.
_MOST_PX = 8192
_LEAST_CELL_PX = 24
_PAPER, _INK, _EMPTY = "#fbfaf8", "#2b2a29", "#e9e6e1"


def contact_sheet(
    labels: Sequence[str],
    pictures: Iterable[Image.Image | None],
    *,
    columns: int | None = None,
    cell_px: int = 256,
) -> Image.Image:
    """Draw pictures in rows, each above its label.

    Args:
        labels: one for each picture; a line break starts a new line, and a line wider than
            its cell is shortened.
        pictures: read one by one, so that they need not all be in memory at once; None is
            an empty cell. Large pictures are shrunk; small ones are not enlarged.
        columns: pictures in a row; by default the sheet is about square.
        cell_px: longest side of a picture on the sheet, in pixels; less if a side of the
            sheet would have more than about 8192.

    Returns:
        An RGB image; transparent pictures are drawn on the sheet's background.

    Raises:
        ValueError: there are no labels, or not one label for each picture.
    """
    if not labels:
        raise ValueError("expected at least one picture for a contact sheet, got none")
    columns = min(columns or math.ceil(math.sqrt(len(labels))), len(labels))
    rows = math.ceil(len(labels) / columns)
    cell_px = max(_LEAST_CELL_PX, min(cell_px, _MOST_PX // max(columns, rows) * 4 // 5))
    gap_px, font_px = max(2, cell_px // 20), max(8, cell_px // 16)
    line_px = font_px + font_px // 3
    lines = max(label.count("\n") + 1 for label in labels)
    pitch_px = (cell_px + gap_px, cell_px + gap_px + lines * line_px)
    sheet = Image.new("RGB", (columns * pitch_px[0] + gap_px, rows * pitch_px[1] + gap_px), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        left, top = (
            gap_px + at * pitch
            for at, pitch in zip((index % columns, index // columns), pitch_px, strict=True)
        )
        if picture is None:
            pen.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), fill=_EMPTY)
        else:
            small = _shrink(picture, cell_px)
            middle = (left + (cell_px - small.width) // 2, top + cell_px - small.height)
            sheet.paste(small, middle, small)
        for number, line in enumerate(label.split("\n")):
            below_px = top + cell_px + gap_px // 4 + number * line_px
            pen.text((left, below_px), _cut(line, font_px, cell_px), _INK, _font(font_px))
    return sheet


def _shrink(picture: Image.Image, most_px: int) -> Image.Image:
    small = picture.convert("RGBA")
    small.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    return small


def _cut(line: str, font_px: int, most_px: int) -> str:
    """Shorten a line in its middle until it fits, because names differ at their ends."""
    if _font(font_px).getlength(line) <= most_px:
        return line
    for length in range(len(line) - 1, 0, -1):
        head = (length + 1) // 2
        shorter = f"{line[:head]}…{line[len(line) - length + head :]}"
        if _font(font_px).getlength(shorter) <= most_px:
            return shorter
    return ""


@lru_cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
