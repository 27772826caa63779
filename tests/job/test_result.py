"""A Result knows where it was saved, and survives an interrupt."""

import pytest

from impasto import api, images
from impasto.errors import ImageError


@pytest.fixture
def result(job_of, paint):
    return paint(job_of(iterations=2))[1]


def test_it_knows_where_it_was_saved(result, tmp_path):
    assert result.path is None
    for name in ("one.png", "two.jpg"):
        assert result.save(tmp_path / name) == result.path == tmp_path / name
    assert images.load(result.path).width_px == result.image.width


def test_a_path_that_cannot_be_written_is_not_remembered(result, tmp_path):
    with pytest.raises(ImageError):
        result.save(tmp_path / "absent" / "one.png")
    assert result.path is None


def test_a_home_folder_is_found(result, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert result.save("~/one.png") == tmp_path / "one.png"


@pytest.mark.parametrize("after", [1, 5])
def test_an_interrupt_brings_the_picture_so_far(job_of, after):
    def stop(step):
        if step.step == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        api.paint(job_of(), stop)
    kept = stopped.value.result
    assert len(kept.history) == after
    assert kept.pixels.shape[-2:] == (48, 40)
    assert kept.recipe.decisions.stopped_after == after
    if hasattr(stopped.value, "__notes__"):
        assert "stopped.result.save('picture.png')" in stopped.value.__notes__[0]


def test_an_interrupt_before_the_first_step_brings_none(job_of, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    job = job_of()
    monkeypatch.setattr("impasto.models.load", stop)
    with pytest.raises(KeyboardInterrupt) as stopped:
        api.paint(job)
    assert stopped.value.result is None


def test_other_exceptions_are_left_as_they_are(job_of):
    def fail(step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        api.paint(job_of(), fail)
    assert not hasattr(failed.value, "result")
