"""The weighing of frequencies, against waves and a plain matrix."""

import math

import pytest
import torch

from impasto.engine import painting
from impasto.optim import compressed, lbfgs
from impasto.optim.compressed import CompressedVector
from impasto.optim.preconditioner import Preconditioner


@pytest.mark.parametrize(("cycles", "weight"), [(1, 16.0), (2, 8.0), (8, 2.0), (16, 1.0)])
def test_a_wave_is_weighed_by_one_over_its_frequency(cycles, weight):
    columns = torch.arange(32, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * cycles * columns / 32).expand(3, 20, 32)
    values = wave.flatten().clone()
    Preconditioner(torch.Size((1, 3, 20, 32))).apply(values)
    torch.testing.assert_close(values, weight * wave.flatten())


def test_waves_longer_than_asked_for_are_weighed_alike():
    columns = torch.arange(32, dtype=torch.float64)
    waves = [torch.cos(2 * math.pi * cycles * columns / 32) for cycles in (1, 2, 4, 8)]
    values = torch.cat(waves).view(4, 1, 32)
    weighed = values.flatten().clone()
    Preconditioner(torch.Size((4, 1, 32)), longest_px=8).apply(weighed)
    factors = torch.tensor([4.0, 4.0, 4.0, 2.0], dtype=torch.float64).view(4, 1, 1)
    torch.testing.assert_close(weighed, (factors * values).flatten())


@pytest.mark.parametrize("size", [(7, 9), (8, 9), (7, 8), (8, 8), (1, 5)])
def test_the_square_is_the_product_with_the_vector_weighed(size):
    shape = torch.Size((1, 3, *size))
    values = torch.randn(shape.numel(), dtype=torch.float64, generator=torch.Generator())
    weighed = values.clone()
    Preconditioner(shape).apply(weighed)
    found = Preconditioner(shape).square(CompressedVector(values, torch.float64))
    torch.testing.assert_close(found, values @ weighed)
    assert found > 0


def test_the_weights_are_symmetric():
    shape = torch.Size((1, 1, 4, 5))
    rows = torch.eye(20, dtype=torch.float64)
    for row in rows:
        Preconditioner(shape).apply(row)
    torch.testing.assert_close(rows, rows.t())


@pytest.mark.parametrize("size", [(7, 9), (12, 10)])
def test_by_blocks_it_is_what_it_is_at_once(monkeypatch, size):
    shape = torch.Size((1, 3, *size))
    values = torch.randn(shape.numel(), dtype=torch.float64, generator=torch.Generator())

    def weighed():
        found = values.clone()
        Preconditioner(shape).apply(found)
        return found, Preconditioner(shape).square(CompressedVector(values, torch.float64))

    at_once = weighed()
    monkeypatch.setattr(compressed, "_PIECE", 20)
    torch.testing.assert_close(weighed(), at_once)


def test_only_the_coarsest_size_favours_the_longest_waves(job_of, monkeypatch):
    made = {}

    def make(shape, longest_px):
        made[max(shape[-2:])] = longest_px
        return Preconditioner(shape, longest_px)

    monkeypatch.setattr(lbfgs, "Preconditioner", make)
    for _ in painting.iterate(job_of(margin=0)):
        pass
    assert made == {32: None, 48: 32}
