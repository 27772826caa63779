"""Hundreds of hostile files: each is read, or refused in one line, in little time and memory."""

import collections
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and links by /proc")

# Reads every file of a folder under limits; one line of JSON for each. An alarm that nobody
# handles ends the process, which names the file that took too long by its absence.
READER = """
import json, os, pathlib, resource, signal, sys
from impasto import images
from impasto.errors import ImageError

# Of addresses, of which torch takes many, so much more than now.
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name in sorted(os.listdir(os.fsencode(sys.argv[1]))):
    signal.alarm(10)
    path = os.path.join(sys.argv[1], os.fsdecode(name))
    told = {"name": os.fsdecode(name)}
    try:
        picture = images.load(path)
    except ImageError as error:
        told["refused"] = str(error)
    else:
        told["range"] = [float(picture.pixels.min()), float(picture.pixels.max())]
        told["size"] = list(picture.pixels.shape)
    print(json.dumps(told), flush=True)
signal.alarm(0)
# getrusage would count what the process that started this one takes.
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""
LARGEST_MIB = 1536
KINDS = ("whole", "cut", "flipped")


def kind_of(name):
    return next((kind for kind in KINDS if name.rpartition(".")[2].startswith(kind)), "other")


def contents(folder):
    """What is in a folder: the bytes of files, and that other things are still there."""
    return {
        entry.name: hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
        if entry.is_file(follow_symlinks=False)
        else os.lstat(entry.path).st_mode
        for entry in os.scandir(folder)
    }


@pytest.fixture(scope="module")
def outcomes(hostile_folder):
    """What became of each file, by its name, in one process that had to survive them all."""
    before = contents(hostile_folder)
    command = [sys.executable, "-W", "error", "-c", READER, str(hostile_folder)]
    done = subprocess.run(command, capture_output=True, timeout=120, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-2000:])
    assert done.stderr == ""
    assert contents(hostile_folder) == before, "a file was changed"
    *told, peak_mib = map(json.loads, lines)
    assert peak_mib < LARGEST_MIB
    assert len(told) == len(before)
    return {one["name"]: one for one in told}


def test_there_are_hundreds_of_every_kind(outcomes):
    counts = collections.Counter(
        (kind_of(name), "refused" if "refused" in told else "read")
        for name, told in outcomes.items()
    )
    print("\n", dict(sorted(counts.items())))
    assert len(outcomes) >= 300
    assert counts["whole", "read"] >= 25
    assert counts["cut", "refused"] > counts["cut", "read"]
    assert counts["flipped", "refused"] > 20
    assert counts["flipped", "read"] > 20


def test_each_refusal_is_one_line_that_names_the_file(outcomes):
    for name, told in outcomes.items():
        if "refused" in told:
            assert told["refused"].isprintable(), name
            assert repr(name)[1:-1] in told["refused"], name
            assert len(told["refused"]) < 1000 + 4 * len(name), name


def test_what_is_read_is_a_picture(outcomes, whole):
    for name, told in outcomes.items():
        if "refused" not in told:
            low, high = told["range"]
            assert 0 <= low <= high <= 1, name
            assert told["size"][:2] == [1, 3], name
    for name in whole:
        assert outcomes[f"{name}.whole"]["size"] == [1, 3, 40, 48], name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vast.png", "at most 300 megapixels"),
        ("vast16.png", "at most 300 megapixels"),
        ("large.png", "does not fit in memory"),
        ("scans.jpg", "scans: expected at most 625 in a JPEG of its size"),
        ("profile.png", "damaged"),
        ("texts.png", "damaged"),
        ("strip.tif", "damaged"),
        ("tile.tif", "damaged"),
        ("samples.tif", "a TIFF of a kind that is not read (65535 x 8 bits a pixel, integers)"),
        ("archive.png", "a ZIP archive"),
        ("drawing.png", "an SVG drawing"),
        ("laughs.svg", "perhaps an SVG drawing"),
        ("script.png", "expected AVIF"),
        ("page.jpg", "a web page"),
        ("program.png", "cannot be read as a picture"),
        ("signature.png", "damaged"),
        ("pipe.png", "a device or a pipe"),
        ("socket.png", "a device or a pipe"),
        ("link to zero", "a device or a pipe"),
        ("link to random", "a device or a pipe"),
        ("link to terminal", "a device or a pipe"),
        ("link to loop", "cannot be read"),
        ("link to nothing", "no file"),
        ("folder.png", "is a folder"),
        ("empty.png", "is empty"),
    ],
)
def test_a_refusal_says_why(outcomes, name, words):
    assert words in outcomes[name]["refused"]


@pytest.mark.parametrize(
    "name",
    [
        "two\nlines.png",
        os.fsdecode(b"\xff\xfe.png"),
        "\x1b[31mred.png",
        "x" * 251 + ".png",
        "link to good",
        "chunks.png",
        "exif.png",
        "exif.webp",
        "long exif.png",
        "profile.jpg",
        "comment.gif",
        "pages.tif",
    ],
)
def test_what_only_looks_bad_is_read(outcomes, name):
    assert "refused" not in outcomes[name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("two\nlines.png", 0),
        ("moving.avif.whole", 0),
        ("scans.jpg", 2),
    ],
)
def test_the_command_paints_or_refuses(hostile_folder, weights_file, tmp_path, name, code):
    small = ["--size=32", "--coarsest=32", "--iterations=1", "--quiet", "--weights", weights_file]
    words = ["style", hostile_folder / name, "-o", tmp_path / "out.png", *small]
    done = subprocess.run(
        [sys.executable, "-m", "impasto", *words], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert (tmp_path / "out.png").exists() == (code == 0)
    assert len(done.stderr.splitlines()) == (0 if code == 0 else 1)
    assert code == 0 or done.stderr.startswith(f"impasto: {str(hostile_folder / name)!r}")
