"""Every format and mode that is read, at 8 and 16 bits and more, upright."""

import struct

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from tests.images.written_files import colours, file_bytes, png, rgb, tiff

from impasto import images
from impasto.errors import ImageError


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_keep_every_value(format_name):
    samples = colours()
    options = {"lossless": True} if format_name == "WEBP" else {}
    picture = images.load(file_bytes(Image.fromarray(samples), format_name, **options))
    assert picture.pixels.shape == (1, 3, 5, 7)
    assert picture.pixels.dtype == torch.float32
    assert picture.alpha is None
    assert (picture.height_px, picture.width_px) == (5, 7)
    np.testing.assert_array_equal(rgb(picture), samples / np.float32(255))


@pytest.mark.parametrize("format_name", ["JPEG", "AVIF", "WEBP", "GIF"])
def test_other_formats_keep_a_flat_colour(format_name):
    picture = images.load(file_bytes(Image.new("RGB", (16, 8), (200, 100, 50)), format_name))
    assert (picture.height_px, picture.width_px) == (8, 16)
    expected = np.broadcast_to(np.array([200, 100, 50]) / 255, (8, 16, 3))
    np.testing.assert_allclose(rgb(picture), expected, atol=4 / 255)


MODES = [
    ("1", [0, 255], [[0] * 3, [1] * 3], None),
    ("L", [0, 51], [[0] * 3, [0.2] * 3], None),
    ("LA", [(51, 255), (102, 51)], [[0.2] * 3, [0.4] * 3], [1, 0.2]),
    ("La", [(51, 255), (51, 102)], [[0.2] * 3, [0.498] * 3], [1, 0.4]),
    ("RGB", [(255, 0, 51), (0, 255, 102)], [[1, 0, 0.2], [0, 1, 0.4]], None),
    ("RGBX", [(255, 0, 51, 9), (0, 255, 102, 9)], [[1, 0, 0.2], [0, 1, 0.4]], None),
    ("RGBA", [(255, 0, 51, 0), (0, 255, 102, 51)], [[1, 0, 0.2], [0, 1, 0.4]], [0, 0.2]),
    ("RGBA", [(255, 0, 51, 255), (0, 255, 102, 255)], [[1, 0, 0.2], [0, 1, 0.4]], None),
    ("RGBa", [(51, 0, 0, 51), (0, 255, 102, 255)], [[1, 0, 0], [0, 1, 0.4]], [0.2, 1]),
    ("CMYK", [(255, 0, 51, 0), (0, 0, 0, 204)], [[0, 1, 0.8], [0.2] * 3], None),
    ("YCbCr", [(51, 128, 128), (255, 128, 128)], [[0.2] * 3, [1] * 3], None),
    ("HSV", [(0, 0, 51), (0, 255, 255)], [[0.2] * 3, [1, 0, 0]], None),
    ("LAB", [(0, 128, 128), (255, 128, 128)], [[0] * 3, [1] * 3], None),
    ("I;16", [13107, 65535], [[0.2] * 3, [1] * 3], None),
    ("I", [13107, 65535], [[0.2] * 3, [1] * 3], None),
    ("I", [51, 255], [[0.2] * 3, [1] * 3], None),
    ("F", [0.2, 1.0], [[0.2] * 3, [1] * 3], None),
    ("F", [51.0, 255.0], [[0.2] * 3, [1] * 3], None),
]


@pytest.mark.parametrize(("mode", "values", "expected", "alpha"), MODES)
def test_pillow_image_of_every_mode(mode, values, expected, alpha):
    image = Image.new(mode, (2, 1))
    image.putdata(values)
    picture = images.load(image)
    np.testing.assert_allclose(rgb(picture)[0], expected, atol=0.004)
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha.shape == (1, 1, 1, 2)
        np.testing.assert_allclose(picture.alpha[0, 0, 0], alpha, atol=0.004)


