"""The blind choice as data: pairs, order and sides, choices on the disk, and the ranking."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from impasto.config.settings import Settings
from impasto.errors import OutputError, SettingsError
from impasto.job.hashes import InputHashes, PictureHash
from impasto.job.recipe import Decisions, Recipe, Versions
from impasto.studio.comparison import CHOICES_FILE, Comparison


def recipe_text(content, style):
    """The recipe of a painting of two pictures with these hashes' first digit."""
    return Recipe(
        mode="style_transfer",
        settings=Settings(),
        weights_sha256=None,
        versions=Versions(impasto="0", torch="0", python="0"),
        decisions=Decisions(precision="fp32", device="cpu", threads=1),
        inputs=InputHashes(
            content=PictureHash(name="c.png", sha256=content * 64),
            styles=(PictureHash(name="s.png", sha256=style * 64),),
        ),
    ).text()


def save(path, recipe=None, form="PNG"):
    """A small picture of its own colour, with or without a recipe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    level = sum(str(path.parent.name).encode()) % 256
    texts = PngImagePlugin.PngInfo()
    if recipe:
        texts.add_text("Recipe", recipe)
    image = Image.fromarray(np.full((24, 32, 3), level, dtype=np.uint8))
    image.save(path, form, **({"pnginfo": texts} if form == "PNG" else {}))


@pytest.fixture
def pictures(tmp_path):
    """Three methods: pairs known by recipes under other names, and one by its file name."""
    for method in ("bold", "gentle", "peer"):
        save(tmp_path / method / "bay.jpg", form="JPEG")
    for method, name in (("bold", "one"), ("gentle", "two")):
        save(tmp_path / method / f"{name}.png", recipe_text("a", "b"))
        save(tmp_path / method / f"{name}_night.png", recipe_text("a", "c"))
    return tmp_path


def questions(comparison):
    return sorted((t.pair, *sorted((t.left.method, t.right.method))) for t in comparison.trials)


def test_pairs_are_known_by_their_recipes_and_else_by_their_file_names(pictures):
    comparison = Comparison(pictures)
    by_hash = ["a" * 64 + "+" + "b" * 64, "a" * 64 + "+" + "c" * 64]
    assert questions(comparison) == [
        *((pair, "bold", "gentle") for pair in by_hash),
        ("bay", "bold", "gentle"),
        ("bay", "bold", "peer"),
        ("bay", "gentle", "peer"),
    ]
    assert comparison.left_out == ()


def test_a_picture_without_a_recipe_joins_the_pair_of_its_file_name(tmp_path):
    save(tmp_path / "bold" / "bay.png", recipe_text("a", "b"))
    save(tmp_path / "gentle" / "bay.png", recipe_text("a", "b"))
    save(tmp_path / "peer" / "bay.jpg", form="JPEG")
    assert len(Comparison(tmp_path).trials) == 3
    # Where one name stands for two pairs, it does not say which.
    save(tmp_path / "gentle" / "bay.png", recipe_text("a", "c"))
    save(tmp_path / "other" / "bay.jpg", form="JPEG")
    assert questions(Comparison(tmp_path)) == [("bay", "other", "peer")]


def test_what_is_not_compared_is_named_with_the_reason(pictures):
    save(pictures / "loose.png")
    save(pictures / "bold" / "single.png", recipe_text("d", "e"))
    save(pictures / "gentle" / "two_again.png", recipe_text("a", "b"))
    save(pictures / "bold" / "big.tiff", form="TIFF")
    save(pictures / "peer" / "broken.png", "no recipe")
    (pictures / "peer" / "notes.txt").write_text("no picture")
    (pictures / "peer" / "deeper").mkdir()
    (pictures / "peer" / ".hidden").write_text("not looked at")
    reasons = {one.file: one.reason for one in Comparison(pictures).left_out}
    assert sorted(reasons) == [
        "bold/big.tiff",
        "bold/single.png",
        "gentle/two_again.png",
        "loose.png",
        "peer/broken.png",
        "peer/deeper",
        "peer/notes.txt",
    ]
    assert reasons["bold/single.png"] == "no other method has a picture of this pair"
    assert reasons["gentle/two_again.png"] == "two.png is the method's picture of this pair"
    assert "browsers" in reasons["bold/big.tiff"]
    assert not any(str(pictures) in reason for reason in reasons.values())


def test_order_and_sides_are_the_seeds(pictures):
    def shown(seed):
        return [(t.pair, t.left.method, t.right.method) for t in Comparison(pictures, seed).trials]

    assert shown(3) == shown(3)
    several = [shown(seed) for seed in range(12)]
    assert len({tuple(one) for one in several}) > 6
    lefts = {(pair, left) for one in several for pair, left, right in one if "peer" not in right}
    assert {("bay", "bold"), ("bay", "gentle")} <= lefts


def test_choices_are_on_the_disk_at_once_and_are_not_asked_again(pictures):
    comparison = Comparison(pictures)
    first = comparison.trials[comparison.current]
    comparison.choose(comparison.current, "left")
    (choice,) = json.loads((pictures / CHOICES_FILE).read_text())["choices"]
    assert choice == {
        "pair": first.pair,
        "left": first.left.method,
        "right": first.right.method,
        "chosen": "left",
    }
    again = Comparison(pictures, seed=9)
    assert again.answered == 1
    while again.current is not None:
        assert again.trials[again.current].key != first.key
        again.choose(again.current, "neither")
    assert again.answered == len(again.trials) == 5


def test_the_method_that_is_preferred_leads(pictures):
    comparison = Comparison(pictures)
    while (number := comparison.current) is not None:
        trial = comparison.trials[number]
        methods = [trial.left.method, trial.right.method]
        best = "bold" if "bold" in methods else "gentle"
        comparison.choose(number, "left" if methods[0] == best else "right")
    ranking = comparison.ranking()
    assert [one.method for one in ranking] == ["bold", "gentle", "peer"]
    assert [(one.chosen, one.compared) for one in ranking] == [(4, 4), (1, 4), (0, 2)]
    strengths = [one.strength for one in ranking]
    assert strengths == sorted(strengths, reverse=True)


def test_a_choice_that_cannot_be_kept_stays_open(pictures, monkeypatch):
    comparison = Comparison(pictures)
    number = comparison.current

    def fail(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("impasto.files.replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        comparison.choose(number, "left")
    assert comparison.current == number
    assert comparison.choices == ()


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"choices": [{"pair": 1}]}'])
def test_a_file_that_holds_no_choices_is_left_alone(pictures, text):
    (pictures / CHOICES_FILE).write_text(text)
    with pytest.raises(OutputError, match="move it away"):
        Comparison(pictures)
    assert (pictures / CHOICES_FILE).read_text() == text


def test_a_folder_with_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        Comparison(tmp_path / "absent")
    with pytest.raises(SettingsError, match="at least two subfolders"):
        Comparison(tmp_path)
    save(tmp_path / "bold" / "bay.png")
    save(tmp_path / "gentle" / "town.png")
    with pytest.raises(SettingsError, match=r"bold/bay\.png: no other method"):
        Comparison(tmp_path)


def test_comparing_loads_no_torch():
    code = "import sys, impasto.studio.compare; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
