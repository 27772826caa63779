"""The objective: its terms, its gradient, and what it leaves out."""

import math

import pytest
import torch
from tests.losses.slopes import check_slope

from impasto.config.settings import make_settings
from impasto.errors import SettingsError
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_shares, style_targets

LAYERS = {
    "content_layers": "relu2_2,conv3_1=2",
    "style_layers": "relu1_1=4,relu2_1=2,conv2_2,pool2,relu3_1",
}


@pytest.fixture
def make_objective(small_network, picture):
    """An objective for ``size`` pixels, with two style pictures of other sizes."""

    def make(*, pooling="max", padding="replicate", dtype=torch.float64, size=(13, 18), **options):
        settings = make_settings(**{**LAYERS, "beta": 100.0, "total_variation": 3.0, **options})
        ours = small_network(pooling=pooling, padding=padding, dtype=dtype)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        content = picture(*size, seed=5, dtype=wide)
        styles = [picture(21, 14, seed=6, dtype=wide), picture(16, 25, seed=7, dtype=wide)]
        targets = Targets(
            content_targets(ours, content, settings), style_targets(ours, styles, settings)
        )
        return Objective(ours, targets, settings)

    return make


@pytest.mark.parametrize("normalisation", ["position", "paper"])
@pytest.mark.parametrize("padding", ["replicate", "zeros"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_gradient_is_the_slope_of_the_total(
    pooling, padding, normalisation, make_objective, picture
):
    objective = make_objective(
        pooling=pooling, padding=padding, normalisation=normalisation, style_weights=(3, 1)
    )
    image = picture(13, 18, seed=8)
    check_slope(objective, image, objective.evaluate(image))


def test_the_gradient_is_the_slope_at_every_pixel(make_objective, picture):
    objective = make_objective(size=(5, 6))
    image = picture(5, 6, seed=8)

    class Total(torch.autograd.Function):
        @staticmethod
        def forward(ctx, leaf):
            evaluation = objective.evaluate(leaf)
            ctx.save_for_backward(evaluation.gradient)
            return evaluation.total

        @staticmethod
        def backward(ctx, slope):
            return slope * ctx.saved_tensors[0]

    assert torch.autograd.gradcheck(Total.apply, (image.requires_grad_(),), rtol=1e-4)


def test_the_gradient_is_that_of_plain_autograd(make_objective, plain_features, picture):
    objective = make_objective(padding="zeros", total_variation=0, alpha=2.0)
    image = picture(13, 18, seed=8)
    leaf = image.clone().requires_grad_()
    found = plain_features(leaf)
    total = 0.0
    for name, share in {"relu2_2": 1 / 3, "conv3_1": 2 / 3}.items():
        difference = found[name] - objective.targets.content[name]
        total = total + 2.0 * share * difference.square().sum() / 2 / found[name][0, 0].numel()
    weights = {"relu1_1": 4, "relu2_1": 2, "conv2_2": 1, "pool2": 1, "relu3_1": 1}
    for name, weight in weights.items():
        rows = found[name][0].flatten(1)
        channels, positions = rows.shape
        difference = rows @ rows.t() / positions - objective.targets.style[name]
        total = total + 100.0 * weight / 9 * difference.square().sum() / (4 * channels**2)
    (expected,) = torch.autograd.grad(total, leaf)
    evaluation = objective.evaluate(image)
    assert evaluation.total.item() == pytest.approx(total.item(), rel=1e-12)
    torch.testing.assert_close(evaluation.gradient, expected, rtol=1e-9, atol=1e-12)


def test_the_terms_are_named_and_sum_to_the_total(make_objective, picture):
    values = make_objective().evaluate(picture(13, 18)).values()
    assert list(values) == [
        "content:relu2_2",
        "content:conv3_1",
        "style:relu1_1",
        "style:relu2_1",
        "style:conv2_2",
        "style:pool2",
        "style:relu3_1",
        "total_variation",
        "total",
    ]
    assert values["total"] == pytest.approx(sum(list(values.values())[:-1]), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"alpha": 0}, {"style", "total_variation"}),
        ({"beta": 0}, {"content", "total_variation"}),
        ({"total_variation": 0}, {"content", "style"}),
        ({"alpha": 0, "total_variation": 0}, {"style"}),
    ],
)
def test_a_term_without_weight_is_left_out(options, kinds, make_objective, picture):
    evaluation = make_objective(**options).evaluate(picture(13, 18))
    assert {name.partition(":")[0] for name in evaluation.terms} == kinds


def test_a_layer_without_weight_is_left_out(make_objective, picture):
    objective = make_objective(style_layers="relu1_1,relu2_1=0")
    terms = objective.evaluate(picture(13, 18)).terms
    assert "style:relu1_1" in terms
    assert "style:relu2_1" not in terms


