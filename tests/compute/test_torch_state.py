"""A painting depends on none of the caller's torch settings, and leaves them as they were."""

import contextlib

import pytest
import torch

from impasto import api, metrics
from impasto.compute.torch_state import isolated
from impasto.engine.estimate import estimate
from impasto.engine.painting import iterate

pytestmark = pytest.mark.heavy


@contextlib.contextmanager
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def imprecise_products():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


AMBIENT = {
    "a wide default": float64_by_default,
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "another default device": lambda: torch.device("meta"),
    "determinism": deterministic,
    "imprecise products": imprecise_products,
}


def state():
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": torch.get_num_threads(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "precision": torch.get_float32_matmul_precision(),
    }


@pytest.fixture(scope="module", autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=AMBIENT)
def ambient(request):
    return AMBIENT[request.param]


def test_a_painting_has_the_same_bits_whatever_the_caller_has_set(job_of, paint, ambient):
    # Matched colours, thin paint and the photograph's chroma: all that is computed outside a step.
    job = job_of(strength=0.04, colour="keep", iterations=4)
    steps, result = paint(job)
    shown = [step.image().tobytes() for step in steps]
    with ambient():
        before = state()
        again, other = paint(job)
        assert [step.losses for step in again] == [step.losses for step in steps]
        assert [step.image().tobytes() for step in again] == shown
        assert torch.equal(torch.from_numpy(other.pixels.numpy()), result.pixels)
        assert other.image.tobytes() == result.image.tobytes()
        assert state() == before


def test_between_steps_the_caller_s_own_settings_hold(job_of, ambient):
    painting = iterate(job_of(iterations=3))
    with ambient():
        before = state()
        for step in painting:
            assert state() == before
            step.result()
            assert state() == before
    assert state()["threads"] == 2


def test_after_an_error_the_caller_s_own_settings_hold(job_of, ambient):
    painting = iterate(job_of(iterations=3))
    next(painting)
    with ambient():
        before = state()
        with pytest.raises(KeyboardInterrupt):
            painting.throw(KeyboardInterrupt)
        assert state() == before
        with pytest.raises(ValueError, match="strength"):
            api.paint(job_of("style", strength=0.5))
        assert state() == before


def test_an_estimate_leaves_the_threads_alone(job_of, monkeypatch, tmp_path):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    seen = []
    monkeypatch.setattr(
        "impasto.planning.throughput.measured",
        lambda *_, **__: seen.append(torch.get_num_threads()),
    )
    with pytest.raises(AttributeError):
        estimate(job_of())
    assert (seen, torch.get_num_threads()) == ([1], 2)


@pytest.fixture(scope="module")
def measured_pictures(small_network, picture):
    """What ``metrics.measure`` takes, and the numbers that come of it."""
    # Pictures so large that two threads share a sum.
    pictures = [picture(*size, seed=seed).float() for seed, size in enumerate([(128, 144)] * 3)]
    networks = metrics.Networks(vgg=small_network(dtype=torch.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return pictures, networks, metrics.measure(*pictures, networks)


def test_measures_are_the_same_numbers_whatever_the_caller_has_set(
    measured_pictures, ambient, monkeypatch, tmp_path
):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    pictures, networks, expected = measured_pictures
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with ambient():
        before = state()
        measured = metrics.measure(*pictures, networks)
        assert state() == before
        loaded = metrics.load_networks(offline=True)
        assert state() == before
    assert measured == expected
    assert set(loaded.reasons) == {"vgg", "heads", "dists", "alexnet"}
    torch.set_num_threads(1)
    try:
        assert metrics.measure(*pictures, networks) == expected
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(2)


def test_the_number_of_threads_holds_inside_alone():
    with isolated(1):
        assert torch.get_num_threads() == 1
        with isolated():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
