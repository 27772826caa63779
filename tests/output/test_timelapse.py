"""A run as an animation: few frames however long it lasts, all of one size, the result last."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError
from impasto.job.result import Step
from impasto.output.timelapse import Timelapse


def step(number, size=(40, 30)):
    """A step whose picture is a grey that says its number."""
    grey = (number % 200 + 20,) * 3
    return Step(
        scale=0, scales=1, scale_steps=1000, step=number, steps=1000, size_px=size,
        losses={"total": 1.0}, time_s=1.0, progress=0.5, notes=(),
        image=lambda: Image.new("RGB", size, grey), result=None, read_pixels=None,
    )  # fmt: skip


def greys(path):
    """The middle pixel of every frame."""
    with Image.open(path) as animation:
        greys_of_frames = []
        for index in range(animation.n_frames):
            animation.seek(index)
            middle = animation.width // 2, animation.height // 2
            greys_of_frames.append(animation.convert("RGB").getpixel(middle)[0])
        return greys_of_frames


def test_a_short_run_keeps_every_step(tmp_path):
    timelapse = Timelapse()
    for number in range(1, 11):
        timelapse.add(step(number))
    timelapse.save(tmp_path / "run.gif", Image.new("RGB", (40, 30), "white"))
    assert greys(tmp_path / "run.gif") == [*range(21, 31), 255]


@pytest.mark.parametrize(("steps", "every"), [(60, 1), (61, 2), (120, 2), (121, 4), (190, 4)])
def test_a_long_run_keeps_few_at_even_distances(tmp_path, steps, every):
    timelapse = Timelapse()
    for number in range(1, steps + 1):
        timelapse.add(step(number))
    timelapse.save(tmp_path / "run.gif", Image.new("RGB", (40, 30), "white"))
    frames = greys(tmp_path / "run.gif")
    assert frames == [*range(21, steps + 21, every), 255]
    assert len(frames) <= 61


def test_pictures_that_are_not_kept_are_not_made():
    timelapse = Timelapse()
    made = []
    for number in range(1, 1001):
        one = step(number)
        object.__setattr__(one, "image", lambda one=one: made.append(one) or Image.new("L", (8, 8)))
        timelapse.add(one)
    assert len(made) < 250


def test_every_frame_has_the_size_of_the_last_and_a_big_one_is_shown_smaller(tmp_path):
    timelapse = Timelapse()
    timelapse.add(step(1, size=(128, 64)))
    timelapse.add(step(2, size=(256, 128)))
    timelapse.save(tmp_path / "run.gif", Image.new("RGB", (2048, 1024), "white"))
    with Image.open(tmp_path / "run.gif") as animation:
        assert (animation.size, animation.n_frames) == ((512, 256), 3)
    assert greys(tmp_path / "run.gif") == [21, 22, 255]


def test_a_run_without_steps_is_its_result_alone(tmp_path):
    Timelapse().save(tmp_path / "run.gif", Image.new("RGB", (40, 30), "white"))
    assert greys(tmp_path / "run.gif") == [255]


def test_the_result_is_left_as_it_is(tmp_path):
    result = Image.fromarray(np.zeros((700, 900, 3), np.uint8))
    Timelapse().save(tmp_path / "run.gif", result)
    assert result.size == (900, 700)


def test_another_ending_is_refused():
    with pytest.raises(ImageError, match=r"expected a path that ends in \.gif"):
        Timelapse().save(Path("run.webm"), Image.new("RGB", (4, 4)))
