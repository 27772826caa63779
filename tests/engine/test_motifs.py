"""Motifs in a painting: which layers are computed, steered, planned and written down."""

import copy
from dataclasses import replace

import pytest
import torch

from impasto import api
from impasto.config.motifs import motif_layers
from impasto.config.settings import make_settings
from impasto.engine import defaults, inputs, setup
from impasto.engine.painting import iterate
from impasto.errors import SettingsError
from impasto.planning.plan import make_plan


@pytest.mark.parametrize(("mode", "motifs"), [("style_transfer", 0.25), ("style", 1.0)])
def test_each_mode_has_its_own_default(job_of, mode, motifs):
    settings = defaults.complete(job_of(mode), make_settings())
    assert (settings.motifs, settings.style_layers) == (motifs, motif_layers(motifs))


def test_layers_that_are_named_leave_no_motifs(job_of):
    settings = defaults.complete(job_of(), make_settings(style_layers="relu2_1"))
    assert (settings.motifs, settings.style_layers) == (None, {"relu2_1": 1.0})


def test_a_rebuilt_photograph_has_no_motifs(job_of):
    assert defaults.complete(job_of("content"), make_settings()).motifs is None
    with pytest.raises(SettingsError, match=r"^motifs: expected none in content mode, .* 0\.5"):
        iterate(job_of("content", motifs=0.5)).settings  # noqa: B018 - reading it is the test


@pytest.mark.parametrize("mode", ["style_transfer", "style"])
def test_without_motifs_nothing_deep_is_computed(job_of, paint, mode):
    steps, _ = paint(job_of(mode, motifs=0))
    names = {name for name in steps[-1].losses if name.startswith("style:")}
    assert names == {"style:relu1_1", "style:relu2_1", "style:relu3_1"}
    work = {}
    for motifs in (0, 0.5, 1):
        job = job_of(mode, motifs=motifs)
        work[motifs] = setup.workloads(inputs.read(job), make_plan(job.runtime))[-1].layers
    assert [len(layers) for layers in work.values()] == (
        [4, 5, 6] if mode == "style_transfer" else [3, 4, 5]
    )


def test_the_recipe_names_motifs_and_what_they_came_to(job_of, paint):
    _, result = paint(job_of(motifs=0.75))
    assert result.recipe.settings.motifs == 0.75
    assert result.recipe.settings.style_layers == motif_layers(0.75)
    read = type(result.recipe).model_validate_json(result.recipe.model_dump_json())
    assert read.settings == result.recipe.settings


def test_motifs_can_be_steered_up_from_none_and_repeated(job_of, paint):
    painting = iterate(job_of(motifs=0, strength=0.5))
    next(painting)
    steered = painting.send({"motifs": 1})
    assert "style:relu5_1" in steered.losses
    assert painting.settings.style_layers == motif_layers(1)
    checkpoint = copy.deepcopy(painting.checkpoint())
    while True:
        try:
            next(painting)
        except StopIteration as end:
            result = end.value
            break
    (change,) = result.recipe.decisions.changes
    assert change.settings == {"motifs": 1.0}
    job = job_of(motifs=0, strength=0.5)
    _, again = paint(replace(job, decisions=result.recipe.decisions))
    assert again.pixels.equal(result.pixels)
    _, resumed = paint(job, resume=checkpoint)
    assert resumed.pixels.equal(result.pixels)


def test_motifs_that_a_picture_is_too_small_for_are_refused_and_the_painting_goes_on(
    job_of, picture, paint
):
    job = job_of(motifs=0)
    job = replace(job, style_images=[picture(12, 12, seed=2).float()])
    painting = iterate(job)
    first = next(painting)
    with pytest.raises(SettingsError, match="16 pixels"):
        painting.send({"motifs": 1})
    assert next(painting).step == first.step + 1


def test_motifs_reach_every_front_end_as_one_option(job_of):
    by_word = api.make_job("style", None, [torch.rand(1, 3, 40, 40)], motifs="0.5")
    assert by_word.settings.motifs == 0.5
