"""The descent and the guards around it: the best so far, rescues, and a state that is put back."""

import copy
import math
import re

import pytest
import torch
from tests.optim.problems import (
    START,
    at_calls,
    broken_at,
    descend,
    options,
    problem,
    quadratic,
    rosenbrock,
    run,
)

from impasto import signals
from impasto.errors import Diverged
from impasto.losses.objective import Evaluation
from impasto.optim import lbfgs as lbfgs_module
from impasto.optim import minimizer as descents
from impasto.optim.lbfgs import Lbfgs
from impasto.optim.minimizer import Minimizer, State


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("function", [rosenbrock, lambda x: x.sin().sum() + 50])
def test_the_best_so_far_never_gets_worse(optimiser, function):
    evaluate = problem(function)
    iterates = run(evaluate, START, 60, options(optimiser, learning_rate=0.3))
    totals = [iterate.losses["total"] for iterate in iterates]
    assert totals == sorted(totals, reverse=True)
    for iterate in iterates[::10]:
        assert evaluate(iterate.image).total.item() == iterate.losses["total"]


def test_each_iteration_evaluates_once_and_yields_once():
    calls = []
    evaluate, _ = quadratic(10, lowest=1.0)
    iterates = run(lambda image: calls.append(1) or evaluate(image), START, 7, options())
    assert len(iterates) == len(calls) == 7
    assert iterates[0].image is START


def test_no_iterations_evaluate_nothing():
    assert run(None, START, 0, options()) == []


@pytest.mark.parametrize("history_dtype", [None, torch.float16])
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_what_is_taken_out_and_put_back_goes_on_to_the_same_bits(optimiser, history_dtype):
    evaluate, _ = quadratic(10, lowest=1.0)
    broken = broken_at(evaluate, 4)
    settings = options(optimiser, history=3)
    descent = Minimizer(State(START), settings, history_dtype)
    for _ in range(12):
        state = copy.deepcopy(descent.state)
        point = descent.step(broken)
        again = Minimizer(state, settings, history_dtype)
        other = again.step(evaluate if point.steps != 4 else broken_at(evaluate, 1))
        assert other.losses == point.losses
        assert again.state.image.equal(descent.state.image)
        assert again.state.optimiser_state.keys() == descent.state.optimiser_state.keys()
        for name, tensor in descent.state.optimiser_state.items():
            assert again.state.optimiser_state[name].equal(tensor)


def test_what_interrupts_a_move_waits_until_it_is_made(monkeypatch):
    evaluate, _ = quadratic(10)
    descent = Minimizer(State(START), options())
    descent.step(evaluate)
    keep = Lbfgs._compressed

    def interrupted(*arguments):
        signals.interrupt(KeyboardInterrupt())
        return keep(*arguments)

    monkeypatch.setattr(Lbfgs, "_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        descent.step(evaluate)
    assert descent.is_whole
    assert descent.state.steps == 2


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
def test_a_step_gone_wrong_goes_back_to_the_best_and_on(value, optimiser):
    evaluate, _ = quadratic(10, lowest=1.0)
    seen = []

    def watched(image):
        seen.append(image)
        return evaluate(image)

    settings = options(optimiser)
    broken = broken_at(watched, 9, 10, value=value)
    iterates = run(broken, START, 200, settings)
    assert len(iterates) == 200
    before, after = iterates[7].losses["total"], iterates[8].losses["total"]
    assert after == before
    # It looks at the best image anew; from there a small step, shorter by each mishap.
    assert seen[9].equal(iterates[8].image)
    assert seen[10].equal(iterates[9].image)
    move = (seen[11] - iterates[10].image).square().mean().sqrt()
    length = 0.01 if optimiser == "lbfgs" else settings.learning_rate
    assert move.item() == pytest.approx(length / 4, rel=1e-3)
    assert iterates[-1].losses["total"] == pytest.approx(1.0, abs=1e-4)


def test_a_cliff_in_the_way_is_climbed_down_from():
    # Above 0.6 the loss is a million times as steep: the first steps run into it.
    def cliff(x):
        return (x - 0.599).square().sum() + 1e6 * (x - 0.6).clamp_min(0).square().sum() + 1e-6

    best = run(problem(cliff), START, 100, options())[-1]
    assert best.losses["total"] < 1e-3
    assert best.image.max() < 0.61


def wall(x):
    """A slope so even that curvature says to leap, and a wall behind: the bottom is at 0.554."""
    return (1 - x + (100 * (x - 0.6)).exp()).sum()


def test_what_makes_plain_lbfgs_explode_is_gone_back_from(monkeypatch):
    seen = []

    def watched(image):
        seen.append(problem(wall)(image))
        return seen[-1]

    best = run(watched, START, 60, options())[-1]
    bottom = 0.6 - math.log(100) / 100
    assert (best.image - bottom).abs().max() < 1e-3
    # The same without guards: it leaps, and never comes back.
    monkeypatch.setattr(descents, "_EXPLODED", math.inf)
    monkeypatch.setattr(lbfgs_module, "_LONGEST_MOVE", math.inf)
    run(watched, START, 60, options())
    assert max(found.total.item() for found in seen[60:]) > 1e50
    assert seen[-1].total > 1e6


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("value", [math.nan, 1e9])
def test_it_gives_up_after_so_many_rescues_in_a_row_with_the_best_in_hand(value, optimiser):
    evaluate, _ = quadratic(10)
    broken = broken_at(evaluate, *range(5, 100), value=value)
    iterates = []
    with pytest.raises(Diverged, match=re.escape(f"6 times in a row, at last at {value:g} after")):
        iterates.extend(descend(broken, START, 90, options(optimiser)))
    assert len(iterates) == 4 + descents._RESCUES
    assert all(iterate.image is iterates[3].image for iterate in iterates[4:])
    assert evaluate(iterates[-1].image).total.item() == iterates[-1].losses["total"]


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_mishaps_between_which_it_gets_better_do_not_add_up(optimiser):
    evaluate, _ = quadratic(1e3, lowest=1.0)
    mishaps = range(10, 200, 10)
    assert len(mishaps) > descents._RESCUES
    iterates = run(broken_at(evaluate, *mishaps), START, 200, options(optimiser, learning_rate=1))
    assert len(iterates) == 200


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_first_loss_that_is_not_finite_is_refused(value):
    evaluate, _ = quadratic(10)
    with pytest.raises(Diverged, match=f"expected a finite loss at the start, got {value}"):
        run(broken_at(evaluate, 1, value=value), START, 5, options())


def broken_gradient_at(evaluate, *calls):
    return at_calls(
        evaluate,
        calls,
        lambda found: Evaluation(found.terms, found.total, found.gradient * math.nan),
    )


def test_a_first_gradient_that_is_not_finite_is_refused():
    evaluate, _ = quadratic(10)
    with pytest.raises(Diverged, match="expected a finite gradient at the start"):
        run(broken_gradient_at(evaluate, 1), START, 5, options())


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_gradient_that_is_not_finite_is_gone_back_from(optimiser):
    evaluate, _ = quadratic(10, lowest=1.0)
    iterates = run(broken_gradient_at(evaluate, 4), START, 200, options(optimiser))
    assert len(iterates) == 200
    assert iterates[-1].image.isfinite().all()
    assert iterates[-1].losses["total"] == pytest.approx(1.0, abs=1e-4)
