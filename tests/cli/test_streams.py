"""Standard output or error breaks: the painting goes on, and the exit code says what happened."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

if os.name != "posix":
    pytest.skip("speaks to a shell", allow_module_level=True)

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")


@pytest.fixture
def shell(folder):
    """``shell(words, ending)``: the command in a shell, with what follows it on the line.

    It returns the command's own exit code, and what is left on the streams.
    """

    def call(words, ending):
        command = shlex.join([sys.executable, "-m", "impasto", *map(str, words)])
        line = f"exec 9>code; {{ {command} {ending.partition('|')[0]}; echo $? >&9; }}"
        if "|" in ending:
            line += f"|{ending.partition('|')[2]}"
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120
        )
        return int((folder / "code").read_text()), done.stdout, done.stderr

    return call


def is_painted():
    with Image.open("out.png") as image:
        image.load()
        return image.size == (48, 36)


@pytest.mark.parametrize(
    ("words", "ending", "code"),
    [
        pytest.param(["--json"], "| head -n 2", 1, id="head"),
        pytest.param([], "| true", 1, id="closed pipe"),
        pytest.param(["--json"], ">/dev/full", 1, marks=full, id="full"),
        pytest.param([], "2>/dev/full", 0, marks=full, id="full error"),
        pytest.param([], "2>&-", 0, id="closed error"),
        pytest.param(["--json"], ">&-", 0, id="closed output"),
        pytest.param(["--json"], ">&- 2>&- <&-", 0, id="all closed"),
        pytest.param(["--json"], ">/dev/full 2>&1", 1, marks=full, id="both full"),
    ],
)
def test_the_picture_is_painted(shell, quick, words, ending, code):
    ended, _, err = shell([*TRANSFER, *quick, *words], ending)
    assert ended == code
    assert is_painted()
    assert "Traceback" not in err
    if code == 1 and "2>" not in ending:
        assert "standard output could not be written in full" in err


@pytest.mark.parametrize("ending", ["2>&-", ">&- 2>&-"])
def test_nothing_is_printed_into_the_files_that_are_written(shell, quick, ending):
    code, _, _ = shell([*TRANSFER, *quick, "--timelapse", "run.gif"], ending)
    assert code == 0
    with Image.open("run.gif") as animation:
        assert animation.n_frames > 1


@full
def test_a_refusal_keeps_its_exit_code(shell):
    code, _, _ = shell(["transfer", "absent.png", "painting.png", "-o", "out.png"], "2>/dev/full")
    assert code == 2


@full
@pytest.mark.parametrize(
    "words", ["--help", "presets", "plan content photograph.png --size 48 --coarsest 48"]
)
def test_a_command_whose_words_are_lost(shell, words):
    code, _, err = shell(words.split(), ">/dev/full")
    assert (code, "Traceback" in err) == (1, False)
    assert "standard output could not be written in full (No space left on device)" in err


@full
@pytest.mark.parametrize(("ending", "code"), [(">/dev/full", 1), ("2>/dev/full", 0)])
def test_a_batch_paints_on(shell, jobs_file, ending, code):
    ended, _, err = shell(["batch", jobs_file({}, {}), "--json"], ending)
    assert (ended, "Traceback" in err) == (code, False)
    assert Path("0.png").exists()
    assert Path("1.png").exists()


@full
def test_a_sheet_is_drawn(shell, quick):
    words = ["sheet", "photograph.png", "--style", "painting.png", "-o", "sheet.png", *quick]
    assert shell([*words, "--json"], ">/dev/full")[0] == 1
    assert Path("sheet.png").exists()


# A picture on standard input or output.


def test_a_picture_goes_through_pipes(shell, quick):
    words = ["transfer", "-", "painting.png", "-o", "-", *quick, "-q"]
    code, _, err = shell(words, "<photograph.png >out.png")
    assert (code, err) == (0, "")
    assert is_painted()
    with Image.open("out.png") as image:
        assert image.format == "PNG"


def test_the_format_of_standard_output_can_be_chosen(shell, quick):
    words = ["style", "-", "-o", "-", "--format", "jpg", *quick]
    code, _, err = shell(words, "<photograph.png >out.jpg")
    assert code == 0
    assert "48 x 36 pixels in" in err
    with Image.open("out.jpg") as image:
        assert image.format == "JPEG"


@full
def test_a_picture_that_standard_output_does_not_take_is_kept(shell, quick, folder):
    code, _, err = shell(["style", "painting.png", "-o", "-", *quick, "-q"], ">/dev/full")
    assert code == 1
    assert "standard output cannot be written (No space left on device)" in err
    (rescued,) = folder.glob("cache/rescued/*/picture.png")
    assert str(rescued) in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json"], "expected no json beside a picture on standard output"),
        (["--timelapse", "run.gif"], "expected no timelapse beside a picture on standard output"),
        (["--save-every", "2"], "expected no save_every beside a picture on standard output"),
        (["--resume"], "expected no resume beside a picture on standard output"),
        (["--format", "gif"], "format: expected 'png'"),
        (["--format", "jpg", "--bits", "16"], "expected 8 bits a sample in JPEG"),
    ],
)
def test_what_does_not_go_with_standard_output(impasto, words, message):
    outcome = impasto("style", "painting.png", "-o", "-", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_a_format_beside_a_file(impasto):
    outcome = impasto(*TRANSFER, "--format", "jpg")
    assert outcome.code == 2
    assert "expected no format beside the file 'out.png', whose ending names it" in outcome.err


@pytest.mark.parametrize(
    ("words", "ending", "message"),
    [
        (["transfer", "-", "-"], "<photograph.png", "expected a picture there, got nothing"),
        (["transfer", "-", "painting.png"], "</dev/null", "expected a picture there, got nothing"),
        (["content", "-"], "<words", "'standard input' is a text: expected"),
    ],
)
def test_what_standard_input_may_not_hold(shell, words, ending, message):
    Path("words").write_text("no picture")
    code, _, err = shell([*words, "-o", "out.png"], ending)
    assert code == 2
    assert message in err


def test_a_terminal_is_no_picture_and_no_place_for_one(folder):
    import pty

    ours, theirs = pty.openpty()
    for words, message in (
        (["content", "-", "-o", "out.png"], b"expected a picture there, got a terminal"),
        (["content", "photograph.png", "-o", "-"], b"expected a pipe or a file on standard output"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "impasto", *words],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert message in done.stderr
    os.close(ours)
    os.close(theirs)


def test_plan_and_sheet_and_replay_read_standard_input(shell, quick):
    size = ["--size", "48", "--coarsest", "48"]
    assert shell(["plan", "content", "-", *size], "<photograph.png")[0] == 0
    words = ["sheet", "-", "--style", "painting.png", "--vary", "seed=1,2", "-o", "sheet.png"]
    assert shell([*words, *quick, "-q"], "<photograph.png")[0] == 0
    assert shell([*TRANSFER, *quick], "")[0] == 0
    words = ["replay", "out.png", "--content", "-", "--style", "painting.png", *quick[:2]]
    assert shell([*words, "-o", "again.png"], "<photograph.png")[0] == 0
    assert Path("again.png").read_bytes()[-2000:] == Path("out.png").read_bytes()[-2000:]


@pytest.fixture
def feed(monkeypatch):
    """``feed(path)``: the file is on standard input."""

    def put(path):
        stream = io.TextIOWrapper(io.BytesIO(Path(path).read_bytes()))
        monkeypatch.setattr(sys, "stdin", stream)

    return put


def test_recipe_and_replay_read_the_picture_from_standard_input(impasto, feed, quick):
    assert impasto(*TRANSFER, *quick).code == 0
    printed = impasto("recipe", "out.png")
    assert json.loads(printed.out)["mode"] == "style_transfer"
    feed("out.png")
    assert impasto("recipe", "-") == printed
    feed("out.png")
    words = ["--content", "photograph.png", "--style", "painting.png", *quick[:2]]
    assert impasto("replay", "-", *words, "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photograph.png", "'standard input' has no recipe"),
        (os.devnull, "expected a picture there, got nothing"),
    ],
)
def test_standard_input_without_a_recipe_is_refused_by_name(impasto, feed, path, message):
    feed(path)
    outcome = impasto("recipe", "-")
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


@pytest.mark.parametrize("index", [1, 3, 5])
def test_measure_reads_standard_input(impasto, feed, index):
    named = ["measure", "other.png", "--content", "photograph.png", "--style", "painting.png"]
    printed = impasto(*named, "--offline", "--json")
    assert printed.code == 0
    feed(named[index])
    words = ["-" if at == index else word for at, word in enumerate(named)]
    assert impasto(*words, "--offline", "--json") == printed
