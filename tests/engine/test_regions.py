"""Regions: how they are written, what lies under a mask, and what is refused."""

import numpy as np
import pytest
import torch

from impasto import images
from impasto.config.settings import make_settings
from impasto.engine import regions
from impasto.errors import ImageError, SettingsError
from impasto.job.job import Region
from impasto.losses.objective import Objective
from impasto.losses.targets import RegionTarget, Targets, style_statistics, style_targets

LAYERS = {"style_layers": "relu1_1,relu2_1,relu3_1", "alpha": 0, "total_variation": 0}


def columns(height, width, first, end):
    """A mask that is white from one column to before another."""
    mask = np.zeros((height, width), dtype=np.float32)
    mask[:, first:end] = 1
    return mask


@pytest.mark.parametrize(
    ("word", "files"),
    [
        ("mask.png:night.jpg", ("mask.png", "night.jpg", None)),
        ("a/m.png : b/n.jpg : c/o.png", ("a/m.png", "b/n.jpg", "c/o.png")),
        (r"C:\m.png:D:/n.jpg", (r"C:\m.png", "D:/n.jpg", None)),
        ("m:n", ("m", "n", None)),
    ],
)
def test_a_region_is_two_or_three_files(word, files):
    assert regions.parse([word]) == (Region(*files),)


@pytest.mark.parametrize("word", ["mask.png", "a:", ":b.jpg", "a.png:b.jpg:c.png:d.png", ""])
def test_other_words_are_refused(word):
    with pytest.raises(SettingsError, match="region: expected MASK:STYLE"):
        regions.parse([word])


def test_a_mask_is_averaged_over_what_becomes_a_pixel():
    mask = images.load(columns(8, 8, 0, 5))
    assert regions.grey(mask, 8, 8)[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    small = regions.grey(mask, 4, 4)[0, 0, 0]
    assert small.sum().item() == pytest.approx(2.5, abs=0.02)
    assert (small[0].item(), small[-1].item()) == pytest.approx((1, 0))


def test_what_a_comparison_gives_is_a_mask():
    style = np.zeros((8, 8, 3), dtype=np.float32)
    truths = columns(8, 8, 0, 5) > 0.5
    for mask in (truths, torch.from_numpy(truths)[None]):
        (area,) = regions.read([Region(mask, style)], 8, 8)
        assert regions.grey(area.mask, 8, 8)[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_opacity_counts_as_grey():
    mask = np.ones((4, 4, 4), dtype=np.float32)
    mask[:, 2:, 3] = 0.25
    assert regions.grey(images.load(mask), 4, 4)[0, 0, 0].tolist() == [1, 1, 0.25, 0.25]


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (columns(20, 20, 0, 9), r"expected the aspect of its picture, 30 x 20, got 20 x 20"),
        (columns(20, 30, 0, 0), "expected some white, got black everywhere"),
        (2 * columns(20, 30, 0, 9), r"\[0, 1\]"),
        (-columns(20, 30, 0, 9), r"\[0, 1\]"),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused(mask, told):
    style = np.zeros((20, 30, 3), dtype=np.float32)
    with pytest.raises(ImageError, match=told):
        regions.read([Region(mask, style)], 20, 30)
    if "aspect" not in told:
        with pytest.raises(ImageError, match=told):
            regions.read([Region(columns(20, 30, 0, 9), style, mask)], 20, 30)


def test_a_mask_may_be_smaller_than_the_painting():
    style = np.zeros((20, 30, 3), dtype=np.float32)
    (area,) = regions.read([Region(columns(20, 30, 0, 9), style)], 533, 800)
    assert regions.grey(area.mask, 533, 800).shape == (1, 1, 533, 800)


def evaluate(network, image, styles, masks, **options):
    settings = make_settings(**LAYERS, **options)
    found = [style_statistics(network, style, settings) for style in styles]
    areas = tuple(RegionTarget(mask, part) for mask, part in zip(masks, found, strict=True))
    rest = (1 - sum(masks)).clamp_min(0)
    plain = style_targets(network, styles[-1:], settings)
    return Objective(network, Targets({}, plain, regions=areas, rest=rest), settings).evaluate(
        image
    )


def weights(mask):
    return torch.from_numpy(mask).double()[None, None]


def test_a_region_over_all_is_as_if_there_were_none(small_network, picture):
    network, image, style = small_network(), picture(32, 48), picture(24, 24, seed=1)
    settings = make_settings(**LAYERS)
    plain = Objective(
        network, Targets({}, style_targets(network, [style], settings)), settings
    ).evaluate(image)
    masked = evaluate(network, image, [style], [weights(columns(32, 48, 0, 48))])
    torch.testing.assert_close(masked.gradient, plain.gradient, rtol=1e-9, atol=1e-12)
    assert all(name.endswith(":region1") for name in masked.terms)


def test_a_region_looks_no_further_than_its_halo(small_network, picture):
    # relu3_1 sees 12 pixels around its own; the plain style is left without a target.
    network, image = small_network(), picture(32, 96)
    settings = make_settings(**LAYERS)
    found = style_statistics(network, picture(24, 24, seed=1), settings)
    mask = weights(columns(32, 96, 0, 48))
    targets = Targets({}, {}, regions=(RegionTarget(mask, found),), rest=1 - mask)
    gradient = Objective(network, targets, settings).evaluate(image).gradient
    assert gradient[..., :48].abs().min() > 0
    assert gradient[..., 48 + 12 :].abs().max() == 0


def test_each_part_counts_by_its_area(small_network, picture):
    network, image = small_network(), picture(32, 48)
    styles = [picture(24, 24, seed=1), picture(24, 24, seed=2)]
    masks = [weights(columns(32, 48, 0, 16)), weights(columns(32, 48, 16, 48))]
    values = evaluate(network, image, styles, masks).values()
    settings = make_settings(**LAYERS)
    for place, (mask, style, share) in enumerate(
        zip(masks, styles, (1 / 3, 2 / 3), strict=True), start=1
    ):
        own = style_statistics(network, image, settings, mask=mask)["relu2_1"]
        wanted = style_statistics(network, style, settings)["relu2_1"]
        loss = (own - wanted).square().sum().item() / (4 * len(own) ** 2)
        expected = settings.weights[1] * share / 3 * loss
        assert values[f"style:relu2_1:region{place}"] == pytest.approx(expected, rel=1e-9)


def test_a_style_mask_shows_its_part_alone(small_network, picture):
    network, settings = small_network(), make_settings(style_layers="relu1_1")
    image = picture(32, 48)
    mask = weights(columns(32, 48, 0, 16))
    found = style_statistics(network, image, settings, mask=mask)["relu1_1"]
    features = network.features(image, ["relu1_1"])["relu1_1"][0, :, :, :16].flatten(1)
    torch.testing.assert_close(found, features @ features.t() / (32 * 16))
