"""Each target of fuzz.py for a few seconds; its docstring tells how to run them longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="the fuzzer has no build for this Python or system")


@pytest.mark.parametrize(
    ("target", "fewest_runs"),
    [
        *(("images", 500), ("weights", 50), ("recipes", 1000), ("settings", 500)),
        *(("checkpoints", 50), ("jobs", 30), ("journals", 50)),
    ],
)
def test_a_few_seconds_of_fuzzing_find_nothing(target, fewest_runs, tmp_path):
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), target, "-max_total_time=3", "-print_final_stats=1"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (runs,) = [
        int(line.split()[-1])
        for line in done.stderr.splitlines()
        if "number_of_executed_units" in line
    ]
    assert runs > fewest_runs
