"""Time whole paintings, from the start of a process to the file on disk."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suite.reference import STEPS

from impasto.errors import ImpastoError

# Where Python finds the notebook as a module.
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunTime:
    """Times of the default painting and of the notebook's 1000 steps, at the same size.

    The notebook runs for ``measured_steps``. If these are fewer than 1000, ``notebook_s`` is
    extrapolated: the measured time, plus the median step for each missing step.
    """

    size_px: int
    time_s: float
    notebook_s: float | None
    measured_steps: int
    projected: bool
    ratio: float | None


def measure_runs(
    content: Path,
    style: Path,
    sizes_px: Sequence[int],
    *,
    notebook_steps: int = 5,
    options: Sequence[str] = (),
) -> Iterator[RunTime]:
    """Paint the default picture at each size, and run a part of the notebook.

    Args:
        content: the photograph.
        style: the painting.
        sizes_px: longest sides.
        notebook_steps: steps of the notebook to run, 0 for none.
        options: further arguments for ``impasto transfer``, such as ``--weights FILE``.

    Raises:
        ImpastoError: a process failed.
    """
    for size_px in sizes_px:
        with tempfile.TemporaryDirectory() as folder:
            words = [
                *("-m", "impasto", "transfer", str(content), str(style)),
                *("-o", str(Path(folder, "ours.png")), "--size", str(size_px), "--quiet", *options),
            ]
            time_s, _ = _time_process(words)
            notebook_s = None
            if notebook_steps:
                notebook_s = _notebook_s(content, style, size_px, notebook_steps, folder)
        yield RunTime(
            size_px=size_px,
            time_s=time_s,
            notebook_s=notebook_s,
            measured_steps=notebook_steps,
            projected=0 < notebook_steps < STEPS,
            ratio=None if notebook_s is None else notebook_s / time_s,
        )


def _notebook_s(content: Path, style: Path, size_px: int, steps: int, folder: str) -> float:
    words = [
        *("-m", "benchmarks.suite.reference", str(content.resolve()), str(style.resolve())),
        *(
            "--size",
            str(size_px),
            "--steps",
            str(steps),
            "--output",
            str(Path(folder, "notebook.png")),
        ),
    ]
    time_s, printed = _time_process(words, _ROOT)
    steps_s: list[float] = json.loads(printed)["steps_s"]
    # The first step is a warm-up; later steps of the optimiser take no less than the measured ones.
    each_s = statistics.median(steps_s[1:] or steps_s)
    return time_s + each_s * max(0, STEPS - len(steps_s))


def _time_process(words: list[str], folder: Path | None = None) -> tuple[float, str]:
    began_s = time.perf_counter()
    finished = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=folder)
    time_s = time.perf_counter() - began_s
    if finished.returncode != 0:
        error_lines = finished.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise ImpastoError(
            f"expected {' '.join(words[1:3])} to finish, got exit code {finished.returncode}, "
            f"and the error {error_lines[0]}; run it by itself to see why"
        )
    return time_s, finished.stdout
