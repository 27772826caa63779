"""Pictures and animations written to files."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.images.written_files import colours, file_bytes, rgb

from impasto import images
from impasto.errors import ImageError

# Pictures out


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


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_shows_every_frame(tmp_path, ending):
    samples = [colours(seed, 24, 32) // 4 + 60 * (seed % 4) for seed in range(4)]
    frames = (Image.fromarray(frame.astype(np.uint8)) for frame in samples)
    target = images.save_animation(frames, tmp_path / f"run.{ending}", frame_ms=80)
    with Image.open(target) as animation:
        assert animation.n_frames == 4
        assert animation.info["loop"] == 0
        durations = []
        for index, expected in enumerate(samples):
            animation.seek(index)
            animation.load()
            durations.append(animation.info["duration"])
            shown = np.asarray(animation.convert("RGB")).astype(float)
            # WebP halves the resolution of colours, and these are noise.
            assert np.abs(shown - expected).mean() < {"gif": 6, "webp": 14}[ending]
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
