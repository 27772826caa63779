"""Bradley and Terry's ranking: known answers."""

import math
import random

import pytest

from impasto.metrics.preference import bradley_terry


def test_two_names_have_the_odds_of_their_wins():
    strengths = bradley_terry(["a", "b"], {("a", "b"): 300, ("b", "a"): 100}, prior=1e-6)
    assert strengths["a"] / strengths["b"] == pytest.approx(3, rel=1e-3)
    assert strengths["a"] * strengths["b"] == pytest.approx(1)


def test_strengths_that_made_the_choices_are_found_again():
    true, chance = {"a": 4.0, "b": 1.0, "c": 0.25}, random.Random(1)
    wins = dict.fromkeys([(x, y) for x in true for y in true if x != y], 0.0)
    for _ in range(6000):
        x, y = chance.sample(list(true), 2)
        first = chance.random() < true[x] / (true[x] + true[y])
        wins[(x, y) if first else (y, x)] += 1
    strengths = bradley_terry(list(true), wins)
    for name, strength in true.items():
        assert strengths[name] == pytest.approx(strength, rel=0.15)


def test_names_that_never_met_are_ranked_over_a_third():
    strengths = bradley_terry(["a", "b", "c"], {("a", "b"): 5, ("b", "c"): 5})
    assert strengths["a"] > strengths["b"] > strengths["c"]


def test_always_winning_is_finite_and_nothing_chosen_is_even():
    strengths = bradley_terry(["a", "b"], {("a", "b"): 50})
    assert math.isfinite(strengths["a"])
    assert strengths["a"] > 10 * strengths["b"]
    assert bradley_terry(["a", "b"], {}) == pytest.approx({"a": 1, "b": 1})
    assert bradley_terry([], {}) == {}
