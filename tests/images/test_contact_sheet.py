"""Contact sheets: where pictures and labels stand, and what does not fit."""

import pytest
from PIL import Image

from impasto.images.contact_sheet import contact_sheet

PAPER = (251, 250, 248)


def plain(colour, width=40, height=40, mode="RGB"):
    return Image.new(mode, (width, height), colour)


def colours_of(image):
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def rows_of(sheet, colour):
    """The first column and row, and the size, of the box of pixels of one colour."""
    points = [
        (x, y)
        for y in range(sheet.height)
        for x in range(sheet.width)
        if sheet.getpixel((x, y)) == colour
    ]
    xs, ys = {x for x, _ in points}, {y for _, y in points}
    return min(xs), min(ys), len(xs), len(ys)


def test_pictures_stand_in_rows_in_their_order():
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    sheet = contact_sheet("abc", [plain(red), plain(green), plain(blue)], columns=2, cell_px=40)
    (x1, y1, *_), (x2, y2, *_), (x3, y3, *_) = (
        rows_of(sheet, colour) for colour in (red, green, blue)
    )
    assert x1 == x3 < x2
    assert y1 == y2 < y3


def test_a_sheet_of_many_is_about_square():
    sheet = contact_sheet(["x"] * 16, [plain("red")] * 16, cell_px=40)
    assert 0.7 < sheet.width / sheet.height < 1


def test_a_large_picture_is_shrunk_in_its_own_shape_and_a_small_one_is_left():
    large = contact_sheet("a", [plain("red", 400, 200)], cell_px=100)
    small = contact_sheet("a", [plain("red", 30, 20)], cell_px=100)
    assert rows_of(large, (255, 0, 0))[2:] == (100, 50)
    assert rows_of(small, (255, 0, 0))[2:] == (30, 20)
    assert large.size == small.size


def test_opacity_shows_the_paper():
    sheet = contact_sheet([""], [plain((255, 0, 0, 0), mode="RGBA")], cell_px=40)
    assert colours_of(sheet) == {PAPER}


def test_a_picture_that_is_missing_leaves_its_place():
    sheet = contact_sheet(["", ""], [None, plain("red")], cell_px=40)
    assert len(colours_of(sheet)) == 3
    assert rows_of(sheet, (255, 0, 0))[0] > sheet.width / 2


def test_a_label_never_reaches_into_the_next_cell():
    sheet = contact_sheet(["m" * 80, ""], [None, None], columns=2, cell_px=100)
    assert colours_of(sheet.crop((106, 105, sheet.width, sheet.height))) == {PAPER}
    assert len(colours_of(sheet.crop((0, 105, 106, sheet.height)))) > 1


def test_lines_of_a_label_stand_below_one_another():
    one, two = (contact_sheet([text], [None], cell_px=100) for text in ("a", "a\na"))
    assert two.height > one.height
    assert two.width == one.width


def test_a_sheet_of_thousands_stays_small_enough_to_open():
    sheet = contact_sheet([""] * 2500, (None for _ in range(2500)), cell_px=1000)
    assert max(sheet.size) <= 8192


def test_no_pictures_make_no_sheet():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([], [])


def test_pictures_and_labels_come_in_equal_numbers():
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet(["a", "b"], [plain("red")])
