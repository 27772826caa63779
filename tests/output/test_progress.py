"""What people see in a terminal of their size, with or without colour: a real one."""

import os
import re
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from impasto.config.settings import make_settings
from impasto.engine.defaults import complete
from impasto.job.job import Job
from impasto.output import progress

if os.name != "posix":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

import fcntl
import pty
import termios

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def in_terminal(folder, monkeypatch):
    """``in_terminal(columns, *words)``: all that a terminal gets to show, raw."""
    monkeypatch.delenv("COLUMNS")

    def call(columns, *words, **environment):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "impasto", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=os.environ | {"TERM": "xterm-256color"} | environment,
        )
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other side has been closed
            pass
        os.close(ours)
        assert process.wait(timeout=60) == 0
        return shown.decode()

    return call


def rows(shown):
    """Every row that was ever drawn, without what moves the cursor or colours it."""
    return [row.rstrip() for row in re.split(r"[\r\n]+", CONTROL.sub("", shown)) if row.strip()]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (40, r" left"),
        (80, r" left  loss [\d.,e+]+"),
        (140, r" left  content \S+  style \S+  total variation \S+"),
    ],
)
def test_a_bar_fits_and_keeps_size_share_and_time_left(in_terminal, quick, columns, text):
    shown = rows(in_terminal(columns, *TRANSFER, *quick))
    assert max(map(len, shown)) <= columns
    assert not any("…" in row for row in shown)
    bar = re.compile(rf" +48 x 36 [━╸╺]+ +\d+% (\d+ h )?(\d+ min )?[\d.]+ \S+{text}")
    drawn = [row for row in shown if "48 x 36 " in row and " left" in row]
    assert drawn
    assert all(bar.fullmatch(row) for row in drawn)
    end = shown.index("out.png")
    assert shown[end - 1].startswith("48 x 36 pixels in ")
    assert " ".join(shown[end + 1 :]).startswith("next: --motifs 0 for strokes without")


def test_no_colour_where_none_is_wanted(in_terminal, quick):
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9][;m]")
    assert colour.search(in_terminal(80, *TRANSFER, *quick))
    assert not colour.search(in_terminal(80, *TRANSFER, *quick, NO_COLOR="1"))


def test_a_dumb_terminal_gets_plain_lines(in_terminal, quick):
    shown = in_terminal(80, *TRANSFER, *quick, TERM="dumb")
    assert "\x1b" not in shown
    assert "out.png" in rows(shown)


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        (0.04, "0.0 s left"),
        (59.4, "59.4 s left"),
        (61, "1 min 1 s left"),
        (3599.6, "1 h 0 min left"),
        (90061, "25 h 1 min left"),
    ],
)
def test_the_time_left_is_told_in_the_units_that_matter(time_s, words):
    from impasto.job.result import Step
    from impasto.output.progress import describe

    step = Step(
        scale=0, scales=1, scale_steps=2, step=1, steps=2, size_px=(32, 24),
        losses={"total": 12345.6}, time_s=time_s, progress=0.5, notes=(), image=None, result=None,
        read_pixels=None,
    )  # fmt: skip
    assert describe(step, 40) == words
    assert describe(step, 80) == f"{words}  loss 12,346"


@pytest.mark.parametrize(
    ("settings", "mode", "expected"),
    [
        ({}, "style_transfer", ["--strength 0.7", "--motifs 0"]),
        ({"strength": 0.9, "motifs": 0}, "style_transfer", ["--strength 0.7", "--size 1024"]),
        ({"alpha": 1, "beta": 1, "size": "original"}, "style_transfer", ["--motifs 0"]),
        ({"size": 256}, "style", ["--size 512"]),
        ({"size": 4096}, "style", []),
    ],
)
def test_what_is_suggested_next(settings, mode, expected):
    settings = complete(Job(mode), make_settings(**settings))
    result = SimpleNamespace(settings=settings, mode=mode)
    assert [step.partition(" for ")[0] for step in progress.suggest(result)] == expected
