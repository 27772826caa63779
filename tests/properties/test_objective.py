"""What holds for the objective at every size and layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.config.networks import network_spec
from impasto.config.settings import make_settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets

NAMES = [layer.name for layer in network_spec("vgg16").layers]
# pool4's features stand 16 pixels apart; smaller pictures than that have none.
SHALLOW = NAMES[: NAMES.index("pool4") + 1]
sizes = st.tuples(st.integers(16, 40), st.integers(16, 40))
quick = settings(deadline=None, max_examples=25)


def objective_for(network, content, style, **options):
    chosen = make_settings(total_variation=0, **options)
    targets = Targets(
        content_targets(network, content, chosen), style_targets(network, [style], chosen)
    )
    return Objective(network, targets, chosen)


@quick
@given(
    size=sizes,
    content_layer=st.sampled_from(SHALLOW),
    style_layer=st.sampled_from(SHALLOW),
    padding=st.sampled_from(("zeros", "replicate")),
    pooling=st.sampled_from(("max", "average")),
)
def test_an_image_that_is_its_own_target_has_no_loss_and_no_slope(
    size, content_layer, style_layer, padding, pooling, small_network, picture
):
    image = picture(*size)
    network = small_network(padding=padding, pooling=pooling)
    evaluation = objective_for(
        network, image, image, content_layers=content_layer, style_layers=style_layer
    ).evaluate(image)
    assert evaluation.total.item() == pytest.approx(0, abs=1e-20)
    assert evaluation.gradient.abs().max() < 1e-8


@quick
@given(size=sizes, style_size=sizes, layer=st.sampled_from(SHALLOW))
def test_no_term_is_ever_negative(size, style_size, layer, small_network, picture):
    image, content = picture(*size, seed=1), picture(*size, seed=2)
    values = (
        objective_for(small_network(), content, picture(*style_size, seed=3), style_layers=layer)
        .evaluate(image)
        .values()
    )
    assert min(values.values()) >= 0


@quick
@given(layer=st.sampled_from(SHALLOW), times=st.integers(2, 3))
def test_content_loss_per_position_keeps_with_the_resolution(layer, times, small_network, picture):
    # A picture repeated: the same features everywhere but near the seams and borders.
    network = small_network(padding="replicate")
    image, content = picture(96, 96, seed=1), picture(96, 96, seed=2)

    def loss(repeat):
        objective = objective_for(
            network, content.repeat(1, 1, repeat, repeat), content, content_layers=layer
        )
        return objective.evaluate(image.repeat(1, 1, repeat, repeat)).values()[f"content:{layer}"]

    assert loss(times) == pytest.approx(loss(1), rel=0.15)


@quick
@given(layer=st.sampled_from(SHALLOW))
def test_the_paper_s_content_loss_grows_with_the_positions(layer, small_network, picture):
    image, content = picture(32, 32, seed=1), picture(32, 32, seed=2)
    position, paper = (
        objective_for(
            small_network(), content, content, content_layers=layer, normalisation=normalisation
        ).evaluate(image)
        for normalisation in ("position", "paper")
    )
    positions = objective_positions(layer, 32)
    name = f"content:{layer}"
    torch.testing.assert_close(paper.terms[name], positions * position.terms[name])


def objective_positions(name, side_px):
    stride_px = network_spec("vgg16").layer(name).stride_px
    return (side_px // stride_px) ** 2


@quick
@given(size=sizes, order=st.permutations(range(3)))
def test_the_order_of_style_pictures_does_not_matter(size, order, small_network, picture):
    styles = [picture(*size, seed=seed) for seed in range(3)]
    weights = (1.0, 2.0, 5.0)
    layers = {"style_layers": "relu1_1,relu3_1"}
    network = small_network()
    straight = style_targets(network, styles, make_settings(style_weights=weights, **layers))
    shuffled = style_targets(
        network,
        [styles[place] for place in order],
        make_settings(style_weights=[weights[place] for place in order], **layers),
    )
    for name in straight:
        torch.testing.assert_close(shuffled[name], straight[name])
