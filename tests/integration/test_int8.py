"""Paintings in eight bits: near those in bfloat16, in tiles, in regions, steered and resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from impasto.compute.device import has_native_int8
from impasto.engine import checkpoint, inputs, setup
from impasto.engine.painting import iterate
from impasto.errors import CheckpointError
from impasto.job import recipe
from impasto.job.job import Region
from impasto.losses import ranges
from impasto.losses.objective import Objective
from impasto.models import int8
from impasto.planning.plan import make_plan

pytestmark = pytest.mark.skipif(
    not (int8.has_operator() and has_native_int8(torch.device("cpu"))),
    reason="needs a CPU with AVX512-VNNI or AMX, and a torch with convolutions of eight bits",
)
TILED = {"size": 300, "coarsest": 300, "iterations": 8, "palette": 0}


@pytest.fixture
def in_eight_bits(job_of):
    """``in_eight_bits(mode, **options)``: a job painted in eight bits, in 22 and 14 steps."""

    def make(mode="style_transfer", **options):
        return job_of(mode, **({"precision": "int8", "iterations": 36} | options))

    return make


def resumed_after(job, steps, path):
    painting = iterate(job)
    for _ in range(steps):
        next(painting)
    checkpoint.write(painting.checkpoint(), path)
    painting.close()
    return checkpoint.read(path)


@pytest.mark.parametrize("options", [{}, {"pooling": "average"}, {"padding": "zeros"}])
def test_it_paints_what_bfloat16_paints(options, in_eight_bits, paint):
    options = {"palette": 0, **options}
    steps, result = paint(in_eight_bits(**options))
    wide_steps, wide = paint(in_eight_bits(precision="bf16", **options))
    assert result.recipe.decisions.precision == "int8"
    for step, tolerance in ((0, 0.05), (-1, 0.3)):  # the small network is sensitive
        expected = wide_steps[step].losses["total"]
        assert steps[step].losses["total"] == pytest.approx(expected, rel=tolerance)
    assert not result.pixels.equal(wide.pixels)
    assert (result.pixels - wide.pixels).abs().mean() < 0.05


def test_it_is_resumed_to_the_same_bits(in_eight_bits, paint, tmp_path, monkeypatch):
    monkeypatch.setattr(ranges, "CHECKED_EVERY", 8)
    job = in_eight_bits()
    steps, result = paint(job)
    for done in (1, 5, 8, 22, 27):
        kept = resumed_after(job, done, tmp_path / "kept")
        again, rest = paint(job, resume=kept)
        assert [step.losses for step in again] == [step.losses for step in steps[done:]]
        assert rest.pixels.equal(result.pixels)
    # Without its ranges, the painting would have gone on otherwise.
    kept = resumed_after(job, 5, tmp_path / "kept")
    assert list(kept.state.term_state) == ["int8.ranges"]
    forgotten = replace(kept, state=replace(kept.state, term_state={}))
    assert not paint(job, resume=forgotten)[1].pixels.equal(result.pixels)


@pytest.mark.parametrize(
    "change", [lambda tensor: tensor[:, 1:], lambda tensor: -1 - tensor, torch.Tensor.float]
)
def test_ranges_of_another_painting_are_refused(change, in_eight_bits, paint, tmp_path):
    job = in_eight_bits()
    kept = resumed_after(job, 5, tmp_path / "kept")
    state = {name: change(tensor) for name, tensor in kept.state.term_state.items()}
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job, resume=replace(kept, state=replace(kept.state, term_state=state)))


def test_a_checkpoint_of_another_precision_is_refused(in_eight_bits, paint, tmp_path):
    kept = resumed_after(in_eight_bits(), 3, tmp_path / "kept")
    with pytest.raises(CheckpointError, match="precision was 'int8', and is 'bf16'"):
        paint(in_eight_bits(precision="bf16"), resume=kept)


def test_it_is_steered_and_replayed(in_eight_bits, paint):
    job = in_eight_bits()
    painting, steps = iterate(job), []
    changes = {3: {"style_weights": (1.0, 3.0)}, 13: {"beta": 2e5, "style_layers": "relu2_1"}}
    while True:
        try:
            steps.append(painting.send(changes.get(len(steps))))
        except StopIteration as end:
            result = end.value
            break
    assert "style:relu1_1" not in steps[13].losses
    decisions = recipe.parse(result.recipe.text(), "it").decisions
    assert decisions.precision == "int8"
    replayed = replace(job, decisions=decisions)
    assert paint(replayed)[1].pixels.equal(result.pixels)


def test_in_tiles_and_regions_it_is_the_whole(in_eight_bits, paint, picture, tmp_path):
    mask = np.zeros((300, 250), dtype=np.float32)
    mask[:, 80:] = 1
    region = Region(mask, picture(60, 50, seed=9).float())
    whole, tiled = (
        replace(in_eight_bits(**TILED, **memory), regions=(region,))
        for memory in ({}, {"memory": 2**20})
    )
    plan = make_plan(tiled.runtime)
    assert plan.int8
    assert setup.plan_scales(inputs.read(tiled), plan)[-1].tile_px is not None
    steps, result = paint(whole)
    assert {"style:relu1_1", "style:relu1_1:region1"} <= steps[0].losses.keys()
    tiled_steps, in_tiles = paint(tiled)
    # The ranges are measured in a pass whose codes are each tile's own.
    assert tiled_steps[0].losses == pytest.approx(steps[0].losses, rel=1e-2)
    assert tiled_steps[-1].losses["total"] == pytest.approx(steps[-1].losses["total"], rel=5e-2)
    assert (in_tiles.pixels - result.pixels).abs().mean() < 5e-3
    kept = resumed_after(tiled, 4, tmp_path / "kept")
    assert paint(tiled, resume=kept)[1].pixels.equal(in_tiles.pixels)


@pytest.mark.parametrize("options", [{}, {"seamless": True}])
def test_it_paints_textures(options, in_eight_bits, paint):
    steps, result = paint(in_eight_bits("style", **options))
    assert steps[-1].losses["total"] < 0.5 * steps[0].losses["total"]
    assert result.pixels.isfinite().all()


def test_features_that_left_their_range_renew_it_at_stated_steps(in_eight_bits, paint, monkeypatch):
    monkeypatch.setattr(ranges, "CHECKED_EVERY", 4)
    monkeypatch.setattr(ranges, "MOST_BEYOND", 0.02)
    renewed, refresh = [], Objective.refresh

    def watched(self, image, step):
        before = None if self._ranges is None else self._ranges.state_dict()
        if step == 6:
            # As if the features had grown since they were measured.
            features = self._ranges.current.ranges.features
            features.update({name: value / 8 for name, value in features.items()})
        changed = refresh(self, image, step)
        renewed.append((step, changed))
        assert bool(before) or not changed
        return changed

    monkeypatch.setattr(Objective, "refresh", watched)
    paint(in_eight_bits(coarsest=48, iterations=12, palette=0))
    assert [step for step, changed in renewed if changed] == [8]


def test_it_is_done_without_where_the_processor_cannot(in_eight_bits, paint, monkeypatch):
    monkeypatch.setattr("impasto.planning.plan.has_native_int8", lambda device: False)
    steps, result = paint(in_eight_bits(iterations=2))
    assert result.recipe.decisions.precision in ("bf16", "fp32")
    (note,) = [note for note in steps[0].notes if "int8" in note]
    assert "AVX512-VNNI" in note


@pytest.mark.parametrize(
    ("options", "patched", "reason"),
    [
        ({}, {"has_operator": lambda: False}, "this version of torch"),
        ({"statistic": "mean+covariance"}, {}, "was not measured"),
    ],
)
def test_a_plan_says_why_it_does_without(options, patched, reason, in_eight_bits, monkeypatch):
    for name, function in patched.items():
        monkeypatch.setattr(f"impasto.planning.plan.{name}", function)
    job = in_eight_bits(**options)
    plan = make_plan(job.runtime, job.settings)
    assert (plan.int8, plan.precision) == (
        False,
        make_plan(in_eight_bits(precision="auto").runtime).precision,
    )
    assert reason in plan.notes[0]


def test_features_of_eight_bits_take_half_the_memory(in_eight_bits):
    small, large = (
        setup.workloads(inputs.read(job), make_plan(job.runtime))[-1]
        for job in (in_eight_bits(), in_eight_bits(precision="bf16"))
    )
    assert small.int8
    kept = [
        work.peak_bytes(None, 5, True, None, 8) - work.peak_bytes(None, 5, True)
        for work in (small, large)
    ]
    assert kept[0] == pytest.approx(kept[1] / 2, rel=0.01)
