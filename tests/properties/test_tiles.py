"""In tiles as held whole: every term, and its gradient, for whatever the settings can ask."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto import images
from impasto.config.affects import aspects_of
from impasto.config.networks import network_spec
from impasto.config.registry import choices_of
from impasto.config.settings import Settings, make_settings
from impasto.images import samples
from impasto.losses.objective import Objective
from impasto.losses.targets import (
    RegionTarget,
    Targets,
    content_targets,
    style_statistics,
    style_targets,
)
from impasto.losses.tiling import geometry

# Read from the settings, so that a choice or a term that is added to them is tried here too.
CHOICES = {
    name: choices
    for name, field in Settings.model_fields.items()
    if (choices := choices_of(field)) is not None
}
WEIGHTS = [
    name
    for name, field in Settings.model_fields.items()
    if str(field.description).startswith("Weight of") and "weights" in aspects_of(Settings, name)
]
NAMES = [layer.name for layer in network_spec("vgg16").layers]
ANY_LAYERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
OBJECTIVES = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(choices) for name, choices in CHOICES.items()},
        "content_layers": ANY_LAYERS,
        "style_layers": ANY_LAYERS,
    }
)
# Each term alone, and all at once.
WEIGHED = st.sampled_from([*([name] for name in WEIGHTS), WEIGHTS])
SIDES = st.integers(33, 99)
SIZES = st.tuples(SIDES, SIDES)
TILES = st.sampled_from([16, 32, 50, 64])


MASKS = ("none", "hard", "feathered", "covering")


def mask_of(kind, height, width):
    """A mask's weights: half of the picture, a ramp that is black at one end, or all of it."""
    columns = torch.linspace(0, 1, width, dtype=torch.float64).expand(1, 1, height, width)
    return {"hard": (columns > 0.4).double(), "feathered": (2 * columns - 0.5).clamp(0, 1)}.get(
        kind, torch.ones_like(columns)
    )


def evaluate(objective, image):
    objective.refresh(image, 0)
    return objective.evaluate(image)


def evaluations(network, chosen, content, styles, image, tile_px, masked="none"):
    """The objective at ``image``: whole, in tiles, and in tiles with content computed anew."""

    exemplars = network.padded(chosen.padding)  # a painting has borders, even for a texture

    def regions(side_px):
        if masked == "none":
            return {}
        mask = mask_of(masked, *image.shape[-2:])
        under = mask_of("feathered", *styles[-1].shape[-2:])
        found = style_statistics(exemplars, styles[-1], chosen, mask=under, tile_px=side_px)
        return {"regions": (RegionTarget(mask, found),), "rest": 1 - mask}

    grams = style_targets(exemplars, styles, chosen)
    kept, streamed = (
        Targets(
            content_targets(network, content, chosen, tile_px=side_px),
            style_targets(exemplars, styles, chosen, tile_px=side_px),
            **regions(side_px),
        )
        for side_px in (None, tile_px)
    )
    anew = Targets({}, grams, content_image=content, **regions(None))
    return [
        evaluate(Objective(network, targets, chosen, tile_px=side_px, tiles_kept=tiles_kept), image)
        for targets, side_px, tiles_kept in (
            (kept, None, 1),
            (streamed, tile_px, 1),
            (streamed, tile_px, 3),
            (anew, tile_px, 99),
        )
    ]


def check_same(whole, tiled, relative):
    assert list(tiled.terms) == list(whole.terms)
    for name, term in whole.terms.items():
        assert tiled.terms[name].item() == pytest.approx(term.item(), rel=relative, abs=1e-30)
    assert tiled.total.item() == pytest.approx(whole.total.item(), rel=relative)
    difference = (tiled.gradient - whole.gradient).norm() / whole.gradient.norm()
    assert difference < relative


