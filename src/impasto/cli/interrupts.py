"""What the command does when a signal tells it to end."""

from __future__ import annotations

import signal
from types import FrameType

from impasto import signals

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal has told the process to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def stop(number: int, frame: FrameType | None) -> None:
    """End what is under way: a handler of signals."""
    ignore_stops()
    signals.interrupt(Stopped(number))


def ignore_stops() -> None:
    """Let nothing interrupt what keeps the picture: terminals and launchers repeat signals."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