def test_colour_under_full_transparency_is_kept():
    picture = images.load(png(np.array([[[9, 99, 199, 0]]], np.uint8), 6))
    np.testing.assert_array_equal(rgb(picture)[0, 0] * 255, [9, 99, 199])
    assert picture.alpha.item() == 0


def test_palette_with_transparent_entries():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    picture = images.load(file_bytes(image, transparency=bytes((0, 51, 255))))
    np.testing.assert_array_equal(rgb(picture)[0], np.eye(3))
    np.testing.assert_allclose(picture.alpha.flatten(), [0, 0.2, 1])
    assert images.load(file_bytes(image)).alpha is None


@pytest.mark.parametrize(("mode", "key"), [("L", 51), ("RGB", (51, 51, 51))])
def test_a_transparent_colour(mode, key):
    image = Image.new(mode, (2, 1), 51 if mode == "L" else key)
    image.putpixel((1, 0), 0 if mode == "L" else (0, 0, 0))
    picture = images.load(file_bytes(image, transparency=key))
    assert picture.alpha.flatten().tolist() == [0, 1]


def test_a_gif_shows_its_first_frame():
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = file_bytes(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(rgb(images.load(data))[0, 0], [1, 0, 0])


def test_cmyk_jpeg_comes_out_in_its_own_colours():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = images.load(file_bytes(image, "JPEG", quality=100))
    np.testing.assert_allclose(rgb(picture)[8, 8], [1, 0, 0], atol=0.02)


# Sixteen bits and more


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
def test_png_of_16_bits_loses_none(colour_type):
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    samples = colours(1, channels=channels, dtype=np.uint16)
    picture = images.load(png(samples, colour_type))
    plain = samples[..., : 1 if channels < 3 else 3]
    expected = np.broadcast_to(plain / np.float32(65535), (5, 7, 3))
    np.testing.assert_array_equal(rgb(picture), expected)
    if channels in (2, 4):
        alpha = samples[..., -1] / np.float32(65535)
        np.testing.assert_array_equal(picture.alpha[0, 0], alpha)
    else:
        assert picture.alpha is None


def test_png_of_16_bits_with_a_transparent_colour():
    samples = np.array([[[1, 2, 3], [257, 2, 3]]], np.uint16)
    picture = images.load(png(samples, 2, transparent=(1, 2, 3)))
    assert picture.alpha.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_16_bits_loses_none(order, channels):
    samples = colours(2, channels=channels, dtype=np.uint16)
    data = tiff(samples, 1 if channels == 1 else 2, order, extra=2 if channels == 4 else None)
    picture = images.load(data)
    expected = np.broadcast_to(samples[..., :3] / np.float32(65535), (5, 7, 3))
    np.testing.assert_array_equal(rgb(picture), expected)
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha[0, 0], samples[..., 3] / np.float32(65535))


def test_tiff_of_16_bits_whose_zero_is_white():
    samples = np.array([[[0], [65535], [13107]]], np.uint16)
    picture = images.load(tiff(samples, 0))
    np.testing.assert_allclose(rgb(picture)[0, :, 0], [1, 0, 0.8], atol=1e-6)


@pytest.mark.parametrize(("extra", "alpha"), [(0, None), (1, [0.2, 1]), (2, [0.2, 1])])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_says_what_its_fourth_sample_is(extra, alpha, dtype):
    """Nothing, opacity that the colours are multiplied by already, or opacity."""
    samples = np.array([[[51, 0, 0, 51], [0, 255, 102, 255]]], np.uint8)
    data = tiff(samples if dtype == np.uint8 else samples.astype(np.uint16) * 257, 2, extra=extra)
    picture = images.load(data)
    expected = [[1 if extra == 1 else 0.2, 0, 0], [0, 1, 0.4]]
    np.testing.assert_allclose(rgb(picture)[0], expected, atol=1e-6)
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_allclose(picture.alpha.flatten(), alpha, atol=1e-6)


TIFF_MODES = [case for case in MODES if case[0] not in ("La", "RGBa", "HSV", "YCbCr")]


