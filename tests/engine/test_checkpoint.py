"""A painting kept and gone on with: the same bits; and what is no checkpoint is refused."""

import json
import math
import random
import struct
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from impasto.engine import checkpoint
from impasto.engine.checkpoint import Keeper
from impasto.engine.painting import iterate
from impasto.errors import CheckpointError


def kept_after(job, steps, path):
    """Paint so many steps, and write and read a checkpoint there."""
    painting = iterate(job)
    for _ in range(steps):
        next(painting)
    checkpoint.write(painting.checkpoint(), path)
    painting.close()
    return checkpoint.read(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".out.png.checkpoint"


@pytest.mark.heavy
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("mode", ["style_transfer", "content", "style"])
def test_a_painting_goes_on_from_any_step_to_the_same_bits(job_of, path, mode, optimiser, paint):
    job = job_of(mode, optimiser=optimiser, history=3)
    steps, result = paint(job)
    for done in range(1, 13):
        rest, again = paint(job, resume=kept_after(job, done, path))
        assert [step.step for step in rest] == list(range(done + 1, 13))
        assert [step.losses for step in rest] == [step.losses for step in steps[done:]]
        assert again.pixels.equal(result.pixels)
        assert again.recipe == result.recipe
        assert again.history.columns()["total"] == result.history.columns()["total"]
        assert again.time_s > 0


def test_in_tiles_too(job_of, path, paint):
    job = job_of(size=300, coarsest=300, memory=2**20, style_layers={"relu1_1": 1, "relu2_1": 1},
                 content_layers={"relu2_2": 1}, iterations=4)  # fmt: skip
    _, result = paint(job)
    assert result.recipe.decisions.memory == 2**20
    _, again = paint(job, resume=kept_after(job, 2, path))
    assert again.pixels.equal(result.pixels)
    assert again.recipe == result.recipe


def test_what_was_steered_stays_steered(job_of, path):
    job = job_of()
    painting = iterate(job)
    next(painting)
    painting.send({"beta": 1e3, "style_layers": {"relu2_1": 1}})
    next(painting)
    kept = painting.checkpoint()
    checkpoint.write(kept, path)
    rest = list(painting)
    resumed = iterate(job, resume=checkpoint.read(path))
    assert resumed.settings.beta == 1e3
    again = list(resumed)
    assert again[-1].result().pixels.equal(rest[-1].result().pixels)
    assert again[-1].result().recipe == rest[-1].result().recipe


def test_a_painting_interrupted_in_the_middle_of_a_step_is_kept_as_after_the_last(
    job_of, path, monkeypatch, paint
):
    job = job_of()
    _, result = paint(job)
    for part in ("evaluate", "record", "move"):
        painting = iterate(job)
        for _ in range(4):
            next(painting)
        place, name = {
            "evaluate": (painting._scale_loop._objective, "evaluate"),
            "move": (painting._scale_loop._minimizer, "_move"),
            "record": (painting._reporter, "record"),
        }[part]
        with monkeypatch.context() as patched:
            patched.setattr(place, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                next(painting)
        kept = painting.checkpoint()
        if part == "move":
            # Half a move is no place to go on from; signals wait until it is whole.
            assert kept is None
            return
        assert len(kept.rows) == (5 if part == "record" else 4)
        checkpoint.write(kept, path)
        assert paint(job, resume=checkpoint.read(path))[1].pixels.equal(result.pixels)


def interrupt(*_):
    raise KeyboardInterrupt


def test_before_the_first_step_there_is_nothing_to_keep(job_of, path):
    painting = iterate(job_of())
    assert painting.checkpoint() is None
    Keeper(path).save(painting.checkpoint)
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"beta": 7}, r"beta was 50000\.0, and is 7\.0"),
        ({"iterations": 10}, "iterations was 12, and is 10"),
        ({"painting": 5}, "styles was"),
        ({"mode": "style"}, "mode was 'style_transfer', and is 'style'"),
        ({"precision": "bf16"}, "precision was 'fp32', and is 'bf16'"),
    ],
)
def test_a_checkpoint_of_another_painting_is_refused(job_of, path, options, told, paint):
    kept = kept_after(job_of(), 3, path)
    with pytest.raises(CheckpointError, match=f"of another painting: .*{told}"):
        paint(job_of(**options), resume=kept)


