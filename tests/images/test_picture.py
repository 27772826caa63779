"""Pictures in and out, each generated here, with values known beforehand."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import ExifTags, Image, ImageCms

from impasto import images
from impasto.errors import ImageError, ShapeError
from impasto.images.picture import MAX_FILE_BYTES

SRGB_TO_XYZ_D50 = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
ADOBE_TO_XYZ_D50 = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
P3_TO_XYZ_D50 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)


def colours(seed=0, height=5, width=7, channels=3, dtype=np.uint8):
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def rgb(picture):
    """The pixels as an (H, W, 3) array."""
    return picture.pixels[0].permute(1, 2, 0).numpy()


def file_bytes(image, format_name="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def png(samples, colour_type, transparent=None, profile=None, size=None):
    """A PNG written by hand from (H, W, C) samples of 8 or 16 bits."""
    depth = samples.dtype.itemsize * 8
    height, width = samples.shape[:2]
    rows = samples.astype(samples.dtype.newbyteorder(">"))

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, colour_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if profile:
        parts.append(chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)))
    if transparent is not None:
        parts.append(chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    return b"".join([*parts, chunk(b"IEND", b"")])


def tiff(samples, photometric, order="<", sample_format=1, extra=None, orientation=1):
    """An uncompressed TIFF of one strip, written by hand from (H, W, C) samples."""
    height, width, channels = samples.shape
    body = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = samples.dtype.itemsize * 8
    # The arrays that do not fit into a tag stand behind the eight bytes of header.
    depths, formats = 8, 8 + 2 * channels
    start = formats + 2 * channels
    fits = channels == 1
    assert channels != 2, "two short numbers would have to stand in the tag itself"
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits if fits else depths),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, start),
        (274, 3, 1, orientation),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(body)),
        (284, 3, 1, 1),
        *([] if extra is None else [(338, 3, 1, extra)]),
        (339, 3, channels, sample_format if fits else formats),
    ]
    directory = start + len(body) + len(body) % 2

    def pack(code, *values):
        return struct.pack(order + code, *values)

    parts = [b"II*\0" if order == "<" else b"MM\0*", pack("I", directory)]
    parts += [pack("H", bits) * channels, pack("H", sample_format) * channels, body]
    parts += [b"\0" * (len(body) % 2), pack("H", len(tags))]
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        parts.append(pack("HHI", tag, kind, count))
        parts.append(pack("HH", value, 0) if short else pack("I", value))
    return b"".join([*parts, pack("I", 0)])


def icc(space, tags, kind=b"mntr", connection=b"XYZ "):
    """An ICC profile, version 2, from the bytes of its tags."""
    offset, table, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        body += b"\0" * (-len(body) % 4)
        table += name + struct.pack(">II", offset + len(bodies), len(body))
        bodies += body
    header = struct.pack(
        ">I4sI4s4s4s", offset + len(bodies), b"", 0x02100000, kind, space, connection
    )
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += struct.pack(">3i", 63190, 65536, 54061)  # the white of D50
    header += b"\0" * (128 - len(header))
    return header + struct.pack(">I", len(tags)) + table + bodies


def described():
    return {
        b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
    }


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def matrix_profile(to_xyz, gamma):
    tags = described()
    for index, name in enumerate("rgb"):
        column = [round(value * 65536) for value in to_xyz[:, index]]
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + struct.pack(">3i", *column)
        tags[f"{name}TRC".encode()] = curve(gamma)
    return icc(b"RGB ", tags)


def grey_profile(gamma):
    return icc(b"GRAY", {**described(), b"kTRC": curve(gamma)})


def ink_profile():
    """CMYK whose black ink is black and whose other inks each give the same mid grey."""
    identity = bytes(range(256))
    lightness = [0 if ink & 1 else 255 if not ink else round(50 * 2.55) for ink in range(16)]
    table = b"".join(bytes((level, 128, 128)) for level in lightness)
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + identity * 4 + table + identity * 3
    return icc(b"CMYK", {**described(), b"A2B0": lut, b"A2B1": lut}, b"prtr", b"Lab ")


def encode_srgb(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode_srgb(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def convert(values, to_xyz, gamma):
    """What a matrix profile means, in float64."""
    xyz = values.astype(np.float64) ** gamma @ to_xyz.T
    return encode_srgb(xyz @ np.linalg.inv(SRGB_TO_XYZ_D50).T)


# Every format and mode


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


# Colour profiles

# The same colours in three spaces: sRGB, Display P3 and Adobe RGB (1998), computed from the
# chromaticities and the curves that define them, without profiles. The first three and the
# named green stand so in CSS Color Module Level 4 and its tests.
KNOWN_COLOURS = {
    "red": ((1, 0, 0), (0.917488, 0.200287, 0.138561), (0.858592, 0, 0)),
    "lime": ((0, 1, 0), (0.458402, 0.985265, 0.298295), (0.564972, 1, 0.234424)),
    "blue": ((0, 0, 1), (0, 0, 0.959588), (0, 0, 0.981069)),
    "green": ((0, 0.501961, 0), (0.216037, 0.494182, 0.131513), (0.281366, 0.498017, 0.116747)),
    "tomato": (
        (1, 0.388235, 0.278431),
        (0.928317, 0.42863, 0.319911),
        (0.87774, 0.388148, 0.289664),
    ),
    "teal": (
        (0, 0.501961, 0.501961),
        (0.216037, 0.494182, 0.497977),
        (0.281366,) + (0.498017,) * 2,
    ),
    "purple": ((0.4, 0.2, 0.6), (0.37367, 0.210334, 0.579113), (0.358004, 0.212317, 0.584343)),
    "grey": ((0.5,) * 3, (0.5,) * 3, (0.496104,) * 3),
    "white": ((1, 1, 1),) * 3,
    "black": ((0, 0, 0),) * 3,
}


def display_p3():
    """The profile that libvips brings: Display P3 in version 4, dedicated to the public."""
    return bytes(pyvips.Image.profile_load("p3"))


def adobe_rgb():
    """Adobe RGB (1998) with the colorants and the exponent, 563/256, of Adobe's own profile."""
    return matrix_profile(ADOBE_TO_XYZ_D50, 563 / 256)


