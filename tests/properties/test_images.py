"""What holds for every size and every picture."""

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from impasto import images
from impasto.errors import ImageError

sides = st.integers(1, 30_000)
small = st.integers(1, 12)
pictures = st.tuples(small, small, st.sampled_from((1, 3, 4))).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


@given(sides, sides, st.integers(1, 65536))
def test_fit_keeps_the_longest_side_and_the_aspect(height, width, longest):
    fitted = images.fit(height, width, longest)
    assert max(fitted) == longest
    assert min(fitted) >= 1
    for side, new in zip((height, width), fitted, strict=True):
        exact = side * longest / max(height, width)
        assert abs(new - exact) <= 0.5 + 1e-9 or (new == 1 and exact < 1)


@given(sides, sides)
def test_fit_to_the_own_size_changes_nothing(height, width):
    assert images.fit(height, width, max(height, width)) == (height, width)


@settings(deadline=None, max_examples=50)
@given(pictures)
def test_to_image_undoes_load(samples):
    picture = images.load(samples)
    image = images.to_image(picture.pixels, picture.alpha)
    colours = np.broadcast_to(samples[..., :3], (*samples.shape[:2], 3))
    np.testing.assert_array_equal(np.asarray(image)[..., :3], colours)
    if samples.shape[2] == 4 and samples[..., 3].min() < 255:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], samples[..., 3])
    else:
        assert image.mode == "RGB"


@settings(deadline=None, max_examples=50)
@given(pictures, st.sampled_from(("png", "tiff")))
def test_lossless_files_come_back_exactly(samples, ending):
    picture = images.load(samples)
    data = images.encode_image(images.to_image(picture.pixels, picture.alpha), ending)
    again = images.load(data)
    assert again.pixels.equal(picture.pixels)
    assert (again.alpha is None) == (picture.alpha is None)
    if again.alpha is not None:
        assert again.alpha.equal(picture.alpha)


@settings(deadline=None, max_examples=30)
@given(pictures, st.integers(1, 40), st.integers(1, 40))
def test_resize_gives_the_size_asked_for_in_range(samples, height, width):
    resized = images.resize(images.load(samples).pixels, height, width)
    assert resized.shape == (1, 3, height, width)
    assert resized.min() >= 0
    assert resized.max() <= 1


def damaged_files():
    image = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    files = []
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        stream = io.BytesIO()
        image.save(stream, name)
        files.append(stream.getvalue())
    return st.sampled_from(files)


@settings(deadline=None, max_examples=150)
@given(damaged_files(), st.lists(st.tuples(st.integers(0), st.binary(max_size=6)), max_size=4))
def test_damage_ends_in_a_picture_or_in_one_line(data, changes):
    for place, patch in changes:
        start = place % len(data)
        data = data[:start] + patch + data[start + len(patch) :]
    try:
        picture = images.load(data)
    except ImageError as error:
        picture, message = None, str(error)
    if picture is None:
        assert "\n" not in message
        return
    assert picture.pixels.min() >= 0
    assert picture.pixels.max() <= 1
