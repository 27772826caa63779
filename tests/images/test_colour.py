"""Colours taken from one picture to another: their mean and covariance arrive."""

import pytest
import torch

from impasto import api
from impasto.images import colour
from impasto.images.colour import colours, match


def cloud(seed, height=24, width=30, spread=0.04, middle=0.5):
    """Pixels well inside [0, 1], of correlated colours, so that nothing is clamped."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(3, dtype=torch.float64)
    mixing = mixing + torch.rand(3, 3, dtype=torch.float64, generator=generator)
    pixels = torch.randn(3, height * width, dtype=torch.float64, generator=generator)
    offset = 0.2 * torch.rand(3, 1, dtype=torch.float64, generator=generator)
    return (middle - 0.1 + offset + spread * mixing @ pixels).view(1, 3, height, width)


def test_known_mean_and_covariance():
    image = torch.zeros(1, 3, 1, 2, dtype=torch.float64)
    image[0, 0, 0] = torch.tensor([0.2, 0.6])
    image[0, 1, 0] = torch.tensor([0.5, 0.1])
    image[0, 2, 0] = 0.9
    measured = colours([image], [1.0])
    expected = [[0.04, -0.04, 0], [-0.04, 0.04, 0], [0, 0, 0]]
    torch.testing.assert_close(measured.mean, torch.tensor([0.4, 0.3, 0.9]).double())
    torch.testing.assert_close(measured.covariance, torch.tensor(expected).double())


def test_two_pictures_pool_as_one_whose_pixels_are_both():
    first, second = cloud(1, 24, 30), cloud(2, 24, 90)
    together = colours([torch.cat([first, second], dim=3)], [1.0])
    pooled = colours([first, second], [0.25, 0.75])
    torch.testing.assert_close(pooled.mean, together.mean)
    torch.testing.assert_close(pooled.covariance, together.covariance)


def test_the_matched_picture_has_the_target_s_colours():
    target = colours([cloud(2)], [1.0])
    matched = match(cloud(1), target)
    assert 0 < matched.min() < matched.max() < 1
    measured = colours([matched], [1.0])
    torch.testing.assert_close(measured.mean, target.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(measured.covariance, target.covariance, rtol=0, atol=1e-9)


def test_colours_matched_to_themselves_stay():
    image = cloud(1)
    torch.testing.assert_close(match(image, colours([image], [1.0])), image, rtol=0, atol=1e-9)


def test_no_colour_turns_round():
    # Of the maps that give the covariance, the one that moves colours least is symmetric
    # and positive: along any line of colours the order is kept.
    image, target = cloud(1), colours([cloud(2)], [1.0])
    matched = match(image, target)
    before = image[0].flatten(1) - image[0].flatten(1).mean(1, keepdim=True)
    after = matched[0].flatten(1) - matched[0].flatten(1).mean(1, keepdim=True)
    linear = torch.linalg.lstsq(before.t(), after.t()).solution
    torch.testing.assert_close(linear, linear.t(), rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(linear).min() > 0


def test_the_result_is_clamped_and_keeps_shape_and_type():
    wild = colours([cloud(3, spread=1.0)], [1.0])
    matched = match(cloud(1, 5, 7).float(), wild)
    assert matched.shape == (1, 3, 5, 7)
    assert matched.dtype == torch.float32
    assert (matched.min(), matched.max()) == (0, 1)


def test_the_content_picture_is_left_alone():
    image = cloud(1)
    match(image, colours([cloud(2)], [1.0]))
    assert image.equal(cloud(1))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_flat_picture_takes_the_target_s_mean(level):
    flat = torch.full((1, 3, 8, 8), level, dtype=torch.float64)
    target = colours([cloud(2)], [1.0])
    expected = target.mean.view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(match(flat, target), expected, rtol=0, atol=1e-9)


def test_a_picture_matched_to_a_flat_one_becomes_nearly_flat():
    flat = colours([torch.full((1, 3, 8, 8), 0.25, dtype=torch.float64)], [1.0])
    matched = match(cloud(1), flat)
    assert (matched - 0.25).abs().max() < 0.03


def test_a_grey_picture_takes_no_colour_noise():
    # Its colours lie on a line: nothing across it may be blown up.
    grey = cloud(1)[:, :1].expand(1, 3, -1, -1)
    target = colours([cloud(2)], [1.0])
    measured = match(grey, target)[0].flatten(1)
    ratios = torch.linalg.svdvals(measured - measured.mean(1, keepdim=True))
    assert ratios[1] < 1e-6 * ratios[0]
    torch.testing.assert_close(measured.mean(1), target.mean, rtol=0, atol=1e-9)


def test_the_least_trace_of_colour_in_a_grey_picture_is_not_blown_up():
    # A tenth of a level of 255, as the rounding of another program may leave.
    grey = cloud(1, 64, 64)[:, :1].expand(1, 3, -1, -1)
    generator = torch.Generator().manual_seed(0)
    trace = 0.1 / 255 * torch.randn(grey.shape, dtype=torch.float64, generator=generator)
    target = colours([cloud(2, spread=0.1)], [1.0])
    assert (match(grey + trace, target) - match(grey, target)).std() < 0.05


def test_colours_are_computed_in_float64_whatever_the_picture():
    measured = colour.colours([cloud(1).float()], [1.0])
    assert measured.mean.dtype == measured.covariance.dtype == torch.float64


def test_the_noise_of_a_grey_photograph_is_not_stretched_to_colours() -> None:
    generator = torch.Generator().manual_seed(3)
    grey = torch.rand(1, 1, 40, 40, generator=generator).expand(1, 3, 40, 40)
    noise = torch.randint(0, 2, (1, 3, 40, 40), generator=generator) / 255
    colourful = colours([torch.rand(1, 3, 40, 40, generator=generator)], [1.0])
    clean, noisy = (match(image.clamp(0, 1), colourful) for image in (grey, grey + noise))
    assert (clean - noisy).std() < 20 / 255


# Ottosson's own table of pairs, in OKLab, of the primaries in sRGB.
@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.62796, 0.22486, 0.12585)),
        ((0.0, 1.0, 0.0), (0.86644, -0.23389, 0.17950)),
        ((0.0, 0.0, 1.0), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_known_colours_in_oklab(rgb, lab):
    image = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)
    expected = torch.tensor(lab, dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(colour.to_oklab(image), expected, rtol=0, atol=2e-4)


def test_the_photograph_s_colours_are_kept_under_the_painting_s_lightness():
    generator = torch.Generator().manual_seed(3)
    # More rows than are converted at a time; muted, so that every lightness has the chroma.
    painting = 0.3 + 0.4 * torch.rand(1, 1, 300, 5, generator=generator).expand(1, 3, 300, 5)
    photograph = torch.tensor([0.55, 0.5, 0.45]).view(1, 3, 1, 1).expand(1, 3, 300, 5)
    recoloured = colour.to_oklab(colour.keep(painting, photograph))
    lightness = colour.to_oklab(painting)[:, :1]
    chroma = colour.to_oklab(photograph)[:, 1:]
    torch.testing.assert_close(recoloured[:, :1], lightness, rtol=0, atol=2e-3)
    torch.testing.assert_close(recoloured[:, 1:], chroma, rtol=0, atol=2e-3)


def test_a_picture_keeps_its_own_colours():
    image = cloud(4).float()
    torch.testing.assert_close(colour.keep(image, image), image, rtol=0, atol=2e-3)


def test_chroma_that_no_colour_of_that_lightness_has_gives_way_and_the_hue_stays():
    white = torch.full((1, 3, 2, 2), 0.98)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    recoloured = colour.keep(white, blue)
    assert 0 <= recoloured.min() <= recoloured.max() <= 1
    lab, wanted = colour.to_oklab(recoloured)[0, :, 0, 0], colour.to_oklab(blue)[0, :, 0, 0]
    assert lab[0] == pytest.approx(float(colour.to_oklab(white)[0, 0, 0, 0]), abs=5e-3)
    assert torch.cosine_similarity(lab[1:], wanted[1:], dim=0) > 0.99
    assert lab[1:].norm() < 0.5 * wanted[1:].norm()


@pytest.fixture
def painted(picture, weights_file):
    """``painted(colour=)``: a small painting, and its photograph."""

    def paint(**options):
        photograph = 0.3 + 0.4 * picture(40, 48, seed=1, dtype=torch.float32)
        job = api.make_job(
            "style_transfer",
            photograph,
            picture(44, 36, seed=2, dtype=torch.float32)
            * torch.tensor([1, 0.4, 0.2]).view(3, 1, 1),
            **{"weights": str(weights_file), "size": 48, "coarsest": 48, "iterations": 3},
            **{"style_layers": "relu1_1", "content_layers": "relu1_2", "threads": 1},
            **options,
        )
        return api.paint(job).pixels, photograph

    return paint


@pytest.mark.heavy
def test_a_result_may_keep_the_photograph_s_colours(painted):
    free, photograph = painted(palette=0)
    recoloured, _ = painted(colour="keep")
    wanted = colour.to_oklab(photograph)[:, 1:]
    ours, theirs = ((colour.to_oklab(x)[:, 1:] - wanted).abs().mean() for x in (recoloured, free))
    assert ours < 0.2 * theirs
    lightness = [colour.to_oklab(x)[:, :1] for x in (recoloured, free)]
    torch.testing.assert_close(*lightness, rtol=0, atol=0.02)


@pytest.mark.heavy
def test_a_style_may_be_given_the_photograph_s_palette(painted):
    free, photograph = painted()
    matched, _ = painted(colour="match")
    palette = colours([photograph], [1.0])
    ours, theirs = ((colours([x], [1.0]).mean - palette.mean).abs().max() for x in (matched, free))
    assert ours < 0.2 * theirs
