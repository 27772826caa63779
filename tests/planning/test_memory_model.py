"""What memory is free, what a painting takes, and which way of painting fits."""

import mmap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.api import make_job
from impasto.compute import allocator
from impasto.compute.allocator import free_bytes, held_bytes
from impasto.config.settings import make_runtime
from impasto.engine.estimate import estimate
from impasto.errors import SettingsError
from impasto.images import samples
from impasto.planning import throughput
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import largest_fitting_px, plan_scale
from impasto.planning.throughput import Measurement, Rates

CPU = torch.device("cpu")
GIB = 2**30
LAYERS = ("relu4_2", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def demand(side_px, **changes):
    known = {
        "layers": LAYERS,
        "content_layers": ("relu4_2",),
        "network": "vgg16",
        "dtype": torch.bfloat16,
        "optimiser": "lbfgs",
        "steps": 30,
    }
    return ScaleWorkload(side_px, side_px, **{**known, **changes})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("6GiB", 6 * GIB), ("6 gib", 6 * GIB), ("1.5GiB", 3 * GIB // 2), ("800MB", 800_000_000),
        ("2G", 2_000_000_000), ("4096", 4096), ("64kB", 64_000), ("1TiB", 1024 * GIB),
        (12345, 12345),
    ],
)  # fmt: skip
def test_memory_is_bytes_or_a_number_with_a_unit(written, meant):
    assert make_runtime(memory=written).memory == meant


@pytest.mark.parametrize("written", ["", "much", "GiB", "-1GiB", "6XiB", 0, "0GiB", True])
def test_other_sizes_are_refused_with_an_example(written):
    with pytest.raises(SettingsError, match=r"memory: expected a size such as 6GiB or 800MB, got"):
        make_runtime(memory=written)


def tell(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="ascii")


def test_free_memory_is_what_the_system_says(tmp_path):
    tell(tmp_path, "proc/meminfo", "MemTotal: 999 kB\nMemAvailable:  5000 kB\n")
    assert free_bytes(CPU, tmp_path) == 5000 * 1024


def test_a_system_that_does_not_tell_sets_no_limit(tmp_path):
    assert free_bytes(CPU, tmp_path) is None


@pytest.mark.parametrize(
    ("folder", "limit", "used", "cache"),
    [
        ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
         "total_inactive_file"),
    ],
    ids=["version 2", "version 1"],
)  # fmt: skip
def test_a_container_limits_memory(folder, limit, used, cache, tmp_path):
    tell(tmp_path, "proc/meminfo", "MemAvailable: 5000000 kB\n")
    tell(tmp_path, f"{folder}/{limit}", "3000\n")
    tell(tmp_path, f"{folder}/{used}", "1000\n")
    tell(tmp_path, f"{folder}/memory.stat", f"anon 900\n{cache} 100\n")
    assert free_bytes(CPU, tmp_path) == 2100


def test_a_container_without_a_limit_does_not(tmp_path):
    tell(tmp_path, "proc/meminfo", "MemAvailable: 5000 kB\n")
    tell(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert free_bytes(CPU, tmp_path) == 5000 * 1024


def test_a_picture_that_fits_is_held_whole():
    way = plan_scale(demand(512), 20, 2 * GIB)
    assert (way.tile_px, way.history, way.cache_content) == (None, 20, True)


def test_without_a_budget_every_picture_is_held_whole():
    assert plan_scale(demand(16384), 20, None).tile_px is None


def test_a_larger_picture_goes_in_tiles_and_remembers_in_sixteen_bits():
    way = plan_scale(demand(2048), 20, 4 * GIB)
    assert (way.tile_px, way.history_dtype) == (1024, torch.float16)
    # Two of the four tiles stay in memory, and are not computed twice.
    assert (way.tiles_kept, way.cache_content) == (2, True)
    assert way.peak_bytes <= 4 * GIB < demand(2048).peak_bytes(None, 20, True)


def test_vectors_that_do_not_fit_shorten_the_history():
    way = plan_scale(demand(8192), 20, 8 * GIB)
    assert (way.history, way.history_dtype) == (2, torch.float16)
    assert way.peak_bytes <= 8 * GIB
    assert plan_scale(demand(8192, steps=2), 20, 8 * GIB).history == 20


@settings(deadline=None)
@given(side_px=st.integers(64, 9000), gib=st.floats(0.5, 20), history=st.integers(1, 30))
def test_what_is_chosen_fits_if_anything_does(side_px, gib, history):
    needed = demand(side_px)
    way = plan_scale(needed, history, round(gib * GIB))
    least = plan_scale(needed, history, 1).peak_bytes
    assert way.peak_bytes <= max(round(gib * GIB), least)
    assert way.history <= history


def test_where_nothing_fits_the_least_is_taken():
    way = plan_scale(demand(4096), 20, GIB)
    assert (way.history, way.cache_content) == (1, False)
    assert way.tile_px < 512
    side_px = largest_fitting_px(demand(4096), 20, GIB)
    assert 1500 < side_px < 4096
    assert plan_scale(demand(side_px), 20, GIB).peak_bytes <= GIB
    assert largest_fitting_px(demand(4096), 20, 1) is None


def test_wider_features_take_more():
    wide, narrow = (
        demand(1024, dtype=dtype).peak_bytes(None, 20, True)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 1.4 < wide / narrow < 2


def test_adam_takes_less_than_a_history_of_twenty():
    assert demand(4096, optimiser="adam").peak_bytes(512, 20, True) < demand(4096).peak_bytes(
        512, 20, True
    )


def test_a_painting_is_planned_without_being_painted(monkeypatch):
    known = Rates(forward_flop=1e12, backward_flop=1e12, overhead_s=0.0, vector_s=0.0, in_tiles=1.0)
    measurement = Measurement(known, 0.0, 1.0)
    monkeypatch.setattr(throughput, "measured", lambda *_, **__: measurement)
    job = make_job(
        "style_transfer",
        samples.path("content", "chelsea"),
        samples.path("style", "nocturne"),
        size=4096,
        memory="3GiB",
    )
    first, *_, last = estimate(job).scales
    assert (first.scale_plan.tile_px, last.scale.longest_px) == (None, 4096)
    assert last.scale_plan.tile_px is not None
    assert first.step_s < last.step_s < last.time_s


def test_what_the_process_has_already_is_counted_in_bytes():
    before = held_bytes(CPU)
    # Pages of its own: a tensor may be given what an earlier one has left.
    with mmap.mmap(-1, 2**26) as kept:
        for place in range(0, 2**26, mmap.PAGESIZE):
            kept[place] = 1
        assert held_bytes(CPU) - before > 0.9 * 2**26
    assert before > 50 * 2**20


def test_where_no_one_tells_the_process_holds_nothing(tmp_path):
    assert held_bytes(CPU, tmp_path) == 0


@pytest.mark.parametrize(
    ("memory_bytes", "expected"),
    [(None, 1), (1000, 1), (1111, 1), (1112, 0), (10_000, 0)],
)
def test_holes_are_given_back_where_nearly_all_is_held(memory_bytes, expected, monkeypatch):
    given_back = []
    monkeypatch.setattr(allocator, "held_bytes", lambda device: 1000)
    monkeypatch.setattr(allocator, "trim_heap", given_back.append)
    allocator.trim_if_needed(CPU, memory_bytes)
    assert len(given_back) == expected
