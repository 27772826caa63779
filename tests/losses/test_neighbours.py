"""Nearest neighbours: known answers, the gradient, parts of a picture, and the state."""

from dataclasses import replace

import pytest
import torch
from tests.losses.slopes import check_slope

from impasto.config.settings import make_settings
from impasto.losses.neighbours import EVERY, cosine_distance, nearest
from impasto.losses.objective import Objective
from impasto.losses.targets import (
    RegionTarget,
    Targets,
    content_targets,
    style_statistics,
    style_targets,
)

OPTIONS = {
    "statistic": "neighbours", "style_layers": "relu1_1=2,relu2_1,relu3_1", "alpha": 0,
    "beta": 100.0, "total_variation": 0,
}  # fmt: skip


def objective_of(network, styles, *, content=None, regions=(), rest=None, tile_px=None, **options):
    settings = make_settings(**{**OPTIONS, **options})
    targets = Targets(
        {} if content is None else content_targets(network, content, settings),
        style_targets(network, styles, settings),
        regions=tuple(regions),
        rest=rest,
    )
    return Objective(network, targets, settings, tile_px=tile_px)


def renewed(objective, image):
    assert objective.refresh(image, 0)
    return objective.evaluate(image)


def test_a_picture_that_equals_its_painting_has_no_loss(small_network, picture):
    image = picture(24, 32)
    values = renewed(objective_of(small_network(), [image]), image).values()
    assert [*values] == ["style:relu1_1", "style:relu2_1", "style:relu3_1", "total"]
    assert values["total"] == pytest.approx(0, abs=1e-11)


def test_a_painting_whose_places_are_exchanged_has_no_loss_and_no_slope(small_network, picture):
    network, painting = small_network(padding="circular"), picture(32, 64)
    objective = objective_of(network, [painting])
    evaluation = renewed(objective, torch.roll(painting, (8, 20), (2, 3)))
    assert evaluation.total.item() == pytest.approx(0, abs=1e-11)
    # Not by what is known of this one alone.
    other = renewed(objective, picture(32, 64, seed=4))
    assert other.total.item() > 1
    assert other.gradient.norm() > 1e6 * evaluation.gradient.norm()


def test_the_loss_is_the_mean_cosine_distance_to_the_nearest(small_network, picture):
    network, image, painting = small_network(), picture(16, 20), picture(20, 12, seed=2)
    values = renewed(objective_of(network, [painting]), image).values()
    for name, share in (("relu1_1", 0.5), ("relu2_1", 0.25), ("relu3_1", 0.25)):
        own, other = (
            network.features(shown, [name])[name][0].flatten(1).t() for shown in (image, painting)
        )
        own, other = own - own.mean(0), other - other.mean(0)
        cosines = own @ other.t() / own.norm(dim=1)[:, None] / other.norm(dim=1)
        expected = 4 * 100 * share * (1 - cosines.amax(1)).mean().item()
        assert values[f"style:{name}"] == pytest.approx(expected, rel=1e-9)


def test_the_loss_forgets_the_mean_and_the_contrast(small_network):
    # Of features themselves: 3 F + 5 is as near to a painting as F.
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 4, 5, 6, dtype=torch.float64, generator=generator)
    candidates = torch.nn.functional.normalize(features[0].flatten(1).t()[:7], dim=1)

    def distance(maps):
        mean = maps.mean((0, 2, 3))
        matches = nearest(maps, mean, candidates, None)
        return cosine_distance(maps, mean, candidates, matches.view(5, 6))

    torch.testing.assert_close(distance(3 * features + 5), distance(features))


