"""Time predicted: from rates that are measured once for a machine, and sizes alone."""

import itertools
import json
import time
from dataclasses import replace

import pytest
import torch

from impasto.compute.distributed import ALONE, Ranks
from impasto.config.networks import VGG16
from impasto.config.settings import make_settings
from impasto.planning import throughput
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


def test_an_image_held_whole_is_seen_forward_and_back_once():
    flop, pixels = VGG16.flops_per_pixel(["relu2_1"]), 100 * 100
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
    monkeypatch.setattr(throughput, "_processor_share", lambda *_: 1.0)
    found = throughput.measured(PLAN, SHALLOW)
    assert min(found.rates.forward_flop, found.rates.backward_flop, found.rates.vector_s) > 0
    monkeypatch.setattr(throughput, "measure", None)
    assert throughput.measured(PLAN, SHALLOW) == found
    # Weights and sizes make no difference to a step's time; layers do.
    assert throughput.measured(PLAN, make_settings(SHALLOW, beta=7, size=99)) == found
    assert throughput.measured(PLAN, make_settings(SHALLOW, style_weights=(1, 2))) == found
    with pytest.raises(TypeError):
        throughput.measured(PLAN, make_settings(SHALLOW, style_layers="relu1_2"))
    (entry,) = json.loads((tmp_path / "throughput.json").read_text()).values()
    assert entry["rates"]["forward_flop"] == found.rates.forward_flop


@pytest.fixture
def _measured_at_once(tmp_path, monkeypatch):
    """The cache in a folder of its own; measuring takes no time, and counts."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    count = itertools.count(1)
    monkeypatch.setattr(throughput, "_times_s", lambda *_, **__: (float(next(count)), 0.5))
    monkeypatch.setattr(throughput, "_vector_s", lambda *_: 1e-8)
    monkeypatch.setattr(throughput, "seeded_network", lambda *_: None)
    monkeypatch.setattr(throughput, "seeded_parameters", lambda *_: {})


@pytest.mark.usefixtures("_measured_at_once")
def test_a_measurement_on_a_busy_machine_is_marked_and_soon_replaced(monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(throughput.time, "time", lambda: now_s)
    monkeypatch.setattr(throughput, "_processor_share", lambda *_: 0.3)
    busy = throughput.measured(PLAN, SHALLOW)
    assert busy.is_busy
    now_s += 60
    assert throughput.measured(PLAN, SHALLOW) == busy
    assert busy.age_s == 60
    now_s += 3600
    monkeypatch.setattr(throughput, "_processor_share", lambda *_: 0.97)
    idle = throughput.measured(PLAN, SHALLOW)
    assert idle != busy
    assert not idle.is_busy
    now_s += 1e8
    assert throughput.measured(PLAN, SHALLOW) == idle


@pytest.mark.usefixtures("_measured_at_once")
def test_a_measurement_is_replaced_when_asked(monkeypatch):
    monkeypatch.setattr(throughput, "_processor_share", lambda *_: 1.0)
    first = throughput.measured(PLAN, SHALLOW)
    again = throughput.measured(PLAN, SHALLOW, again=True)
    assert again.rates != first.rates
    assert throughput.measured(PLAN, SHALLOW) == again


def test_the_share_of_the_processor_is_what_the_threads_could_have_had(monkeypatch):
    monkeypatch.setattr(throughput.torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(throughput, "physical_cores", lambda: 8)
    assert throughput._processor_share(PLAN, 1.0, 2.0) == pytest.approx(0.25)
    monkeypatch.setattr(throughput, "physical_cores", lambda: 1)
    assert throughput._processor_share(PLAN, 1.0, 2.0) == pytest.approx(0.5)
    monkeypatch.setattr(throughput, "physical_cores", lambda: None)
    assert throughput._processor_share(PLAN, 3.0, 2.0) == pytest.approx(0.75)
    device = ComputePlan(torch.device("cuda"), torch.float32)
    assert throughput._processor_share(device, 1.0, 2.0) is None


def test_a_process_that_waits_for_the_processor_is_noticed(monkeypatch):
    # Sleeping stands for waiting: it takes wall time, and no processor time.
    monkeypatch.setattr(throughput, "_SMALL_PX", 32)
    monkeypatch.setattr(throughput, "_LEAST_PX", 64)
    monkeypatch.setattr(throughput, "_MOST_PX", 64)
    times_s = throughput._times_s

    def delayed(*arguments, **options):
        began_s = time.perf_counter()
        found = times_s(*arguments, **options)
        time.sleep(time.perf_counter() - began_s)
        return found

    monkeypatch.setattr(throughput, "_times_s", delayed)
    assert throughput.measure(PLAN, SHALLOW).is_busy


@pytest.mark.usefixtures("_in_a_folder")
def test_several_weighted_paintings_are_timed_as_one():
    measured = throughput.measured(PLAN, make_settings(SHALLOW, style_weights=(1, 2)))
    assert measured.rates.forward_flop > 0


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"{", b'{"a": 1}', b"\xff", b'{"KEY": {"rates": {}}}', b'{"KEY": 3}']
)
def test_a_damaged_cache_is_measured_anew(damage, tmp_path):
    key = throughput._key(PLAN, SHALLOW).encode()
    (tmp_path / "throughput.json").write_bytes(damage.replace(b"KEY", key))
    found = throughput.measured(PLAN, SHALLOW)
    assert found.rates.forward_flop > 0
    assert throughput.measured(PLAN, SHALLOW) == found
