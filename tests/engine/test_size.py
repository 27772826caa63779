"""Sizes: the longest side, both sides, or a picture's own; in every mode, and in what follows."""

import dataclasses

import numpy as np
import pytest
import torch

from impasto import images
from impasto.config.settings import make_settings
from impasto.engine import inputs
from impasto.engine.estimate import estimate
from impasto.errors import ImageError, SettingsError
from impasto.job import recipe
from impasto.job.job import Region


def ramp(height, width):
    """A picture whose red says how far right a pixel is, and whose green how far down."""
    red = torch.linspace(0, 1, width).expand(height, width)
    green = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return torch.stack([red, green, torch.full((height, width), 0.5)])


def sides(result):
    return tuple(reversed(result.pixels.shape[-2:]))


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("style_transfer", 40, (33, 40)),
        ("style_transfer", "original", (40, 48)),
        ("style_transfer", (48, 32), (48, 32)),
        ("content", "original", (40, 48)),
        ("content", (32, 48), (32, 48)),
        ("style", "original", (44, 40)),
        ("style", "48x32", (48, 32)),
    ],
)
def test_the_result_has_the_size_asked_for(job_of, paint, mode, size, expected):
    steps, result = paint(job_of(mode, size=size, iterations=2))
    assert sides(result) == expected
    assert result.settings.size == make_settings(size=size).size
    assert steps[-1].size_px == expected


def test_the_photograph_is_cropped_at_its_centre_with_its_mask_and_its_opacity(job_of):
    photograph = ramp(60, 120)
    opaque = torch.ones(1, 60, 120)
    opaque[..., :30] = 0.5  # is cut away
    job = job_of(size=(48, 48), region=None)
    mask = np.zeros((60, 120), np.uint8)
    mask[:, 60:] = 255
    job = dataclasses.replace(
        job,
        content_image=torch.cat([photograph, opaque]),
        regions=[Region(mask, job.style_images[0])],
    )
    read = inputs.read(job)
    assert (read.content.width_px, read.content.height_px) == (60, 60)
    assert torch.equal(read.content.pixels[0], photograph[..., 30:90])
    assert float(read.content.alpha.min()) == 1
    (area,) = read.areas
    assert torch.equal(area.mask.pixels[0, 0], torch.from_numpy(mask)[:, 30:90] / 255)
    assert (read.scales[-1].width_px, read.scales[-1].height_px) == (48, 48)
    (note,) = [note for note in read.notes if "cropped" in note]
    assert note.startswith("'image' is cropped at its centre from 120 x 60 to 60 x 60 pixels")


def test_a_photograph_of_that_shape_is_not_cropped(job_of):
    job = dataclasses.replace(job_of(size=(48, 24)), content_image=ramp(60, 120))
    assert not inputs.read(job).notes


def test_strength_0_keeps_the_photographs_own_pixels(job_of, paint):
    job = job_of(size="original", strength=0.0)
    _, result = paint(job)
    assert torch.equal(result.pixels, images.load(job.content_image).pixels)


@pytest.mark.parametrize("aspect", ["1:1", "16:9"])
def test_both_sides_beside_an_aspect_are_refused(aspect):
    with pytest.raises(SettingsError, match="expected size as both sides, or aspect, got 96x64"):
        make_settings(size=(96, 64), aspect=aspect)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("15x64", "greater than or equal to 16, got '15x64'"),
        ((64, 70000), r"less than or equal to 65536, got \(64, 70000\)"),
        ((64,), "expected a width and a height"),
        ("largest", "both sides such as 96x64, or original, got 'largest'"),
        ("-64x32", "both sides such as 96x64"),
    ],
)
def test_sizes_that_cannot_be(size, message):
    with pytest.raises(SettingsError, match=message):
        make_settings(size=size)


def test_an_original_that_is_too_small(job_of):
    job = dataclasses.replace(job_of(size="original"), content_image=ramp(12, 14))
    with pytest.raises(ImageError, match="14 pixels on its longest side: expected 16 to 65536"):
        inputs.read(job)


@pytest.mark.parametrize("size", [48, "original", (48, 32)])
def test_a_recipe_keeps_it(job_of, paint, size):
    _, result = paint(job_of(size=size, iterations=1))
    again = recipe.parse(result.recipe.text(), "it")
    assert again.settings.size == size
    assert again == result.recipe


@pytest.mark.parametrize("size", ["original", (48, 32)])
def test_it_is_planned_as_it_is_painted(job_of, size):
    job = job_of(size=size, iterations=1)
    planned = [row.scale for row in estimate(job).scales]
    assert planned == list(inputs.read(job).scales)


@pytest.mark.parametrize(("size", "longest_px"), [(64, 64), ((48, 32), 48), ("original", 48)])
def test_the_longest_side_is_known_before_anything_is_decoded(job_of, tmp_path, size, longest_px):
    job = job_of(size=size)
    path = tmp_path / "photograph.png"
    images.save_image(images.to_image(images.load(job.content_image).pixels), path)
    for source in (job.content_image, path):
        assert inputs.longest_px(dataclasses.replace(job, content_image=source)) == longest_px


def test_it_is_steered_and_resumed(job_of):
    from impasto.engine.painting import iterate

    job = job_of(size=(48, 32), iterations=8)
    painting = iterate(job)
    for _ in range(3):
        next(painting)
    painting.send({"beta": 1e5})
    kept = painting.checkpoint()
    resumed = iterate(job, resume=kept)
    assert next(resumed).step == 5
