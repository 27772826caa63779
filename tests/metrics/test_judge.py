"""The metrics: known answers, and each changes in the right direction."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from impasto import metrics
from impasto.metrics import Networks, border_index, colour_distance, random_style_distance, ssim


@pytest.fixture
def smooth(picture):
    return picture(64, 72, seed=1, dtype=torch.float32)


@pytest.fixture
def heads():
    channels = {"relu1_2": 4, "relu2_2": 5, "relu3_3": 6, "relu4_3": 7, "relu5_3": 8}
    generator = torch.Generator().manual_seed(5)
    return {name: torch.rand(count, generator=generator) for name, count in channels.items()}


def noisy(image, amount):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(2))
    return (image + amount * noise).clamp(0, 1)


def test_a_picture_is_as_near_to_itself_as_can_be(smooth, small_network, heads):
    networks = Networks(vgg=small_network(dtype=torch.float32), heads=heads)
    measured = dataclasses.asdict(metrics.measure(smooth, smooth, smooth, networks))
    assert [one["numbers"] for one in measured.pop("missing")] == [
        ("content_alexnet", "style_alexnet"),
        ("dists_structure", "dists_texture"),
    ]
    measured = {name: value for name, value in measured.items() if value is not None}
    ones = {name: measured.pop(name) for name in ("content_ssim", "border")}
    assert ones == pytest.approx({"content_ssim": 1, "border": 1}, abs=1e-5)
    # A palette's own 99th percentile of chroma leaves a hundredth of it beyond.
    assert len(measured) == 15
    assert measured == pytest.approx(dict.fromkeys(measured, 0), abs=1e-3)


def test_lpips_is_the_weighed_distance_of_unit_features(
    smooth, plain_features, small_network, heads
):
    other = noisy(smooth, 0.1)
    ours, theirs = (plain_features(image.double()) for image in (smooth, other))
    expected = 0.0
    for layer, head in heads.items():
        one, two = (F.normalize(maps[layer], dim=1) for maps in (ours, theirs))
        expected += float(((one - two) ** 2 * head.view(1, -1, 1, 1)).sum(1).mean())
    distance = metrics.lpips(smooth, other, small_network(dtype=torch.float32), heads)
    assert distance == pytest.approx(expected, rel=1e-3)


def test_every_content_distance_grows_with_noise(smooth, small_network, heads):
    net = small_network(dtype=torch.float32)
    networks = Networks(vgg=net, heads=heads)
    little, much = (
        metrics.measure(noisy(smooth, amount), smooth, smooth, networks) for amount in (0.02, 0.2)
    )
    assert little.content_lpips < much.content_lpips
    assert little.content_ssim > much.content_ssim


def test_without_networks_the_numbers_that_need_none_are_measured(smooth):
    measured = metrics.measure(
        noisy(smooth, 0.1), smooth, smooth, Networks(reasons={"vgg": "gone"})
    )
    names = {"content_ssim", "style_random", "border", "colour", "palette", "palette_srgb"}
    numbers = {name for name, value in dataclasses.asdict(measured).items() if value is not None}
    assert numbers == names | {"foreign_chroma", "missing"}
    assert "gone" in [missing.reason for missing in measured.missing]


def test_a_number_that_a_small_picture_cannot_have_is_missing_with_the_size_that_it_needs(
    picture, small_network
):
    tiny = picture(20, 24, dtype=torch.float32)
    measured = metrics.measure(tiny, tiny, tiny, Networks(vgg=small_network(dtype=torch.float32)))
    assert measured.style_half == pytest.approx(0, abs=1e-3)
    assert measured.style_quarter is None
    (reason,) = [one.reason for one in measured.missing if one.numbers == ("style_quarter",)]
    assert reason.startswith("expected pictures of at least 32 pixels a side, got 20 ")


def test_every_number_has_a_sentence():
    numbers = [f for f in dataclasses.fields(metrics.Metrics) if f.name != "missing"]
    assert len({number.metadata["sentence"] for number in numbers}) == len(numbers) == 21
    assert all(number.metadata["sentence"].endswith(".") for number in numbers)


def test_ssim_of_constant_pictures_is_luminance_alone():
    dark, light = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(dark, light) == pytest.approx(expected, rel=1e-4)


def test_ssim_of_a_negative_is_negative(smooth):
    grey = smooth.mean(1, keepdim=True)
    assert ssim(grey, 1 - grey) < 0


def test_style_distances_know_a_texture_by_its_statistics_not_its_places(smooth, small_network):
    net = small_network(dtype=torch.float32)
    texture = noisy(torch.full_like(smooth, 0.5), 0.2)
    same = texture.roll((7, 11), (2, 3))
    coarser = F.interpolate(texture[..., :32, :36], scale_factor=2, mode="bicubic").clamp(0, 1)
    assert random_style_distance(same, texture) < 0.2 * random_style_distance(coarser, texture)
    near, far = (metrics.style_distance(image, texture, net) for image in (same, coarser))
    assert near < far


def test_colour_distance_of_shifted_greys_is_the_shift_of_lightness():
    dark, light = torch.full((1, 3, 8, 8), 0.0), torch.full((1, 3, 8, 8), 1.0)
    assert colour_distance(dark, light) == pytest.approx(1, abs=1e-3)


def test_colour_distance_does_not_see_where_colours_are(smooth):
    assert colour_distance(smooth.flip(2, 3), smooth) == pytest.approx(0, abs=1e-4)
    assert colour_distance(smooth.flip(1), smooth) > 0.01


def test_a_frame_is_seen_and_a_clean_border_is_not(smooth):
    framed = smooth.clone()
    framed[..., :2, :] = noisy(smooth, 0.5)[..., :2, :]
    framed[..., :, -2:] = noisy(smooth, 0.5)[..., :, -2:]
    assert border_index(framed, smooth) > 1.3
    assert border_index(noisy(smooth, 0.2), smooth) == pytest.approx(1, abs=0.15)
    assert math.isfinite(border_index(torch.zeros_like(smooth), torch.zeros_like(smooth)))
