"""What a painting says of itself: a note where nothing has moved."""

import pytest

from impasto.config.settings import make_settings
from impasto.engine.reporting import Reporter
from impasto.errors import SettingsError


def notes_of(steps, result):
    return [note for step in steps for note in step.notes], result.notes


@pytest.mark.parametrize("name", ["alpha", "beta", "total_variation"])
def test_a_weight_that_cannot_work_is_refused_and_the_largest_works(name, job_of, paint):
    with pytest.raises(SettingsError, match=f"{name}: expected a number less than or equal to"):
        make_settings(**{name: 1e20})
    steps, result = paint(job_of(**{name: 1e12}))
    # Of each size by itself: losses of two sizes are not comparable.
    for scale in (0, 1):
        first, *_, last = [step.losses["total"] for step in steps if step.scale == scale]
        assert last < first
    assert notes_of(steps, result) == ([], ())


def test_a_painting_that_has_not_moved_says_so(job_of, paint, monkeypatch):
    # Without a gradient every step looks at the image that the last one looked at.
    monkeypatch.setattr("impasto.optim.lbfgs.Lbfgs.step", lambda self, image, gradient: image)
    steps, result = paint(job_of())
    shown, kept = notes_of(steps, result)
    assert len(shown) == len(kept) == 1
    assert "no step has lowered the loss" in shown[0]
    assert "no step" in steps[-1].notes[0]


def test_of_a_lone_step_at_each_size_nothing_is_said(job_of, paint):
    steps, result = paint(job_of(iterations=2))
    assert [step.scale for step in steps] == [0, 1]
    assert notes_of(steps, result) == ([], ())
    assert Reporter(recipe=None)._has_moved()
