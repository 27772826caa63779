"""Paintings by nearest neighbours: in tiles, in regions, steered, resumed, and at both ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from impasto import api, images
from impasto.config.settings import make_settings
from impasto.engine import checkpoint, inputs, setup
from impasto.engine.painting import iterate
from impasto.errors import CheckpointError
from impasto.job import recipe
from impasto.job.job import Region
from impasto.losses.neighbours import EVERY
from impasto.planning import throughput
from impasto.planning.plan import ComputePlan, make_plan

LAYERS = {"style_layers": "relu1_1,relu2_1", "content_layers": "relu2_2"}
TILED = {"size": 300, "coarsest": 300, "iterations": 10, "palette": 0, "optimiser": "adam"}


@pytest.fixture
def neighbours(job_of):
    """``neighbours(mode, **options)``: a job that matches neighbours, in 22 and 14 steps."""

    def make(mode="style_transfer", **options):
        options = {"statistic": "neighbours", "iterations": 36, **LAYERS, **options}
        return job_of(mode, **options)

    return make


def resumed_after(job, steps, path, changes=None):
    """Paint so many steps, some of them changed, and write and read a checkpoint there."""
    painting = iterate(job)
    for step in range(steps):
        painting.send((changes or {}).get(step) if step else None)
    checkpoint.write(painting.checkpoint(), path)
    painting.close()
    return checkpoint.read(path)


def test_it_descends_between_two_renewals(neighbours, paint):
    steps, _ = paint(neighbours(palette=0))
    totals = [step.losses["total"] for step in steps]
    assert {"style:relu1_1", "style:relu2_1", "content:relu2_2"} <= steps[0].losses.keys()
    # Of the best image since the matches were renewed; the first steps find none that is better.
    for begin, end in ((0, EVERY - 1), (EVERY, 2 * EVERY - 1), (2 * EVERY, 21), (22, 29)):
        assert totals[end] < totals[begin]
    assert totals[21] < 0.8 * totals[0]


def test_it_is_resumed_between_two_renewals_to_the_same_bits(neighbours, paint, tmp_path):
    job = neighbours()
    steps, result = paint(job)
    for done in (5, EVERY, EVERY + 3, 22, 26):
        kept = resumed_after(job, done, tmp_path / "kept")
        again, rest = paint(job, resume=kept)
        assert [step.losses for step in again] == [step.losses for step in steps[done:]]
        assert rest.pixels.equal(result.pixels)
        assert rest.recipe == result.recipe
    # Without its matches, the painting would have gone on otherwise.
    kept = resumed_after(job, 11, tmp_path / "kept")
    assert {name.split(".")[1].split(":")[0] for name in kept.state.term_state} == {
        "matches",
        "mean",
    }
    forgotten = replace(kept, state=replace(kept.state, term_state={}))
    assert not paint(job, resume=forgotten)[1].pixels.equal(result.pixels)


@pytest.mark.parametrize("change", [lambda tensor: tensor[1:], lambda tensor: tensor + 10_000])
def test_matches_of_another_painting_are_refused(change, neighbours, paint, tmp_path):
    job = neighbours()
    kept = resumed_after(job, 11, tmp_path / "kept")
    state = dict(kept.state.term_state)
    state["1.matches:relu2_1"] = change(state["1.matches:relu2_1"])
    wrong = replace(kept, state=replace(kept.state, term_state=state))
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job, resume=wrong)


def test_it_is_steered_replayed_and_resumed_after_that(neighbours, paint, tmp_path):
    job = neighbours()
    changes = {3: {"style_weights": (1.0, 3.0)}, 13: {"beta": 2e5, "style_layers": "relu2_1"}}
    painting, steps = iterate(job), []
    while True:
        try:
            steps.append(painting.send(changes.get(len(steps))))
        except StopIteration as end:
            result = end.value
            break
    assert "style:relu1_1" in steps[12].losses
    assert "style:relu1_1" not in steps[13].losses
    assert not paint(job)[1].pixels.equal(result.pixels)
    decisions = recipe.parse(result.recipe.text(), "it").decisions
    assert paint(replace(job, decisions=decisions))[1].pixels.equal(result.pixels)
    for done in (5, 15, 30):
        kept = resumed_after(job, done, tmp_path / "kept", changes)
        pending = {step: change for step, change in changes.items() if step >= done}
        painting = iterate(job, resume=kept)
        for step in range(done, 36):
            again = painting.send(pending.get(step) if step > done else None)
            assert again.losses == steps[step].losses


def halves(height, width):
    mask = np.zeros((height, width), dtype=np.float32)
    mask[:, width // 3 :] = 1
    return mask


def test_in_tiles_and_regions_it_is_the_whole(neighbours, paint, picture, tmp_path):
    region = Region(halves(300, 250), picture(60, 50, seed=9).float())
    whole, tiled = (
        replace(neighbours(**TILED, **memory), regions=(region,))
        for memory in ({}, {"memory": 2**20})
    )
    plan = make_plan(tiled.runtime)
    assert setup.plan_scales(inputs.read(tiled), plan)[-1].tile_px is not None
    steps, result = paint(whole)
    assert {"style:relu1_1", "style:relu2_1:region1"} <= steps[0].losses.keys()
    tiled_steps, in_tiles = paint(tiled)
    assert tiled_steps[0].losses == pytest.approx(steps[0].losses, rel=1e-4)
    assert tiled_steps[-1].losses == pytest.approx(steps[-1].losses, rel=1e-2)
    assert (in_tiles.pixels - result.pixels).abs().mean() < 1e-3
    kept = resumed_after(tiled, 5, tmp_path / "kept")
    assert paint(tiled, resume=kept)[1].pixels.equal(in_tiles.pixels)


def test_its_state_is_planned(neighbours):
    plan = make_plan(neighbours().runtime)

    def demand(**options):
        return setup.workloads(inputs.read(neighbours(**options)), plan)[-1]

    # Of 32 bits: one at each pixel, and one at each second pixel of each second row.
    assert demand().term_bytes == 4 * (1 + 1 / 4)
    assert demand(statistic="gram").term_bytes == 0
    assert demand().indivisible is None


def test_its_time_is_predicted(monkeypatch):
    for name, side_px in (("_SMALL_PX", 32), ("_LEAST_PX", 64), ("_MOST_PX", 64)):
        monkeypatch.setattr(throughput, name, side_px)
    settings = make_settings(
        statistic="neighbours", style_layers="relu1_1", content_layers="relu1_1"
    )
    rates = throughput.measure(ComputePlan(torch.device("cpu"), torch.float32), settings).rates
    assert min(rates.forward_flop, rates.backward_flop) > 0


def test_strength_reaches_from_the_photograph_to_the_style_alone(neighbours, paint):
    job = neighbours(strength=0.0)
    photograph = images.load(job.content_image).pixels
    untouched = api.paint(job)
    assert untouched.pixels.equal(images.resize(photograph, 48, 40).clamp(0, 1))
    results = [paint(neighbours(strength=strength, palette=0)) for strength in (0.2, 0.5, 1.0)]
    far = [(result.pixels - photograph).square().mean().item() for _, result in results]
    assert far == sorted(far)
    alphas = [result.recipe.decisions.alpha for _, result in results]
    assert alphas == sorted(alphas, reverse=True)
    assert alphas[-1] == 0
    assert not any(name.startswith("content") for name in results[-1][0][-1].losses)


@pytest.mark.parametrize("options", [{}, {"seamless": True}, {"style_scale": (2.0,)}])
def test_it_paints_textures(options, neighbours, paint):
    job = neighbours("style", **options)
    steps, result = paint(job)
    assert steps[-1].losses["total"] < steps[0].losses["total"]
    assert result.pixels.isfinite().all()


@pytest.mark.parametrize("which", ["photograph", "painting"])
def test_a_picture_of_one_colour_is_painted(which, neighbours, paint):
    job, plain = neighbours(), torch.full((1, 3, 40, 40), 0.5)
    if which == "photograph":
        job = replace(job, content_image=plain)
    else:
        job = replace(job, style_images=(plain, plain))
    _, result = paint(job)
    assert result.pixels.isfinite().all()
