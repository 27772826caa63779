"""Vectors kept narrow: their arithmetic is that of the wide ones, to the rounding of the type."""

import pytest
import torch

from impasto.config.settings import make_settings
from impasto.losses.objective import Evaluation
from impasto.optim import compressed
from impasto.optim.compressed import CompressedVector
from impasto.optim.lbfgs import Lbfgs
from impasto.optim.minimizer import Minimizer, State

ROUNDING = {torch.float64: 1e-15, torch.float32: 1e-7, torch.float16: 2**-11, torch.bfloat16: 2**-8}
TYPES = pytest.mark.parametrize("dtype", ROUNDING)
MAGNITUDES = pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e12])


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    monkeypatch.setattr(compressed, "_PIECE", 7)


def seeded(count, seed=0, magnitude=1.0):
    generator = torch.Generator().manual_seed(seed)
    return magnitude * torch.randn(count, dtype=torch.float64, generator=generator)


def wide(vector, count):
    values = torch.zeros(count, dtype=torch.float64)
    vector.add_to(values)
    return values


@TYPES
@MAGNITUDES
def test_a_vector_keeps_each_entry_to_the_rounding_of_its_type(dtype, magnitude):
    values = seeded(50, magnitude=magnitude)
    torch.testing.assert_close(
        wide(CompressedVector(values, dtype), 50), values, rtol=ROUNDING[dtype], atol=0
    )


def test_float16_keeps_entries_of_a_millionth_of_the_largest():
    values = torch.tensor([1.0, 1e-6, -3e-6, 0.0], dtype=torch.float64)
    kept = wide(CompressedVector(values, torch.float16), 4)
    torch.testing.assert_close(kept, values, rtol=2**-11, atol=0)


@TYPES
@MAGNITUDES
def test_products_are_those_of_the_kept_vectors(dtype, magnitude):
    first, second = (
        CompressedVector(seeded(50, 1, magnitude), dtype),
        CompressedVector(seeded(50, 2, magnitude), dtype),
    )
    expected = wide(first, 50) @ wide(second, 50)
    assert first.dot(second).item() == pytest.approx(expected.item(), rel=1e-12)
    assert first.dot(wide(second, 50)).item() == pytest.approx(expected.item(), rel=1e-12)


@TYPES
def test_a_multiple_is_added_in_place(dtype):
    vector, values = CompressedVector(seeded(50, 1), dtype), seeded(50, 2)
    expected = values + 3 * wide(vector, 50)
    vector.add_to(values, torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(values, expected)
    vector.add_to(values, torch.tensor(3.0, dtype=torch.float64), sign=-1)
    torch.testing.assert_close(values, seeded(50, 2))


@TYPES
@MAGNITUDES
def test_a_vector_becomes_the_change_from_what_it_kept(dtype, magnitude):
    before, after = seeded(50, 1, magnitude), seeded(50, 2, magnitude)
    vector = CompressedVector(before, dtype)
    change = after - wide(vector, 50)
    vector.become_change_to(after)
    torch.testing.assert_close(
        wide(vector, 50), change, rtol=ROUNDING[dtype], atol=1e-12 * magnitude
    )


@TYPES
def test_nothing_is_kept_as_nothing(dtype):
    vector = CompressedVector(torch.zeros(9, dtype=torch.float64), dtype)
    vector.become_change_to(torch.zeros(9, dtype=torch.float64))
    assert vector.dot(vector).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lbfgs_remembers_the_move_that_it_took(dtype):
    lbfgs, image = Lbfgs(3, dtype), torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    moved = lbfgs.step(image, seeded(48).view(1, 3, 4, 4)) - image
    assert lbfgs._last is not None
    torch.testing.assert_close(wide(lbfgs._last[0], 48), moved.flatten(), rtol=0, atol=1e-15)


@pytest.mark.heavy
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_narrow_history_descends_an_ill_conditioned_bowl_too(dtype):
    scales = torch.logspace(0, -4, 48, dtype=torch.float64)

    def evaluate(image):
        x = image.flatten()
        total = 0.5 * (scales * x).dot(x)
        return Evaluation({"f": total}, total, (scales * x).view_as(image))

    start = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    descent = Minimizer(State(start), make_settings(), dtype)
    first, *_, last = (descent.step(evaluate) for _ in range(300))
    assert last.losses["total"] < 1e-6 * first.losses["total"]
