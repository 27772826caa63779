"""Colour transfer to a painting by a bounded, continuous map, computed from integer histograms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.images import colour, palette
from impasto.images.palette import (
    MAX_SLOPE,
    NODES,
    ColourHistogram,
    Palette,
    find_map,
    histogram,
)


def cloud(seed, height=40, width=50, spread=0.1, middle=0.5):
    """Pixels of correlated colours around a colour near ``middle``."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(3) + torch.rand(3, 3, generator=generator)
    pixels = mixing @ torch.randn(3, height * width, generator=generator)
    offset = 0.3 * torch.rand(3, 1, generator=generator) - 0.15
    return (middle + offset + spread * pixels).clamp(0, 1).view(1, 3, height, width)


def transported(image, *paintings, shares=None):
    shares = shares or [1.0] * len(paintings)
    target = Palette([histogram(painting) for painting in paintings], shares)
    return find_map(histogram(image), target).apply(image)


def sliced_distance(first, second, directions=48):
    """The sliced Wasserstein-1 distance of two pictures' colours, from sorted projections."""
    generator = torch.Generator().manual_seed(7)
    levels = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    total = 0.0
    for _ in range(directions):
        axis = torch.randn(3, generator=generator, dtype=torch.float64)
        ours, theirs = (
            torch.quantile((axis / axis.norm()) @ image[0].flatten(1).double(), levels)
            for image in (first, second)
        )
        total += float((ours - theirs).abs().mean())
    return total / directions


def same(first, second):
    return first.counts.equal(second.counts) and first.sums.equal(second.sums)


def test_known_counts_and_sums():
    image = torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.25, 0.5]]).view(1, 3, 1, 2)
    counted = histogram(image, torch.tensor([1.0, 0.4]).view(1, 1, 1, 2))
    assert counted.counts.sum() == 255 + 102
    assert counted.sums.sum(1).tolist() == [255 * 65535, 102 * 32768, 255 * 16384 + 102 * 32768]
    assert sorted(counted.shares.tolist()) == pytest.approx([102 / 357, 255 / 357])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_histograms_of_tiles_add_up_to_the_whole_exactly(weighted, monkeypatch):
    image = cloud(1, 37, 41)
    weights = torch.rand(1, 1, 37, 41, generator=torch.Generator().manual_seed(2))
    whole = histogram(image, weights if weighted else None)
    total = None
    for rows in (slice(0, 11), slice(11, 37)):
        for columns in (slice(0, 30), slice(30, 41)):
            part = weights[..., rows, columns] if weighted else None
            tile = histogram(image[..., rows, columns], part)
            total = tile if total is None else total + tile
    assert same(total, whole)
    monkeypatch.setattr(palette, "_PIECE_PX", 100)
    assert same(histogram(image, weights if weighted else None), whole)


def test_pixels_without_weight_do_not_count():
    image, weights = cloud(1), torch.ones(1, 1, 40, 50)
    weights[..., 20:, :] = 0
    assert same(histogram(image, weights), histogram(image[..., :20, :]))


@pytest.mark.parametrize(("own", "painting"), [(1, 2), (3, 4), (5, 6)])
def test_the_picture_takes_the_painting_s_colours(own, painting):
    image, target = cloud(own), cloud(painting, 60, 30)
    before = sliced_distance(image, target)
    after = sliced_distance(transported(image, target), target)
    assert before > 0.03
    assert after < min(0.012, 0.2 * before)


@pytest.mark.parametrize("exponent", [0.7, 1.5])
def test_known_curves_are_found_from_colours_in_another_order(exponent):
    # Of all maps between two clouds, rising curves of each channel move colours least.
    image = cloud(1, spread=0.08)
    expected = image**exponent
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(5))
    painting = expected.flatten(2)[..., order].view(1, 3, 40, 50)
    assert (image - expected).abs().mean() > 0.08
    mapped = transported(image, painting)
    assert (mapped - expected).abs().mean() < 0.005
    assert (mapped - expected).abs().max() < 0.05


def test_a_picture_with_the_painting_s_colours_stays():
    image = cloud(1)
    shuffled = image.flatten(2)[..., torch.arange(2000).flip(0)].view(1, 3, 40, 50)
    torch.testing.assert_close(transported(shuffled, image), shuffled, rtol=0, atol=2e-3)


def test_a_second_transport_changes_next_to_nothing():
    image, painting = cloud(1, spread=0.06), cloud(2, spread=0.06)
    once = transported(image, painting)
    twice = transported(once, painting)
    assert (twice - once).abs().mean() < 0.15 * (once - image).abs().mean()


@pytest.mark.heavy
@settings(max_examples=15, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)),
    spreads=st.tuples(st.floats(0.001, 0.4), st.floats(0.001, 0.4)),
    middles=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
)
def test_no_map_is_steeper_than_the_bound(seeds, spreads, middles):
    image, painting = (
        cloud(seed, 20, 20, spread, middle)
        for seed, spread, middle in zip(seeds, spreads, middles, strict=True)
    )
    shifts = find_map(histogram(image), Palette([histogram(painting)], [1.0])).shifts.double()
    nodes = shifts + torch.from_numpy(palette._identity())
    assert nodes.min() + 1e-6 >= 0
    assert nodes.max() <= 1 + 1e-6
    for axis in (1, 2, 3):
        assert nodes.diff(dim=axis).abs().max() <= MAX_SLOPE / (NODES - 1) + 1e-6


def test_grain_is_amplified_by_no_more_than_the_bound():
    generator = torch.Generator().manual_seed(3)
    flat = 0.5 + 0.01 * torch.randn(1, 1, 50, 50, generator=generator).expand(1, 3, -1, -1)
    mapped = transported(flat, cloud(2, spread=0.3))
    assert flat.std() < 0.011
    # All three channels move together here, and each may move every channel.
    assert mapped[0].flatten(1).std(1).max() <= 3 * MAX_SLOPE * flat[0, 0].std() + 1e-4


