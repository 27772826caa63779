"""The command paints: what it writes, and what it says on which stream."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from impasto import images

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def lines(outcome):
    return [json.loads(line) for line in outcome.out.splitlines()]


def steps(outcome):
    return [line for line in lines(outcome) if line["event"] == "step"]


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("transfer", "photograph.png", "painting.png"), (48, 36)),
        (("transfer", "photograph.png", "painting.png", "other.png"), (48, 36)),
        (("content", "photograph.png"), (48, 36)),
        (("style", "painting.png"), (38, 48)),
        (("style", "painting.png", "other.png", "--aspect", "3:2"), (48, 32)),
        (("style", "painting.png", "--aspect", "1:1.5"), (32, 48)),
    ],
)
def test_each_mode_writes_a_picture_of_the_size_asked_for(impasto, quick, words, size):
    outcome = impasto(*words, "-o", "out.png", *quick)
    assert (outcome.code, outcome.out) == (0, "out.png\n")
    with Image.open("out.png") as image:
        assert image.size == size
        assert image.mode == "RGB"


@pytest.mark.parametrize("ending", ["jpg", "webp", "tiff"])
def test_the_ending_names_the_format(impasto, quick, ending):
    impasto("style", "other.png", "-o", f"out.{ending}", *quick)
    assert images.load(f"out.{ending}").width_px == 48


def test_the_picture_says_what_painted_it(impasto, quick):
    impasto(*TRANSFER, *quick)
    assert images.read_metadata("out.png")["Network"] == "vgg16"


def test_opacity_is_kept(impasto, quick, folder):
    photograph = Image.open("photograph.png").convert("RGBA")
    photograph.putalpha(Image.linear_gradient("L").resize(photograph.size))
    photograph.save("photograph.png")
    impasto(*TRANSFER, *quick)
    opacity = pixels("out.png")[..., 3]
    assert opacity[0].max() < 20
    assert opacity[-1].min() > 235


def test_the_style_weights_say_how_much_each_painting_counts(impasto, quick):
    both = ("transfer", "photograph.png", "painting.png", "other.png", *quick)
    impasto(*both, "-o", "first.png", "--style-weights", "1,0")
    impasto(*both, "-o", "second.png", "--style-weights", "0", "--style-weights", "1")
    impasto(*both, "-o", "equal.png")
    impasto("transfer", "photograph.png", "painting.png", "-o", "alone.png", *quick)
    assert np.array_equal(pixels("first.png"), pixels("alone.png"))
    assert not np.array_equal(pixels("first.png"), pixels("second.png"))
    assert not np.array_equal(pixels("first.png"), pixels("equal.png"))


def test_without_iterations_the_start_is_the_result(impasto, quick):
    for start in ("content", "style", "noise", "matched", "other.png"):
        code = impasto(
            *TRANSFER[:3], "-o", f"from {start.removesuffix('.png')}.png", *quick,
            "--start", start, "--iterations", "0",
        ).code  # fmt: skip
        assert code == 0
    shown = [
        pixels(f"from {name}.png").astype(float) for name in ("content", "style", "noise", "other")
    ]
    for index, one in enumerate(shown):
        assert all(np.abs(one - another).mean() > 5 for another in shown[:index])


def test_it_starts_from_a_picture_at_a_path(impasto, quick):
    shutil.copy("other.png", "my start.png")
    impasto(*TRANSFER, *quick, "--start", "my start.png", "--iterations", "0", "--palette", "0")
    # The start is square: its middle is taken, not its whole squashed.
    expected = Image.open("other.png").resize((48, 48), Image.Resampling.BICUBIC)
    expected = expected.crop((0, 6, 48, 42))
    assert np.abs(pixels("out.png").astype(float) - np.asarray(expected)).mean() < 8


def test_the_seed_decides_the_noise(impasto, quick):
    for name, seed in (("one", 7), ("same", 7), ("another", 8)):
        impasto("content", "photograph.png", "-o", f"{name}.png", *quick, "--seed", seed)
    assert np.array_equal(pixels("one.png"), pixels("same.png"))
    assert not np.array_equal(pixels("one.png"), pixels("another.png"))


def test_zero_is_a_value_and_not_absent(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--json", "--alpha", "0", "--total-variation", "0")
    names = {name.partition(":")[0] for name in steps(outcome)[0]["losses"]}
    assert names == {"style", "total"}
    assert steps(impasto(*TRANSFER, *quick, "--json", "--iterations", "0")) == []


def test_layers_may_be_named_with_commas_or_one_by_one(impasto, quick):
    outcome = impasto(
        *TRANSFER, *quick, "--json", "--content-layers", "relu2_1=2,relu3_1",
        "--style-layers", "pool1", "--style-layers", "conv2_2=0.5",
    )  # fmt: skip
    assert {name for name in steps(outcome)[0]["losses"] if ":" in name} == {
        "content:relu2_1", "content:relu3_1", "style:pool1", "style:conv2_2",
    }  # fmt: skip


def test_json_lines_are_the_steps_and_then_the_result(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--json")
    *painted, result = lines(outcome)
    assert [line["event"] for line in painted] == ["step"] * 4
    assert [line["step"] for line in painted] == [1, 2, 3, 4]
    assert {line["steps"] for line in painted} == {4}
    assert (painted[0]["width_px"], painted[0]["height_px"]) == (32, 24)
    assert (painted[-1]["width_px"], painted[-1]["height_px"]) == (48, 36)
    shares = [line["progress"] for line in painted]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for line in painted:
        terms = dict(line["losses"])
        assert terms.pop("total") == pytest.approx(sum(terms.values()), rel=1e-4)
    assert result["event"] == "result"
    assert (result["path"], result["width_px"], result["height_px"]) == ("out.png", 48, 36)
    assert (result["steps"], result["losses"]) == (4, painted[-1]["losses"])
    assert outcome.err == ""


def test_quiet_prints_nothing(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert pixels("out.png").shape == (36, 48, 3)


def test_an_enlarged_photograph_is_announced_before_the_first_bar(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--size", "128", "--coarsest", "128", "--iterations", "1")
    note, bar = (
        outcome.err.find("96 x 72 pixels and is enlarged to 128 x 96"),
        outcome.err.find("%"),
    )
    assert 0 < note < bar
    assert "enlarged" not in impasto(*TRANSFER, *quick).err


def test_the_announcement_is_a_line_of_json_too(impasto, quick):
    outcome = impasto(
        *TRANSFER, *quick, "--json", "--size", "128", "--coarsest", "128", "--iterations", "1"
    )
    assert [line["event"] for line in lines(outcome)] == ["message", "step", "result"]


def test_save_every_writes_numbered_pictures_of_the_full_size(impasto, quick, folder):
    impasto(*TRANSFER, *quick, "--save-every", "2")
    assert sorted(path.name for path in folder.glob("out*")) == [
        "out.png", "out_00002.png", "out_00004.png",
    ]  # fmt: skip
    assert pixels("out_00002.png").shape == (36, 48, 3)
    assert np.array_equal(pixels("out_00004.png"), pixels("out.png"))


def test_a_run_may_be_written_as_an_animation(impasto, quick):
    impasto(*TRANSFER, *quick, "--timelapse", "run.gif")
    with Image.open("run.gif") as animation:
        assert (animation.n_frames, animation.size) == (4, (48, 36))
        animation.seek(3)
        last = np.asarray(animation.convert("RGB")).astype(float)
    assert np.abs(last - pixels("out.png")).mean() < 12  # 256 colours


@pytest.mark.parametrize("name", ["two words.png", "two\nlines.png", "Gemälde 画.png", "[red].png"])
def test_any_file_name_will_do(impasto, quick, name):
    shutil.copy("photograph.png", f"from {name}")
    outcome = impasto("transfer", f"from {name}", "painting.png", "-o", name, *quick)
    assert (outcome.code, outcome.out) == (0, f"{name}\n")
    assert pixels(name).shape == (36, 48, 3)


def test_names_that_begin_with_a_dash_stand_after_two_dashes(impasto, quick):
    shutil.copy("photograph.png", "-photograph.png")
    outcome = impasto("transfer", *quick, "-o", "-out.png", "--", "-photograph.png", "painting.png")
    assert (outcome.code, outcome.out) == (0, "-out.png\n")


@pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
def test_a_name_that_is_no_text_is_printed_as_it_is(start_process, quick, folder):
    name = os.fsdecode(b"caf\xe9.png")
    process = start_process("style", "other.png", "-o", name, *quick, encoding="latin-1")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "café.png\n")
    assert "Traceback" not in err
    assert (folder / name).exists()


def test_a_script_gets_the_path_alone_and_people_few_lines(run_process, quick):
    outcome = run_process(*TRANSFER, *quick)
    assert (outcome.code, outcome.out) == (0, "out.png\n")
    first, second, last = outcome.err.splitlines()
    assert first.split()[:3] == ["32", "x", "24"]
    assert second.split()[:3] == ["48", "x", "36"]
    assert last.startswith("48 x 36 pixels in ")
    assert "\x1b" not in outcome.err


def test_command_and_python_paint_the_same_pixels(run_process, quick, weights_file):
    from impasto import style_transfer

    assert run_process(*TRANSFER, *quick, "--seed", "3", "--start", "noise").code == 0
    result = style_transfer(
        "photograph.png", ["painting.png"], weights=weights_file, size=48, coarsest=32,
        iterations=4, alpha=1, beta=5e4, seed=3, start="noise",
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), np.asarray(result.image))


def test_a_reader_that_leaves_early_meets_no_traceback(start_process, quick):
    process = start_process(*TRANSFER, *quick, "--json", "--iterations", "500")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert "Traceback" not in process.stderr.read()


def test_the_finished_picture_is_opened_where_asked_for(impasto, quick, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert impasto(*TRANSFER, *quick, "--open").code == 0
    assert impasto(*TRANSFER, *quick).code == 0
    assert opened == ["out.png"]
    outcome = impasto(*TRANSFER[:3], "-o", "-", *quick, "--open")
    assert outcome.code == 2
    assert "expected no open beside a picture on standard output" in outcome.err


def test_h_is_help(impasto):
    for words in ((), ("transfer",), ("weights", "fetch")):
        assert impasto(*words, "-h").out == impasto(*words, "--help").out != ""
