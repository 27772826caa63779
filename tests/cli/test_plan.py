"""``impasto plan``: sizes, tiles and memory, and nothing painted."""

import itertools
import json
import time
from dataclasses import replace

import pytest
from tests.conftest import paint_picture

from impasto.planning import throughput
from impasto.planning.throughput import Measurement, Rates


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch):
    """A machine whose speed is known: a teraflop forward, half of one back."""
    known = Rates(
        forward_flop=1e12, backward_flop=5e11, overhead_s=0.01, vector_s=1e-8, in_tiles=1.0
    )
    monkeypatch.setattr(
        throughput, "measure", lambda plan, settings: Measurement(known, time.time(), 0.95)
    )


def rows_of(outcome, code=0):
    assert (outcome.code, outcome.err) == (code, "")
    *rows, total = [json.loads(line) for line in outcome.out.splitlines()]
    assert total["time_s"] == pytest.approx(sum(row["time_s"] for row in rows))
    assert total["peak_bytes"] == max(row["peak_bytes"] for row in rows)
    return rows


def test_a_plan_names_each_size_and_paints_nothing(folder, impasto):
    before = sorted(folder.glob("*.*"))
    outcome = impasto("plan", "transfer", "photograph.png", "painting.png", "--size", "256")
    assert outcome.code == 0
    assert "128 x 96" in outcome.out
    assert "256 x 192" in outcome.out
    assert "none" in outcome.out
    assert "GiB" in outcome.out
    assert sorted(folder.glob("*.*")) == before


def test_a_budget_asks_for_tiles(folder, impasto):
    words = ("plan", "transfer", "photograph.png", "painting.png", "--size", "4096", "--json")
    generous = rows_of(impasto(*words, "--memory", "1TiB"))
    scarce = rows_of(impasto(*words, "--memory", "3GiB"))
    assert [row["width_px"] for row in scarce] == [row["width_px"] for row in generous]
    assert {row["tile_px"] for row in generous} == {None}
    assert scarce[0]["tile_px"] is None
    assert scarce[-1]["tile_px"] < 4096
    assert scarce[-1]["history"] < generous[-1]["history"]
    assert (scarce[-1]["history_bits"], generous[-1]["history_bits"]) == (16, 32)
    assert scarce[-1]["peak_bytes"] <= 3 * 2**30 < generous[-1]["peak_bytes"]
    assert scarce[-1]["step_s"] > generous[-1]["step_s"] > 10


def test_where_nothing_fits_a_smaller_size_is_named_and_the_exit_code_is_1(folder, impasto):
    words = ("plan", "transfer", "photograph.png", "painting.png", "--size", "4096")
    outcome = impasto(*words, "--memory", "1GiB")
    printed = " ".join(outcome.out.split())
    assert "GiB at least, and 1.0 GiB are allowed; " in printed
    assert "% of the size would fit" in printed
    assert (outcome.code, outcome.err) == (1, "")
    outcome = impasto(*words, "--memory", "1MiB", "--json")
    *_, message = outcome.out.splitlines()
    assert json.loads(message)["text"].endswith("are allowed; free some memory")
    assert outcome.code == 1


def test_a_plan_says_how_old_its_measurement_is_and_measures_again_when_asked(
    folder, impasto, monkeypatch
):
    words = ("plan", "style", "painting.png", "--size", "128")
    assert "measured just now; --measure-again" in impasto(*words).out
    now_s = time.time()
    monkeypatch.setattr(throughput.time, "time", lambda: now_s + 3.5 * 86400)
    monkeypatch.setattr(throughput, "measure", None)
    assert "measured 3 days ago; --measure-again" in impasto(*words).out
    *_, total = impasto(*words, "--json").out.splitlines()
    total = json.loads(total)
    assert total["measured_s_ago"] == pytest.approx(3.5 * 86400, abs=60)
    assert total["measured_while_busy"] is False
    (file,) = (folder / "cache").glob("*.json")
    (entry,) = json.loads(file.read_text()).values()
    busy = replace(throughput._parse(entry), processor_share=0.25, measured_at=now_s)
    monkeypatch.setattr(throughput, "measure", lambda plan, settings: busy)
    printed = " ".join(impasto(*words, "--measure-again").out.split())
    assert "while other programs used the processor (the steps got 25% of it)" in printed
    assert json.loads(file.read_text()).popitem()[1]["processor_share"] == 0.25


def test_style_scale_changes_time_and_memory(folder, impasto):
    paint_picture(2200, 2200, seed=2).save(folder / "painting.png")
    words = ("plan", "transfer", "photograph.png", "painting.png", "--size", "512", "--json",
             "--precision", "fp32")  # fmt: skip
    plans = [
        rows_of(impasto(*words, "--style-scale", scale, "--memory", "1TiB"))[-1]
        for scale in ("0.25", "1", "4")
    ]
    for less, more in itertools.pairwise(plans):
        assert less["targets_s"] < more["targets_s"]
        assert less["time_s"] < more["time_s"]
        assert less["targets_bytes"] < more["targets_bytes"]
        assert less["step_s"] == more["step_s"]
    # The network sees 16 times as many pixels, and the halos of tiles besides.
    small_s, same_s, large_s = (plan["targets_s"] for plan in plans)
    assert 16 < (large_s - small_s) / (same_s - small_s) < 40
    # Where the canvas is small and the steps are few, the style pictures decide the memory.
    words = [*words, "--size", "256", "--coarsest", "256", "--iterations", "2"]
    (small,) = rows_of(impasto(*words, "--style-scale", "1"))
    (large,) = rows_of(impasto(*words, "--style-scale", "4"))
    assert large["peak_bytes"] == large["targets_bytes"] > small["peak_bytes"]


def test_regions_and_several_paintings_are_counted_too(folder, impasto):
    paint_picture(72, 96, seed=5).convert("L").save(folder / "mask.png")
    words = ("plan", "transfer", "photograph.png", "painting.png")
    one = rows_of(impasto(*words, "--json"))[-1]
    two = rows_of(impasto(*words, "other.png", "--json"))[-1]
    region = rows_of(impasto(*words, "--region", "mask.png:other.png", "--json"))[-1]
    assert one["targets_s"] < two["targets_s"] == region["targets_s"]


def test_each_mode_has_a_plan(folder, impasto):
    for words in (("content", "photograph.png"), ("style", "painting.png")):
        (row,) = rows_of(impasto("plan", *words, "--size", "128", "--json"))
        assert row["tile_px"] is None
        assert row["peak_bytes"] > 0


def test_a_size_of_memory_that_is_none_is_refused(folder, impasto):
    outcome = impasto("plan", "style", "painting.png", "--memory", "plenty")
    assert outcome.code == 2
    assert "memory: expected a size such as 6GiB or 800MB, got 'plenty'" in outcome.err