def test_a_term_without_a_target_is_left_out(small_network, picture):
    settings = make_settings(**LAYERS)
    ours = small_network()
    style = style_targets(ours, [picture(16, 16)], settings)
    content = content_targets(ours, picture(16, 16), settings)
    image = picture(16, 16, seed=1)
    texture = Objective(ours, Targets({}, style), settings).evaluate(image)
    assert not any(name.startswith("content") for name in texture.terms)
    rebuilt = Objective(ours, Targets(content, {}), settings).evaluate(image)
    assert not any(name.startswith("style") for name in rebuilt.terms)


@pytest.mark.parametrize("options", [{"alpha": 0, "beta": 0}, {}])
def test_an_objective_of_nothing_is_refused(options, small_network):
    with pytest.raises(SettingsError, match="nothing to minimise: expected alpha or beta above 0"):
        Objective(small_network(), Targets({}, {}), make_settings(**options))


def test_each_weight_scales_its_own_terms(make_objective, picture):
    image = picture(13, 18)
    once = make_objective().evaluate(image).values()
    changed = make_objective(alpha=2.0, beta=300.0, total_variation=15.0).evaluate(image).values()
    factors = {"content": 2, "style": 3, "total_variation": 5}
    for name in list(once)[:-1]:
        factor = factors[name.partition(":")[0]]
        assert changed[name] == pytest.approx(factor * once[name], rel=1e-12)


def test_layer_weights_are_relative(make_objective, picture):
    image = picture(13, 18)
    once = make_objective(style_layers="relu1_1=2,relu2_1=1").evaluate(image).values()
    again = make_objective(style_layers="relu1_1=20,relu2_1=10").evaluate(image).values()
    assert again == pytest.approx(once, rel=1e-12)


def test_the_image_keeps_its_values_and_gets_no_graph(make_objective, picture):
    image = picture(13, 18)
    evaluation = make_objective().evaluate(image)
    assert image.equal(picture(13, 18))
    assert not image.requires_grad
    for tensor in (evaluation.gradient, evaluation.total, *evaluation.terms.values()):
        assert not tensor.requires_grad


def test_it_evaluates_where_gradients_are_off(make_objective, picture):
    objective = make_objective()
    expected = objective.evaluate(picture(13, 18)).gradient
    with torch.no_grad():
        assert objective.evaluate(picture(13, 18)).gradient.equal(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_narrow_network_leads_the_same_way(dtype, make_objective, picture):
    image = picture(13, 18, seed=8)
    exact = make_objective().evaluate(image)
    narrow = make_objective(dtype=dtype).evaluate(image.float())
    assert narrow.gradient.dtype == torch.float32
    assert narrow.values()["total"] == pytest.approx(exact.values()["total"], rel=0.02)
    cosine = torch.nn.functional.cosine_similarity(
        narrow.gradient.double().flatten(), exact.gradient.flatten(), dim=0
    )
    assert cosine > 0.97


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_pixel_that_is_no_number_shows_in_the_total(value, dtype, make_objective, picture):
    image = picture(13, 18)
    image = image if dtype == torch.float64 else image.float()
    image[0, 1, 8, 12] = value
    objective = make_objective(dtype=dtype, total_variation=0)
    assert not math.isfinite(objective.evaluate(image).values()["total"])


def test_targets_need_no_gradient(make_objective):
    targets = make_objective().targets
    assert not any(target.requires_grad for target in (*targets.content.values(),))
    assert not any(target.requires_grad for target in (*targets.style.values(),))


def test_style_targets_are_per_position(small_network, picture):
    settings = make_settings(style_layers="relu2_1")
    found = small_network().features(picture(20, 14), ["relu2_1"])["relu2_1"][0].flatten(1)
    target = style_targets(small_network(), [picture(20, 14)], settings)["relu2_1"]
    torch.testing.assert_close(target, found @ found.t() / 70)


def test_style_pictures_blend_by_their_weights(small_network, picture):
    images = [picture(20, 14, seed=1), picture(16, 16, seed=2)]
    settings = make_settings(style_layers="relu2_1", style_weights=(3, 1))
    first, second = (
        style_targets(small_network(), [image], make_settings(style_layers="relu2_1"))["relu2_1"]
        for image in images
    )
    blended = style_targets(small_network(), images, settings)["relu2_1"]
    torch.testing.assert_close(blended, 0.75 * first + 0.25 * second)


def test_style_pictures_count_equally_by_default():
    assert style_shares(4, make_settings()) == [0.25] * 4
    assert style_shares(2, make_settings(style_weights=(1, 3))) == [0.25, 0.75]
