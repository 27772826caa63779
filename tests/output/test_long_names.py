"""Files with the longest names that a file system takes: nothing derived from them fails."""

import json
import os
import signal
from pathlib import Path

import pytest
from PIL import Image

NAME = "画" * 80 + ".png"  # 244 bytes; the checkpoint's name would have 256
LONGEST = "x" * 251 + ".png"

if os.name != "posix":
    pytest.skip("signals are for POSIX systems", allow_module_level=True)


def size_of(path):
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("name", [NAME, LONGEST])
def test_interrupted_and_resumed(start_process, run_process, folder, quick, name):
    words = ("transfer", "photograph.png", "painting.png", "-o", name, *quick, "--json")
    process = start_process(*words, "--iterations", "300", "--checkpoint-every", "0.01s")
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert size_of(folder / name) == (48, 36)
    (checkpoint,) = folder.glob(".*.checkpoint")
    assert checkpoint.name.startswith(f".{name[0]}")
    outcome = run_process(*words, "--iterations", "300", "--resume")
    assert (outcome.code, outcome.err) == (0, "")
    steps = [line for line in map(json.loads, outcome.out.splitlines()) if line["event"] == "step"]
    assert steps[0]["step"] > 1
    assert not list(folder.glob(".*"))


def test_pictures_on_the_way_and_an_animation(impasto, folder, quick):
    outcome = impasto(
        *("transfer", "photograph.png", "painting.png", "-o", LONGEST, *quick),
        *("--save-every", "2", "--timelapse", LONGEST.replace(".png", ".gif")),
    )
    assert (outcome.code, outcome.out) == (0, f"{LONGEST}\n")
    assert len(list(folder.glob("x*_0000?.png"))) == 2
    assert size_of(LONGEST.replace(".png", ".gif")) == (48, 36)


def test_a_batch_whose_files_have_long_names(impasto, jobs_file):
    jobs = Path(jobs_file({"output": NAME}))
    long = jobs.rename("y" * 249 + ".jsonl")
    outcome = impasto("batch", long, "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert size_of(NAME) == (48, 36)
    assert list(Path().glob("y*.journal.jsonl"))


def test_main_with_two_long_names(folder, weights_file, monkeypatch):
    from impasto import main

    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = [letter * 240 + ".png" for letter in "pq"]
    for source, name in zip(("photograph.png", "painting.png"), names, strict=True):
        Path(source).rename(name)
    result = main(*names, imsize=32, num_steps=2, weights=weights_file)
    assert result.path.exists()
    assert result.path.with_suffix(".gif").exists()
