"""Each measure ranks a picture with a known fault below a good one."""

import pytest
import torch
import torch.nn.functional as F

from impasto import images, metrics
from impasto.images import colour
from impasto.metrics import coverage_distances, dists, ghosts, style_share_deviation
from impasto.metrics.palette import foreign_chroma, palette_distance

SIDE_PX = 128


def noise(height, width, seed):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def blots(side_px, seed, cell_px):
    """Blots of colour, ``cell_px`` large."""
    coarse = noise(-(-side_px // cell_px), -(-side_px // cell_px), seed)
    return F.interpolate(coarse, size=(side_px, side_px), mode="bicubic").clamp(0, 1)


def tinted(picture, red, green, blue):
    return (picture * torch.tensor([red, green, blue]).view(1, 3, 1, 1)).clamp(0, 1)


@pytest.fixture(scope="module")
def painting():
    """Strokes of several sizes in a warm palette."""
    mixed = sum(blots(SIDE_PX, seed, cell) for seed, cell in enumerate((3, 6, 12, 24))) / 4
    contrast = ((mixed - mixed.mean()) * 2.5 + 0.5).clamp(0, 1)
    return tinted(contrast, 1.0, 0.8, 0.4)


@pytest.fixture(scope="module")
def photograph():
    """A dark disc and a bright bar before a flat blue sky."""
    rows, columns = torch.meshgrid(torch.arange(SIDE_PX), torch.arange(SIDE_PX), indexing="ij")
    sky = torch.tensor([0.45, 0.6, 0.85]).view(1, 3, 1, 1).expand(1, 3, SIDE_PX, SIDE_PX).clone()
    disc = (rows - 90).square() + (columns - 90).square() < 28**2
    sky[..., disc] = 0.15
    sky[..., (columns > 8) & (columns < 18)] = 0.9
    return sky


def painted_after(photograph, painting, amount=1.0):
    """The photograph's lightness in the painting's strokes and colours: a good result."""
    lightness = photograph.mean(1, keepdim=True) - 0.5
    strokes = painting.roll((31, 17), (2, 3))
    good = (strokes + 0.35 * lightness).clamp(0, 1)
    return photograph + amount * (good - photograph)


@pytest.fixture(scope="module")
def good(photograph, painting):
    return painted_after(photograph, painting)


# Without a network


def test_a_tinted_grey_is_farther_from_a_grey_palette_than_a_grey_picture(painting):
    grey = painting.mean(1, keepdim=True).expand_as(painting)
    other = grey.flip(3)
    tint = tinted(other, 1.0, 0.9, 0.8)
    for convert in (lambda picture: picture, colour.to_oklab):
        near, far = (palette_distance(convert(p), convert(grey)) for p in (other, tint))
        assert near == pytest.approx(0, abs=1e-6)
        assert far > 0.01
    untinted, foreign = (
        foreign_chroma(colour.to_oklab(p), colour.to_oklab(grey)) for p in (other, tint)
    )
    assert untinted < 1e-4 < 0.01 < foreign


def test_the_palette_distance_of_a_shift_is_its_mean_projection():
    grey, lighter = torch.full((1, 3, 8, 8), 0.4), torch.full((1, 3, 5, 9), 0.5)
    # The mean cosine of a direction with any axis is a half on the sphere.
    assert palette_distance(lighter, grey) == pytest.approx(0.1 * 3**0.5 / 2, rel=0.02)


def test_the_palette_sees_what_mean_and_covariance_do_not():
    # Two colours, half each; and a triangle with the same mean and deviation.
    two = torch.cat([torch.full((1, 3, 6, 6), 0.3), torch.full((1, 3, 6, 6), 0.7)], 2)
    three = torch.cat(
        [torch.full((1, 3, side, 12), value) for side, value in ((2, 0.5 - 0.2 * 3**0.5), (8, 0.5))]
        + [torch.full((1, 3, 2, 12), 0.5 + 0.2 * 3**0.5)],
        2,
    )
    assert float(two.std()) == pytest.approx(float(three.std()), rel=0.2)
    assert palette_distance(two, three) > 0.05
    assert palette_distance(two, two.flip(2)) == pytest.approx(0, abs=1e-9)


def seeded_maps(seed, side=16, channels=32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, side, side, generator=generator).abs()


def test_one_motif_everywhere_leaves_the_painting_uncovered_and_foreign_features_the_result():
    painting = seeded_maps(1)
    shuffled = painting.flatten(2)[..., torch.randperm(256)].view_as(painting)
    motif = painting[..., :2, :2].repeat(1, 1, 8, 8)
    foreign = seeded_maps(2)
    good, one, other = (coverage_distances(maps, painting) for maps in (shuffled, motif, foreign))
    assert good == pytest.approx((0, 0), abs=1e-5)
    assert one[0] == pytest.approx(0, abs=1e-5)
    assert one[1] > 0.3
    assert other[0] > 0.3
    assert other[1] > 0.3


def test_half_a_photograph_is_less_even_than_a_whole_painting():
    painting, photograph = seeded_maps(1), seeded_maps(2)
    half = torch.cat([photograph[..., :8], painting[..., 8:]], 3)
    both = (photograph + painting) / 2
    assert style_share_deviation(both, photograph, painting) < 0.05
    assert style_share_deviation(half, photograph, painting) > 0.3


def test_only_what_stands_in_flat_parts_is_a_ghost():
    luminance = torch.full((1, 1, 64, 64), 0.5)
    luminance[..., 32:] = noise(64, 32, 3)[:, :1]
    flat = ghosts.flatness(luminance)
    assert flat[..., :24].min() > 0.99
    assert flat[..., 40:].max() < 0.1
    painting, photograph = 3 * seeded_maps(1), 0.1 * seeded_maps(2)
    left, right = photograph.clone(), photograph.clone()
    left[..., 2:6, 2:6] = painting[..., 2:6, 2:6]
    right[..., 2:6, 10:14] = painting[..., 2:6, 10:14]
    measured = [
        measure(maps, photograph, painting, flat)
        for measure in (ghosts.object_energy, ghosts.stroke_energy)
        for maps in (photograph, right, left)
    ]
    assert measured[0] == measured[3] == 0
    assert measured[2] > 8 * measured[1]
    assert measured[5] > 8 * measured[4]


def test_dists_takes_structure_by_position_and_texture_wherever_it_is(small_network, photograph):
    network = small_network(dtype=torch.float32)
    picture = dists.features(photograph, network)
    rolled = dists.features(photograph.roll((40, 40), (2, 3)), network)
    channels = sum(maps.shape[1] for maps in picture)
    weights = {name: torch.ones(1, channels, 1, 1) for name in ("alpha", "beta")}
    assert dists.structure_distance(picture, picture, weights) == pytest.approx(0, abs=1e-5)
    assert dists.texture_distance(picture, picture, weights) == pytest.approx(0, abs=1e-5)
    assert dists.structure_distance(rolled, picture, weights) > 0.3
    assert dists.texture_distance(rolled, picture, weights) < 0.1


# With the real networks


@pytest.fixture(scope="module")
def networks(real_network):
    return metrics.load_networks(offline=True)


def measured(networks, result, photograph, painting):
    return metrics.measure(result, photograph, painting, networks)


@pytest.mark.real
def test_an_untouched_photograph_has_the_content_and_not_the_style(
    networks, good, photograph, painting
):
    fine, untouched = (measured(networks, p, photograph, painting) for p in (good, photograph))
    assert untouched.content_lpips < 1e-4 < fine.content_lpips
    assert untouched.content_ssim > fine.content_ssim
    for name in (
        *("style_layers", "style_half", "style_quarter", "style_random"),
        *("colour", "palette", "palette_srgb", "coverage_result", "coverage_style"),
    ):
        assert getattr(untouched, name) > 1.3 * getattr(fine, name), name


@pytest.mark.real
def test_without_large_strokes_the_style_fails_at_half_and_quarter_size(
    networks, photograph, painting
):
    # Fine strokes alone: what is left of the painting once its large strokes are taken away.
    large = F.interpolate(F.avg_pool2d(painting, 8), scale_factor=8.0, mode="bicubic")
    fine_strokes = (painting - large + painting.mean((2, 3), keepdim=True)).clamp(0, 1)
    full, fine = (
        measured(networks, painted_after(photograph, strokes), photograph, painting)
        for strokes in (painting, fine_strokes)
    )
    losses = [getattr(fine, n) / getattr(full, n) for n in ("style_layers", "style_quarter")]
    assert fine.style_half > full.style_half
    assert losses[1] > 1.3
    assert losses[1] > losses[0]


@pytest.mark.real
def test_an_object_in_the_sky_is_a_ghost_and_strokes_are_not(networks, photograph):
    # A painting with an object: rings, as of an eye, on strokes.
    rows, columns = torch.meshgrid(torch.arange(48) - 24, torch.arange(48) - 24, indexing="ij")
    radius = (rows.square() + columns.square()).sqrt()
    rings = (0.5 + 0.5 * (radius / 2.5).cos()).expand(1, 3, 48, 48)
    strokes = 0.4 + 0.2 * blots(SIDE_PX, 5, 6)
    painting = strokes.clone()
    painting[..., 40:88, 40:88] = rings
    good = photograph + 0.5 * (strokes - strokes.mean())
    haunted = good.clone()
    haunted[..., 4:52, 40:88] = rings
    plain, ghost = (
        measured(networks, p.clamp(0, 1), photograph, painting) for p in (good, haunted)
    )
    assert ghost.ghosts > 2 * plain.ghosts
    assert measured(networks, photograph, photograph, painting).ghosts == 0


@pytest.mark.real
def test_a_half_painted_picture_is_uneven(networks, good, photograph, painting):
    half = good.clone()
    half[..., : SIDE_PX // 2] = photograph[..., : SIDE_PX // 2]
    even, uneven = (measured(networks, p, photograph, painting) for p in (good, half))
    assert uneven.evenness > 1.5 * even.evenness


@pytest.mark.real
def test_a_smeared_picture_loses_structure_texture_and_style(networks, good, photograph, painting):
    small = images.resize(good, SIDE_PX // 8, SIDE_PX // 8)
    smeared = images.resize(small, SIDE_PX, SIDE_PX)
    sharp, blurred = (measured(networks, p, photograph, painting) for p in (good, smeared))
    for name in ("style_layers", "style_half", "style_random", "coverage_style"):
        assert getattr(blurred, name) > 1.3 * getattr(sharp, name), name
    if networks.dists is None:
        pytest.skip(networks.reasons["dists"])
    assert blurred.dists_texture > 1.3 * sharp.dists_texture


@pytest.mark.real
def test_dists_and_alexnet_rank_the_untouched_photograph(networks, good, photograph, painting):
    if networks.dists is None or networks.alexnet is None:
        pytest.skip(" ".join(networks.reasons.values()))
    fine, untouched = (measured(networks, p, photograph, painting) for p in (good, photograph))
    assert untouched.dists_structure == pytest.approx(0, abs=1e-3)
    assert untouched.content_alexnet == pytest.approx(0, abs=1e-4)
    assert fine.content_alexnet > 0.05
    assert fine.dists_structure > 0.1
    assert untouched.dists_texture > 1.3 * fine.dists_texture
    assert untouched.style_alexnet > 1.3 * fine.style_alexnet


@pytest.mark.real
def test_dists_and_the_distance_of_alexnet_are_those_of_their_authors_code(networks):
    # Recorded from DISTS-pytorch 0.1 and stlpips_pytorch 0.0.2, on these weights and pictures.
    if networks.dists is None or networks.alexnet is None:
        pytest.skip(" ".join(networks.reasons.values()))
    first, second = noise(64, 72, 1), (noise(64, 72, 1) + noise(64, 72, 2)) / 2
    maps = [dists.features(picture, networks.vgg) for picture in (first, second)]
    alpha, beta = (float(networks.dists[name].sum()) for name in ("alpha", "beta"))
    terms = alpha * dists.texture_distance(*maps, networks.dists)
    terms += beta * dists.structure_distance(*maps, networks.dists)
    assert terms / (alpha + beta) == pytest.approx(0.2080593, rel=1e-4)
    alexnet = networks.alexnet
    assert metrics.lpips(first, second, alexnet, alexnet.heads) == pytest.approx(
        0.0226235, rel=1e-4
    )
