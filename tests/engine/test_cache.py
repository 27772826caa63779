"""What is remembered from one painting to the next, and what is not."""

from functools import partial

import pytest
import torch

from impasto import api, models
from impasto.config.settings import Settings
from impasto.engine import scale_setup
from impasto.engine.cache import Cache
from impasto.engine.warm import WarmEngine

pytestmark = pytest.mark.heavy


@pytest.fixture
def made(monkeypatch):
    """Names of what was computed, not recalled, in order."""
    calls = []

    def counted(module, name):
        function = getattr(module, name)

        def call(*arguments, **named):
            calls.append(name)
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    counted(models, "load")
    counted(scale_setup, "style_targets")
    return calls


@pytest.fixture
def paint(weights_file, picture):
    """``paint(cache, **options)``: two sizes, two iterations."""

    def call(cache, *, style=2, content=1, **options):
        job = api.make_job(
            "style_transfer",
            picture(48, 40, seed=content, dtype=torch.float32),
            picture(44, 52, seed=style, dtype=torch.float32),
            **{
                "weights": str(weights_file),
                "size": 40,
                "coarsest": 28,
                "iterations": 2,
                "style_layers": "relu1_1,relu3_1",
                "content_layers": "relu2_2",
                "precision": "fp32",
                "alpha": 1.0,
                "threads": torch.get_num_threads(),
                **options,
            },
        )
        return WarmEngine(lambda: cache or Cache()).paint(job)

    return call


def test_the_second_of_two_jobs_loads_and_measures_nothing_and_paints_the_same(paint, made):
    cache = Cache()
    first, second, alone = paint(cache), paint(cache), paint(None)
    assert made == ["load", "style_targets", "style_targets"] * 2
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.pixels, alone.pixels)
    assert first.recipe == second.recipe == alone.recipe


@pytest.mark.parametrize(
    "option",
    [
        {"beta": 100},
        {"seed": 5},
        {"content": 3},
        {"optimiser": "adam"},
        {"start": "noise"},
        {"style_scale": (1.0,)},
        {"colour": "keep"},
        {"style_layers": {"relu1_1": 3.0, "relu3_1": 1.0}},
    ],
)
def test_what_leaves_the_style_alone_lets_it_be_reused(paint, made, option):
    cache = Cache()
    paint(cache)
    made.clear()
    paint(cache, **option)
    assert made == []


@pytest.mark.parametrize(
    "option",
    [
        {"style": 3},
        {"style_layers": "relu1_1"},
        {"statistic": "moments"},
        {"colour": "match"},
        {"style_scale": (0.8,)},
    ],
)
def test_another_style_is_measured(paint, made, option):
    cache = Cache()
    paint(cache)
    made.clear()
    paint(cache, **option)
    assert made == ["style_targets", "style_targets"]


def test_another_way_through_the_network_is_another_network(paint, made):
    cache = Cache()
    paint(cache)
    made.clear()
    paint(cache, pooling="average")
    assert made == ["load", "style_targets", "style_targets"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ((1, 2), (2, 1)),
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, 1), torch.zeros(1, 2)),
        ([torch.zeros(2)], [torch.zeros(2), torch.zeros(2)]),
        ({"a": 1}, {"b": 1}),
        (Settings(), Settings(size=99)),
        (object(), object()),
    ],
)
def test_whatever_differs_is_made_anew(one, other):
    cache, made = Cache(), []
    for place, made_from in enumerate((one, other, one)):
        cache.get_or_compute("style", [made_from], partial(made.append, place))
    assert made == [0, 1]


def test_the_longest_unused_is_forgotten():
    cache, calls = Cache(), []
    for number in (0, 1, 0, 2, 0, 1):
        cache.get_or_compute("network", [number], partial(calls.append, number))
    assert calls == [0, 1, 2, 1]


def test_what_fails_is_tried_again():
    cache = Cache()
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute("network", [], lambda: 1 / 0)
    assert cache.get_or_compute("network", [], lambda: 7) == 7
