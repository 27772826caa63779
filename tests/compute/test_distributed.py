"""Ranks: how work is divided, and what one process alone does, which is nothing."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impasto.compute.distributed import ALONE, Ranks, current, joined
from impasto.planning import flops
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import plan_scale


@given(items=st.lists(st.integers()), count=st.integers(1, 9))
def test_together_the_ranks_have_everything_once(items, count):
    shares = [Ranks(rank, count).share(items) for rank in range(count)]
    assert sorted(itertools.chain(*shares)) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_there_is_nobody_to_ask():
    sums = {"a": torch.ones(2), "b": torch.tensor(3.0)}
    ALONE.add(sums)
    assert sums["a"].tolist() == [1, 1]
    assert ALONE.agree(sums["a"]) is sums["a"]
    assert ALONE.least(7) == 7


def test_without_torchrun_a_process_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with joined() as ranks:
        assert ranks == current() == ALONE


def demand(side_px):
    layers = ("relu4_2", "relu1_1", "relu5_1")
    return ScaleWorkload(
        side_px, side_px, layers, ("relu4_2",), "vgg16", torch.bfloat16, "lbfgs", 30
    )


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_large_picture_is_shared_and_a_small_one_is_not(count):
    ranks = Ranks(0, count)
    large, small = (
        plan_scale(demand(2048), 20, None, ranks),
        plan_scale(demand(128), 20, None, ranks),
    )
    assert large.ranks is ranks
    assert (small.ranks, small.tile_px) == (ALONE, None)
    whole = sum(flops.step_flop(demand(2048), None, True))
    shared = sum(
        flops.step_flop(demand(2048), large.tile_px, True, tiles_kept=large.tiles_kept, ranks=ranks)
    )
    assert shared < 1.6 * whole / count


def test_every_rank_has_a_tile_or_none_shares():
    few = flops.step_flop(demand(300), 256, True, ranks=Ranks(0, 64))
    assert few == flops.step_flop(demand(300), 256, True)