@settings(deadline=None, max_examples=30)
@given(
    options=OBJECTIVES,
    weighed=WEIGHED,
    size=SIZES,
    style_sizes=st.lists(SIZES, min_size=1, max_size=2),
    tile_px=TILES,
    masked=st.sampled_from(MASKS),
)
def test_terms_and_gradient_in_tiles_are_those_of_the_whole(
    options, weighed, size, style_sizes, tile_px, masked, small_network, picture
):
    weights = {name: 100.0 if name in weighed else 0.0 for name in WEIGHTS}
    if not weights["alpha"] and not weights["beta"]:
        weights["alpha"] = 1e-6  # an objective needs a term that looks through the network
    chosen = make_settings(**{**options, **weights})
    network = small_network(chosen.network, pooling=chosen.pooling, padding=chosen.padding)
    styles = [picture(*side, seed=2 + place) for place, side in enumerate(style_sizes)]
    whole, *tiled = evaluations(
        network, chosen, picture(*size, seed=1), styles, picture(*size), tile_px, masked
    )
    for evaluation in tiled:
        check_same(whole, evaluation, 1e-9)


@pytest.mark.real
def test_the_real_network_in_tiles_agrees_to_the_rounding_of_float32(real_network):
    content, style = (
        images.load(samples.path(*name)).pixels
        for name in (("content", "chelsea"), ("style", "nocturne"))
    )
    chosen = make_settings(total_variation=8500)
    content = images.resize(content, 101, 150)
    whole, *tiled = evaluations(
        real_network, chosen, content, [images.resize(style, 90, 110)], content.flip(3), 80
    )
    for evaluation in tiled:
        check_same(whole, evaluation, 1e-5)


@given(height_px=SIDES, width_px=SIDES, tile_px=TILES, name=st.sampled_from(NAMES))
def test_cores_cover_every_feature_once(height_px, width_px, tile_px, name):
    stride_px = network_spec("vgg16").layer(name).stride_px
    whole = torch.zeros(1, 1, height_px // stride_px, width_px // stride_px)
    image = torch.zeros(1, 3, height_px, width_px)
    for tile in geometry([name, "relu1_1"], "vgg16").split(height_px, width_px, tile_px):
        core = tile.core_of_image(whole, stride_px)
        core += 1
        window = tile.window(image)
        maps = torch.zeros(1, 1, window.shape[-2] // stride_px, window.shape[-1] // stride_px)
        assert tile.core(maps, stride_px).shape == core.shape
        assert max(tile.core_px) <= max(tile_px, 2 * stride_px - 1)
    assert whole.eq(1).all()


CELLS = st.integers(1, 3)


@settings(deadline=None, max_examples=12)
@given(
    statistic=st.sampled_from(CHOICES["statistic"]),
    layers=ANY_LAYERS,
    cells=st.tuples(CELLS, CELLS),
    masked=st.sampled_from(MASKS),
    shift=st.tuples(CELLS, CELLS),
)
def test_a_seamless_image_in_tiles_is_the_whole_and_has_no_first_pixel(
    statistic, layers, cells, masked, shift, small_network, picture
):
    chosen = make_settings(
        statistic=statistic, style_layers=layers, content_layers="relu2_2", total_variation=100,
        alpha=1, beta=100, seamless=True,
    )  # fmt: skip
    network = small_network(padding="circular")
    height, width = (32 * count for count in cells)
    image, styles = picture(height, width), [picture(50, 44, seed=2)]
    whole, *tiled = evaluations(
        network, chosen, picture(height, width, seed=1), styles, image, 32, masked
    )
    for evaluation in tiled:
        check_same(whole, evaluation, 1e-9)
    texture = Objective(network, Targets({}, style_targets(network, styles, chosen)), chosen)
    by = tuple(32 * count for count in shift)
    ours = evaluate(texture, torch.roll(image, by, (2, 3)))
    expected = torch.roll(evaluate(texture, image).gradient, by, (2, 3))
    assert (ours.gradient - expected).norm() < 1e-9 * expected.norm()
