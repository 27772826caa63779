"""Where memory runs out in the middle, the painting goes on in a narrower way, and says so."""

from dataclasses import replace

import pytest
import torch

from impasto.engine import checkpoint
from impasto.engine.painting import iterate
from impasto.engine.scale_setup import ScaleSetup
from impasto.errors import OutOfMemoryError
from impasto.losses.objective import Objective

ERRORS = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
          RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")]  # fmt: skip


@pytest.fixture
def run_out(monkeypatch):
    """``run_out(room, name, *calls)``: memory runs out at some calls, counted from 1."""

    def spoil(room, name, *calls, error=ERRORS[0]):
        whole, count = getattr(room, name), 0

        def spoilt(*arguments, **options):
            nonlocal count
            count += 1
            if count in calls:
                raise error
            return whole(*arguments, **options)

        monkeypatch.setattr(room, name, spoilt)

    return spoil


@pytest.mark.parametrize("error", ERRORS)
def test_it_goes_on_from_the_last_step_and_says_so(job_of, run_out, error, paint):
    run_out(Objective, "evaluate", 5, error=error)
    steps, result = paint(job_of())
    assert [step.step for step in steps] == list(range(1, 13))
    (note,) = steps[4].notes
    assert note.startswith("memory ran out after 4 steps: the painting goes on")
    assert note in result.notes
    (budget,) = result.recipe.decisions.budgets
    assert budget.after == 4
    assert not any(step.notes for step in steps[5:])


def test_obeying_what_was_decided_paints_the_same_without_running_out(job_of, run_out, paint):
    run_out(Objective, "evaluate", 5)
    _, result = paint(job_of())
    assert len(result.recipe.decisions.budgets) == 1
    # Long past the call that ran out.
    _, again = paint(replace(job_of(), decisions=result.recipe.decisions))
    assert again.pixels.equal(result.pixels)
    assert again.recipe == result.recipe


def test_a_checkpoint_from_after_it_goes_on_as_narrow(job_of, run_out, tmp_path, paint):
    run_out(Objective, "evaluate", 3)
    job = job_of(history=8)
    painting = iterate(job)
    for _ in range(6):
        next(painting)
    checkpoint.write(painting.checkpoint(), tmp_path / "kept")
    *_, last = painting
    steps, again = paint(job, resume=checkpoint.read(tmp_path / "kept"))
    assert not steps[0].notes
    assert again.pixels.equal(last.result().pixels)
    assert again.recipe.decisions.budgets[0].after == 2


def test_targets_that_do_not_fit_are_made_in_a_narrower_way(job_of, run_out, paint):
    run_out(ScaleSetup, "targets", 1)
    steps, result = paint(job_of())
    assert len(steps) == 12
    assert result.recipe.decisions.budgets[0].after == 0


def test_where_nothing_narrower_is_left_it_ends(job_of, run_out):
    run_out(Objective, "evaluate", *range(5, 100))
    painting = iterate(job_of())
    for _ in range(4):
        step = next(painting)
    with pytest.raises(OutOfMemoryError, match="of 40 x 48 pixels to fit in memory"):
        next(painting)
    assert step.result().pixels.isfinite().all()
    assert painting.checkpoint().state.steps == 4


def test_another_fault_is_no_want_of_memory(job_of, run_out, paint):
    run_out(Objective, "evaluate", 5, error=RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot"):
        paint(job_of())
