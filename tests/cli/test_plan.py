"""``impasto plan``: sizes, tiles and memory, and nothing painted."""

import json

import pytest

from impasto.planning import throughput
from impasto.planning.throughput import Rates


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch):
    """A machine whose speed is known: a teraflop forward, half of one back."""
    known = Rates(
        forward_flop=1e12, backward_flop=5e11, overhead_s=0.01, vector_s=1e-8, in_tiles=1.0
    )
    monkeypatch.setattr(throughput, "measure", lambda plan, settings: known)


def rows_of(outcome):
    assert (outcome.code, outcome.err) == (0, "")
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
    assert "whole" in outcome.out
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


def test_where_nothing_fits_a_smaller_size_is_named(folder, impasto):
    words = ("plan", "transfer", "photograph.png", "painting.png", "--size", "4096")
    printed = " ".join(impasto(*words, "--memory", "1GiB").out.split())
    assert "GiB at least, and 1.0 GiB are allowed; " in printed
    assert "% of the size would fit" in printed
    *_, message = impasto(*words, "--memory", "1MiB", "--json").out.splitlines()
    assert json.loads(message)["text"].endswith("are allowed; free some memory")


def test_each_mode_has_a_plan(folder, impasto):
    for words in (("content", "photograph.png"), ("style", "painting.png")):
        (row,) = rows_of(impasto("plan", *words, "--size", "128", "--json"))
        assert row["tile_px"] is None
        assert row["peak_bytes"] > 0


def test_a_size_of_memory_that_is_none_is_refused(folder, impasto):
    outcome = impasto("plan", "style", "painting.png", "--memory", "plenty")
    assert outcome.code == 2
    assert "memory: expected a size such as 6GiB or 800MB, got 'plenty'" in outcome.err
