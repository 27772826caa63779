"""The three modes end to end on the real network: small pictures, real properties."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import impasto
from impasto import api, images, metrics, models
from impasto.engine import inputs
from impasto.engine.cache import Cache
from impasto.engine.strength import measure
from impasto.images import samples
from impasto.optim import adam, registry

pytestmark = pytest.mark.real

PHOTOGRAPH = samples.path("content", "chelsea")
PAINTING = samples.path("style", "nocturne")
OPTIONS = {"size": 112, "coarsest": 80, "iterations": 40, "offline": True}


@pytest.fixture(scope="module")
def vgg():
    return models.load("vgg16", padding="replicate", offline=True)


@pytest.fixture(scope="module")
def repainted():
    return impasto.style_transfer(PHOTOGRAPH, PAINTING, **OPTIONS)


def pixels(image, longest_px=112):
    picture = images.load(image)
    size = images.fit(picture.height_px, picture.width_px, longest_px)
    return images.resize(picture.pixels, *size)


def style_distance(vgg, image, painting):
    """Distance of Gram matrices on layers that were not the ones optimised, squared."""
    return metrics.style_distance(image, painting, vgg) ** 2


def edges(image):
    grey = image.mean(1, keepdim=True)
    return torch.cat(
        [F.avg_pool2d(grey.diff(dim=axis).abs(), 4).flatten() for axis in (2, 3)]
    ).numpy()


def test_a_repainted_photograph_comes_nearer_to_the_style(vgg, repainted):
    painting = pixels(PAINTING)
    before = style_distance(vgg, pixels(PHOTOGRAPH), painting)
    after = style_distance(vgg, pixels(repainted.image), painting)
    assert after < 0.5 * before


def test_a_repainted_photograph_keeps_what_it_shows(repainted):
    photograph, result = (edges(pixels(image)) for image in (PHOTOGRAPH, repainted.image))
    shuffled = np.random.default_rng(0).permutation(photograph)
    kept = np.corrcoef(photograph, result)[0, 1]
    assert kept > 0.4
    assert kept > np.corrcoef(shuffled, result)[0, 1] + 0.3


def test_a_repainted_photograph_takes_the_colours_of_the_style(repainted):
    ours, painting, photograph = (
        pixels(image).mean((0, 2, 3)) for image in (repainted.image, PAINTING, PHOTOGRAPH)
    )
    assert (ours - painting).norm() < 0.5 * (ours - photograph).norm()


def test_every_size_descends(repainted):
    history = list(repainted.history)
    for scale in {row["scale"] for row in history}:
        totals = [row["total"] for row in history if row["scale"] == scale]
        assert totals[-1] < 0.7 * totals[0]
        assert totals == sorted(totals, reverse=True)


def test_the_same_seed_paints_the_same_picture(repainted):
    again = impasto.style_transfer(PHOTOGRAPH, PAINTING, **OPTIONS)
    assert np.array_equal(np.asarray(again.image), np.asarray(repainted.image))


def test_content_mode_rebuilds_the_picture_from_noise():
    result = impasto.content(
        PHOTOGRAPH, content_layers="relu2_2", size=96, iterations=150, offline=True
    )
    photograph, rebuilt = (pixels(image) for image in (PHOTOGRAPH, result.image))
    correlation = np.corrcoef(photograph.flatten().numpy(), rebuilt.flatten().numpy())[0, 1]
    assert correlation > 0.9


def test_style_mode_paints_the_style_from_noise_at_another_shape(vgg):
    # A palette trades a little of what the network sees for the colours.
    result = impasto.style(PAINTING, aspect="2:1", palette=0, **OPTIONS)
    assert result.image.size == (112, 56)
    noise = inputs.noise(56, 112, seed=0)
    painting = pixels(PAINTING)
    assert style_distance(vgg, pixels(result.image), painting) < 0.1 * style_distance(
        vgg, noise, painting
    )


def test_the_fast_number_type_ends_where_float32_does():
    slow = impasto.style_transfer(PHOTOGRAPH, PAINTING, precision="fp32", **OPTIONS)
    fast = impasto.style_transfer(PHOTOGRAPH, PAINTING, precision="bf16", **OPTIONS)
    assert fast.history[-1]["total"] < 1.05 * slow.history[-1]["total"]


def test_a_painting_may_start_from_a_finished_one(repainted):
    further = impasto.style_transfer(
        PHOTOGRAPH,
        PAINTING,
        start=repainted.image,
        **{**OPTIONS, "coarsest": 112, "iterations": 10},
    )
    assert further.history[0]["total"] < 2 * repainted.history[-1]["total"]


def test_adam_descends_too():
    result = impasto.style_transfer(PHOTOGRAPH, PAINTING, optimiser="adam", **OPTIONS)
    assert result.history[-1]["total"] < 0.5 * result.history[0]["total"]
    assert isinstance(registry.make_optimiser(result.settings), adam.Adam)


def test_more_strength_is_nearer_to_the_style_and_further_from_the_content(vgg):
    weak, strong = (
        impasto.style_transfer(PHOTOGRAPH, PAINTING, strength=strength, **OPTIONS).pixels
        for strength in (0.2, 0.9)
    )
    photograph, painting = pixels(PHOTOGRAPH), pixels(PAINTING)
    for distance in (
        lambda image: metrics.style_distance(image, painting, vgg),
        lambda image: metrics.random_style_distance(image, painting),
        lambda image: metrics.colour_distance(image, painting),
        lambda image: edge_similarity(photograph, image),
    ):
        assert distance(strong) < distance(weak)


def test_the_same_strength_is_the_same_balance_for_styles_that_pull_unlike():
    # At equal alpha and beta the glass would hold the photograph twelve times more loosely.
    balances = {}
    for name in ("glass", "nocturne"):
        job = api.make_job("style_transfer", PHOTOGRAPH, samples.path("style", name), offline=True)
        net = models.load("vgg16", padding="replicate", offline=True)
        balances[name] = measure(inputs.read(job), net, Cache())
    alphas = {name: balance.weights(0.5)[0] for name, balance in balances.items()}
    assert alphas["glass"] > 1.5 * alphas["nocturne"]
    assert alphas["glass"] > 5


def edge_similarity(photograph, image):
    return np.corrcoef(edges(photograph), edges(image))[0, 1]


@pytest.mark.slow
def test_a_strength_near_nothing_is_near_the_photograph():
    options = OPTIONS | {"size": 64, "iterations": None}
    photograph = pixels(PHOTOGRAPH, 64)
    found = [
        (impasto.style_transfer(PHOTOGRAPH, PAINTING, strength=strength, **options).pixels)
        for strength in (0.1, 0.05, 0.003, 1e-4, 1e-300)
    ]
    far = [(image - photograph).square().mean().sqrt().item() for image in found]
    assert far == sorted(far, reverse=True)
    assert far[2] == pytest.approx(0.06 * far[1], rel=0.01)
    assert far[-1] == 0