def flat(colour, profile, kind):
    """A file of one colour, given in the space of ``profile``."""
    deep = np.broadcast_to(np.round(np.array(colour) * 65535).astype(np.uint16), (16, 16, 3))
    if kind == "png16":
        return png(deep, 2, profile=profile)
    if kind == "tiff16":
        image = pyvips.Image.new_from_array(deep.copy()).copy(interpretation="rgb16")
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        return image.tiffsave_buffer(compression="lzw")
    options = {
        "webp": {"lossless": True},
        "jpeg": {"quality": 100, "subsampling": "4:4:4"},
        "avif": {"quality": 100, "subsampling": "4:4:4"},
    }.get(kind, {})
    image = Image.new("RGB", (16, 16), tuple(round(255 * value) for value in colour))
    return file_bytes(image, kind.upper(), icc_profile=profile, **options)


@pytest.mark.parametrize("colour", KNOWN_COLOURS)
@pytest.mark.parametrize(("place", "make_profile"), [(1, display_p3), (2, adobe_rgb)])
@pytest.mark.parametrize("kind", ["png16", "tiff16", "png", "tiff", "webp", "jpeg", "avif"])
def test_known_colours_of_wide_gamuts(colour, place, make_profile, kind):
    spaces = KNOWN_COLOURS[colour]
    found = rgb(images.load(flat(spaces[place], make_profile(), kind)))
    # In linear light: the rounding of a strong primary spills over into the weak ones.
    tolerance = {"png16": 0.0015, "tiff16": 0.0015, "jpeg": 0.02, "avif": 0.02}.get(kind, 0.006)
    expected = decode_srgb(np.broadcast_to(spaces[0], (16, 16, 3)))
    np.testing.assert_allclose(decode_srgb(found), expected, atol=tolerance)


@pytest.mark.parametrize("make_profile", [display_p3, adobe_rgb])
def test_colours_outside_srgb_are_clipped(make_profile):
    found = rgb(images.load(flat((0, 1, 0), make_profile(), "png16")))
    np.testing.assert_allclose(found[0, 0], [0, 1, 0], atol=0.002)


@pytest.mark.parametrize("make_profile", [display_p3, adobe_rgb])
@pytest.mark.parametrize("kind", ["png16", "tiff16"])
def test_a_conversion_of_16_bits_keeps_them(make_profile, kind):
    """A ramp of 8192 greys, which 8 bits anywhere on the way would leave at 256."""
    ramp = np.repeat(np.arange(0, 65536, 8, dtype=np.uint16).reshape(64, 128, 1), 3, axis=2)
    if kind == "png16":
        data = png(ramp, 2, profile=make_profile())
    else:
        image = pyvips.Image.new_from_array(ramp).copy(interpretation="rgb16")
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", make_profile())
        data = image.tiffsave_buffer()
    found = rgb(images.load(data))[..., 1].reshape(-1)
    assert len(np.unique(found)) > 7500
    assert (np.diff(found) >= -1e-4).all()


@pytest.mark.parametrize("make_profile", [display_p3, adobe_rgb])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_from_16_bits_in_a_wide_gamut_to_16_bits_out(tmp_path, make_profile, ending):
    samples = colours(21, 16, 16, dtype=np.uint16)
    picture = images.load(png(samples, 2, profile=make_profile()))
    again = images.load(
        images.save_image(images.to_samples(picture.pixels), tmp_path / f"out.{ending}")
    )
    assert (again.pixels - picture.pixels).abs().max() < 0.51 / 65535