@pytest.mark.parametrize("own", [1, 2, 3])
def test_a_grey_painting_gives_a_grey_picture(own):
    grey = cloud(4, spread=0.2)[:, :1].expand(1, 3, -1, -1)
    mapped = transported(cloud(own), grey)
    assert (mapped.amax(1) - mapped.amin(1)).max() < 1e-5
    assert mapped.std() > 0.1


def test_a_grey_ramp_keeps_its_order():
    ramp = torch.linspace(0, 1, 2000).view(1, 1, 40, 50).expand(1, 3, -1, -1)
    painting = cloud(4, spread=0.2)[:, :1].expand(1, 3, -1, -1)
    mapped = transported(ramp, painting)[0, 0].flatten()
    # To within a tenth of a level of 255.
    assert mapped.diff().min() > -0.1 / 255
    assert (mapped.sort().values - mapped).abs().max() < 0.5 / 255


@pytest.mark.parametrize(
    "rgb", [(0.8, 0.3, 0.2), (0.1, 0.2, 0.6), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)]
)
def test_a_painting_of_one_colour_leaves_the_picture_its_lightness(rgb):
    image = cloud(1, middle=0.5, spread=0.08)
    plain = torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 30, 30)
    target = Palette([histogram(plain)], [1.0])
    assert target.is_plain
    mapped = find_map(histogram(image), target).apply(image)
    before, after = colour.to_oklab(image), colour.to_oklab(mapped)
    assert (before[:, 0] - after[:, 0]).abs().max() < 0.03
    hue = colour.to_oklab(torch.tensor(rgb).view(1, 3, 1, 1))[0, 1:].flatten()
    if hue.norm() < 1e-3:
        assert after[:, 1:].abs().max() < 5e-3
    else:
        along = torch.einsum("c,bchw->bhw", hue / hue.norm(), after[:, 1:])
        across = (after[:, 1:].square().sum(1) - along.square()).clamp_min(0).sqrt()
        assert across.max() < 0.03
        assert along.mean() > 0.5 * hue.norm()


def test_a_painting_of_two_colours_is_not_plain():
    two = torch.cat([cloud(1, spread=0.0), cloud(2, spread=0.0)], 3)
    assert not Palette([histogram(two)], [1.0]).is_plain


def test_the_map_is_continuous_so_that_sixteen_bits_show_no_banding():
    colour_map = find_map(histogram(cloud(1)), Palette([histogram(cloud(2))], [1.0]))
    # A ramp in steps of one level of 65535, across several cells of the table.
    ramp = torch.arange(20000, 30000).double().div(65535).float()
    image = torch.stack([ramp, ramp.flip(0), ramp.mul(0.5)]).view(1, 3, 100, 100)
    mapped = colour_map.apply(image)[0].flatten(1)
    assert mapped.diff(dim=1).abs().max() < 3 * MAX_SLOPE / 65535
    levels = (mapped * 65535).round()
    assert len(levels[0].unique()) > 1000


def test_pixels_are_mapped_each_by_itself():
    image = cloud(1, 300, 33)
    colour_map = find_map(histogram(image), Palette([histogram(cloud(2))], [1.0]))
    whole = colour_map.apply(image, 0.7)
    for rows, columns in (((0, 7), (0, 33)), ((5, 299), (11, 12)), ((260, 300), (3, 31))):
        tile = (..., slice(*rows), slice(*columns))
        assert colour_map.apply(image[tile].contiguous(), 0.7).equal(whole[tile])


def test_amounts_lie_between_the_picture_and_the_whole_transport():
    image = cloud(1)
    colour_map = find_map(histogram(image), Palette([histogram(cloud(2))], [1.0]))
    assert colour_map.apply(image, 0.0).equal(image)
    half = colour_map.apply(image, 0.5)
    torch.testing.assert_close(half, (image + colour_map.apply(image)) / 2, rtol=0, atol=1e-6)


def test_the_same_pictures_give_the_same_map():
    maps = [find_map(histogram(cloud(1)), Palette([histogram(cloud(2))], [1.0])) for _ in range(2)]
    assert maps[0].shifts.equal(maps[1].shifts)


def test_several_paintings_count_by_their_shares():
    first, second = cloud(2, spread=0.03, middle=0.3), cloud(3, spread=0.03, middle=0.7)
    pooled = torch.cat([first, first, first, second], 3)
    mapped = transported(cloud(1), first, second, shares=[3.0, 1.0])
    torch.testing.assert_close(mapped, transported(cloud(1), pooled), rtol=0, atol=1e-4)
    alone = transported(cloud(1), first, second, shares=[1.0, 0.0])
    assert alone.equal(transported(cloud(1), first))


def test_where_nothing_counts_no_colour_moves():
    image, nothing = cloud(1), histogram(cloud(2), torch.zeros(1, 1, 40, 50))
    painted = Palette([histogram(cloud(2))], [1.0])
    assert Palette([nothing], [1.0]).is_empty
    for colour_map in (
        find_map(histogram(image), Palette([nothing], [1.0])),
        find_map(nothing, painted),
    ):
        assert colour_map.apply(image).equal(image)


def test_colours_of_a_histogram_are_the_means_of_its_cells():
    counted = histogram(cloud(1))
    assert isinstance(counted, ColourHistogram)
    mean = counted.colours @ counted.shares
    np.testing.assert_allclose(mean, cloud(1)[0].flatten(1).double().mean(1).numpy(), atol=1e-5)
