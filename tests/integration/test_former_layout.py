"""Files written before the package was divided into packages are read as they were."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field, create_model

from impasto import api
from impasto.batching import job_files, tasks
from impasto.batching.build import make_tasks
from impasto.batching.journal import Journal
from impasto.config.affects import affects, as_before
from impasto.config.settings import Settings
from impasto.engine import checkpoint
from impasto.errors import CheckpointError, ImageError
from impasto.job import recipe

FORMER = Path(__file__).parent / "former"
IMG = Path(__file__).parents[2] / "img"
# What the checkpoints were made from, three steps of six.
OPTIONS = {
    "size": 16,
    "coarsest": 16,
    "iterations": 6,
    "style_layers": "relu1_1,relu1_2",
    "content_layers": "relu1_2",
    "margin": 0,
    "precision": "fp32",
    "threads": 1,
    "seed": 3,
    "strength": 0.6,
    "palette": 0,
}


def test_a_recipe_in_a_picture_is_read():
    made = recipe.read(FORMER / "a.png")
    assert (made.mode, made.settings.size, made.settings.iterations) == ("style_transfer", 48, 4)
    assert (made.decisions.precision, made.decisions.alpha) == ("bf16", 6.253678319921589)
    assert made.inputs.content.name == "chelsea.jpg"
    assert [style.name for style in made.spec.styles] == ["nocturne.jpg"]


def test_a_recipe_keeps_everything_that_it_said():
    text = (FORMER / "adam.json").read_text()
    then, now = json.loads(text), json.loads(recipe.parse(text, "adam.json").text())

    def is_kept(old, new):
        if isinstance(old, dict):
            return all(name in new and is_kept(value, new[name]) for name, value in old.items())
        return old == new

    assert is_kept(then, now)


def test_a_recipe_with_what_is_unknown_is_refused_in_one_line():
    unknown = {**json.loads((FORMER / "adam.json").read_text()), "brush": 3}
    with pytest.raises(ImageError, match=r"^adam\.json has a recipe that cannot be read \([^\n]+$"):
        recipe.parse(json.dumps(unknown), "adam.json")


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_checkpoint_is_read(optimiser):
    kept = checkpoint.read(FORMER / f"{optimiser}.impasto")
    assert kept.recipe.settings.optimiser == optimiser
    assert (len(kept.rows), kept.state.steps, kept.scale_index) == (3, 3, 0)
    assert kept.state.image.shape == (1, 3, 12, 16)
    assert kept.state.optimiser_state


@pytest.mark.real
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_checkpoint_goes_on_or_is_refused_in_one_line(optimiser):
    rng = np.random.default_rng(0)
    photograph, painting = (
        (rng.random((height, 16, 3)) * 255).astype("uint8") for height in (12, 16)
    )
    job = api.make_job("style_transfer", photograph, painting, **OPTIONS, optimiser=optimiser)
    kept = checkpoint.read(FORMER / f"{optimiser}.impasto")
    if kept.recipe.versions == recipe.versions():
        assert len(api.paint(job, resume=kept).history) == 6
    else:
        with pytest.raises(CheckpointError, match=r"^[^\n]*version of [^\n]+$"):
            api.paint(job, resume=kept)


@pytest.fixture
def batch(tmp_path):
    """The folder of a batch that is done."""
    for name in ("a.png", "b.png", "jobs.jsonl", "jobs.journal.jsonl"):
        shutil.copy(FORMER / name, tmp_path)
    for kind, name in (("content", "chelsea.jpg"), ("style", "nocturne.jpg")):
        shutil.copy(IMG / kind / name, tmp_path)
    return tmp_path


# What the jobs left open, and what has another default by now.
FORMER_DEFAULTS = {"palette": "0", "motifs": "1"}
FORMER_LAYERS = "relu1_1=16,relu2_1=8,relu3_1=4,relu4_1=2,relu5_1=1"


def tasks_in(folder, **options):
    entries = job_files.read_file(folder / "jobs.jsonl")
    options = {"size": "48", "coarsest": "48", "iterations": "4", **FORMER_DEFAULTS, **options}
    options = {name: value for name, value in options.items() if value is not None}
    return make_tasks(
        entries, options, mode="style_transfer", into=None, ending=".png", home=folder
    )


def test_a_journal_tells_what_is_done(batch):
    done = tasks_in(batch)
    with Journal(batch / "jobs.journal.jsonl") as journal:
        assert [journal.is_done(task) for task in done] == [True, True]
        assert [journal.is_done(task) for task in tasks_in(batch, beta="7")] == [False, False]
        named = tasks_in(batch, motifs=None, style_layers=FORMER_LAYERS)
        assert [journal.is_done(task) for task in named] == [True, True]
        # The default layers make another picture by now.
        assert [journal.is_done(task) for task in tasks_in(batch, motifs=None)] == [False, False]
        (batch / "b.png").unlink()
        assert [journal.is_done(task) for task in done] == [True, False]


def test_a_batch_that_is_done_paints_nothing_again(batch, impasto, monkeypatch):
    monkeypatch.chdir(batch)
    before = {name: (batch / name).read_bytes() for name in ("a.png", "b.png")}
    words = [
        "--size",
        "48",
        "--coarsest",
        "48",
        *(f"--{name}={value}" for name, value in FORMER_DEFAULTS.items()),
        "--iterations",
        "4",
        "--no-sheet",
        "--json",
    ]
    outcome = impasto("batch", "jobs.jsonl", *words)
    assert outcome.code == 0, outcome.err
    assert before == {name: (batch / name).read_bytes() for name in ("a.png", "b.png")}
    begun = json.loads(outcome.out.splitlines()[0])
    assert (begun["event"], begun["jobs"], begun["done"]) == ("batch", 2, 2)


def test_an_option_that_came_later_is_read_as_before_it_existed(batch, monkeypatch):
    former = as_before(Settings)
    identities = [task.identity for task in tasks_in(batch)]
    written = json.loads((FORMER / "adam.json").read_text())
    del written["settings"]["margin"]
    assert recipe.parse(json.dumps(written), "adam.json").settings.margin == 0.04
    for module in (recipe, tasks):
        monkeypatch.setattr(module, "as_before", lambda model: {**former, "margin": 0.25})
    assert recipe.parse(json.dumps(written), "adam.json").settings.margin == 0.25
    # It is no part of a task's identity while it changes nothing.
    assert [task.identity for task in tasks_in(batch)] == identities
    monkeypatch.setattr(tasks, "as_before", lambda model: {**former, "margin": 0.04})
    assert [task.identity for task in tasks_in(batch)] != identities
    assert len({task.identity for task in tasks_in(batch, margin="0.1")}) == 2


def test_a_field_says_what_it_meant_before_it_existed():
    extra = affects("schedule", as_before=0.5)
    model = create_model(
        "Model", __base__=Settings, grain=(float, Field(default=0.0, json_schema_extra=extra))
    )
    assert as_before(model) == {**as_before(Settings), "grain": 0.5}
