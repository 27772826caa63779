"""A few of the paintings and kills that the scripts beside this file make many of."""

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
