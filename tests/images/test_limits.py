"""What a picture may demand, from its header and its markers alone."""

import io

import numpy as np
import pytest
from PIL import Image

from impasto import images
from impasto.compute import host
from impasto.errors import ImageError
from impasto.images import limits

GIB = 2**30


def jpeg(**options):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (0, 9, "no pixels"),
        (9, 0, "no pixels"),
        (20_000, 20_000, "at most 300 megapixels, got 20000 x 20000 pixels"),
        (12_000, 10_000, "at most the 3.0 GiB that are free, .* which take 3.1 GiB"),
    ],
)
def test_pictures_that_cannot_be(width, height, words, monkeypatch):
    monkeypatch.setattr(host, "free_bytes", lambda: 3 * GIB)
    with pytest.raises(ImageError, match=words):
        limits.check_pixels(width, height, "'it'")


def test_what_fits_or_is_small_is_let_through(monkeypatch):
    for free in (4 * GIB, None):
        monkeypatch.setattr(host, "free_bytes", lambda free=free: free)
        limits.check_pixels(12_000, 10_000, "'it'")
    monkeypatch.setattr(host, "free_bytes", lambda: 0)
    limits.check_pixels(3000, 3000, "'it'")


def test_a_picture_is_refused_from_its_header_where_memory_is_short(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (4000, 3000)).save(path)
    monkeypatch.setattr(host, "free_bytes", lambda: GIB // 4)
    with pytest.raises(ImageError, match=r"large\.png' does not fit in memory"):
        images.load(path)
    monkeypatch.setattr(host, "free_bytes", lambda: GIB)
    assert images.load(path).width_px == 4000


def test_scans_are_counted():
    plain, progressive = jpeg(), jpeg(progressive=True)
    assert limits.count_scans(plain) == 1
    assert limits.count_scans(progressive) == 10
    assert limits.count_scans(jpeg(restart_marker_blocks=1)) == 1
    # Neither a thumbnail in front nor what a camera puts behind counts.
    assert limits.count_scans(jpeg(exif=b"Exif\0\0" + progressive)) == 1
    assert limits.count_scans(plain + progressive * 100) == 1
    for length in range(len(progressive)):
        assert limits.count_scans(progressive[:length]) <= 10
    assert limits.count_scans(b"") == 0


def test_the_largest_picture_may_have_the_scans_that_programs_write():
    limits.check_scans(jpeg(progressive=True), limits.MAX_PIXELS, "'it'")
    with pytest.raises(ImageError, match="10 scans: expected at most 5 in a JPEG of its size"):
        limits.check_scans(jpeg(progressive=True), 2 * 10**9, "'it'")
