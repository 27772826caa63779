"""The palette while painting: what takes the style's colours, when, and how it is repeated."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from impasto import api, images
from impasto.config.presets import PRESETS
from impasto.config.settings import make_settings
from impasto.engine import canvas, checkpoint, defaults, inputs
from impasto.engine.painting import iterate
from impasto.engine.palettes import Palettes, amount
from impasto.engine.pyramid import Scale
from impasto.engine.regions import LoadedRegion
from impasto.errors import SettingsError
from impasto.images import colour
from impasto.job.job import Region

pytestmark = pytest.mark.heavy

SETTINGS = make_settings(palette=1.0, alpha=1.0, beta=1.0)


def blots(height, width, seed, tint=(1.0, 1.0, 1.0), base=0.0):
    """A picture of smooth blots of colour between ``base`` and ``base`` + ``tint``."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bilinear")
    return base + smooth * torch.tensor(tint).view(1, 3, 1, 1)


RED = blots(40, 44, 2, (0.6, 0.2, 0.2), 0.3)
BLUE = blots(40, 44, 3, (0.2, 0.2, 0.6), 0.2)
GREY = blots(40, 44, 4)[:, :1].expand(1, 3, -1, -1).contiguous()


def distance(first, second):
    """How far the sorted channels of two pictures, and their sums, lie apart on average."""
    levels = torch.linspace(0.005, 0.995, 200)
    axes = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.6, 0.6], [0.7, -0.7, 0]])
    ours, theirs = (
        torch.quantile(axes @ image[0].flatten(1), levels, dim=1) for image in (first, second)
    )
    return float((ours - theirs).abs().mean())


def finish(painting):
    while True:
        try:
            next(painting)
        except StopIteration as end:
            return end.value


@pytest.fixture
def painted_in(job_of):
    """``painted_in(style, mode, **options)``: a job of the small network with that painting."""

    def make(style, mode="style_transfer", **options):
        job = job_of(mode, **options)
        return replace(job, style_images=(images.load(style),))

    return make


# A texture from noise is pale after a few iterations, and the slope is bounded.
@pytest.mark.parametrize(("mode", "within"), [("style_transfer", 0.012), ("style", 0.03)])
@pytest.mark.parametrize("style", [RED, GREY])
def test_the_result_has_the_painting_s_colours(painted_in, mode, within, style):
    before = finish(iterate(painted_in(style, mode, palette=0))).pixels
    after = finish(iterate(painted_in(style, mode))).pixels
    assert distance(after, style) < within
    assert distance(after, style) < 0.5 * distance(before, style)


def test_a_grey_painting_gives_a_grey_picture(painted_in):
    steps = iterate(painted_in(GREY))
    first = np.asarray(next(steps).image()).astype(int)
    result = finish(steps)
    assert np.ptp(first, axis=2).max() == 0
    assert (result.pixels.amax(1) - result.pixels.amin(1)).max() < 1e-5


def test_what_is_painted_at_the_next_size_begins_in_these_colours(painted_in):
    painting = iterate(painted_in(RED, iterations=12))
    steps = [next(painting)]
    while steps[-1].scale == 0:
        stage = painting._scale_loop.snapshot
        steps.append(next(painting))
    # The first step only evaluates what it begins from.
    begun = painting._scale_loop.snapshot.point.image
    scale = stage.inputs.scales[1]
    resized = canvas.resize_canvas(stage.point.image, scale)
    expected = stage.inputs.palettes.recolour(resized, scale, stage.inputs.settings)
    assert not expected.equal(resized)
    assert begun.equal(expected.contiguous())


def test_every_picture_that_leaves_is_recoloured(painted_in):
    painting = iterate(painted_in(RED, start="content"))
    step = next(painting)
    shown = images.load(step.image()).pixels
    assert distance(shown, RED) < 0.015
    assert distance(step.result().pixels, RED) < 0.015
    raw = painting._scale_loop.snapshot.point.image
    assert distance(canvas.cropped(raw, painting._scale_loop.snapshot.scale), RED) > 0.03


def test_palette_0_is_as_the_network_leaves_it(painted_in):
    painting = iterate(painted_in(RED, palette=0))
    result = finish(painting)
    stage = painting._scale_loop.snapshot
    assert result.pixels.equal(canvas.cropped(stage.point.image, stage.scale).clamp(0, 1))


@pytest.mark.parametrize("mode", ["style_transfer", "style"])
def test_a_checkpoint_from_any_step_leads_to_the_same_bits(painted_in, mode, tmp_path):
    job = painted_in(RED, mode, iterations=8)
    result, path = finish(iterate(job)), tmp_path / "kept"
    for steps in range(1, 8):
        painting = iterate(job)
        for _ in range(steps):
            next(painting)
        checkpoint.write(painting.checkpoint(), path)
        again = finish(iterate(job, resume=checkpoint.read(path)))
        assert again.pixels.equal(result.pixels)


