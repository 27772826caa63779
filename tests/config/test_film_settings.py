"""Options of a film: bounds, and parts in seconds."""

from fractions import Fraction

import pytest

from impasto.config.affects import aspects_of
from impasto.config.film_settings import FilmSettings
from impasto.config.validation import check
from impasto.errors import SettingsError


@pytest.mark.parametrize(
    ("words", "start", "stop"),
    [
        ("2s..5s", 2, 5),
        ("0.4s..0.52s", Fraction(2, 5), Fraction(13, 25)),
        ("10s..", 10, None),
        ("..3s", 0, 3),
        (None, 0, None),
    ],
)
def test_a_part_is_in_exact_seconds(words, start, stop):
    assert FilmSettings(range=words).range_s == (start, stop)


@pytest.mark.parametrize("words", ["", "..", "2..5", "5s", "5s..2s", "2s..2s", "-1s..2s", "2s-5s"])
def test_other_parts_are_refused(words):
    with pytest.raises(SettingsError, match="range: expected"):
        check(FilmSettings, {"range": words})


@pytest.mark.parametrize(
    ("name", "value"), [("temporal", -0.1), ("temporal", 1.1), ("every", 0), ("fps", 0)]
)
def test_bounds(name, value):
    with pytest.raises(SettingsError, match=name):
        check(FilmSettings, {name: value})


def test_every_option_says_what_it_affects():
    assert all(aspects_of(FilmSettings, name) for name in FilmSettings.model_fields)
