"""What the front ends' tests need: a whole network of seeded numbers, pictures, the command."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.cli.app import run


def paint_picture(height, width, seed, mode="RGB"):
    """Seeded blots of colour: something to repaint, and something to learn from."""
    channels = len(mode)
    blots = np.random.default_rng(seed).integers(0, 256, (7, 7, channels), dtype=np.uint8)
    return Image.fromarray(blots, mode).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the command works in: a photograph, two paintings, and no cache."""
    paint_picture(72, 96, seed=1).save(tmp_path / "photograph.png")
    paint_picture(80, 64, seed=2).save(tmp_path / "painting.png")
    paint_picture(64, 64, seed=3).save(tmp_path / "other.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IMPASTO_WEIGHTS_VGG16", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    # At these sizes several threads only wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Outcome:
    """How the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def quick(weights_file):
    """Options of a painting that takes a moment: two sizes, four iterations."""
    return ["--weights", str(weights_file), "--size=48", "--coarsest=32", "--iterations=4"]


@pytest.fixture
def impasto(folder, capfd, monkeypatch):
    """``impasto(*words)``: the command in this process, in ``folder``."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def call(*words, run=run):
        capfd.readouterr()
        try:
            run([str(word) for word in words])
        except SystemExit as end:
            out, err = capfd.readouterr()
            return Outcome(end.code or 0, out, err)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    return call


@pytest.fixture
def start_process(folder):
    """``start_process(*words, first="")``: the command as a process, after some Python code."""
    started = []

    def start(*words, first="", **options):
        code = f"{first}\nfrom impasto.cli.app import run\nrun()"
        program = ["-c", code] if first else ["-m", "impasto"]
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_process(start_process):
    """``run_process(*words)``: the command as a process, to its end."""

    def call(*words, **options):
        process = start_process(*words, **options)
        out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out, err)

    return call


@pytest.fixture
def jobs_file(folder, weights_file):
    """``jobs_file(*words, **options)``: a file of jobs, each a painting that takes a moment."""

    def write(*jobs, **options):
        common = {
            "weights": str(weights_file),
            "threads": 1,
            "size": 48,
            "coarsest": 32,
            "iterations": 4,
            "style_layers": "relu1_1,relu3_1",
            "content_layers": "relu2_2",
            # Given, they need not be measured first.
            "alpha": 1,
            "beta": 1e4,
            "content": "photograph.png",
            "style": "painting.png",
            **options,
        }
        lines = [
            json.dumps({"output": f"{number}.png", **common, **job})
            for number, job in enumerate(jobs)
        ]
        (folder / "jobs.jsonl").write_text("\n".join(lines))
        return "jobs.jsonl"

    return write


@pytest.fixture
def states(folder):
    """``states(output)``: what the journal of the jobs' file says of an output, in order."""

    def read(output, journal="jobs.journal.jsonl"):
        lines = [json.loads(line) for line in (folder / journal).read_text().splitlines() if line]
        return [line["state"] for line in lines if line.get("output") == output]

    return read
