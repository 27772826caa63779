"""L-BFGS on problems whose answer is known, and against the dense update."""

import pytest
import torch
from tests.optim.problems import SHAPE, START, options, problem_in_float32, quadratic, run, seeded

from impasto.optim.lbfgs import Lbfgs
from impasto.optim.preconditioner import Preconditioner
from impasto.optim.registry import make_optimiser


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


def test_lbfgs_works_in_float32_as_painting_does():
    evaluate, _ = quadratic(1e3, lowest=1.0)
    narrow = problem_in_float32(evaluate)
    best = run(narrow, START.float(), 200, options())[-1]
    assert best.image.dtype == torch.float32
    assert best.losses["total"] == pytest.approx(1.0, abs=1e-5)


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


def test_the_history_option_bounds_the_pairs_remembered():
    evaluate, _ = quadratic(100)
    short, plain = make_optimiser(options(history=3)), Lbfgs(3)
    image = other = START
    for _ in range(9):
        image = short.step(image, evaluate(image).gradient)
        other = plain.step(other, evaluate(other).gradient)
    assert image.equal(other)