@pytest.mark.parametrize(("mode", "values", "expected", "alpha"), TIFF_MODES)
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_of_every_mode(mode, values, expected, alpha, compression):
    image = Image.new(mode, (2, 1))
    image.putdata(values)
    picture = images.load(file_bytes(image, "TIFF", compression=compression))
    np.testing.assert_allclose(rgb(picture)[0], expected, atol=0.004)
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_allclose(picture.alpha[0, 0, 0], alpha, atol=0.004)


def test_tiff_with_a_palette_and_with_two_levels():
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    picture = images.load(file_bytes(palette, "TIFF", compression="tiff_lzw"))
    np.testing.assert_array_equal(rgb(picture)[0], np.eye(3))
    fax = Image.new("1", (20, 2))
    fax.putdata([0, 255] * 20)
    picture = images.load(file_bytes(fax, "TIFF", compression="group4"))
    assert rgb(picture)[:, :, 0].flatten().tolist() == [0, 1] * 20


def test_tiff_whose_header_claims_more_than_there_is():
    data = tiff(colours(13), 2)
    taller = data.replace(struct.pack("<HHII", 257, 4, 1, 5), struct.pack("<HHII", 257, 4, 1, 5000))
    assert taller != data
    with pytest.raises(ImageError, match="damaged"):
        images.load(taller)


def test_tiff_of_16_bits_cmyk():
    samples = np.array([[[65535, 0, 13107, 0], [0, 0, 0, 52428]]], np.uint16)
    picture = images.load(tiff(samples, 5))
    np.testing.assert_allclose(rgb(picture)[0], [[0, 1, 0.8], [0.2] * 3], atol=1e-5)


def test_tiff_of_32_bit_integers():
    samples = np.array([[[0], [858993459], [2**32 - 1]]], np.uint32)
    picture = images.load(tiff(samples, 1))
    np.testing.assert_allclose(rgb(picture)[0, :, 0], [0, 0.2, 1], atol=1e-6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_floats(order):
    samples = np.array([[[0.0], [0.123456], [1.0]]], np.float32)
    picture = images.load(tiff(samples, 1, order, sample_format=3))
    np.testing.assert_array_equal(rgb(picture)[0, :, 0], samples[0, :, 0])


@pytest.mark.parametrize("values", [[np.nan, 0.5], [-0.5, 0.5], [0, 1.5], [0, 1e9]])
def test_tiff_of_floats_out_of_range(values):
    samples = np.array(values, np.float32).reshape(1, 2, 1)
    with pytest.raises(ImageError, match="samples from"):
        images.load(tiff(samples, 1, sample_format=3))


# Orientation


def turn(array, orientation):
    """The array that a camera would have stored, whose upright form is ``array``."""
    return {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, 1),
        7: array[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(array, -1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    upright = colours(3, channels=4)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turn(upright, orientation)))
    for format_name in ("PNG", "TIFF"):
        picture = images.load(file_bytes(stored, format_name, exif=exif))
        np.testing.assert_array_equal(rgb(picture), upright[..., :3] / np.float32(255))
        np.testing.assert_array_equal(picture.alpha[0, 0], upright[..., 3] / np.float32(255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bits(orientation):
    upright = colours(4, dtype=np.uint16)
    stored = np.ascontiguousarray(turn(upright, orientation))
    picture = images.load(tiff(stored, 2, orientation=orientation))
    np.testing.assert_array_equal(rgb(picture), upright / np.float32(65535))


def test_a_rotated_jpeg_stands_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = Image.new("RGB", (32, 16), "white")
    stored.paste("red", (0, 0, 16, 16))
    picture = images.load(file_bytes(stored, "JPEG", exif=exif))
    assert (picture.height_px, picture.width_px) == (32, 16)
    np.testing.assert_allclose(rgb(picture)[4, 8], [1, 0, 0], atol=0.02)


def test_damaged_exif_data_are_ignored():
    data = file_bytes(
        Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"
    )
    np.testing.assert_allclose(rgb(images.load(data))[0, 0], [1, 0, 0], atol=0.02)
