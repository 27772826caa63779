"""A few of the paintings and kills that the scripts beside this file make many of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("words", [("settings.py", "--runs", "12", "--seed", "3")])
def test_random_settings_paint_soundly(words, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script, *options = words
    done = subprocess.run(
        [sys.executable, str(HERE / script), *options], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'painted': 12" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are for POSIX systems")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_fifty_times_ended_at_random_moments_it_paints_the_same_bits(name, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--ends", "50", "--seed", "20", "--signal", name]
    done = subprocess.run(
        [sys.executable, str(HERE / "kills.py"), *words],
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(", 0 faults\n")


@pytest.mark.slow
def test_a_batch_outlives_one_of_its_two_nodes():
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"]).returncode:
        pytest.skip("a network of its own needs unshare, and the right to use it")
    done = subprocess.run(
        [sys.executable, str(HERE / "nodes.py"), "--jobs", "6"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 jobs done after a node was killed" in done.stdout
