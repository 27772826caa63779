"""The three functions: pictures in any form, options by name, a Result out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from impasto import api, images, metrics
from impasto.errors import ImageError


@pytest.fixture
def options(folder, weights_file):
    """Keywords of a painting that takes a moment."""
    return {
        **{"weights": weights_file, "size": 32, "coarsest": 32, "iterations": 2},
        **{"alpha": 1.0, "beta": 5e4},
    }


def test_each_mode_gives_a_result(options):
    transferred = impasto.style_transfer("photograph.png", "painting.png", **options)
    rebuilt = impasto.content("photograph.png", **options)
    texture = impasto.style(["painting.png", "other.png"], aspect="2:1", **options)
    assert (transferred.image.size, transferred.mode) == ((32, 24), "style_transfer")
    assert (rebuilt.image.size, rebuilt.mode) == ((32, 24), "content")
    assert (texture.image.size, texture.mode) == ((32, 16), "style")
    for result in (transferred, rebuilt, texture):
        assert len(result.history) == 2
        assert result.settings.size == 32
        assert result.time_s > 0


def test_pictures_come_in_every_form(options):
    with Image.open("painting.png") as opened:
        opened.load()
    array = np.asarray(opened)
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    forms = ["painting.png", Path("painting.png"), Path("painting.png").read_bytes(), opened, array,
             tensor, tensor[None], images.load("painting.png")]  # fmt: skip
    painted = [
        np.asarray(impasto.style_transfer("photograph.png", form, start="content", **options).image)
        for form in forms
    ]
    assert all(np.array_equal(painted[0], other) for other in painted[1:])


def test_a_start_may_be_a_name_a_path_or_a_picture(options):
    options |= {"iterations": 0, "start": "other.png"}
    by_name = impasto.content("photograph.png", **options)
    for start in (Path("other.png"), Image.open("other.png"), images.load("other.png")):
        result = impasto.content("photograph.png", **options | {"start": start})
        assert np.array_equal(np.asarray(by_name.image), np.asarray(result.image))


def test_options_lie_over_settings(options):
    settings = impasto.Settings(seed=5, size=64)
    result = impasto.content("photograph.png", settings=settings, **options)
    assert (result.settings.seed, result.settings.size) == (5, 32)


def test_each_step_is_shown_as_it_comes(options):
    steps = []
    result = impasto.content("photograph.png", on_step=steps.append, **options)
    assert [step.step for step in steps] == [1, 2]
    assert steps[-1].progress == 1
    assert steps[-1].image().size == result.image.size
    assert np.array_equal(np.asarray(steps[-1].result().image), np.asarray(result.image))
    assert dict(steps[-1].losses) == result.history.losses()


def test_what_on_step_raises_ends_the_painting(options):
    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        impasto.content("photograph.png", on_step=stop, **options)


def test_a_result_writes_itself(options, folder):
    result = impasto.content("photograph.png", **options)
    assert result.save("a result.png") == Path("a result.png")
    with Image.open("a result.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(result.image))


def test_iterate_paints_step_by_step_and_reads_nothing_before(options):
    painting = impasto.iterate(api.make_job("content", "absent.png", **options))
    with pytest.raises(impasto.ImageError, match=r"no file 'absent\.png'"):
        next(painting)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o: impasto.content("photograph.png", sise=3, **o), "SettingsError", "no option"),
        (lambda o: impasto.style([], **o), "ImageError", "expected at least one style picture"),
        (lambda o: impasto.style_transfer(None, "painting.png", **o), "ImageError", "got none"),
        (lambda o: impasto.style_transfer("photograph.png", None, **o), "ImageError", "got none"),
        (lambda o: impasto.content(3, **o), "ImageError", "got int"),
        (
            lambda o: impasto.style(["painting.png"], style_weights=[1, 2], **o),
            "SettingsError",
            "expected 1, one for each style picture, got 2",
        ),
        (
            lambda o: impasto.content(np.zeros((3, 40, 40, 1)), **o),
            "ShapeError",
            r"got \(3, 40, 40, 1\)",
        ),
    ],
)
def test_refusals_are_impastos_own(options, call, error, message):
    with pytest.raises(getattr(impasto, error), match=message):
        call(options)


def test_regions_come_as_records_or_words(options):
    mask = np.zeros((72, 96), dtype=np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save("mask.png")
    recorded, worded = (
        impasto.style_transfer("photograph.png", "painting.png", region=region, **options)
        for region in ([impasto.Region(mask, "other.png")], ["mask.png:other.png"])
    )
    assert recorded.pixels.equal(worded.pixels)
    assert "style:relu1_1:region1" in recorded.history[-1]


def test_a_seamless_texture_has_sides_that_the_network_divides(options):
    result = impasto.style("painting.png", aspect="3:2", seamless=True, **options | {"size": 70})
    assert result.image.size == (64, 48)
    assert "only multiples of 16 fit themselves" in result.notes[0]


def test_a_seamless_texture_begins_anywhere(options):
    start = np.random.default_rng(0).random((32, 48, 3), dtype=np.float32)
    rolled = np.roll(start, (16, 16), (0, 1))
    options |= {"size": 48, "coarsest": 48, "aspect": "3:2", "precision": "fp32"}
    first, second = (
        impasto.style("painting.png", seamless=True, start=begun, **options).pixels
        for begun in (start, rolled)
    )
    assert (first - torch.from_numpy(start).permute(2, 0, 1)).abs().max() > 0.01
    torch.testing.assert_close(second, torch.roll(first, (16, 16), (2, 3)), rtol=0, atol=1e-3)
    bordered = impasto.style("painting.png", start=rolled, margin=0, **options).pixels
    assert (bordered - second).abs().max() > 0.01


def test_american_spelling_is_accepted():
    job = api.make_job("style_transfer", "a.png", "b.png", color="keep", optimizer="adam")
    assert job == api.make_job("style_transfer", "a.png", "b.png", colour="keep", optimiser="adam")
    with pytest.raises(impasto.SettingsError, match="colour: expected colour or color, got both"):
        api.make_job("content", "a.png", color="keep", colour="free")


@pytest.mark.parametrize(
    ("name", "alike"), [("thread", "threads"), ("siz", "size"), ("presets", "preset")]
)
def test_an_unknown_option_names_those_that_are_alike(name, alike):
    with pytest.raises(impasto.SettingsError, match=f"no option '{name}': did you mean {alike}"):
        impasto.content("photograph.png", **{name: 1})


@pytest.fixture
def small_judges(small_network, monkeypatch):
    networks = metrics.Networks(vgg=small_network(dtype=torch.float32))
    monkeypatch.setattr(metrics, "load_networks", lambda **_: networks)


def transparent(seed, hidden):
    """Blots, half of them hidden by transparency, over ``hidden``."""
    blots = np.random.default_rng(seed).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    pixels = np.array(Image.fromarray(blots).resize((80, 64), Image.Resampling.BICUBIC))
    pixels[..., 3] = 255
    pixels[:, 30:55, 3] = 0
    pixels[:, 30:55, :3] = hidden
    return pixels


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_transparency_hides_is_not_measured(small_judges, which):
    pictures = [transparent(seed, hidden=0) for seed in range(3)]
    measured = api.measure(*pictures)
    assert measured.style_layers > 0.01
    for hidden in ((255, 0, 255), np.random.default_rng(9).integers(0, 256, (64, 25, 3))):
        pictures[which] = transparent(which, hidden)
        assert api.measure(*pictures) == measured
    pictures[which][..., 3] = 255  # and what can be seen is
    assert api.measure(*pictures) != measured


def test_a_result_is_measured_as_its_file_is(small_judges, options, folder, tmp_path):
    Image.fromarray(transparent(1, (255, 0, 255))).save("photograph.png")
    result = impasto.style_transfer("photograph.png", "painting.png", **options)
    result.save("out.tiff", bits=16)
    ours, theirs = (
        api.measure(source, "photograph.png", "painting.png") for source in (result, "out.tiff")
    )
    for name in ("colour", "style_layers", "content_ssim"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-3)


def test_nothing_to_see_is_not_measured(small_judges):
    pictures = [transparent(seed, hidden=0) for seed in range(3)]
    pictures[1][..., 3] = 0
    with pytest.raises(ImageError, match="wholly transparent"):
        api.measure(*pictures)
