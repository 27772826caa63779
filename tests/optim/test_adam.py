"""Adam, against torch's own."""

import torch
from tests.optim.problems import SHAPE, START, options, quadratic, run, seeded

from impasto.optim.adam import Adam


def test_adam_finds_the_bottom_of_a_bowl():
    evaluate, target = quadratic(10)
    best = run(evaluate, START, 500, options("adam"))[-1]
    assert (best.image - target).abs().max() < 1e-3


def test_adam_goes_far_down_an_ill_conditioned_bowl():
    evaluate, _ = quadratic(1e4)
    start = run(evaluate, START, 1, options())[0].losses["total"]
    assert run(evaluate, START, 1000, options("adam"))[-1].losses["total"] < 1e-3 * start


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
