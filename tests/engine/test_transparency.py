"""Transparent pixels: whatever colours they hide, nobody has seen them."""

import dataclasses

import numpy as np
import pytest
import torch

from impasto import api, images
from impasto.engine import inputs
from impasto.errors import ImageError
from impasto.images import colour
from impasto.images.resample import fill_hidden
from impasto.job.job import Region

pytestmark = pytest.mark.heavy

HIDDEN = ([1.0, 0.0, 1.0], [0.0, 0.0, 0.0])


def cut_out(picture, hidden, *, height=48, width=40, seed=1):
    """A picture whose right third is transparent, with a soft edge, over some colour."""
    pixels = picture(height, width, seed=seed).float()
    alpha = torch.ones(1, 1, height, width)
    alpha[..., 2 * width // 3 :] = 0
    alpha[..., 2 * width // 3 - 1] = 0.5
    below = torch.tensor(hidden).view(1, 3, 1, 1)
    return torch.cat([torch.where(alpha > 0, pixels, below), alpha], 1)


@pytest.fixture
def painted(job_of):
    """``painted(content=, styles=, region=, **options)``: the pixels of a small job."""

    def paint(*, content=None, styles=None, region=(), **options):
        job = job_of(strength=0.5, iterations=4, region=list(region), **options)
        job = dataclasses.replace(
            job,
            content_image=job.content_image if content is None else content,
            style_images=job.style_images if styles is None else styles,
        )
        return api.paint(job).pixels

    return paint


@pytest.mark.parametrize("mode", ["free", "keep", "match"])
def test_hidden_colours_of_a_style_and_a_photograph_change_nothing(painted, picture, mode):
    one, other = (
        painted(
            content=cut_out(picture, hidden),
            styles=(cut_out(picture, hidden, seed=2), picture(40, 44, seed=3).float()),
            colour=mode,
        )
        for hidden in HIDDEN
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("part", [None, np.tile(np.linspace(0, 1, 40, dtype=np.float32), (48, 1))])
@pytest.mark.parametrize("mode", ["free", "match"])
def test_hidden_colours_of_a_region_s_style_change_nothing(painted, picture, mode, part):
    mask = np.zeros((48, 40), np.float32)
    mask[:, :20] = 1
    one, other = (
        painted(
            content=cut_out(picture, hidden),
            region=[Region(mask, cut_out(picture, hidden, seed=5), part)],
            colour=mode,
        )
        for hidden in HIDDEN
    )
    assert torch.equal(one, other)


def test_hidden_colours_of_a_start_change_nothing(painted, picture):
    one, other = (painted(start=cut_out(picture, hidden)) for hidden in HIDDEN)
    assert torch.equal(one, other)


def test_what_is_seen_is_left_and_what_is_hidden_is_like_it(picture):
    image = cut_out(picture, HIDDEN[0])
    pixels, alpha = image[:, :3], image[:, 3:]
    filled = fill_hidden(pixels, alpha)
    seen = (alpha > 0).expand_as(pixels)
    assert torch.equal(filled[seen], pixels[seen])
    low, high = pixels[seen].aminmax()
    assert low <= filled.min()
    assert filled.max() <= high
    # Next to the edge, nearly the colours of the edge.
    assert (filled[..., 26] - pixels[..., 25]).abs().mean() < 0.2
    opaque = torch.ones_like(alpha)
    assert fill_hidden(pixels, opaque) is pixels
    assert fill_hidden(pixels, 0 * alpha) is pixels


def test_one_seen_pixel_fills_all():
    pixels, alpha = torch.zeros(1, 3, 37, 53), torch.zeros(1, 1, 37, 53)
    pixels[..., 11, 47], alpha[..., 11, 47] = 0.25, 1 / 255
    torch.testing.assert_close(fill_hidden(pixels, alpha), torch.full_like(pixels, 0.25))


def test_colours_count_by_their_opacity():
    left, right = torch.rand(1, 3, 8, 5), torch.rand(1, 3, 8, 3)
    image, alpha = torch.cat([left, right], 3), torch.ones(1, 1, 8, 8)
    alpha[..., 5:] = 0
    found, expected = colour.colours([image], [1.0], [alpha]), colour.colours([left], [1.0])
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.covariance, expected.covariance)
    alpha[..., 5:] = 0.5
    half = colour.colours([image], [1.0], [alpha]).mean
    assert half.tolist() == pytest.approx(
        ((left.sum((0, 2, 3)) + right.sum((0, 2, 3)) / 2) / (40 + 12)).tolist(), rel=1e-5
    )


def test_colours_of_a_large_picture_count_by_their_opacity(monkeypatch):
    image, alpha = torch.rand(1, 3, 30, 30), torch.rand(1, 1, 30, 30)
    whole = colour.colours([image], [1.0], [alpha])
    monkeypatch.setattr(colour, "_PIECE_PX", 128)
    torch.testing.assert_close(colour.colours([image], [1.0], [alpha]).mean, whole.mean)


def test_a_style_counts_by_its_opacity(painted, picture):
    seen = picture(40, 44, seed=2).float()
    noise = torch.rand(1, 3, 40, 44)
    faint = torch.full((1, 1, 40, 44), 1.0)
    plain = painted(styles=(seen,))
    # Stripes of something else at the right, seen a little, a lot.
    far = []
    for opacity in (0.02, 1.0):
        faint[..., 30:] = opacity
        mixed = torch.cat([seen[..., :30], noise[..., 30:]], 3)
        far.append((painted(styles=(torch.cat([mixed, faint], 1),)) - plain).abs().mean())
    assert far[0] < far[1]


def test_a_style_with_nothing_to_see_is_refused(job_of):
    nothing = torch.zeros(1, 4, 48, 40)
    job = dataclasses.replace(job_of(), style_images=(nothing,))
    with pytest.raises(
        ImageError, match="wholly transparent: expected a picture with something to see"
    ):
        inputs.read(job)
    region = Region(np.ones((48, 40), np.float32), nothing)
    with pytest.raises(ImageError, match="wholly transparent"):
        inputs.read(job_of(region=[region]))


def test_a_photograph_with_nothing_to_see_and_a_style_of_one_colour_are_noted(job_of):
    nothing = torch.zeros(1, 4, 48, 40)
    plain = torch.full((1, 3, 40, 40), 0.4)
    for palette, told in ((0.0, "has one colour alone"), (1.0, "has nearly one colour")):
        job = job_of(palette=palette)
        job = dataclasses.replace(job, content_image=nothing, style_images=(plain, plain))
        found = sorted(note for note in inputs.read(job).notes if "enlarged" not in note)
        assert len(found) == 2
        assert told in found[0] + found[1]
        assert "wholly transparent, and so is the result" in found[0] + found[1]


def test_opaque_pictures_are_not_touched(job_of):
    job = job_of()
    read = inputs.read(job)
    assert torch.equal(read.content.pixels, images.load(job.content_image).pixels)
    assert not [note for note in read.notes if "transparent" in note or "colour" in note]
