"""Pictures as bytes: 16 bits a sample, and a print size in each format's own fields."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import ExifTags, Image

from impasto import images
from impasto.config.settings import Settings
from impasto.errors import ImageError, SettingsError
from impasto.job.history import LossHistory
from impasto.job.result import Result

# Adobe RGB (1998) as Debian's package of colour profiles has it.
ADOBE_PROFILE = Path("/usr/share/color/icc/ghostscript/a98.icc")


def result(pixels, alpha=None):
    metadata = {"Software": "impasto", "note": "Öl\n"}
    return Result(pixels, LossHistory(), Settings(), "style", 1.0, metadata=metadata, alpha=alpha)


def random_pixels(channels=3, height=23, width=17):
    generator = torch.Generator().manual_seed(channels)
    return torch.rand(1, channels, height, width, generator=generator)


@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_16_bits_are_rounded_from_the_floats(tmp_path, ending, has_alpha):
    pixels = random_pixels()
    alpha = random_pixels(1) if has_alpha else None
    path = result(pixels, alpha).save(tmp_path / f"out.{ending}", bits=16)
    picture = images.load(path)
    half_a_level = 0.5 / 65535 + 1e-7
    assert (picture.pixels - pixels).abs().max() <= half_a_level
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None:
        assert (picture.alpha - alpha).abs().max() <= half_a_level
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_other_readers_find_16_bits_in_srgb(tmp_path, ending):
    pixels = random_pixels()
    path = result(pixels).save(tmp_path / f"out.{ending}", bits=16)
    read = pyvips.Image.new_from_file(str(path), fail_on="warning")
    assert (read.format, read.bands, read.interpretation) == ("ushort", 3, "rgb16")
    expected = (pixels[0].permute(1, 2, 0) * 65535).round().numpy()
    np.testing.assert_array_equal(read.numpy(), expected)
    with Image.open(path) as image:
        image.load()
        assert b"acsp" in image.info["icc_profile"][:40]
        # What programs read as no print size.
        assert image.info["dpi"] == pytest.approx((72, 72), abs=0.02)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_texts_and_print_size_stand_beside_16_bits(tmp_path, ending):
    made = result(random_pixels())
    path = made.save(tmp_path / f"out.{ending}", bits=16, dpi=86.5)
    note = "\\xd6l\n" if ending == "png" else "Öl\n"
    assert images.read_metadata(path) == made.metadata | {"note": note}
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((86.5, 86.5), abs=0.02)


def test_the_same_16_bits_give_the_same_bytes(tmp_path):
    made = result(random_pixels())
    one, other = (made.save(tmp_path / name, bits=16) for name in ("a.png", "b.png"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("ending", ["jpg", "webp", "avif", "bmp", "gif"])
def test_formats_of_8_bits_refuse_16(tmp_path, ending):
    attempts = (
        lambda path: images.check_output(path, bits=16),
        lambda path: result(random_pixels()).save(path, bits=16),
    )
    for attempt in attempts:
        with pytest.raises(ImageError, match=r"expected 8 bits .* got 16; choose \.png") as caught:
            attempt(tmp_path / f"out.{ending}")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bits", [1, 12, 32, "16"])
def test_other_bits_are_refused(tmp_path, bits):
    with pytest.raises(SettingsError, match="expected 8 or 16"):
        result(random_pixels()).save(tmp_path / "out.png", bits=bits)


def test_8_bits_are_rounded_from_the_same_floats():
    pixels = random_pixels()
    expected = (pixels[0].permute(1, 2, 0) * 255).round().numpy()
    np.testing.assert_array_equal(np.asarray(result(pixels).image), expected)


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0.02), ("jpg", 0.5), ("tif", 1e-3),
                                                   ("bmp", 0.02)])  # fmt: skip
def test_the_print_size_stands_in_the_formats_own_fields(tmp_path, ending, tolerance):
    path = result(random_pixels()).save(tmp_path / f"out.{ending}", dpi=86.7)
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((86.7, 86.7), abs=tolerance)


@pytest.mark.parametrize("ending", ["jpg", "tif", "webp", "avif"])
def test_the_print_size_stands_in_exif(tmp_path, ending):
    path = result(random_pixels()).save(tmp_path / f"out.{ending}", dpi=86.7)
    with Image.open(path) as image:
        exif = image.getexif()
    assert float(exif[ExifTags.Base.XResolution]) == pytest.approx(86.7, abs=1e-3)
    assert float(exif[ExifTags.Base.YResolution]) == pytest.approx(86.7, abs=1e-3)
    assert exif[ExifTags.Base.ResolutionUnit] == 2


def test_a_gif_cannot_hold_a_print_size(tmp_path):
    with pytest.raises(ImageError, match="no print size in GIF"):
        images.check_output(tmp_path / "out.gif", dpi=300)


@pytest.mark.parametrize("dpi", [0, -1, 65536, float("nan")])
def test_a_print_size_out_of_bounds_is_refused(tmp_path, dpi):
    with pytest.raises(ImageError, match="at most 65535 dpi"):
        result(random_pixels()).save(tmp_path / "out.jpg", dpi=dpi)


@pytest.fixture(params=["display p3", "adobe rgb"])
def profile(request):
    """A profile as programs embed it: libvips's own, and one of the system's."""
    if request.param == "display p3":
        return pyvips.Operation.call("profile_load", "p3")
    if not ADOBE_PROFILE.exists():
        pytest.skip("there is no Adobe RGB profile on this system")
    return ADOBE_PROFILE.read_bytes()


@pytest.mark.parametrize("has_alpha", [False, True])
def test_pictures_with_real_profiles_of_a_wide_gamut_show_the_same_colours(
    tmp_path, profile, has_alpha
):
    """sRGB colours written in the wide space come back as they were."""
    muted = 0.25 + 0.5 * random_pixels()
    flat = (muted[0].permute(1, 2, 0) * 65535).round().numpy().astype(np.uint16)
    (tmp_path / "wide.icc").write_bytes(profile)
    srgb = pyvips.Image.new_from_array(flat).copy(interpretation="rgb16")
    wide = srgb.icc_import(input_profile="srgb", pcs="xyz").icc_export(
        output_profile=str(tmp_path / "wide.icc"), depth=16
    )
    if has_alpha:
        wide = wide.bandjoin(32768)
    assert np.abs(wide.numpy()[..., :3].astype(float) - flat).max() > 65535 * 0.02
    wide.write_to_file(str(tmp_path / "wide.png"))
    picture = images.load(tmp_path / "wide.png")
    assert (picture.pixels - muted).abs().max() < 0.004
    assert (picture.alpha is not None) == has_alpha
