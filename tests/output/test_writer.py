"""What becomes of a finished picture: bits, print size, and a fallback if its folder is gone."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from impasto import images

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "target/out.png")

# As the finished picture is written, the process says so and waits for a line.
WAITING = """
import impasto.images.save
at_once = impasto.images.save.write
def save(*arguments, **options):
    impasto.images.save.write = at_once
    print("saving", flush=True)
    input()
    return at_once(*arguments, **options)
impasto.images.save.write = save
"""
# The disk that the picture belongs on is full; as for the others, see ``others``.
FULL = """
import errno, os
sync = os.fsync
def fsync(number):
    if {others} or "target" in os.readlink(f"/proc/self/fd/{{number}}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return sync(number)
os.fsync = fsync
"""

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc")


@pytest.fixture
def target(folder):
    """The folder of the picture, with an earlier one in it."""
    path = folder / "target"
    path.mkdir()
    (path / "out.png").write_bytes(b"earlier")
    return path


def rescued(outcome_err):
    """The picture that the message on standard error names."""
    (line,) = outcome_err.splitlines()
    assert line.startswith("impasto: ")
    return Path(re.search(r"the picture is saved as '(.*)'", line)[1])


def remove(target):
    shutil.rmtree(target)


def replace_by_folder(target):
    (target / "out.png").unlink()
    (target / "out.png").mkdir()


def replace_by_file(target):
    remove(target)
    target.write_bytes(b"a file now")


@pytest.mark.parametrize(
    ("happen", "message"),
    [
        (remove, "no folder"),
        (replace_by_folder, "is a folder"),
        (replace_by_file, "no folder"),
    ],
)
def test_a_picture_whose_place_is_gone_is_kept_elsewhere(
    start_process, quick, folder, target, happen, message
):
    process = start_process(*TRANSFER, *quick, first=WAITING, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "saving\n"
    happen(target)
    out, err = process.communicate("\n", timeout=60)
    assert (process.returncode, out) == (1, "")
    saved = rescued(err.splitlines()[-1])
    assert message in err
    assert saved.is_relative_to(folder / "cache" / "rescued")
    assert saved.name == "out.png"
    assert images.load(saved).width_px == 48
    assert "Recipe" in images.read_metadata(saved)


@linux
def test_a_full_disk_leaves_the_earlier_picture_and_keeps_the_new_one(run_process, quick, target):
    outcome = run_process(*TRANSFER, *quick, "-q", "--bits=16", first=FULL.format(others=False))
    assert (outcome.code, outcome.out) == (1, "")
    assert "No space left on device" in outcome.err
    assert images.load(rescued(outcome.err)).height_px == 36
    assert [path.name for path in target.iterdir()] == ["out.png"]
    assert (target / "out.png").read_bytes() == b"earlier"


@linux
def test_without_a_cache_folder_the_temporary_one_takes_it_in(
    run_process, quick, folder, target, monkeypatch
):
    (folder / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "temporary"))
    monkeypatch.setenv("IMPASTO_CACHE", str(target / "out.png" / "cache"))
    outcome = run_process(*TRANSFER, *quick, "-q", first=FULL.format(others=False))
    assert outcome.code == 1
    assert rescued(outcome.err).is_relative_to(folder / "temporary")


@linux
def test_where_every_disk_is_full_the_message_says_so(run_process, quick, folder, target):
    outcome = run_process(*TRANSFER, *quick, "-q", first=FULL.format(others=True))
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.endswith("it is lost")
    assert not list((folder / "cache" / "rescued").iterdir())
    assert (target / "out.png").read_bytes() == b"earlier"


@linux
def test_a_picture_on_the_way_that_cannot_be_written_does_not_end_the_painting(
    run_process, quick, target
):
    outcome = run_process(*TRANSFER, *quick, "--json", "--save-every", "2",
                          first=FULL.format(others=False))  # fmt: skip
    assert outcome.code == 1
    events = [json.loads(line)["event"] for line in outcome.out.splitlines()]
    # The first message is about the checkpoint, the second about the intermediate picture.
    assert events == ["step", "message", "step", "message", "step", "step", "message"]
    assert images.load(rescued(outcome.err)).width_px == 48


@linux
def test_a_timelapse_that_cannot_be_written_leaves_the_picture(run_process, quick, target):
    outcome = run_process(
        *TRANSFER[:-1], "out.png", *quick, "-q", "--timelapse", "target/run.gif",
        first=FULL.format(others=False),
    )  # fmt: skip
    assert outcome.code == 1
    assert "'target/run.gif' cannot be written" in outcome.err
    assert "the picture itself is 'out.png'" in outcome.err
    assert images.load("out.png").width_px == 48


def dpi(path):
    with Image.open(path) as image:
        return image.info["dpi"][0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--dpi", "300"), 300),
        (("--width", "60cm"), 48 / (60 / 2.54)),
        (("--width", "96mm"), 48 / (96 / 25.4)),
        (("--width", "0.5in"), 96),
        (("--width", "12 in", "--bits", "16"), 4),
    ],
)
def test_the_print_size_is_written(impasto, quick, words, expected):
    assert impasto("content", "photograph.png", "-o", "out.png", *quick, *words).code == 0
    assert dpi("out.png") == pytest.approx(expected, abs=0.02)


def test_the_width_is_the_pictures_own_and_not_its_longest_side(impasto, quick):
    impasto("style", "painting.png", "-o", "out.png", *quick, "--width", "1in")
    assert dpi("out.png") == pytest.approx(38, abs=0.02)


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        ("out.png", ("--width", "60"), "width: expected something like 60cm or 300mm or 24in"),
        ("out.png", ("--width", "0cm"), "width: expected a width above 0"),
        ("out.png", ("--width", "-3cm"), "width: expected something like"),
        ("out.png", ("--width", "1e9cm"), "width: expected something like"),
        ("out.png", ("--dpi", "0"), "dpi: expected a number greater than or equal to 1"),
        ("out.png", ("--dpi", "nan"), "dpi: expected"),
        ("out.png", ("--dpi", "300", "--width", "60cm"),
         "expected dpi or width, got both; 60cm at 300 dpi are 7087 pixels"),
        ("out.png", ("--bits", "12"), "bits: expected 8 or 16, got 12"),
        ("out.jpg", ("--bits", "16"), "'out.jpg' cannot be written: expected 8 bits"),
        ("out.gif", ("--dpi", "72"), "'out.gif' cannot be written: expected no print size"),
        ("out.jpg", ("--width", "0.001mm"), "'out.jpg' cannot be written: expected more than 0"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_are_refused_before_the_first_step(
    impasto, folder, output, words, message
):
    outcome = impasto("content", "photograph.png", "-o", output, *words)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"impasto: {message}")
    assert not (folder / output).exists()
