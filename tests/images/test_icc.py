"""Colour profiles are converted to sRGB: known colours, computed without profiles."""

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms
from tests.images.written_files import (
    ADOBE_TO_XYZ_D50,
    P3_TO_XYZ_D50,
    adobe_rgb,
    colours,
    convert,
    decode_srgb,
    display_p3,
    encode_srgb,
    file_bytes,
    grey_profile,
    ink_profile,
    matrix_profile,
    png,
    rgb,
)

from impasto import images

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


def flat(colour, profile, kind):
    """A file of one colour, in the colour space of ``profile``."""
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
@pytest.mark.parametrize(("index", "make_profile"), [(1, display_p3), (2, adobe_rgb)])
@pytest.mark.parametrize("kind", ["png16", "tiff16", "png", "tiff", "webp", "jpeg", "avif"])
def test_known_colours_of_wide_gamuts(colour, index, make_profile, kind):
    spaces = KNOWN_COLOURS[colour]
    loaded = rgb(images.load(flat(spaces[index], make_profile(), kind)))
    # In linear light: the rounding of a strong primary spills over into the weak ones.
    tolerance = {"png16": 0.0015, "tiff16": 0.0015, "jpeg": 0.02, "avif": 0.02}.get(kind, 0.006)
    expected = decode_srgb(np.broadcast_to(spaces[0], (16, 16, 3)))
    np.testing.assert_allclose(decode_srgb(loaded), expected, atol=tolerance)


@pytest.mark.parametrize("make_profile", [display_p3, adobe_rgb])
def test_colours_outside_srgb_are_clipped(make_profile):
    loaded = rgb(images.load(flat((0, 1, 0), make_profile(), "png16")))
    np.testing.assert_allclose(loaded[0, 0], [0, 1, 0], atol=0.002)


@pytest.mark.parametrize("make_profile", [display_p3, adobe_rgb])
@pytest.mark.parametrize("kind", ["png16", "tiff16"])
def test_a_conversion_of_16_bits_keeps_them(make_profile, kind):
    """A ramp of 8192 greys, which 8 bits at any stage would reduce to 256."""
    ramp = np.repeat(np.arange(0, 65536, 8, dtype=np.uint16).reshape(64, 128, 1), 3, axis=2)
    if kind == "png16":
        data = png(ramp, 2, profile=make_profile())
    else:
        image = pyvips.Image.new_from_array(ramp).copy(interpretation="rgb16")
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", make_profile())
        data = image.tiffsave_buffer()
    loaded = rgb(images.load(data))[..., 1].reshape(-1)
    assert len(np.unique(loaded)) > 7500
    assert (np.diff(loaded) >= -1e-4).all()


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
