"""What holds for every optimiser, and how settings choose one."""

import gc
import math

import pytest
import torch
from tests.optim.problems import SHAPE, START, descend, options, problem, rosenbrock, run, seeded

from impasto.losses.objective import Evaluation
from impasto.optim.adam import Adam
from impasto.optim.base import VECTOR_BYTES
from impasto.optim.lbfgs import Lbfgs
from impasto.optim.minimizer import Minimizer, State
from impasto.optim.registry import make_optimiser, optimiser_class
from impasto.planning import memory_model


@pytest.mark.parametrize(("optimiser", "iterations"), [("lbfgs", 400), ("adam", 4000)])
def test_both_follow_rosenbrock_s_valley_to_its_end(optimiser, iterations):
    best = run(problem(rosenbrock), START, iterations, options(optimiser))[-1]
    assert best.losses["total"] < 1e-3
    assert (best.image - 1).abs().max() < 0.1


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


@pytest.mark.heavy
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
