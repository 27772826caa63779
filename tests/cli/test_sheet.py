"""A grid of paintings on one sheet, the list of presets, and the measures, by command."""

import io
import json
import os
import signal

import pytest
from PIL import Image
from tests.cli.programs import slowed

from impasto.config.presets import PRESETS
from impasto.config.settings import make_settings


@pytest.fixture
def sheet(impasto, quick_at_a_strength):
    """``sheet(*words)``: paints small ones onto sheet.png."""
    end = (*quick_at_a_strength, "--cell", "48", "-o", "sheet.png")
    return lambda *words: impasto("sheet", *words, *end)


def test_a_grid_of_photographs_styles_and_values(sheet, folder):
    outcome = sheet(
        *("photograph.png", "other.png", "--style", "painting.png"),
        *("--vary", "strength=0,0.5", "--vary", "seed=1"),
    )
    assert (outcome.code, outcome.out) == (0, "")
    assert "4 of 4: other x painting, strength=0.5, seed=1" in outcome.err
    with Image.open("sheet.png") as drawn:
        # Two columns of values, two rows of photographs.
        assert 2 * 48 < drawn.width < 3 * 48
        assert drawn.height > drawn.width
        colours = {drawn.getpixel((x, 20)) for x in range(drawn.width)}
    assert len(colours) > 20


def test_seeds_give_variants_that_differ_and_can_be_painted_again(
    sheet, impasto, quick_at_a_strength, folder
):
    from impasto import images

    # Where noise counts for nothing beside the photograph, seeds differ by little.
    words = ("--strength", "1", "--seed", "5", "--json")
    outcome = sheet("photograph.png", "--style", "painting.png", "--seeds", "2", *words)
    assert outcome.code == 0
    assert "seed=5, start=matched=0.7,noise=0.3" in outcome.out
    assert json.loads(outcome.out.splitlines()[-1])["paintings"] == 2
    again = {}
    for seed in ("5", "6"):
        start = ("--start", "matched=0.7,noise=0.3", "--size", "48", "--strength", "1")
        name = f"{seed}.png"
        words = ("transfer", "photograph.png", "painting.png", "-o", name, "--seed", seed)
        impasto(*words, *quick_at_a_strength, *start)
        again[seed] = images.load(name).pixels
    assert (again["5"] - again["6"]).abs().max() > 0.05
    drawn = images.load("sheet.png").pixels
    for picture in again.values():
        assert _stands_on(drawn, picture)


def _stands_on(sheet, picture):
    """Whether a picture stands on a sheet, pixel by pixel."""
    height, width = picture.shape[-2:]
    windows = sheet.unfold(2, height, 1).unfold(3, width, 1)
    return bool((windows - picture[:, :, None, None]).abs().amax((0, 1, 4, 5)).min() < 1 / 255)


def test_without_anything_varied_a_row_holds_the_styles(sheet, folder):
    words = ("photograph.png", "--style", "painting.png", "--style", "other.png", "-q")
    outcome = sheet(*words)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    with Image.open("sheet.png") as drawn:
        assert drawn.width > drawn.height


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--vary strength=0.5,2", "strength: expected a number less than or equal to 1"),
        ("--vary strenght=0.5", "vary: no option 'strenght': did you mean strength?"),
        ("--vary strength", "vary: expected NAME=VALUE,VALUE, each name once, got 'strength'"),
        ("--vary seed=1 --vary seed=2", "each name once, got 'seed=2'"),
        ("--vary preset=none", "no preset 'none'"),
        ("--vary preset=default --strength 0.5 --alpha 1", "expected strength, or alpha and beta"),
        ("--vary seed=" + ",".join(map(str, range(401))), "expected at most 400 pictures"),
        ("--seeds 2 --vary seed=1", "seeds: expected none beside --vary seed=..."),
        ("--seeds 2 --start other.png", "seeds: expected a start that noise can be mixed into"),
        ("--seeds 1", "seeds: expected a number greater than or equal to 2"),
        ("--style absent.png", "no file 'absent.png'"),
    ],
)
def test_what_cannot_be_painted_is_said_before_anything_is(sheet, folder, words, message):
    outcome = sheet("photograph.png", "--style", "painting.png", *words.split())
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert message in line
    assert not (folder / "sheet.png").exists()


GRID = (
    *("sheet", "photograph.png", "--style", "painting.png", "--cell", "48", "--threads", "1"),
    *("--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1"),
)


def empty_cells(path, count):
    """Which cells of a sheet of one row are empty: of one colour at their places."""
    with Image.open(path) as drawn:
        pitch_px = drawn.width // count
        rows = [
            [drawn.getpixel((number * pitch_px + x, y)) for x in range(8, 48, 4) for y in (20, 40)]
            for number in range(count)
        ]
    return [len(set(colours)) == 1 for colours in rows]


