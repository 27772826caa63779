"""Strength: the same number means the same balance, whatever is painted and how."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impasto import api, images
from impasto.config.settings import Settings
from impasto.engine import inputs
from impasto.engine import strength as strength_module
from impasto.engine.cache import Cache
from impasto.engine.painting import iterate
from impasto.engine.strength import Calibration, measure, resolve
from impasto.errors import SettingsError
from impasto.job import recipe

pytestmark = pytest.mark.heavy

# Norms of the two gradients, and the structure lost at falling ratios of content to style.
PAIR = Calibration(content=3.0, style=0.2, lost=(0.03, 0.07, 0.1))
LAYERS = {"style_layers": "relu1_1,relu3_1", "content_layers": "relu2_2"}


@pytest.fixture
def job(picture, weights_file):
    """``job(**options)``: a photograph and a painting, small."""

    def make(mode="style_transfer", style=2, **options):
        photograph = picture(48, 40, seed=1, dtype=torch.float32)
        painting = picture(44, 52, seed=style, dtype=torch.float32)
        made = {**LAYERS, "size": 40, "coarsest": 28, "iterations": 3, **options}
        content = photograph if mode != "style" else None
        styles = [painting] if mode != "content" else []
        return api.make_job(
            mode, content, styles, weights=str(weights_file), precision="fp32", threads=1, **made
        )

    return make


@pytest.fixture
def measured(small_network, job):
    """``measured(**options)``: the balance of that job."""

    def call(**options):
        net = small_network(dtype=torch.float32, padding="replicate")
        return measure(inputs.read(job(**options)), net, Cache())

    return call


def test_the_balance_is_measured_once_for_a_pair(small_network, job, monkeypatch):
    net, cache = small_network(dtype=torch.float32, padding="replicate"), Cache()
    one = measure(inputs.read(job(strength=0.2, size=140)), net, cache)
    monkeypatch.delattr(strength_module, "Objective")
    assert measure(inputs.read(job(strength=0.8, size=150)), net, cache) is one
    with pytest.raises(NameError):
        measure(inputs.read(job(style=3)), net, cache)


structures = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(tuple)


@given(structures, st.tuples(st.floats(1e-6, 1), st.floats(1e-6, 1)))
def test_more_strength_is_less_content_and_no_less_style(lost, strengths):
    pair = Calibration(3.0, 0.2, lost)
    (weaker, beta), (stronger, same) = (pair.weights(strength) for strength in sorted(strengths))
    assert 0 <= stronger <= weaker < float("inf")
    assert beta == same == 5e4
    assert pair.weights(1.0)[0] == 0


@given(structures, st.floats(0.051, 0.999))
def test_a_little_more_strength_is_a_little_less_content(lost, strength):
    pair = Calibration(3.0, 0.2, lost)
    (before, _), (after, _) = pair.weights(strength), pair.weights(strength + 1e-7)
    assert after == pytest.approx(before, rel=1e-2)


def test_the_weights_undo_the_sizes_of_the_gradients():
    alpha, beta = PAIR.weights(0.4)
    other_alpha, other_beta = replace(PAIR, content=6.0, style=0.05).weights(0.4)
    assert alpha * 3.0 / (beta * 0.2) == pytest.approx(other_alpha * 6.0 / (other_beta * 0.05))
    assert alpha * 3.0 / (beta * 0.2) == pytest.approx(PAIR.ratio(0.4))


def test_a_pair_that_loses_more_structure_gets_more_content():
    # At a strength of 0.058 / 0.116 the middle try loses just what it should: its ratio is 0.3,
    # and 1.4 times as far from the typical 0.13.
    typical = replace(PAIR, lost=(0.03, 0.058, 0.1))
    assert typical.ratio(0.5) == pytest.approx(0.13 * (0.3 / 0.13) ** 1.4)
    crackle = replace(PAIR, lost=(0.045, 0.1, 0.15))
    assert PAIR.ratio(0.4) < crackle.ratio(0.4) < 10


def test_less_content_loses_more_structure(small_network, job):
    net = small_network(dtype=torch.float32, padding="replicate")
    pairs = [measure(inputs.read(job(style=style, size=140)), net, Cache()) for style in (2, 3)]
    for pair in pairs:
        assert 0 < pair.lost[0] < pair.lost[1] < pair.lost[2]
    assert pairs[0].lost != pairs[1].lost


def test_the_balance_is_the_same_for_every_size_optimiser_and_seed(measured):
    one = measured(size=128)
    assert measured(size=160) == one
    many = {"optimiser": "adam", "seed": 9, "history": 20, "iterations": 50, "margin": 0.0}
    assert measured(size=140, **many) == one
    assert measured(size=128, strength=0.9) == one
    # A smaller painting is measured at its own size, which is quicker.
    assert measured(size=48) != one


def test_the_balance_follows_the_pictures_and_the_layers(measured):
    one = measured()
    other = measured(style=3)
    assert other.style != pytest.approx(one.style, rel=1e-3)
    assert measured(content_layers="relu3_1").content != one.content


def test_strength_gives_way_to_the_formula_s_weights(job):
    given = inputs.read(job(alpha=2.0)).settings
    assert (given.strength, given.alpha, given.beta) == (None, 2.0, 5e4)
    assert resolve(given) is given
    paper = inputs.read(job(normalisation="paper")).settings
    assert (paper.strength, paper.alpha, paper.beta) == (None, 1.0, 5e4)
    assert inputs.read(job()).settings.strength == 0.5


@pytest.mark.parametrize("mode", ["content", "style"])
def test_strength_is_for_a_photograph_and_a_painting(job, mode):
    with pytest.raises(SettingsError, match=f"strength: expected none in {mode} mode"):
        inputs.read(job(mode, strength=0.5))


def test_no_strength_is_the_photograph_and_nothing_else(job):
    made = job(strength=0.0, start="noise", size=44)
    result = api.paint(made)
    photograph = images.load(made.content_image).pixels
    assert torch.equal(result.pixels, images.resize(photograph, 44, 37).clamp(0, 1))
    assert len(result.history) == 0


def test_what_was_decided_stands_in_the_recipe_and_is_obeyed(job, monkeypatch):
    first = api.paint(job(strength=0.7))
    decided = recipe.parse(first.recipe.text(), "it").decisions
    assert decided.alpha > 0 < decided.beta
    assert first.recipe.settings.strength == 0.7
    assert first.recipe.settings.alpha is None
    monkeypatch.delattr(strength_module, "measure")
    again = replace(job(strength=0.7), decisions=decided)
    assert torch.equal(api.paint(again).pixels, first.pixels)


def test_full_strength_leaves_the_photograph_out_and_needs_no_measurement(job, monkeypatch):
    monkeypatch.delattr(strength_module, "measure")
    result = api.paint(job(strength=1.0))
    assert not [name for name in result.history[-1] if name.startswith("content")]
    assert result.recipe.decisions.alpha == 0


def test_of_a_weak_style_the_photograph_s_colours_remain_in_the_start(job):
    assert inputs.read(job(strength=0.8)).starts == {"matched": 1.0}
    assert inputs.read(job(strength=0.125)).starts == {"matched": 0.25, "content": 0.75}
    assert inputs.read(job(strength=0.1, start="noise")).starts == {"noise": 1.0}


def test_settings_that_balance_nothing_stay_as_they_are():
    settings = Settings(alpha=1.0, beta=2.0)
    assert resolve(settings, PAIR) is settings


def distance(job, result):
    photograph = images.load(job.content_image).pixels
    photograph = images.resize(photograph, *result.pixels.shape[-2:])
    return (result.pixels - photograph).square().mean().sqrt().item()


def test_strength_is_continuous_down_to_the_photograph(job):
    strengths = (0.2, 0.05, 0.0499, 0.02, 0.005, 0.001, 1e-4, 1e-6, 1e-300, 0.0)
    jobs = [job(strength=strength) for strength in strengths]
    found = [distance(made, api.paint(made)) for made in jobs]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(found[1], rel=0.01)
    # A thin layer of the weakest painting: as much thinner as the strength is smaller.
    for strength, far in zip(strengths[3:7], found[3:7], strict=True):
        assert far == pytest.approx(found[1] * strength / 0.05, rel=0.01)
    assert found[-2:] == [0, 0]


def test_a_strength_that_is_painted_covers_the_photograph(job):
    result = api.paint(job(strength=0.05))
    assert result.recipe.decisions.opacity is None
    assert PAIR.weights(0.05) == PAIR.weights(0.001)


def test_a_thin_layer_is_laid_at_every_step_and_by_every_replay(job):
    made = job(strength=0.01)
    painting = iterate(made)
    step = next(painting)
    assert distance(made, step.result()) < 0.01
    result = api.paint(made)
    decided = recipe.parse(result.recipe.text(), "it").decisions
    assert decided.opacity == pytest.approx(0.2)
    again = replace(made, decisions=decided)
    assert torch.equal(api.paint(again).pixels, result.pixels)


def test_a_recipe_from_before_there_were_thin_layers_is_obeyed(job):
    made = job(strength=0.01)
    decided = api.paint(made).recipe.decisions
    before = decided.model_copy(update={"opacity": None})
    assert distance(made, api.paint(replace(made, decisions=before))) > 0.01
    assert "opacity" not in before.model_dump(exclude_none=True)


def test_a_change_of_strength_on_the_way_lays_thinner(job):
    made = job(strength=0.5, iterations=6)
    painting = iterate(made)
    next(painting)
    thin = painting.send({"strength": 1e-9}).result()
    assert distance(made, thin) < 1e-6
    assert thin.recipe.decisions.changes[-1].opacity == pytest.approx(2e-8)
    assert distance(made, painting.send({"strength": 0.5}).result()) > 0.01
