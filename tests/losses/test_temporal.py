"""The temporal term: a known value, its slope, and tiles."""

from dataclasses import replace

import pytest
import torch
from tests.losses.slopes import check_slope

from impasto.config.settings import make_settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Held, Targets, content_targets, style_targets

SIZE_PX = (50, 70)


@pytest.fixture
def targets(small_network, picture):
    """Targets with something to be held to; half of the picture is certain."""
    settings = make_settings(content_layers="relu2_2", style_layers="relu1_1,relu2_1")
    network = small_network()
    certainty = (torch.linspace(0, 2, SIZE_PX[1], dtype=torch.float64) - 0.5).clamp(0, 1)
    held = Held(
        picture(*SIZE_PX, seed=4), certainty.expand(1, 1, *SIZE_PX).contiguous(), weight=300.0
    )
    return Targets(
        content_targets(network, picture(*SIZE_PX, seed=5), settings),
        style_targets(network, [picture(40, 44, seed=6)], settings),
        held=held,
    )


@pytest.fixture
def objective_of(small_network):
    def make(targets, **options):
        settings = make_settings(content_layers="relu2_2", style_layers="relu1_1,relu2_1")
        return Objective(small_network(), targets, settings, **options)

    return make


def test_the_value_is_the_weighted_mean_of_the_squared_difference(targets, objective_of, picture):
    image = picture(*SIZE_PX, seed=8)
    held = targets.held
    mean = (held.certainty * (image - held.image) ** 2).mean()
    found = objective_of(targets).evaluate(image).terms["temporal"]
    assert found.item() == pytest.approx(300 * mean.item())


def test_it_is_zero_at_what_it_is_held_to(targets, objective_of):
    assert objective_of(targets).evaluate(targets.held.image).terms["temporal"].item() == 0


def test_where_nothing_is_certain_nothing_is_held(targets, objective_of, picture):
    free = replace(targets, held=replace(targets.held, certainty=torch.zeros(1, 1, *SIZE_PX)))
    image = picture(*SIZE_PX, seed=8)
    found, without = (objective_of(one).evaluate(image) for one in (free, replace(free, held=None)))
    assert found.terms["temporal"].item() == 0
    assert torch.equal(found.gradient, without.gradient)
    assert "temporal" not in without.terms


def test_its_gradient_is_its_slope(targets, objective_of, picture):
    objective = objective_of(targets)
    image = picture(*SIZE_PX, seed=8)
    check_slope(objective, image, objective.evaluate(image))


@pytest.mark.parametrize("tile_px", [16, 32])
def test_tiles_are_as_the_whole(targets, objective_of, picture, tile_px):
    image = picture(*SIZE_PX, seed=8)
    whole = objective_of(targets).evaluate(image)
    tiled = objective_of(targets, tile_px=tile_px).evaluate(image)
    assert tiled.terms["temporal"].item() == pytest.approx(whole.terms["temporal"].item())
    torch.testing.assert_close(tiled.gradient, whole.gradient)