@pytest.mark.parametrize("to_xyz", [ADOBE_TO_XYZ_D50, P3_TO_XYZ_D50], ids=["adobe", "p3"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_wide_gamuts_are_converted(to_xyz, dtype):
    samples = colours(5, 16, 16, dtype=dtype)
    white = np.iinfo(dtype).max
    samples[0, :3] = [[white] * 3, [0] * 3, [white // 2] * 3]
    picture = images.load(png(samples, 2, profile=matrix_profile(to_xyz, 2.19921875)))
    expected = convert(samples / white, to_xyz, 2.19921875)
    np.testing.assert_allclose(rgb(picture), expected, atol=0.008)
    assert np.abs(rgb(picture) - expected).mean() < 3e-4
    assert np.abs(expected - samples / white).max() > 0.05


def test_a_conversion_loses_no_tones():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    picture = images.load(png(ramp, 2, profile=matrix_profile(ADOBE_TO_XYZ_D50, 1.8)))
    assert len(np.unique(rgb(picture)[..., 1])) == 256


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_profile_is_converted(dtype):
    samples = np.linspace(0, np.iinfo(dtype).max, 12).astype(dtype).reshape(3, 4, 1)
    picture = images.load(png(samples, 0, profile=grey_profile(1.0)))
    expected = encode_srgb(samples / np.iinfo(dtype).max)
    np.testing.assert_allclose(rgb(picture), np.broadcast_to(expected, (3, 4, 3)), atol=0.003)


def test_opacity_is_no_colour():
    samples = np.full((2, 2, 4), 100, np.uint8)
    picture = images.load(png(samples, 6, profile=matrix_profile(P3_TO_XYZ_D50, 1.0)))
    np.testing.assert_allclose(picture.alpha, 100 / 255)
    np.testing.assert_allclose(rgb(picture), encode_srgb(np.full((2, 2, 3), 100 / 255)), atol=0.003)


def test_inks_follow_their_profile():
    image = Image.new("CMYK", (3, 1))
    image.putdata([(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)])
    data = file_bytes(image, "TIFF", icc_profile=ink_profile())
    # L* = 50 is 0.4663 in sRGB; without a profile, cyan would be (0, 1, 1).
    expected = [[1] * 3, [0.4663] * 3, [0] * 3]
    np.testing.assert_allclose(rgb(images.load(data))[0], expected, atol=0.01)


@pytest.mark.parametrize(
    "profile",
    [b"", b"junk" * 50, matrix_profile(P3_TO_XYZ_D50, 2.2)[:200], grey_profile(1.0), ink_profile()],
    ids=["empty", "junk", "cut short", "grey", "inks"],
)
def test_a_profile_that_cannot_be_used_is_ignored(profile):
    samples = colours(6)
    data = file_bytes(Image.fromarray(samples), icc_profile=profile)
    np.testing.assert_array_equal(rgb(images.load(data)), samples / np.float32(255))


def test_an_srgb_profile_changes_nothing():
    samples = colours(7, 16, 16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = file_bytes(Image.fromarray(samples), icc_profile=profile)
    np.testing.assert_array_equal(rgb(images.load(data)), samples / np.float32(255))


# Where pictures come from


def test_a_path_gives_name_and_hash(tmp_path):
    path = tmp_path / "dancing.tar.png"
    path.write_bytes(file_bytes(Image.new("RGB", (2, 3), "red")))
    by_path, by_text = images.load(path), images.load(str(path))
    by_bytes = images.load(path.read_bytes())
    assert (by_path.name, by_text.name, by_bytes.name) == ("dancing.tar", "dancing.tar", "image")
    assert by_path.sha256 == by_text.sha256 == by_bytes.sha256
    assert len(by_path.sha256) == 64
    assert images.load(by_path) is by_path


def test_arrays_hash_by_their_values():
    samples = colours(8)
    one, same = images.load(samples), images.load(Image.fromarray(samples))
    assert one.sha256 == same.sha256 != images.load(samples[::-1]).sha256
    assert one.sha256 != images.load(samples.reshape(7, 5, 3)).sha256


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32, np.float64])
def test_arrays_of_every_shape_and_type(shape, dtype):
    values = np.random.default_rng(0).random(shape)
    kind = np.dtype(dtype)
    white = 1 if kind.kind == "f" else np.iinfo(kind).max
    array = (values * white).astype(kind)
    picture = images.load(array)
    planes = (array.astype(np.float64) / white).reshape(5, 7, -1)
    np.testing.assert_allclose(rgb(picture), np.broadcast_to(planes[..., :3], (5, 7, 3)), atol=1e-6)
    assert (picture.alpha is None) == (len(shape) == 2 or shape[2] < 4)
    assert picture.name == "image"


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (1, 3, 5, 7), (1, 5, 7), (4, 5, 7), (1, 1, 5, 7), (1, 4, 5, 7)]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_tensors_of_every_shape_and_type(shape, dtype):
    tensor = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    tensor = (tensor * 255).to(dtype) if dtype == torch.uint8 else tensor.to(dtype)
    picture = images.load(tensor)
    unit = tensor.double().reshape(-1, 5, 7) / (255 if dtype == torch.uint8 else 1)
    torch.testing.assert_close(
        picture.pixels[0].double(), unit[:3].expand(3, 5, 7), atol=1e-6, rtol=0
    )
    assert (picture.alpha is None) == (unit.shape[0] < 4)


def test_the_caller_keeps_what_is_the_callers():
    array, tensor = np.full((2, 2, 3), 1.00001), torch.full((3, 2, 2), 1.00001)
    tensor.requires_grad_()
    for source in (array, tensor):
        picture = images.load(source)
        assert picture.pixels.max() == 1
        picture.pixels.zero_()
    assert array.min() > 1
    assert tensor.min() > 1


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (np.zeros((3, 5, 7)), ShapeError, "moveaxis"),
        (np.zeros((5, 7, 2)), ShapeError, r"\(5, 7, 2\)"),
        (np.zeros((0, 7, 3)), ShapeError, "shape"),
        (np.zeros((2, 5, 7, 3)), ShapeError, "shape"),
        (np.zeros((5, 7), np.int32), ImageError, "int32"),
        (np.zeros((5, 7), complex), ImageError, "complex"),
        (np.array([[np.nan]]), ImageError, "NaN"),
        (np.array([[np.inf]]), ImageError, "infinity"),
        (np.array([[0.0, 255.0]]), ImageError, "0 to 255"),
        (np.array([[-0.5]]), ImageError, "-0.5"),
        (torch.zeros(5, 7, 3), ShapeError, "permute"),
        (torch.zeros(2, 3, 5, 7), ShapeError, "one picture at a time"),
        (torch.zeros(2, 5, 7), ShapeError, r"\(2, 5, 7\)"),
        (torch.zeros(7), ShapeError, "shape"),
        (torch.zeros(3, 0, 7), ShapeError, "shape"),
        (torch.zeros(3, 5, 7, dtype=torch.int64), ImageError, "int64"),
        (torch.full((3, 2, 2), torch.nan), ImageError, "NaN"),
        (torch.full((3, 2, 2), 2.0), ImageError, "2"),
        (Image.new("RGB", (0, 3)), ShapeError, "0 x 3"),
        ([[0.0]], ImageError, "list"),
        (None, ImageError, "NoneType"),
    ],
)
def test_values_that_are_no_picture(source, error, words):
    with pytest.raises(error, match=words) as caught:
        images.load(source)
    assert "\n" not in str(caught.value)