def test_steering_the_palette_shows_at_once_and_is_repeated(painted_in):
    painting = iterate(painted_in(RED, palette=0))
    for _ in range(3):
        step = next(painting)
    free = images.load(step.image()).pixels
    moved = images.load(painting.send({"palette": 1.0}).image()).pixels
    assert distance(moved, RED) < 0.5 * distance(free, RED)
    result = finish(painting)
    assert result.recipe.decisions.changes[0].settings == {"palette": 1.0}
    job = replace(painted_in(RED, palette=0), decisions=result.recipe.decisions)
    assert finish(iterate(job)).pixels.equal(result.pixels)


def test_in_tiles_as_whole(painted_in):
    options = {
        "size": 300,
        "coarsest": 200,
        "iterations": 2,
        "style_layers": {"relu1_1": 1, "relu2_1": 1},
        "content_layers": "relu1_1",
    }
    whole = finish(iterate(painted_in(RED, **options)))
    tiled = finish(iterate(painted_in(RED, memory=2**20, **options)))
    assert tiled.recipe.decisions.memory == 2**20
    torch.testing.assert_close(tiled.pixels, whole.pixels, rtol=0, atol=2e-3)


def test_a_diverged_painting_is_delivered_in_these_colours(painted_in):
    painting = iterate(painted_in(RED))
    for _ in range(2):
        next(painting)
    result = painting._reporter.result(painting._scale_loop.snapshot, 1.0)
    assert distance(result.pixels, RED) < 0.015


def halves(height, width):
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_each_region_has_its_own_palette(painted_in):
    mask = halves(48, 40)[0, 0].numpy()
    job = replace(painted_in(RED, margin=0.1), regions=(Region(mask, images.load(BLUE)),))
    result = finish(iterate(job)).pixels
    left, right = result[..., :18].contiguous(), result[..., 22:].contiguous()
    assert distance(left, BLUE) < 0.03 < distance(left, RED)
    assert distance(right, RED) < 0.03 < distance(right, BLUE)


def test_a_style_mask_says_which_part_has_the_colours():
    style = images.load(torch.cat([RED, BLUE], 3))
    mask = images.load(halves(40, 88).expand(1, 3, -1, -1))
    everywhere = images.load(torch.ones(1, 3, 40, 44))
    scale = Scale(40, 88, 0, 1)
    image = blots(40, 88, 7)
    made = Palettes(None, [images.load(GREY)], [LoadedRegion(everywhere, style, mask)])
    assert distance(made.recolour(image, scale, SETTINGS), RED) < 0.015


def test_grey_masks_blend_and_the_margin_goes_along():
    image, scale = blots(60, 70, 7), Scale(40, 50, 10, 1)
    half = images.load(torch.full((1, 3, 40, 50), 0.5))
    blue, red = (Palettes(None, [images.load(style)], []) for style in (BLUE, RED))
    expected = sum(made.recolour(image, scale, SETTINGS) for made in (blue, red)) / 2
    mixed = Palettes(None, [images.load(RED)], [LoadedRegion(half, images.load(BLUE), None)])
    found = mixed.recolour(image, scale, SETTINGS)
    # The weights of the histogram are whole 255ths, the same for all pixels.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    inner = Scale(40, 50, 0, 1)
    cut = canvas.cropped(image, scale).contiguous()
    assert mixed.recolour(cut, inner, SETTINGS).equal(canvas.cropped(found, scale))


def test_transparent_pixels_do_not_count():
    image = blots(40, 50, 7)
    spoilt = image.clone()
    spoilt[..., 25:] = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    photograph = replace(images.load(spoilt), alpha=halves(40, 50))
    scale = Scale(40, 50, 0, 1)
    found = Palettes(photograph, [images.load(RED)], []).recolour(spoilt, scale, SETTINGS)
    alone = Palettes(None, [images.load(RED)], []).recolour(
        image[..., :25].contiguous(), Scale(40, 25, 0, 1), replace_size(SETTINGS)
    )
    assert distance(found[..., :25].contiguous(), RED) < 0.015
    torch.testing.assert_close(found[..., :25], alone, rtol=0, atol=0.02)
    style = torch.cat([RED, torch.zeros_like(RED)], 3)
    opaque = replace(images.load(style), alpha=halves(40, 88))
    found = Palettes(None, [opaque], []).recolour(image, scale, SETTINGS)
    assert distance(found, RED) < 0.02


