"""Time predicted: from rates that are measured once for a machine, and sizes alone."""

import json
from dataclasses import replace

import pytest
import torch

from impasto.compute.distributed import ALONE, Ranks
from impasto.config.settings import make_settings
from impasto.planning import throughput
from impasto.planning.flops import forward_flop
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import ComputePlan, ScalePlan
from impasto.planning.throughput import Rates

RATES = Rates(forward_flop=2e9, backward_flop=1e9, overhead_s=0.01, vector_s=1e-8, in_tiles=1.0)
PLAN = ComputePlan(torch.device("cpu"), torch.float32)
SHALLOW = make_settings(content_layers="relu1_1", style_layers="relu1_1")


def demand(side_px, content=("relu2_1",), steps=30):
    return ScaleWorkload(
        side_px, side_px, ("relu1_1", "relu2_1"), content, "vgg16", torch.float32, "lbfgs", steps
    )


def way(tile_px=None, *, history=1, cache_content=True, tiles_kept=1, ranks=ALONE):
    return ScalePlan(tile_px, history, None, cache_content, 0, tiles_kept, ranks)


def test_operations_are_counted_by_layer():
    first, second = 2 * 9 * 3 * 64, 2 * 9 * 64 * 64
    assert forward_flop("vgg16", ["relu1_1"]) == first
    assert forward_flop("vgg16", ["relu1_2"]) == first + second
    assert forward_flop("vgg16", ["relu2_1"]) == first + second + 2 * 9 * 64 * 128 / 4


def test_an_image_held_whole_is_seen_forward_and_back_once():
    flop, pixels = forward_flop("vgg16", ["relu2_1"]), 100 * 100
    expected = pixels * (flop / 2e9 + flop / 1e9) + 0.01 + pixels * 1e-8
    assert RATES.step_s(demand(100), way()) == pytest.approx(expected)


def test_tiles_cost_second_looks_unless_they_are_kept_and_ranks_share_them():
    whole, tiles = (RATES.step_s(demand(400), way(tile_px)) for tile_px in (None, 200))
    kept = RATES.step_s(demand(400), way(200, tiles_kept=4))
    shared = RATES.step_s(demand(400), way(200, ranks=Ranks(0, 4)))
    anew = RATES.step_s(demand(400), way(200, cache_content=False))
    assert whole < kept < tiles < anew
    assert shared < 0.4 * whole


def test_operations_take_longer_in_tiles():
    slower = replace(RATES, overhead_s=0.0, vector_s=0.0, in_tiles=1.5)
    whole, tiles = (
        replace(slower, in_tiles=1.0).step_s(demand(400), way(tile_px)) for tile_px in (None, 200)
    )
    assert slower.step_s(demand(400), way()) == whole
    assert slower.step_s(demand(400), way(200)) == pytest.approx(1.5 * tiles)


def test_a_longer_history_takes_longer_until_the_steps_end():
    short, long = (RATES.step_s(demand(100), way(history=history)) for history in (1, 20))
    assert long - short == pytest.approx(19 * 100 * 100 * 1e-8)
    assert RATES.step_s(demand(100, steps=1), way(history=20)) == pytest.approx(short)


@pytest.fixture
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    monkeypatch.setattr(throughput, "_LEAST_PX", 64)
    monkeypatch.setattr(throughput, "_MOST_PX", 96)
    monkeypatch.setattr(throughput, "_SMALL_PX", 32)


@pytest.mark.usefixtures("_in_a_folder")
def test_rates_are_measured_once_and_kept(tmp_path, monkeypatch):
    found = throughput.rates(PLAN, SHALLOW)
    assert min(found.forward_flop, found.backward_flop, found.vector_s) > 0
    monkeypatch.setattr(throughput, "measure", None)
    assert throughput.rates(PLAN, SHALLOW) == found
    # Weights and sizes make no difference to a step's time; layers do.
    assert throughput.rates(PLAN, make_settings(SHALLOW, beta=7, size=99)) == found
    with pytest.raises(TypeError):
        throughput.rates(PLAN, make_settings(SHALLOW, style_layers="relu1_2"))
    (kept,) = json.loads((tmp_path / "calibration.json").read_text()).values()
    assert kept["forward_flop"] == found.forward_flop


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_cache_is_measured_anew(damage, tmp_path):
    (tmp_path / "calibration.json").write_bytes(damage)
    found = throughput.rates(PLAN, SHALLOW)
    assert found.forward_flop > 0
    assert throughput.rates(PLAN, SHALLOW) == found