def test_a_checkpoint_of_another_version_is_refused(job_of, path, paint):
    kept = kept_after(job_of(), 3, path)
    versions = kept.recipe.versions.model_copy(update={"torch": "1.0"})
    kept = replace(kept, recipe=kept.recipe.model_copy(update={"versions": versions}))
    with pytest.raises(CheckpointError, match=r"version of torch was '1\.0', and is"):
        paint(job_of(), resume=kept)


def rewritten(path, *, change=lambda rest: None, vectors=lambda found: None):
    """Write the checkpoint anew, with its JSON and its vectors changed, and a good checksum."""
    found = load_file(path)
    with safe_open(path, "pt") as file:
        rest = json.loads(file.metadata()["impasto"])
    changed = change(rest)
    vectors(found)
    text = json.dumps(rest if changed is None else changed)
    save_file(found, path, metadata={"impasto": text, "sha256": "0" * 64})
    checkpoint.seal(path)


IMAGE = torch.zeros(1, 3, 38, 36)


@pytest.mark.parametrize(
    ("change", "vectors", "told"),
    [
        (lambda r: r | {"format": 3}, None, "of another format"),
        (lambda r: r | {"extra": 2}, None, "extra: Extra inputs"),
        (lambda r: r | {"steps": -1}, None, "steps: Input should be greater"),
        (lambda r: r | {"settled": "x"}, None, "settled: Input should be a valid number"),
        (lambda r: r | {"rows": [{"total": "x"}]}, None, "rows"),
        (lambda r: [], None, "Input should be an object"),
        (None, lambda v: v.pop("image"), "image: expected the shape"),
        (None, lambda v: v.update({"best": IMAGE[:, :1]}), "best: expected the shape"),
        (None, lambda v: v.update({"image": v["image"].int()}), "image: numbers of type I32"),
        (
            None,
            lambda v: v.update({"remembered.pairs.0.rho": torch.zeros(3)}),
            "remembered.pairs.0.rho: expected the shape",
        ),
        (
            None,
            lambda v: v.update({"remembered.pairs.20.rho": torch.zeros(())}),
            "remembered.pairs.20.rho: unknown",
        ),
        (None, lambda v: v.update({"remembered.exp_avg": IMAGE}), "remembered.exp_avg: unknown"),
        (None, lambda v: v.update({"best": v["image"].double()}), "best: expected numbers of type"),
        (None, lambda v: v.update({"image": v["image"].half()}), "image: numbers of type F16"),
        (None, lambda v: v["image"].view(-1)[7:8].fill_(math.nan), "image: expected finite"),
        (
            None,
            lambda v: v["remembered.last.move"][3:4].fill_(math.inf),
            "remembered.last.move: expected finite",
        ),
        (lambda r: r | {"losses": {}}, None, "losses: Value error, expected the total"),
        (lambda r: r | {"losses": {"content:relu4_2": 1.0}}, None, "expected the total"),
        (lambda r: r | {"losses": r["losses"] | {"total": math.nan}}, None, "losses"),
        (lambda r: r | {"rows": [{**row, "total": math.inf} for row in r["rows"]]}, None, "rows"),
        (lambda r: r | {"rows": [{"total": 1.0} for _ in r["rows"]]}, None, "expected scale, size"),
        (None, lambda v: v.update({"more": IMAGE}), "more: unknown"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(job_of, path, change, vectors, told):
    kept_after(job_of(coarsest=48), 4, path)
    rewritten(path, **{
        name: act for name, act in (("change", change), ("vectors", vectors)) if act
    })  # fmt: skip
    with pytest.raises(CheckpointError, match=told) as caught:
        checkpoint.read(path)
    assert str(caught.value).isprintable()


@pytest.mark.heavy
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_every_flipped_bit_is_noticed(job_of, path, optimiser):
    """In the header, in the JSON, in the checksum itself, and in every kind of tensor."""
    kept_after(job_of(coarsest=48, optimiser=optimiser), 4, path)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    places = random.Random(0)
    # All bits of the places where one could hide the checksum or the format, and others at random.
    special = [data.index(word) for word in (b'"sha256"', b'\\"format\\"')]
    bits = {8 * begin + bit for begin in special for bit in range(8 * 90)}
    bits |= {places.randrange(8 * header) for _ in range(300)}
    bits |= {places.randrange(8 * header, 8 * len(data)) for _ in range(300)}
    bits |= {*range(64), *range(8 * len(data) - 64, 8 * len(data))}
    for bit in sorted(bits):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.read(path)
        assert str(caught.value).isprintable()
    path.write_bytes(data)
    assert checkpoint.read(path).rows


def test_a_checkpoint_of_the_format_without_a_checksum_is_read(job_of, path, paint):
    job = job_of()
    _, result = paint(job)
    kept_after(job, 5, path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        rest = json.loads(file.metadata()["impasto"]) | {"format": 1}
    save_file(tensors, path, metadata={"impasto": json.dumps(rest)})
    assert paint(job, resume=checkpoint.read(path))[1].pixels.equal(result.pixels)


@pytest.mark.parametrize("change", [{"place": 9}, {"place": 1}, {"steps": 200}, {"rows": []}])
def test_what_does_not_fit_the_painting_is_refused(job_of, path, change, paint):
    kept_after(job_of(), 4, path)
    rewritten(path, change=lambda rest: rest | change)
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job_of(), resume=checkpoint.read(path))


@pytest.mark.parametrize("name", ["scale", "pairs.1.rho", "pairs.0.s", "last.move.unit"])
def test_vectors_of_no_optimiser_are_refused(job_of, path, name, paint):
    kept_after(job_of(), 4, path)
    rewritten(path, vectors=lambda found: found.pop(f"remembered.{name}"))
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job_of(), resume=checkpoint.read(path))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 2000, -1])
def test_a_truncated_checkpoint_is_refused(job_of, path, length):
    kept_after(job_of(), 4, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04", b"\x80\x04cos\nsystem\n", struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"{}", b"{" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.read(path)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="expected a file"):
            checkpoint.read(path)


def test_a_keeper_keeps_at_once_then_every_so_often_and_seldom_where_writing_is_slow(
    job_of, path, monkeypatch
):
    now_s = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now_s)
    keeper, writes = Keeper(path, 30), []

    def write(kept, path):
        nonlocal now_s
        writes.append(now_s)
        now_s += 0.1 if len(writes) < 3 else 2.0

    monkeypatch.setattr(checkpoint, "write", write)
    while now_s < 500:
        now_s += 1
        keeper.step(lambda: "a checkpoint")
    assert writes[0] == 1
    assert writes[1] - writes[0] == pytest.approx(31, abs=1)
    assert writes[3] - writes[2] == pytest.approx(2 + 2 / 0.015, abs=1.5)


def test_a_painting_that_is_killed_after_its_first_step_goes_on_from_there(job_of, path):
    painting, keeper = iterate(job_of()), Keeper(path)
    next(painting)
    keeper.step(painting.checkpoint)
    assert len(checkpoint.read(path).rows) == 1
    next(painting)
    keeper.step(painting.checkpoint)
    assert len(checkpoint.read(path).rows) == 1


def test_a_keeper_that_never_keeps_writes_nothing(job_of, path):
    painting = iterate(job_of())
    next(painting)
    keeper = Keeper(path, None)
    keeper.step(painting.checkpoint)
    keeper.save(painting.checkpoint)
    assert not path.exists()


def test_a_full_disk_is_told_and_leaves_the_earlier_checkpoint(job_of, path, monkeypatch):
    kept = kept_after(job_of(), 2, path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    told = []
    Keeper(path, 0, told.append).save(lambda: kept)
    assert "cannot be written (No space left on device)" in told[0]
    assert checkpoint.read(path).rows == kept.rows
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_finished_painting_leaves_no_checkpoint(job_of, path):
    kept_after(job_of(), 2, path)
    checkpoint.partial_of(path).write_bytes(b"killed while writing")
    Keeper(path).remove()
    assert not list(path.parent.iterdir())