def replace_size(settings):
    """The settings with the painting shown at the size that a picture twice as wide has."""
    return settings.model_copy(update={"style_scale": (50 / 40,)})


def test_several_paintings_blend_by_weight():
    styles = [images.load(RED), images.load(BLUE)]
    scale, image = Scale(44, 44, 0, 1), blots(44, 44, 7)
    for weights, style in (((1.0, 0.0), RED), ((0.0, 1.0), BLUE)):
        settings = SETTINGS.model_copy(update={"style_weights": weights})
        found = Palettes(None, styles, []).recolour(image, scale, settings)
        assert distance(found, style) < 0.015
    both = Palettes(None, styles, []).recolour(image, scale, SETTINGS)
    assert distance(both, torch.cat([RED, BLUE], 3)) < 0.015


def test_a_weak_style_leaves_the_photograph_its_colours(job_of):
    given = {"palette": 0.8, "alpha": None, "beta": None}
    shares = [
        amount(SETTINGS.model_copy(update=given | {"strength": strength}))
        for strength in (0, 0.1, 0.25, 0.5, 1.0)
    ]
    assert shares == pytest.approx([0, 0.16, 0.4, 0.8, 0.8])
    assert amount(SETTINGS.model_copy(update={"beta": 0.0})) == 0


@pytest.mark.parametrize(
    ("mode", "options", "palette"),
    [
        ("style_transfer", {}, 1.0),
        ("style_transfer", {"colour": "match"}, 1.0),
        ("style_transfer", {"colour": "keep"}, 0.0),
        ("style_transfer", {"colour": "keep", "palette": 0}, 0.0),
        ("style", {}, 1.0),
        ("content", {}, 0.0),
        ("style_transfer", {"palette": 0.25}, 0.25),
    ],
)
def test_what_is_left_open_is_filled_in(job_of, mode, options, palette):
    job = job_of(mode, **options)
    assert defaults.complete(job, job.settings).palette == palette


def test_a_palette_is_refused_where_there_is_none(job_of):
    with pytest.raises(SettingsError, match="expected palette 0 with colour keep, which"):
        make_settings(colour="keep", palette=0.5)
    with pytest.raises(SettingsError, match="palette: expected none in content mode"):
        inputs.read(job_of("content", palette=0.5))
    painting = iterate(job_of(colour="keep"))
    next(painting)
    with pytest.raises(SettingsError, match="expected palette 0 with colour keep"):
        painting.send({"palette": 0.5})
    # Laid over a palette, the photograph's colours take its place.
    assert make_settings(make_settings(palette=0.5), colour="keep").palette is None


def test_published_presets_leave_the_colours_to_the_network():
    looks = {"default", "gentle", "bold", "drawing", "fast", "best"}
    for name in PRESETS:
        assert make_settings(preset=name).palette == (None if name in looks else 0)


def test_a_painting_of_one_colour_leaves_light_and_dark_and_says_so(painted_in):
    plain = torch.tensor([0.7, 0.3, 0.2]).view(1, 3, 1, 1).expand(1, 3, 40, 44).contiguous()
    job = painted_in(plain)
    assert "has nearly one colour" in inputs.read(job).notes[-1]
    result = finish(iterate(job)).pixels
    free = finish(iterate(painted_in(plain, palette=0))).pixels
    assert colour.to_oklab(result)[:, 0].std() > 0.3 * colour.to_oklab(free)[:, 0].std()
    as_it_is = inputs.read(painted_in(plain, palette=0)).notes
    assert not any("nearly one colour" in note for note in as_it_is)
    assert not inputs.read(painted_in(RED)).notes


def test_palettes_are_cached_within_bounds():
    made = Palettes(None, [images.load(RED)], [])
    image = blots(44, 44, 7)
    for size in range(20, 90):
        made.plain(Scale(size, size, 0, 1), SETTINGS)
    assert len(made._cache) == 32
    first, again = (made.recolour(image, Scale(44, 44, 0, 1), SETTINGS) for _ in range(2))
    assert first.equal(again)


def test_sixteen_bits_have_no_gaps(painted_in, tmp_path):
    result = finish(iterate(painted_in(RED, size=96)))
    path = result.save(tmp_path / "out.png", bits=16)
    again = images.load(path).pixels
    torch.testing.assert_close(again, result.pixels, rtol=0, atol=1 / 65535)
    levels = (again[0, 0] * 65535).round().unique()
    assert len(levels) > 4 * 256


def test_python_takes_the_option():
    assert api.make_job("style", None, [RED], palette=0.5).settings.palette == 0.5
