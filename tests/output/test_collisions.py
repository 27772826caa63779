"""An output that is an input is refused, by whatever name, in every command; nothing is lost."""

import os
from pathlib import Path

import pytest
from PIL import Image

from impasto import images

TRANSFER = ("transfer", "photograph.png", "painting.png")


@pytest.fixture
def inputs(folder, weights_file, monkeypatch):
    """Links to the photograph, masks, and a small weights file beside the pictures."""
    Image.new("L", (96, 72), 255).save("mask.png")
    Image.new("L", (64, 64), 255).save("style_mask.png")
    Path("link.png").symlink_to("photograph.png")
    Path("hard.png").hardlink_to("photograph.png")
    Path("folder").mkdir()
    Path("way").symlink_to("folder")
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


SPELLINGS = [
    "photograph.png", "./photograph.png", "folder/../photograph.png", "way/../photograph.png",
    "link.png", "hard.png",
]  # fmt: skip
REGION = ("--region", "mask.png:other.png:style_mask.png")
COMMANDS = [
    *[(*TRANSFER, "-o", spelling) for spelling in SPELLINGS],
    (*TRANSFER, "-o", "painting.png"),
    ("content", "photograph.png", "-o", "photograph.png"),
    ("style", "photograph.png", "painting.png", "-o", "painting.png"),
    (*TRANSFER, "--start", "other.png", "-o", "other.png"),
    (*TRANSFER, *REGION, "-o", "mask.png"),
    (*TRANSFER, *REGION, "-o", "other.png"),
    (*TRANSFER, *REGION, "-o", "style_mask.png"),
    ("sheet", "photograph.png", "--style", "painting.png", "-o", "hard.png"),
    ("sheet", "photograph.png", "--style", "painting.png", "-o", "painting.png"),
    ("sheet", "photograph.png", "--style", "painting.png", "--start", "other.png",
     "-o", "other.png"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_picture_is_replaced_by_what_is_painted_from_it(impasto, inputs, quick, folder, words):
    outcome = impasto(*words, *quick)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert "expected a file that is not an input" in line
    assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == inputs


def test_a_weights_file_is_not_replaced(impasto, folder, weights_file):
    weights = folder / "weights.png"
    weights.write_bytes(weights_file.read_bytes())
    outcome = impasto(*TRANSFER, "-o", "weights.png", "--weights", "weights.png", "--size", "48")
    assert outcome.code == 2
    assert "expected a file that is not an input" in outcome.err
    assert weights.read_bytes() == weights_file.read_bytes()


@pytest.mark.parametrize("name", ["out_00002.png", "out_123456.png"])
@pytest.mark.parametrize("how", [Path.rename, os.link])
def test_a_picture_after_some_iterations_replaces_no_input(impasto, folder, quick, name, how):
    how(Path("photograph.png"), name)
    before = Path(name).read_bytes()
    content = "photograph.png" if Path("photograph.png").exists() else name
    words = ("transfer", content, "painting.png", "-o", "out.png", *quick)
    outcome = impasto(*words, "--save-every", "2")
    assert outcome.code == 2
    assert "expected a file that is not an input" in outcome.err
    assert Path(name).read_bytes() == before
    assert impasto(*words).code == 0


@pytest.mark.parametrize("name", [".out.png.checkpoint", ".out.png.checkpoint.part"])
def test_a_checkpoint_replaces_no_input(impasto, quick, name):
    Path("photograph.png").rename(name)
    outcome = impasto("transfer", name, "painting.png", "-o", "out.png", *quick)
    assert outcome.code == 2
    assert "expected a file that is not an input" in outcome.err
    assert Path(name).exists()


def test_an_animation_replaces_no_input(impasto, quick):
    Image.open("photograph.png").save("photograph.gif")
    before = Path("photograph.gif").read_bytes()
    outcome = impasto(
        "transfer", "photograph.gif", "painting.png", "-o", "out.png", *quick,
        "--timelapse", "./photograph.gif",
    )  # fmt: skip
    assert outcome.code == 2
    assert "expected a file that is not an input" in outcome.err
    assert Path("photograph.gif").read_bytes() == before


@pytest.mark.parametrize("output", ["first.png", "photograph.png", "painting.png"])
def test_a_replay_replaces_nothing_that_it_reads(impasto, quick, output):
    impasto(*TRANSFER, "-o", "first.png", *quick)
    before = Path(output).read_bytes()
    words = ("replay", "first.png", "--content", "photograph.png", "--style", "painting.png")
    outcome = impasto(*words, *quick[:2], "-o", output)
    assert outcome.code == 2
    assert "expected a file that is not an input" in outcome.err
    assert Path(output).read_bytes() == before


def test_another_picture_may_be_replaced(impasto, quick):
    assert impasto(*TRANSFER, "-o", "other.png", *quick).code == 0
    with Image.open("other.png") as image:
        assert image.size == (48, 36)


@pytest.mark.parametrize("name", ["photograph.png", "painting.png", "out.png"])
@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_a_batch_keeps_its_sheet_apart_from_its_pictures_by_identity(
    impasto, jobs_file, inputs, name, how
):
    jobs = jobs_file({"output": "out.png"})
    if name == "out.png":
        Path(name).write_bytes(b"earlier")
    before = Path(name).read_bytes()
    getattr(Path("sheet.png"), how)(name)
    outcome = impasto("batch", jobs, "--sheet", "sheet.png")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert f"{name}' is the batch's" in line
    assert "--sheet" in line
    assert Path(name).read_bytes() == before
    assert Path("sheet.png").samefile(name)


def test_a_picture_is_no_journal_of_a_batch(impasto, jobs_file):
    name = jobs_file({"output": "out.png"})
    Path("journal.png").hardlink_to("photograph.png")
    outcome = impasto("batch", name, "--journal", "journal.png")
    assert outcome.code == 2
    assert "'journal.png' is no journal of a batch" in outcome.err
    assert images.load("photograph.png").width_px == 96
