"""A picture tells how it was made, and is painted again from that, bit for bit."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto import api, images
from impasto.engine.painting import iterate
from impasto.job import recipe

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")
AGAIN = ("replay", "out.png", "--content", "photograph.png", "--style", "painting.png",
         "-o", "again.png")  # fmt: skip


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def same(one, other):
    return np.array_equal(pixels(one), pixels(other))


def change_recipe(path, **parts):
    """Write the picture anew, with other fields in its recipe."""
    texts = images.read_metadata(path)
    made = json.loads(texts["Recipe"])
    for part, fields in parts.items():
        made[part] = made[part] | fields if isinstance(fields, dict) else fields
    with Image.open(path) as image:
        image.load()
    images.save_image(image, path, metadata=texts | {"Recipe": json.dumps(made)})


@pytest.fixture
def weights(quick):
    """The option that names the network, which no recipe holds the path of."""
    return quick[:2]


@pytest.fixture
def painted(impasto, quick):
    """``out.png``, painted."""
    assert impasto(*TRANSFER, *quick, "--seed", "5", "--start", "noise").code == 0


def test_recipe_prints_how_a_picture_was_made(impasto, painted, folder):
    outcome = impasto("recipe", "out.png")
    assert (outcome.code, outcome.err) == (0, "")
    recipe = json.loads(outcome.out)
    assert (recipe["mode"], recipe["settings"]["size"]) == ("style_transfer", 48)
    assert (recipe["settings"]["seed"], recipe["settings"]["network"]) == (5, "vgg16")
    assert recipe["settings"]["total_variation"] == 8500
    assert recipe["inputs"]["content"] == {
        "name": "photograph.png",
        "sha256": images.load("photograph.png").sha256,
    }
    assert [style["name"] for style in recipe["inputs"]["styles"]] == ["painting.png"]
    assert len(recipe["weights_sha256"]) == 64
    assert recipe["versions"].keys() == {"impasto", "torch", "python"}
    assert recipe["decisions"]["device"] == "cpu"
    assert recipe["decisions"]["stopped_after"] is None


def test_no_private_path_is_told(impasto, quick, folder):
    private = folder / "private place"
    private.mkdir()
    for name in ("photograph.png", "painting.png", "other.png"):
        shutil.copy(name, private / name)
    impasto("transfer", private / "photograph.png", private / "painting.png", "-o", "out.png",
            "--start", private / "other.png", *quick)  # fmt: skip
    text = images.read_metadata("out.png")["Recipe"]
    assert "private" not in text
    assert str(folder) not in text
    assert ".safetensors" not in text
    assert recipe.read("out.png").inputs.start.name == "other.png"


@pytest.mark.parametrize("words", [("--threads", "1", "--precision", "fp32"), ("--threads", "2")])
def test_another_process_paints_the_same_bits(run_process, quick, weights, words):
    assert run_process(*TRANSFER, *quick, *words, "--bits", "16").code == 0
    outcome = run_process(*AGAIN, *weights, "--bits", "16")
    assert (outcome.code, outcome.out) == (0, "again.png\n")
    assert Path("out.png").read_bytes() == Path("again.png").read_bytes()


@pytest.mark.parametrize("ending", ["jpg", "tif", "webp", "avif"])
def test_every_format_can_be_painted_again(impasto, quick, weights, ending):
    impasto("style", "painting.png", "other.png", "--style-weights", "2,1", "-o", f"out.{ending}",
            *quick)  # fmt: skip
    outcome = impasto("replay", f"out.{ending}", "--style", "painting.png", "--style", "other.png",
                      "-o", f"again.{ending}", *weights)  # fmt: skip
    assert outcome.code == 0
    assert Path(f"out.{ending}").read_bytes() == Path(f"again.{ending}").read_bytes()


def test_content_mode_and_a_start_picture_are_painted_again(impasto, quick, weights):
    impasto("content", "photograph.png", "--start", "other.png", "-o", "out.png", *quick)
    outcome = impasto("replay", "out.png", "--content", "photograph.png", "--start", "other.png",
                      "-o", "again.png", *weights)  # fmt: skip
    assert outcome.code == 0
    assert same("out.png", "again.png")
    assert recipe.read("again.png") == recipe.read("out.png")


def test_the_recorded_precision_is_obeyed(impasto, quick, weights):
    other = "fp32" if recorded_precision(impasto, quick) == "bf16" else "bf16"
    impasto(*TRANSFER, *quick, "--precision", other)
    assert impasto(*AGAIN, *weights).code == 0
    assert same("out.png", "again.png")
    assert recipe.read("again.png").decisions.precision == other


def recorded_precision(impasto, quick):
    impasto(*TRANSFER, *quick, "--iterations", "0")
    return recipe.read("out.png").decisions.precision


def test_a_painting_that_had_to_fit_is_made_to_fit_again(impasto, quick, weights):
    assert impasto(*TRANSFER, *quick, "--memory", "1MiB", "--history", "8").code == 0
    assert recipe.read("out.png").decisions.memory == 2**20
    assert impasto(*AGAIN, *weights).code == 0
    assert same("out.png", "again.png")


def test_a_budget_that_changed_nothing_is_not_recorded(impasto, quick):
    assert impasto(*TRANSFER, *quick, "--memory", "64GiB").code == 0
    assert recipe.read("out.png").decisions.memory is None


def test_a_steered_painting_is_steered_again(impasto, quick, weights, weights_file):
    job = api.make_job("style_transfer", "photograph.png", "painting.png", threads=1,
                         weights=weights_file, size=48, coarsest=32, iterations=6)  # fmt: skip
    painting = iterate(job)
    next(painting)
    painting.send({"style_layers": {"relu1_1": 1, "relu3_1": 2}, "beta": 1e3})
    *_, last = painting
    last.result().save("out.png")
    assert impasto(*AGAIN, *weights).code == 0
    assert same("out.png", "again.png")
    assert recipe.read("again.png").decisions == recipe.read("out.png").decisions
    # Painted otherwise, it has from the start the settings that this one ended with.
    assert impasto(*AGAIN, *weights, "--set", "alpha=2").code == 0
    made = recipe.read("again.png")
    assert (made.settings.alpha, made.settings.beta, made.decisions.changes) == (2, 1e3, ())


def test_a_recipe_with_changes_that_cannot_be_is_refused(impasto, painted, weights, folder):
    for settings, message in (({"size": 64}, "size: cannot change"), ({"beta": [1]}, "beta: exp")):
        change_recipe("out.png", decisions={"changes": [{"after": 2, "settings": settings}]})
        outcome = impasto(*AGAIN, *weights)
        assert outcome.code == 2
        (line,) = outcome.err.splitlines()
        assert line.startswith(f"impasto: {message}")
        assert not (folder / "again.png").exists()


def test_a_picture_stopped_early_is_painted_as_far(start_process, impasto, quick, weights):
    process = start_process(*TRANSFER, *quick, "--json", "--iterations", "20000", "--threads", "1")
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    stopped_after = recipe.read("out.png").decisions.stopped_after
    assert stopped_after >= 3
    assert impasto(*AGAIN, *weights).code == 0
    assert same("out.png", "again.png")
    assert recipe.read("again.png").decisions.stopped_after == stopped_after


def test_one_thing_can_be_changed(impasto, painted, weights):
    outcome = impasto(*AGAIN, *weights, "--set", "size=40", "--set", "style-layers=relu1_1,relu2_1")
    assert outcome.code == 0
    assert pixels("again.png").shape == (30, 40, 3)
    settings = recipe.read("again.png").settings
    assert (settings.size, settings.seed) == (40, 5)
    assert settings.style_layers == {"relu1_1": 1, "relu2_1": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "size"), "expected NAME=VALUE, got 'size'"),
        (("--set", "size=big"), "size: expected a whole number of pixels, both sides such as"),
        (("--set", "size=1"), "size: expected a number greater than or equal to 16"),
        (("--set", "sise=40"), "no option 'sise'"),
        (("--style", "other.png"), "style: expected 1 of these pictures, got 2"),
        (("--start", "other.png"), "start: expected none, because the recipe has none"),
        (("--content", "other.png"), "content: 'other.png' is another picture than the recipe's "
         "'photograph.png'"),
        (("--content", "absent.png"), "no file 'absent.png'"),
    ],
)  # fmt: skip
def test_what_cannot_be_painted_again_is_refused(impasto, painted, weights, folder, words, message):
    outcome = impasto(*AGAIN, *weights, *words)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"impasto: {message}")
    assert not (folder / "again.png").exists()


def test_a_missing_picture_is_named(impasto, painted, weights):
    outcome = impasto("replay", "out.png", "--style", "painting.png", "-o", "again.png", *weights)
    assert outcome.code == 2
    assert "expected the picture 'photograph.png'" in outcome.err


def test_a_changed_input_is_refused_unless_told_otherwise(impasto, painted, weights):
    shutil.copy("other.png", "painting.png")
    outcome = impasto(*AGAIN, *weights)
    assert outcome.code == 2
    assert "style: 'painting.png' is another picture than the recipe's" in outcome.err
    assert impasto(*AGAIN, *weights, "--other-inputs").code == 0
    named = recipe.read("again.png").inputs.styles[0]
    assert named.sha256 == images.load("other.png").sha256


def test_other_weights_are_refused_unless_told_otherwise(impasto, painted, weights):
    change_recipe("out.png", weights_sha256="5" * 64)
    outcome = impasto(*AGAIN, *weights)
    assert outcome.code == 2
    assert outcome.err.startswith("impasto: weights: these are not the recipe's")
    assert impasto(*AGAIN, *weights, "--other-inputs").code == 0


def test_other_versions_are_told(impasto, painted, weights):
    change_recipe("out.png", versions={"torch": "1.0.0"})
    outcome = impasto(*AGAIN, *weights, "--json")
    assert outcome.code == 0
    first = json.loads(outcome.out.splitlines()[0])
    assert first["event"] == "message"
    assert first["text"].startswith("painted with torch '1.0.0' (here '")


def test_a_picture_without_a_recipe_cannot_be_painted_again(impasto, quick):
    impasto(*TRANSFER, *quick, "--no-recipe")
    for words in (("recipe", "out.png"), AGAIN):
        outcome = impasto(*words)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith("impasto: 'out.png' has no recipe")


def test_a_hostile_recipe_opens_no_file(impasto, painted, weights):
    change_recipe("out.png", settings={"start": "/etc/passwd"})
    outcome = impasto(*AGAIN, *weights)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert "has a recipe that cannot be read (settings: " in line


@pytest.fixture
def region(folder):
    """``--region`` with a mask whose edge is grey, and a part of another painting."""
    across = np.clip(np.arange(96) * 12 - 400, 0, 255).astype(np.uint8)
    Image.fromarray(np.tile(across, (72, 1))).save("right,side.png")
    Image.new("L", (64, 64), 255).save("all.png")
    return ("--region", "right,side.png:other.png:all.png")


def test_regions_are_named_and_painted_again(impasto, quick, weights, region):
    assert impasto(*TRANSFER, *quick, *region).code == 0
    made = json.loads(impasto("recipe", "out.png").out)
    assert made["settings"]["region"] is None
    (named,) = made["inputs"]["regions"]
    assert [named[part]["name"] for part in ("mask", "style", "style_mask")] == [
        "right,side.png", "other.png", "all.png",
    ]  # fmt: skip
    assert impasto(*AGAIN, *weights, *region).code == 0
    assert same("out.png", "again.png")
    assert impasto(*TRANSFER[:-1], "plain.png", *quick).code == 0
    assert not same("out.png", "plain.png")


def test_a_label_picked_in_a_map_is_painted_again(impasto, quick, weights, folder):
    side = np.zeros((72, 96, 3), np.uint8)
    side[:, :48], side[:, 48:] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(side).save(folder / "map.png")
    refused = impasto(*TRANSFER, *quick, "--region", "map.png:other.png")
    assert (refused.code, "pick one by its colour" in refused.err) == (2, True)
    assert impasto(*TRANSFER, *quick, "--region", "map.png#0f0:other.png").code == 0
    (named,) = json.loads(impasto("recipe", "out.png").out)["inputs"]["regions"]
    assert (named["mask"]["name"], named["mask_colour"]) == ("map.png", "#00ff00")
    # The recipe remembers which label it was.
    assert impasto(*AGAIN, *weights, "--region", "map.png:other.png").code == 0
    assert same("out.png", "again.png")


def test_regions_of_other_pictures_are_refused(impasto, quick, weights, region):
    assert impasto(*TRANSFER, *quick, *region).code == 0
    missing = impasto(*AGAIN, *weights)
    assert missing.code == 2
    assert "region: expected 1 as MASK:STYLE, got 0; the recipe names 'right,side.png'" in (
        missing.err
    )
    other = impasto(*AGAIN, *weights, "--region", "all.png:other.png:all.png")
    assert other.code == 2
    assert "'all.png' is another picture than the recipe's 'right,side.png'" in other.err
    assert not Path("again.png").exists()


def test_a_palette_is_asked_for_by_the_command_and_repeated(impasto, quick, weights, folder):
    assert impasto(*TRANSFER, *quick, "--palette", "0").code == 0
    shutil.copy("out.png", "free.png")
    assert impasto(*TRANSFER, *quick).code == 0
    assert recipe.read("out.png").settings.palette == 1
    assert impasto(*AGAIN, *weights).code == 0
    assert same("again.png", "out.png")
    assert not same("free.png", "out.png")
    assert impasto(*AGAIN, *weights, "--set", "palette=0").code == 0
    assert same("again.png", "free.png")
    # A recipe from before there was a palette.
    texts = images.read_metadata("free.png")
    old = json.loads(texts["Recipe"])
    del old["settings"]["palette"]
    with Image.open("free.png") as free:
        images.save_image(free, "out.png", metadata=texts | {"Recipe": json.dumps(old)})
    assert impasto(*AGAIN, *weights).code == 0
    assert same("again.png", "free.png")
    # What keeps the photograph's colours takes the place of a palette.
    assert impasto(*AGAIN, *weights, "--set", "colour=keep").code == 0


def test_a_palette_beside_the_photograph_s_colours_is_refused(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--palette", "0.5", "--colour", "keep")
    assert outcome.code == 2
    assert "expected palette 0 with colour keep" in outcome.err
    assert impasto(*TRANSFER, *quick, "--palette", "1.5").code == 2
