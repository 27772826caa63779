"""The optimisers on problems whose answer is known, and the guards around them."""

import copy
import gc
import math
import re

import pytest
import torch

from impasto import signals
from impasto.config.settings import make_settings
from impasto.errors import Diverged
from impasto.losses.objective import Evaluation
from impasto.optim import lbfgs as lbfgs_module
from impasto.optim import minimizer as descents
from impasto.optim.adam import Adam
from impasto.optim.base import VECTOR_BYTES
from impasto.optim.lbfgs import Lbfgs
from impasto.optim.minimizer import Minimizer, State
from impasto.optim.preconditioner import Preconditioner
from impasto.optim.registry import make_optimiser, optimiser_class
from impasto.planning import memory_model

SHAPE = (1, 3, 4, 4)
PIXELS = math.prod(SHAPE)


def seeded(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def problem(function):
    """Turn a function of a flat vector into something that a Minimizer can evaluate."""

    def evaluate(image):
        leaf = image.detach().clone().requires_grad_()
        with torch.enable_grad():
            total = function(leaf.flatten())
            (gradient,) = torch.autograd.grad(total, leaf)
        return Evaluation({"f": total.detach()}, total.detach(), gradient)

    return evaluate


def quadratic(condition, lowest=0.0):
    """A convex bowl with its bottom, of value ``lowest``, at ``target``."""
    basis, _ = torch.linalg.qr(seeded(PIXELS, PIXELS))
    scales = torch.logspace(0, math.log10(condition), PIXELS, dtype=torch.float64) / condition
    hessian = basis @ torch.diag(scales) @ basis.t()
    target = torch.rand(PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def function(x):
        return lowest + 0.5 * (x - target) @ hessian @ (x - target)

    return problem(function), target.view(SHAPE)


def rosenbrock(x):
    """A bent valley with its bottom, 0, at ones (Rosenbrock, 1960; chained)."""
    return (100 * (x[1:] - x[:-1] ** 2).square() + (1 - x[:-1]).square()).sum()


def options(optimiser="lbfgs", **others):
    return make_settings(optimiser=optimiser, **others)


def descend(evaluate, image, iterations, settings, *, history_dtype=None):
    descent = Minimizer(State(image), settings, history_dtype)
    del image  # as a painting holds it no longer
    for left in range(iterations - 1, -1, -1):
        yield descent.step(evaluate, is_last=not left)


def run(evaluate, image, iterations, settings):
    return list(descend(evaluate, image, iterations, settings))


def at_calls(evaluate, calls, spoil):
    """The same problem, with ``spoil`` done to what is found at some calls, counted from 1."""
    count = 0

    def spoilt(image):
        nonlocal count
        count += 1
        found = evaluate(image)
        return spoil(found) if count in calls else found

    return spoilt


def broken_at(evaluate, *calls, value=math.nan):
    """The same problem, whose loss is ``value`` at the given calls, counted from 1."""

    def spoil(found):
        total = torch.full_like(found.total, value)
        return Evaluation({"f": total}, total, found.gradient)

    return at_calls(evaluate, calls, spoil)


START = torch.full(SHAPE, 0.5, dtype=torch.float64)


def test_lbfgs_finds_the_bottom_of_an_ill_conditioned_bowl():
    evaluate, target = quadratic(1e4)
    start = run(evaluate, START, 1, options())[0].losses["total"]
    best = run(evaluate, START, 400, options())[-1]
    assert best.losses["total"] < 1e-9 * start
    assert (best.image - target).abs().max() < 1e-2


def test_lbfgs_finds_a_bottom_above_zero():
    evaluate, target = quadratic(1e4, lowest=1.0)
    best = run(evaluate, START, 400, options())[-1]
    assert best.losses["total"] == pytest.approx(1.0, abs=1e-10)
    assert (best.image - target).abs().max() < 1e-2


def test_adam_finds_the_bottom_of_a_bowl():
    evaluate, target = quadratic(10)
    best = run(evaluate, START, 500, options("adam"))[-1]
    assert (best.image - target).abs().max() < 1e-3


def test_adam_goes_far_down_an_ill_conditioned_bowl():
    evaluate, _ = quadratic(1e4)
    start = run(evaluate, START, 1, options())[0].losses["total"]
    assert run(evaluate, START, 1000, options("adam"))[-1].losses["total"] < 1e-3 * start


@pytest.mark.parametrize(("optimiser", "iterations"), [("lbfgs", 400), ("adam", 4000)])
def test_both_follow_rosenbrock_s_valley_to_its_end(optimiser, iterations):
    best = run(problem(rosenbrock), START, iterations, options(optimiser))[-1]
    assert best.losses["total"] < 1e-3
    assert (best.image - 1).abs().max() < 0.1


def test_lbfgs_works_in_float32_as_painting_does():
    evaluate, _ = quadratic(1e3, lowest=1.0)
    narrow = problem_in_float32(evaluate)
    best = run(narrow, START.float(), 200, options())[-1]
    assert best.image.dtype == torch.float32
    assert best.losses["total"] == pytest.approx(1.0, abs=1e-5)


def problem_in_float32(evaluate):
    def narrow(image):
        found = evaluate(image.double())
        terms = {name: term.float() for name, term in found.terms.items()}
        return Evaluation(terms, found.total.float(), found.gradient.float())

    return narrow


def metric():
    """What L-BFGS begins with, as a matrix."""
    rows = torch.eye(START.numel(), dtype=torch.float64)
    for row in rows:
        Preconditioner(START.shape).apply(row)
    return rows


def inverse_bfgs(pairs):
    """The dense update, H <- (I - rho s y') H (I - rho y s') + rho s s'."""
    s, y = pairs[-1]
    unit, M = torch.eye(len(s), dtype=torch.float64), metric()
    H = (s @ y) / (y @ M @ y) * M
    for s, y in pairs:
        rho = 1 / (s @ y)
        H = (unit - rho * torch.outer(s, y)) @ H @ (unit - rho * torch.outer(y, s))
        H = H + rho * torch.outer(s, s)
    return H


@pytest.mark.parametrize("history", [1, 2, 5, 20])
def test_two_loops_equal_the_dense_update_over_the_last_pairs(history):
    evaluate, _ = quadratic(100)
    lbfgs, images = Lbfgs(history), [START]
    for _ in range(8):
        images.append(lbfgs.step(images[-1], evaluate(images[-1]).gradient))
    gradients = [evaluate(image).gradient for image in images]
    pairs = [
        ((images[k + 1] - images[k]).flatten(), (gradients[k + 1] - gradients[k]).flatten())
        for k in range(7)
    ]
    move = -inverse_bfgs(pairs[-history:]) @ gradients[-2].flatten()
    assert move.square().mean().sqrt() < 0.25
    torch.testing.assert_close((images[-1] - images[-2]).flatten(), move, rtol=1e-9, atol=1e-12)


def test_the_first_step_goes_down_in_the_metric_by_a_hundredth_of_the_range():
    gradient = 1e6 * seeded(*SHAPE)
    move = Lbfgs(5).step(START, gradient.clone()) - START
    assert move.square().mean().sqrt().item() == pytest.approx(0.01)
    down = -metric() @ gradient.flatten()
    cosine = torch.nn.functional.cosine_similarity(move.flatten(), down, dim=0)
    assert cosine.item() == pytest.approx(1)


def test_no_step_is_longer_than_a_quarter_of_the_range():
    lbfgs = Lbfgs(5)
    ones = torch.ones_like(START)
    second = lbfgs.step(START, ones.clone())
    # Almost no curvature: the model would jump a hundred ranges.
    move = lbfgs.step(second, 0.9999 * ones) - second
    assert move.square().mean().sqrt().item() == pytest.approx(0.25)


def test_a_pair_without_positive_curvature_is_dropped():
    lbfgs = Lbfgs(5)
    gradient = seeded(*SHAPE)
    second = lbfgs.step(START, gradient.clone())
    # Steeper after the step downhill: a hilltop. Down again, by the first step's length.
    move = lbfgs.step(second, 2 * gradient) - second
    assert move.square().mean().sqrt().item() == pytest.approx(0.01)
    assert (move * gradient).sum() < 0


def test_a_restart_forgets_the_curvature_and_halves_the_steps():
    evaluate, _ = quadratic(100)
    lbfgs, image = Lbfgs(5), START
    for _ in range(4):
        image = lbfgs.step(image, evaluate(image).gradient)
    gradient = evaluate(image).gradient
    for share in (0.5, 0.25):
        lbfgs.restart()
        move = lbfgs.step(image, gradient.clone()) - image
        assert move.square().mean().sqrt().item() == pytest.approx(0.01 * share)


def test_adam_is_torch_s_own():
    evaluate, _ = quadratic(100)
    theirs = START.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.05)
    ours, image = Adam(0.05), START
    for _ in range(20):
        theirs.grad = evaluate(theirs).gradient
        adam.step()
        image = ours.step(image, evaluate(image).gradient)
    torch.testing.assert_close(image, theirs.detach())


def test_adam_restarts_with_half_the_step():
    gradient = seeded(*SHAPE)
    adam = Adam(0.1)
    for step in (0.1, 0.05, 0.025):
        moved = adam.step(START, gradient.clone())
        torch.testing.assert_close(moved, START - step * gradient.sign(), rtol=0, atol=1e-6)
        adam.restart()


@pytest.mark.parametrize("optimiser", [Lbfgs(5), Adam(0.1)])
def test_a_flat_place_is_no_division_by_zero(optimiser):
    for _ in range(3):
        assert optimiser.step(START, torch.zeros_like(START)).equal(START)


@pytest.mark.parametrize("optimiser", [Lbfgs(5), Adam(0.1)])
def test_a_proposal_leaves_images_alone_and_needs_no_memory_beside_the_gradient_s(optimiser):
    image, gradient = START.clone(), seeded(*SHAPE)
    first = optimiser.step(image, gradient)
    assert first.data_ptr() == gradient.data_ptr()
    kept = first.clone()
    optimiser.step(first, 0.5 * seeded(*SHAPE))
    assert image.equal(START)
    assert first.equal(kept)


def test_settings_choose_the_optimiser():
    assert isinstance(make_optimiser(options("adam")), Adam)
    assert isinstance(make_optimiser(options("lbfgs")), Lbfgs)
    fast = make_optimiser(options("adam", learning_rate=0.5))
    moved = fast.step(START, torch.ones_like(START))
    torch.testing.assert_close(moved, START - 0.5)


def test_the_history_option_bounds_the_pairs_remembered():
    evaluate, _ = quadratic(100)
    short, plain = make_optimiser(options(history=3)), Lbfgs(3)
    image = other = START
    for _ in range(9):
        image = short.step(image, evaluate(image).gradient)
        other = plain.step(other, evaluate(other).gradient)
    assert image.equal(other)


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


@pytest.mark.parametrize(
    ("optimiser", "remembered"),
    [
        ("lbfgs", {"scale": 0.0}),
        ("lbfgs", {"scale": math.nan}),
        ("lbfgs", {"other": 1.0}),
        ("lbfgs", {"scale": 1.0, "pairs.0.rho": 1.0}),
        ("lbfgs", {"scale": 1.0} | {f"pairs.{place}.rho": 1.0 for place in range(30)}),
        ("adam", {"scale": 1.0, "step": 1.0}),
        ("adam", {"scale": 1.0, "last.move": 1.0}),
    ],
)
def test_what_no_optimiser_remembers_is_refused(optimiser, remembered):
    tensors = {name: torch.tensor(value) for name, value in remembered.items()}
    with pytest.raises(ValueError, match=r"expected|no tensor"):
        Minimizer(State(START, optimiser_state=tensors), options(optimiser))


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


def large_tensors(least_bytes):
    """The bytes of all tensors alive of at least this size, each memory counted once."""
    gc.collect()
    memories = {
        found.untyped_storage().data_ptr(): found.untyped_storage().nbytes()
        for found in gc.get_objects()
        if type(found) is torch.Tensor
        and found.layout is torch.strided
        and found.untyped_storage().nbytes() >= least_bytes
    }
    return sum(memories.values())


@pytest.mark.parametrize(
    ("optimiser", "history_dtype"),
    [("lbfgs", None), ("lbfgs", torch.float16), ("adam", None)],
    ids=["wide", "narrow", "adam"],
)
def test_no_more_is_held_than_the_prediction_of_memory_counts(optimiser, history_dtype):
    shape = (1, 3, 96, 128)
    image = torch.full(shape, 0.5)
    weights = torch.linspace(0.1, 1, image.numel()).view(shape)
    vector = image.nbytes
    before = large_tensors(vector // 4) - vector  # the image itself is to count
    held = []

    def evaluate(image):
        # Where the network runs; the gradient is on its way.
        held.append((large_tensors(vector // 4) - before) / vector + 1)
        gradient = weights * image
        total = 0.5 * (gradient * image).sum()
        return Evaluation({"f": total}, total, gradient)

    seen = image
    for iterate in descend(evaluate, image, 9, options(optimiser, history=3),
                           history_dtype=history_dtype):  # fmt: skip
        seen = iterate.image  # as a front end keeps the last it was shown
    assert seen.shape == shape
    remembered, _ = optimiser_class(optimiser).memory_per_pixel(3, history_dtype, 9)
    # The start is held by this test, beside the best image and the one evaluated.
    assert max(held) <= memory_model._IMAGES + 1 + remembered / VECTOR_BYTES + 0.01