def test_a_sheet_goes_to_standard_output_in_the_format_asked_for(run_process, folder, quick):
    words = (*GRID, "--vary", "seed=1,2", *quick)
    assert run_process(*words, "-o", "sheet.png").code == 0
    before = {path.name for path in folder.iterdir()}
    printed = run_process(*words, "-o", "-", "-q", text=False)
    assert (printed.code, printed.err) == (0, b"")
    assert printed.out == (folder / "sheet.png").read_bytes()
    printed = run_process(*words, "-o", "-", "--format", "jpg", text=False)
    assert printed.code == 0
    assert b"2 paintings on standard output" in printed.err
    with Image.open(io.BytesIO(printed.out)) as image:
        assert image.format == "JPEG"
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "-", "--json"), "expected no json beside a picture on standard output"),
        (("-o", "a.png", "--format", "png"), "expected no format beside the file 'a.png'"),
    ],
)
def test_what_cannot_go_with_standard_output_is_refused(impasto, quick, words, message):
    outcome = impasto(*GRID, *quick, *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


posix = pytest.mark.skipif(os.name != "posix", reason="signals are for POSIX systems")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_sheet_of_what_is_painted(start_process, quick, number):
    words = (*GRID, "--vary", "seed=1,2,3", "-o", "sheet.png", "--json", *quick)
    process = start_process(*words, "--iterations", "400")
    for line in process.stdout:
        if json.loads(line).get("text", "").startswith("2 of 3"):
            break
    while json.loads(process.stdout.readline())["event"] != "step":
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    message, sheet = map(json.loads, out.splitlines()[-2:])
    told = "ended early: 2 of 3 paintings are on 'sheet.png', 1 of them unfinished"
    assert message["text"] == told
    assert sheet == {"event": "sheet", "path": "sheet.png", "paintings": 2}
    assert empty_cells("sheet.png", 3) == [False, False, True]


@posix
@pytest.mark.parametrize(
    ("target", "code"),
    [("images.contact_sheet._shrink", 130), ("images.encode.encode_image", 0)],
)
def test_a_signal_while_the_sheet_is_drawn_or_written_loses_nothing(
    start_process, folder, quick, target, code
):
    words = (*GRID, "--vary", "seed=1,2", "-o", "sheet.png", *quick)
    process = start_process(*words, first=slowed(target, delay_s=0.5))
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("1 of 2 paintings are on" in err) == (code == 130)
    assert empty_cells("sheet.png", 2) == [False, code == 130]
    assert not list(folder.glob(".*"))


@posix
def test_a_signal_before_the_first_step_of_a_sheet_says_so(start_process, folder, quick):
    first = """
import time
import impasto.models
def load(*arguments, **options):
    print("loading", flush=True)
    time.sleep(60)
impasto.models.load = load
"""
    process = start_process(*GRID, "-o", "sheet.png", *quick, first=first)
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped before the first step: there is no picture yet"
    assert not (folder / "sheet.png").exists()


def test_a_cell_that_diverges_shows_its_best_picture_and_the_rest_is_painted(impasto, quick):
    outcome = impasto(
        *GRID, *quick, "-o", "sheet.png", "--optimiser", "adam", "--iterations", "400",
        "--coarsest", "48", "--vary", "learning_rate=10,0.01",
    )  # fmt: skip
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("impasto: the loss left its valley")
    assert "2 of 2 paintings are on 'sheet.png', 1 of them unfinished" in outcome.err
    assert empty_cells("sheet.png", 2) == [False, False]


def test_presets_are_listed_with_what_differs_and_their_source(impasto):
    outcome = impasto("presets")
    assert outcome.code == 0
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.summary}" in outcome.out
        assert preset.source in outcome.out
    assert "--pooling average" in outcome.out


def test_quiet_leaves_out_what_is_beside_the_answer(impasto):
    assert impasto("presets", "-q").out == impasto("presets").out
    quiet, full = (impasto(*MEASURE, "--offline", *more) for more in (["--quiet"], []))
    assert (quiet.code, quiet.out, quiet.err) == (0, full.out, "")
    assert full.err


def test_presets_as_json_are_the_settings_that_they_make(impasto):
    rows = [json.loads(line) for line in impasto("presets", "--json").out.splitlines()]
    assert [row["name"] for row in rows] == list(PRESETS)
    for row in rows:
        assert make_settings(**row["changes"]) == make_settings(preset=row["name"])


MEASURE = ("measure", "other.png", "--content", "photograph.png", "--style", "painting.png")


def test_measuring_offline_with_an_empty_cache_prints_what_needs_no_network(impasto):
    outcome = impasto(*MEASURE, "--offline")
    assert outcome.code == 0
    printed = [line.split()[1] for line in outcome.out.splitlines()]
    assert printed == [
        *("content_ssim", "style_random", "colour", "palette", "palette_srgb"),
        *("foreign_chroma", "border"),
    ]
    assert all(line.endswith(".") for line in outcome.out.splitlines())
    missing = outcome.err.splitlines()
    for network in ("vgg16", "alexnet"):
        assert sum(f"(impasto weights fetch {network})" in line for line in missing) == 1
    assert all(line.startswith("not measured: ") for line in missing)


def test_a_given_weights_file_is_not_advised_again(impasto, weights_file):
    outcome = impasto(*MEASURE, "--offline", "--weights", str(weights_file), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    row = json.loads(outcome.out)
    assert row["style_layers"] > 0
    assert row["content_lpips"] is None
    reasons = {tuple(one["numbers"]): one["reason"] for one in row["missing"]}
    assert "impasto weights fetch vgg16 --force" in reasons["content_lpips",]
    assert "impasto weights fetch alexnet" in reasons["content_alexnet", "style_alexnet"]
    assert "impasto weights fetch dists" in reasons["dists_structure", "dists_texture"]
    assert not any("--weights FILE" in reason for reason in reasons.values())


def test_a_damaged_weights_file_is_refused_when_measuring(impasto, folder):
    (folder / "bad.safetensors").write_bytes(b"no weights at all")
    outcome = impasto(*MEASURE, "--offline", "--weights", "bad.safetensors")
    assert (outcome.code, outcome.out) == (2, "")
    assert "not a readable weights file" in outcome.err