@pytest.mark.parametrize("weighed", [False, True])
def test_the_gradient_on_the_features_is_the_slope(weighed):
    generator = torch.Generator().manual_seed(0)
    features, candidates, weights = (
        torch.randn(*shape, dtype=torch.float64, generator=generator)
        for shape in ((1, 3, 4, 5), (6, 3), (20,))
    )
    candidates = torch.nn.functional.normalize(candidates, dim=1)
    mean = features.mean((0, 2, 3))
    masses = weights.abs() if weighed else None
    matches = nearest(features, mean, candidates, masses).view(4, 5)

    def distance(maps):
        return cosine_distance(maps, mean, candidates, matches, masses)

    assert torch.autograd.gradcheck(distance, (features.requires_grad_(),))


def test_the_gradient_is_the_slope_between_two_renewals(small_network, picture):
    objective = objective_of(
        small_network(padding="replicate"),
        [picture(21, 14, seed=6), picture(16, 25, seed=7)],
        content=picture(13, 18, seed=5),
        alpha=1.0,
        total_variation=3.0,
        content_layers="relu2_2",
    )
    image = picture(13, 18, seed=8)
    renewed(objective, image)
    # Elsewhere than where the matches were found.
    image = image + 0.01 * picture(13, 18, seed=9)
    check_slope(objective, image, objective.evaluate(image))


def test_a_position_like_the_mean_has_no_slope(small_network, picture):
    network = small_network(padding="circular")
    image = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    evaluation = renewed(objective_of(network, [picture(16, 16)]), image)
    assert evaluation.gradient.isfinite().all()
    assert evaluation.gradient.abs().max() < 1e6


def test_nothing_is_searched_for_where_nothing_counts():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 2, 4, dtype=torch.float64, generator=generator)
    candidates = torch.nn.functional.normalize(features[0].flatten(1).t(), dim=1)
    weights = torch.tensor([0, 1, 1, 0, 0.5, 0, 0, 1], dtype=torch.float64)
    found = nearest(features, torch.zeros(3, dtype=torch.float64), candidates, weights)
    assert found.tolist() == [0, 1, 2, 0, 4, 0, 0, 7]


def test_each_region_is_matched_within_its_own_painting(small_network, picture):
    # Each half is a texture that fits itself; together they have a border of their own.
    network, settings = small_network(), make_settings(**{**OPTIONS, "style_layers": "relu1_1"})
    image = picture(16, 32)
    mask = torch.zeros(1, 1, 16, 32, dtype=torch.float64)
    mask[..., :16] = 1
    left, right = (
        style_statistics(network, image, settings, mask=part) for part in (mask, 1 - mask)
    )

    def total(own, rest):
        targets = Targets({}, rest, regions=(RegionTarget(mask, own),), rest=1 - mask)
        return renewed(Objective(network, targets, settings), image).values()

    assert total(left, right)["total"] == pytest.approx(0, abs=1e-11)
    exchanged = total(right, left)
    assert [*exchanged] == ["style:relu1_1", "style:relu1_1:region1", "total"]
    assert min(exchanged.values()) > 1
    # A region pulls on its own pixels, and on those that its features see.
    alone = Targets({}, {}, regions=(RegionTarget(mask, right),), rest=1 - mask)
    gradient = renewed(Objective(network, alone, settings), image).gradient
    assert gradient[..., :16].abs().amax() > 0 == gradient[..., 17:].abs().max()


def test_matches_are_renewed_every_few_steps_and_where_there_are_none(small_network, picture):
    image = picture(16, 20)
    objective = objective_of(small_network(), [picture(20, 12, seed=2)])
    renewals = [step for step in range(3, 20) if objective.refresh(image, step)]
    assert renewals == [3, EVERY, 2 * EVERY]
    assert objective.renewed_every == EVERY
    unweighed = objective_of(
        small_network(), [picture(20, 12)], content=image, alpha=1, beta=0, content_layers="relu1_1"
    )
    assert not unweighed.refresh(image, 0)