# Bad files


def photograph(format_name="PNG"):
    return file_bytes(Image.fromarray(colours(9, 64, 64)), format_name)


BAD_FILES = {
    "empty.png": (b"", "is empty"),
    "text.jpg": (b"this is no picture\n" * 30, "is a text"),
    "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "page.png": (b"\n <!DOCTYPE html><html></html>", "web page"),
    "archive.png": (b"PK\x03\x04" + bytes(100), "ZIP"),
    "document.png": (b"%PDF-1.7\n" + bytes(100), "PDF"),
    "phone.png": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC|damaged"),
    "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(100), "is a film"),
    "half.floats.tif": (tiff(np.ones((2, 2, 3), np.float16), 2, sample_format=3), "unusual kind"),
    "noise.png": (bytes(range(256)), "cannot be read as a picture"),
    "half.jpg": (photograph("JPEG")[:1500], "cut short"),
    "half.png": (photograph("PNG")[:3000], "cut short"),
    "half.webp": (photograph("WEBP")[:500], "cut short"),
    "half.tif": (photograph("TIFF")[:3000], "damaged"),
    "half16.png": (png(colours(10, 64, 64, dtype=np.uint16), 2)[:9000], "cut short"),
    "half16.tif": (tiff(colours(10, 8, 8, dtype=np.uint16), 2)[:300], "damaged"),
    "header.png": (photograph("PNG")[:20], "damaged"),
    "bomb.png": (
        png(np.zeros((1, 1, 3), np.uint8), 2, size=(20_000, 20_000)),
        "at most 300 megapixels.*400000000",
    ),
    "bomb16.png": (
        png(np.zeros((1, 1, 3), np.uint16), 2, size=(2**31 - 1, 2**31 - 1)),
        "at most 300 megapixels",
    ),
    "none.png": (png(np.zeros((1, 1, 3), np.uint8), 2, size=(0, 0)), "damaged|no pixels"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_end_in_one_line(tmp_path, name, capfd):
    data, words = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(ImageError, match=words) as caught:
            images.load(source)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert capfd.readouterr() == ("", "")
    assert path.read_bytes() == data


def test_damaged_files_leave_the_terminal_alone(tmp_path):
    """In a process of its own, because pytest takes up logs that Python would print."""
    lzw = file_bytes(Image.fromarray(colours(14, 64, 64)), "TIFF", compression="tiff_lzw")
    many = tiff(colours(15), 2).replace(
        struct.pack("<HHIHH", 277, 3, 1, 3, 0), struct.pack("<HHIHH", 277, 3, 1, 512, 0)
    )
    damaged = [lzw[:500] + b"\xff" * 500 + lzw[1000:], many, photograph("JPEG")[:1500]]
    for index, data in enumerate(damaged):
        (tmp_path / str(index)).write_bytes(data)
    script = """
import pathlib, sys
from impasto import errors
from impasto.images import decode
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        decode.decode(path.read_bytes(), path.name)
    except errors.ImageError:
        print("refused")
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["refused"] * 3, "")


def test_a_large_picture_leaks_no_warning():
    data = png(np.zeros((1, 1, 3), np.uint8), 2, size=(12_000, 12_000))
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match="cut short"):
            images.load(data)
    assert not leaked
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "dancing.jpg").touch()
    with pytest.raises(ImageError, match=r"no file .*did you mean 'dancing.jpg'"):
        images.load(tmp_path / "dancng.jpg")
    with pytest.raises(ImageError, match="check the path"):
        images.load(tmp_path / "zebra.png")
    with pytest.raises(ImageError, match="no folder"):
        images.load(tmp_path / "nowhere" / "dancing.jpg")
    with pytest.raises(ImageError, match="no file"):
        images.load(tmp_path / "dancing.jpg" / "inside.jpg")


def test_names_that_no_file_can_have():
    for name in ("a\0b.png", "x" * 5000 + ".png"):
        with pytest.raises(ImageError, match="cannot be read"):
            images.load(name)


def test_folders_pipes_and_devices_are_refused_at_once(tmp_path):
    pipe, link = tmp_path / "pipe.png", tmp_path / "link.png"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="is a folder"):
        images.load(tmp_path)
    for path in (pipe, link, Path("/dev/zero")):
        with pytest.raises(ImageError, match="device or a pipe"):
            images.load(path)


def test_a_file_of_many_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.write(photograph())
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="GiB"):
        images.load(path)


def test_strange_names_are_shown_escaped(tmp_path):
    with pytest.raises(ImageError) as caught:
        images.load(tmp_path / "two\nlines\x1b[31m.png")
    assert r"two\nlines\x1b" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"\\udcff"):
        images.load(os.fsencode(str(tmp_path)).decode() + "/\udcff.png")


def test_a_path_of_odd_bytes_can_be_read(tmp_path):
    path = tmp_path / os.fsdecode(b"odd\xff\n.png")
    path.write_bytes(photograph())
    assert images.load(path).height_px == 64


def test_threads_may_load_at_once():
    sources = [photograph(name) for name in ("PNG", "JPEG", "WEBP", "TIFF")] * 4
    sources += [
        png(colours(11, dtype=np.uint16), 2, profile=matrix_profile(P3_TO_XYZ_D50, 2.2))
    ] * 4
    hashes = [images.load(source).pixels.sum().item() for source in sources]
    found = [0.0] * len(sources)

    def work(index):
        found[index] = images.load(sources[index]).pixels.sum().item()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == hashes


# Sizes


def test_resize_of_the_same_size_is_the_same_tensor():
    pixels = torch.rand(1, 3, 6, 8)
    assert images.resize(pixels, 6, 8) is pixels


def test_resize_stays_in_range_and_does_not_alias():
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    small = images.resize(stripes, 16, 16)
    assert small.shape == (1, 3, 16, 16)
    # Away from the border, stripes narrower than a pixel become an even grey.
    assert (small[..., 2:-2] - 0.5).abs().max() < 0.02
    large = images.resize(torch.eye(8).expand(1, 3, 8, 8), 50, 30)
    assert large.min() >= 0
    assert large.max() <= 1


def test_resize_keeps_a_ramp_where_it_is():
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 16, 32)
    small = images.resize(ramp, 8, 16)
    middles = (ramp[0, 0, 0, ::2] + ramp[0, 0, 0, 1::2]) / 2
    torch.testing.assert_close(small[0, 0, 4, 2:-2], middles[2:-2], atol=1e-3, rtol=0)


# Pictures out


def test_to_image_rounds_clips_and_tags():
    pixels = torch.tensor([-1.0, 0.0, 0.5 / 255 + 1e-4, 2.0]).expand(1, 3, 1, 4)
    image = images.to_image(pixels)
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 255]
    assert b"acsp" in image.info["icc_profile"][:40]
    with_alpha = images.to_image(pixels, torch.full((1, 1, 1, 4), 0.2))
    assert with_alpha.mode == "RGBA"
    assert np.asarray(with_alpha)[0, :, 3].tolist() == [51] * 4


def test_to_image_refuses_other_shapes_and_nan():
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\)"):
        images.to_image(torch.zeros(3, 4, 4))
    with pytest.raises(ShapeError, match=r"\(1, 1, 4, 4\)"):
        images.to_image(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ImageError, match="NaN"):
        images.to_image(torch.full((1, 3, 4, 4), torch.nan))


ENDINGS = ["png", "jpg", "jpeg", "webp", "avif", "tif", "tiff", "bmp", "gif", "PNG"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_written_and_read_back(tmp_path, ending):
    smooth = np.linspace(40, 200, 32 * 24 * 3).reshape(32, 24, 3).astype(np.uint8)
    target = tmp_path / f"picture.{ending}"
    assert images.save_image(Image.fromarray(smooth), target) == target
    assert list(tmp_path.iterdir()) == [target]
    picture = images.load(target)
    assert (picture.height_px, picture.width_px) == (32, 24)
    np.testing.assert_allclose(rgb(picture), smooth / 255, atol=0.06)
    with Image.open(target) as image:
        assert ending in ("bmp", "gif") or b"acsp" in image.info["icc_profile"][:40]


def test_jpeg_keeps_its_colours_sharp():
    image = Image.open(io.BytesIO(images.encode_image(Image.new("RGB", (16, 16)), "jpeg")))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert max(max(table) for table in image.quantization.values()) < 16


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif"])
def test_nothing_private_is_copied(tmp_path, ending):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    source = Image.open(io.BytesIO(file_bytes(Image.new("RGB", (8, 8)), "JPEG", exif=exif)))
    source.load()
    assert source.getexif()
    source.info["comment"] = b"at home"
    target = images.save_image(source, tmp_path / f"out.{ending}")
    with Image.open(target) as image:
        assert ExifTags.Base.Make not in image.getexif()
        assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert b"a camera" not in target.read_bytes()
    assert b"at home" not in target.read_bytes()


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "avif"])
def test_opacity_is_written(ending):
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 51))
    picture = images.load(images.encode_image(image, ending))
    np.testing.assert_allclose(picture.alpha, 0.2, atol=0.01)


@pytest.mark.parametrize("ending", ["jpg", "bmp", "gif"])
def test_opacity_becomes_white_where_there_is_none(ending):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 51))
    picture = images.load(images.encode_image(image, ending))
    assert picture.alpha is None
    np.testing.assert_allclose(rgb(picture), 0.8, atol=0.01)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "avif"])
def test_metadata_comes_back(tmp_path, ending):
    metadata = {"Software": "impasto 1.0", "recipe": '{"name": "Öl\n", "size": 512}'}
    target = images.save_image(
        Image.new("RGB", (8, 8)), tmp_path / f"a.{ending}", metadata=metadata
    )
    assert images.read_metadata(target) == metadata
    assert images.read_metadata(target.read_bytes()) == metadata
    assert images.read_metadata(images.encode_image(Image.new("RGB", (8, 8)), ending)) == {}


def test_metadata_of_others_are_no_recipe():
    exif = Image.Exif()
    for text in ("a walk", "[1, 2]", "7"):
        exif[ExifTags.Base.ImageDescription] = text
        assert images.read_metadata(file_bytes(Image.new("RGB", (8, 8)), "JPEG", exif=exif)) == {}


def test_the_same_picture_gives_the_same_bytes():
    image = Image.fromarray(colours(12))
    assert images.encode_image(image, "png") == images.encode_image(image, "png")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.xyz", "'.xyz'"),
        ("out", "ends in"),
        ("nowhere/out.png", "no folder"),
        ("folder.png", "is a folder"),
        ("pipe.png", "no regular file"),
        ("x" * 300 + ".png", "cannot be written"),
        ("file.txt/out.png", "no folder|cannot be written"),
        ("a\0b.png", "cannot be written"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, name, words):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.txt").touch()
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.iterdir())
    for attempt in (
        images.check_output,
        lambda path: images.save_image(Image.new("RGB", (2, 2)), path),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            attempt(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_check_output_writes_nothing_and_returns_the_path(tmp_path):
    assert images.check_output(str(tmp_path / "out.png")) == tmp_path / "out.png"
    assert not list(tmp_path.iterdir())
    existing = tmp_path / "there.jpg"
    existing.write_bytes(b"earlier")
    images.check_output(existing)
    assert existing.read_bytes() == b"earlier"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(ImageError, match="cannot be written"):
        images.check_output("/proc/out.png")


def test_a_picture_too_large_for_its_format(tmp_path):
    with pytest.raises(ImageError, match=r"16383 .*\.png"):
        images.check_output(tmp_path / "a.webp", longest_px=20_000)
    with pytest.raises(ImageError, match="65500"):
        images.save_image(Image.new("RGB", (66_000, 1)), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, failing):
    target = tmp_path / "out.png"
    target.write_bytes(b"earlier")

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), fail)
    with pytest.raises(ImageError, match="No space left"):
        images.save_image(Image.new("RGB", (4, 4)), target)
    assert target.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link_and_permissions_are_the_users(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "out.png"
    link.symlink_to(tmp_path / "real" / "picture.png")
    images.save_image(Image.new("RGB", (4, 4)), link)
    assert link.is_symlink()
    plain = tmp_path / "plain"
    plain.touch()
    assert link.stat().st_mode == plain.stat().st_mode


# Animations


def test_an_animation_shows_every_frame(tmp_path):
    samples = [colours(seed, 24, 32) // 4 + 60 * (seed % 4) for seed in range(4)]
    frames = (Image.fromarray(frame.astype(np.uint8)) for frame in samples)
    target = images.save_animation(frames, tmp_path / "run.gif", frame_ms=80)
    with Image.open(target) as animation:
        assert animation.n_frames == 4
        assert animation.info["loop"] == 0
        durations = []
        for index, expected in enumerate(samples):
            animation.seek(index)
            durations.append(animation.info["duration"])
            shown = np.asarray(animation.convert("RGB")).astype(float)
            assert np.abs(shown - expected).mean() < 6
    assert durations == [80, 80, 80, 2000]
    assert list(tmp_path.iterdir()) == [target]


def test_frames_grow_to_the_size_of_the_last(tmp_path):
    frames = [Image.new("RGB", (8, 6), "red"), Image.new("RGB", (16, 12), "blue")]
    with Image.open(images.save_animation(frames, tmp_path / "run.gif")) as animation:
        assert (animation.size, animation.n_frames) == ((16, 12), 2)
        np.testing.assert_array_equal(np.asarray(animation.convert("RGB"))[11, 15], [255, 0, 0])


def test_gradients_are_diffused_in_animations(tmp_path):
    ramp = np.zeros((64, 256, 3), np.uint8)
    ramp[..., 0], ramp[..., 2] = np.arange(256), np.arange(64)[:, None] * 4
    target = images.save_animation([Image.fromarray(ramp)], tmp_path / "run.gif")
    shown = rgb(images.load(target))
    blocks = shown.reshape(8, 8, 32, 8, 3).mean(axis=(1, 3))
    expected = (ramp / 255).reshape(8, 8, 32, 8, 3).mean(axis=(1, 3))
    assert np.abs(blocks - expected).mean() < 0.01


def test_an_animation_needs_frames_and_the_right_ending(tmp_path):
    with pytest.raises(ImageError, match="at least one"):
        images.save_animation([], tmp_path / "run.gif")
    with pytest.raises(ImageError, match=r"\.gif"):
        images.save_animation([Image.new("RGB", (2, 2))], tmp_path / "run.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("height", "width", "middle"), [(4, 12, (0, 12)), (8, 4, (4, 8))])
def test_cover_fills_a_size_with_the_middle_in_the_same_aspect(height, width, middle):
    columns = torch.arange(12.0).expand(1, 3, 8, 12) / 12
    covered = images.cover(columns, height, width)
    assert covered.shape == (1, 3, height, width)
    left, right = middle
    assert float(covered.mean()) == pytest.approx((left + right - 1) / 2 / 12, abs=1e-6)


def test_cover_of_the_same_shape_is_a_resize():
    pixels = images.load(colours(height=6, width=9)).pixels
    assert torch.equal(images.cover(pixels, 12, 18), images.resize(pixels, 12, 18))


# Formats that only Pillow reads, or only libvips


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_floats_in_colour_holds_linear_light(order, channels):
    light = np.array([[[0, 0.0031308, 0.214041], [0.5, 1, 0.001]]], np.float32)
    opacity = np.array([[[0.25], [1]]], np.float32)
    samples = np.concatenate([light, opacity], 2)[..., :channels]
    extra = 2 if channels == 4 else None
    picture = images.load(tiff(samples, 2, order, sample_format=3, extra=extra))
    expected = [[0, 0.04045, 0.5], [0.735357, 1, 0.01292]]
    np.testing.assert_allclose(rgb(picture)[0], expected, atol=1e-4)
    if channels == 4:
        np.testing.assert_allclose(picture.alpha.flatten(), [0.25, 1])


def test_tiff_of_floats_that_are_multiplied_by_their_opacity():
    light = np.array([[[0.2, 0.1, 0, 0.2], [0.25, 0, 1, 1]]], np.float32)
    whole = np.array([[[1, 0.5, 0, 0.2], [0.25, 0, 1, 1]]], np.float32)
    multiplied, divided = (
        images.load(tiff(samples, 2, sample_format=3, extra=extra))
        for samples, extra in ((light, 1), (whole, 2))
    )
    np.testing.assert_allclose(rgb(multiplied), rgb(divided), atol=1e-5)
    np.testing.assert_allclose(multiplied.alpha, divided.alpha, atol=1e-6)


def test_tiff_of_floats_up_to_255_holds_levels():
    samples = np.array([[[0, 51, 102], [255, 12.5, 0]]], np.float32)
    picture = images.load(tiff(samples, 2, sample_format=3))
    np.testing.assert_allclose(rgb(picture)[0], samples[0] / 255, atol=1e-6)


def test_tiff_of_32_bit_integers_in_colour():
    samples = np.array([[[0, 858993459, 2**32 - 1]]], np.uint32)
    picture = images.load(tiff(samples, 2))
    np.testing.assert_allclose(rgb(picture)[0, 0], [0, 0.2, 1], atol=1e-6)


def test_tiff_of_floats_with_a_profile():
    levels = colours(21, 6, 5)
    profile = display_p3()
    expected = images.load(png(levels, 2, profile=profile))
    image = pyvips.Image.new_from_array(levels.astype(np.float32) / 255)
    image = image.copy(interpretation="rgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    picture = images.load(image.tiffsave_buffer())
    np.testing.assert_allclose(rgb(picture), rgb(expected), atol=0.004)


def test_tiff_with_a_header_of_its_own_is_read_and_turned(tmp_path):
    samples = np.random.default_rng(3).random((5, 7, 3), np.float32)
    path = tmp_path / "turned.tif"
    path.write_bytes(tiff(samples, 2, sample_format=3, orientation=6))
    picture = images.load(path)
    assert (picture.width_px, picture.height_px) == (5, 7)
    assert images.read_size(path) == (7, 5)
    assert images.read_metadata(path) == {}


@pytest.mark.parametrize("maxval", [1, 3, 255, 1000, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_netpbm_of_any_white(maxval, kind):
    channels = 3 if kind in (3, 6) else 1
    samples = np.random.default_rng(4).integers(0, maxval + 1, (3, 4, channels))
    # However dark: what is white stands in the header.
    samples[samples > 200] //= 5
    head = f"P{kind}\n# a comment\n4 3\n{maxval}\n".encode()
    if kind < 4:
        body = " ".join(map(str, samples.flatten())).encode()
    else:
        body = samples.astype(">u2" if maxval > 255 else "u1").tobytes()
    picture = images.load(head + body)
    expected = np.broadcast_to(samples / maxval, (3, 4, 3))
    np.testing.assert_allclose(rgb(picture), expected, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_tga(compression, mode):
    samples = colours(22, 12, 16, channels=4 if mode == "RGBA" else 3)
    image = Image.fromarray(samples).convert(mode)
    picture = images.load(file_bytes(image, "TGA", compression=compression))
    expected = np.asarray(image.convert("RGB")) / np.float32(255)
    np.testing.assert_allclose(rgb(picture), expected, atol=1e-6)
    assert (picture.alpha is not None) == (mode == "RGBA")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("no_jp2", [False, True])
def test_jpeg_2000(mode, no_jp2):
    image = Image.fromarray(colours(23, 40, 48, channels=4)).convert(mode)
    picture = images.load(file_bytes(image, "JPEG2000", no_jp2=no_jp2))
    expected = np.asarray(image.convert("RGB")) / np.float32(255)
    np.testing.assert_allclose(rgb(picture), expected, atol=1e-6)


def heic(image, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, **options)
    return stream.getvalue()


def test_heic(tmp_path):
    coarse = Image.fromarray(colours(24, 4, 5, channels=4))
    image = coarse.resize((80, 64), Image.Resampling.BICUBIC)
    path = tmp_path / "phone.heic"
    path.write_bytes(heic(image, quality=95))
    picture = images.load(path)
    expected = np.asarray(image.convert("RGB")) / np.float32(255)
    assert np.abs(rgb(picture) - expected).mean() < 0.05
    assert picture.alpha is not None
    assert images.read_size(path) == (80, 64)


def test_heic_without_its_package(monkeypatch):
    data = heic(Image.fromarray(colours(25, 64, 64)))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        ImageError, match=r"a HEIC picture: expected the package pillow-heif"
    ) as told:
        images.load(data)
    assert "pip install '.[heic]' in impasto's own folder" in str(told.value)


def test_reading_heic_leaves_pillow_as_it_was():
    before = list(Image.OPEN)
    images.load(heic(Image.fromarray(colours(25, 64, 64))))
    assert list(Image.OPEN) == before


@pytest.mark.parametrize("name", ["floats.tif", "rgb.ppm", "rgb.tga", "rgb.jp2", "rgb.heic"])
def test_half_a_file_of_these_kinds(name):
    image = Image.fromarray(colours(26, 64, 64))
    whole = {
        "floats.tif": lambda: tiff(np.ones((64, 64, 3), np.float32), 2, sample_format=3),
        "rgb.ppm": lambda: file_bytes(image, "PPM"),
        "rgb.tga": lambda: file_bytes(image, "TGA"),
        "rgb.jp2": lambda: file_bytes(image, "JPEG2000"),
        "rgb.heic": lambda: heic(image),
    }[name]()
    with pytest.raises(ImageError, match=r"damaged|cut short") as told:
        images.load(whole[: len(whole) // 2])
    assert "\n" not in str(told.value)


def test_a_file_without_signature_is_not_taken_for_tga():
    icon = b"\0\0\1\0\1\0\x20\x20\0\0\1\0\x20\0" + bytes(4000)
    for data in (icon, bytes(4000), bytes(range(256)) * 4):
        with pytest.raises(ImageError, match="cannot be read as a picture"):
            images.load(data)


@pytest.mark.parametrize("name", ["bomb.ppm", "bomb.tga", "bomb.jp2"])
def test_bombs_of_these_kinds(name):
    image = Image.fromarray(colours(27, 8, 8))
    data = {
        "bomb.ppm": b"P6 60000 60000 255\n" + bytes(100),
        "bomb.tga": file_bytes(image, "TGA").replace(b"\x08\0\x08\0", b"\xff\xff\xff\xff", 1),
        "bomb.jp2": file_bytes(image, "JPEG2000", no_jp2=True).replace(
            struct.pack(">II", 8, 8), struct.pack(">II", 60000, 60000), 1
        ),
    }[name]
    with pytest.raises(ImageError, match=r"at most 300 megapixels|damaged"):
        images.load(data)
