"""The frames of a time-lapse are about evenly spaced, bounded, and found again."""

import numpy as np
import pytest

from impasto.studio.frames import Frames


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("restarts", [False, True])
def test_frames_are_evenly_spaced_and_at_most_sixty(tmp_path, every, restarts):
    frames = Frames(tmp_path)
    for step in range(1, 900, every):
        if restarts and step % 7 == 0:
            frames = Frames(tmp_path)
        frames.add(step, b"a picture")
    steps = frames.steps()
    gaps = np.diff(steps)
    assert steps[0] == 1
    assert steps[-1] > 900 - 2 * gaps.max()
    assert 30 <= len(steps) <= 60
    assert gaps.max() <= 2 * gaps.min()
    assert frames.path(steps[3]).read_bytes() == b"a picture"


def test_a_painting_that_goes_on_from_an_earlier_step_repeats_no_frame(tmp_path):
    for step in [*range(1, 41), *range(30, 45)]:
        Frames(tmp_path).add(step, b"a picture")
    assert Frames(tmp_path).steps() == list(range(1, 45))


def test_a_work_without_frames_has_none(tmp_path):
    assert Frames(tmp_path).steps() == []