def test_an_objective_goes_on_from_its_state(small_network, picture):
    network, styles, image = small_network(), [picture(20, 12, seed=2)], picture(16, 20)
    objective = objective_of(network, styles)
    assert objective.state_dict() == {}
    renewed(objective, image)
    moved = image + 0.2 * picture(16, 20, seed=3)
    state = objective.state_dict()
    again = objective_of(network, styles)
    again.load_state_dict(state, (16, 20))
    assert not again.refresh(moved, EVERY + 1)
    assert again.evaluate(moved).gradient.equal(objective.evaluate(moved).gradient)
    fresh = objective_of(network, styles)
    assert not renewed(fresh, moved).total.equal(objective.evaluate(moved).total)


def with_entry(state, name, change):
    return {**state, name: change(state[name])}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: {}, None),
        (lambda state: {**state, "1.other": torch.zeros(2)}, "other: unknown"),
        (lambda state: {k: v for k, v in state.items() if "mean:relu2" not in k}, "relu2_1"),
        (lambda state: with_entry(state, "1.matches:relu2_1", lambda m: m[1:]), "expected matches"),
        (lambda state: with_entry(state, "1.matches:relu2_1", torch.Tensor.long), "int32"),
        (lambda state: with_entry(state, "1.matches:relu2_1", lambda m: m + 60), "below 60"),
        (lambda state: with_entry(state, "1.matches:relu2_1", lambda m: m - 60), "below 60"),
        (lambda state: with_entry(state, "1.mean:relu2_1", lambda m: m[1:]), "5 numbers"),
        (lambda state: with_entry(state, "1.mean:relu2_1", torch.Tensor.float), "numbers"),
    ],
)
def test_a_state_of_another_painting_is_refused(change, told, small_network, picture):
    network, styles = small_network(), [picture(20, 12, seed=2)]
    objective = objective_of(network, styles)
    renewed(objective, picture(16, 20))
    state = change(objective.state_dict())
    again = objective_of(network, styles)
    if told is None:
        again.load_state_dict(state, (16, 20))
        return
    with pytest.raises(ValueError, match=told):
        again.load_state_dict(state, (16, 20))


def test_evaluating_before_there_are_matches_is_an_error(small_network, picture):
    objective = objective_of(small_network(), [picture(20, 12)])
    with pytest.raises(RuntimeError, match="refresh the objective"):
        objective.evaluate(picture(16, 20))


def test_the_layers_are_the_statistics_own_unless_they_are_named():
    settings = make_settings(statistic="neighbours")
    assert settings.layers_of_style == {"relu2_1": 4.0, "relu3_1": 2.0, "relu4_1": 1.0}
    assert make_settings(settings, statistic="gram") == make_settings(statistic="gram")
    named = make_settings(statistic="neighbours", style_layers="relu1_1")
    assert named.layers_of_style == {"relu1_1": 1.0}
    assert make_settings(named, statistic="gram").layers_of_style == {"relu1_1": 1.0}


def test_bfloat16_is_near_to_float32(small_network, picture):
    image, styles = picture(48, 40).float(), [picture(40, 44, seed=2).float()]
    wide, narrow = (
        renewed(objective_of(small_network(dtype=dtype), styles), image)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert narrow.total.item() == pytest.approx(wide.total.item(), rel=0.02)
    cosine = torch.nn.functional.cosine_similarity(
        narrow.gradient.flatten(), wide.gradient.flatten(), dim=0
    )
    # Where two candidates are nearly as similar, rounding chooses another.
    assert cosine > 0.7


def test_a_layer_whose_weight_is_0_keeps_its_candidates(small_network, picture):
    # The weight may be steered while the painting is under way, and the targets are kept.
    network, image = small_network(), picture(16, 20)
    objective = objective_of(network, [picture(20, 12)], style_layers="relu1_1=0,relu2_1")
    assert [*renewed(objective, image).terms] == ["style:relu2_1"]
    steered = make_settings(**{**OPTIONS, "style_layers": "relu1_1,relu2_1"})
    again = renewed(Objective(network, replace(objective.targets), steered), image)
    assert [*again.terms] == ["style:relu1_1", "style:relu2_1"]
