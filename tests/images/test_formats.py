"""Formats that only Pillow reads, or only libvips: PPM, TGA, JPEG 2000, HEIC, TIFF of floats."""

import io
import struct
import sys

import numpy as np
import pytest
import pyvips
from PIL import Image
from tests.images.written_files import colours, display_p3, file_bytes, png, rgb, tiff

from impasto import images
from impasto.errors import ImageError


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
    ) as caught:
        images.load(data)
    assert "pip install '.[heic]' in impasto's own folder" in str(caught.value)


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
    with pytest.raises(ImageError, match=r"damaged|cut short") as caught:
        images.load(whole[: len(whole) // 2])
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "channels", "sample_format", "extra", "words"),
    [
        (np.float64, 3, 3, None, "3 x 64 bits a pixel, floats"),
        (np.float64, 1, 3, None, "1 x 64 bits a pixel, floats"),
        (np.float64, 4, 3, 1, "4 x 64 bits a pixel, floats, multiplied by opacity"),
        (np.uint32, 4, 1, 1, "4 x 32 bits a pixel, integers, multiplied by opacity"),
        (np.int32, 3, 2, None, "3 x 32 bits a pixel, signed integers"),
        (np.complex64, 3, 6, None, "3 x 64 bits a pixel, complex floats"),
    ],
)
def test_tiff_of_other_samples_is_refused_by_name(
    order, dtype, channels, sample_format, extra, words
):
    photometric = 1 if channels == 1 else 2
    samples = np.ones((3, 4, channels), dtype)
    data = tiff(samples, photometric, order, sample_format=sample_format, extra=extra)
    with pytest.raises(ImageError) as refusal:
        images.load(data)
    message = str(refusal.value)
    assert f"a TIFF of a kind that is not read ({words}): expected" in message
    assert message.isprintable()


@pytest.mark.parametrize("scale", [1, -1])
def test_pfm_in_grey_is_read_and_in_colour_refused_by_name(scale):
    order = "<" if scale < 0 else ">"
    rows = np.array([[0, 0.25], [0.5, 1]], f"{order}f4")
    grey = f"Pf\n2 2\n{scale}.0\n".encode() + rows[::-1].tobytes()  # from the bottom up
    np.testing.assert_allclose(rgb(images.load(grey))[..., 0], rows, atol=1e-6)
    for space in ("\n", " ", "\r\n"):
        colour = f"PF{space}2 2\n{scale}.0\n".encode() + np.repeat(rows, 3).tobytes()
        with pytest.raises(ImageError, match="is a PFM picture in colour: expected AVIF"):
            images.load(colour)
