"""How the command handles SIGINT and SIGTERM.

At first a signal ends the process at once, because an exception that is raised during an import
may be swallowed there, or replaced by another one. After :func:`raise_stops`, when there is a
picture to save, a signal raises :class:`Stopped`.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from impasto import signals

STOPS = (signal.SIGINT, signal.SIGTERM)
# By then the code that swallowed the exception has returned.
_RAISE_AGAIN_AFTER_S = 0.02
TOO_EARLY = "stopped before the first step: there is no picture yet"

_received: int | None = None


class Stopped(BaseException):
    """Raised by SIGINT and SIGTERM."""

    def __init__(self, number: int) -> None:
        self.number = number


def exit_at_stops() -> None:
    """Let a signal end the process at once, as there is nothing to save yet."""
    global _received
    _received = None
    _set_handlers(_exit_at_once)


def raise_stops() -> None:
    """Let a signal raise Stopped, so that the picture so far can be saved."""
    _set_handlers(_raise_stopped)
    sys.unraisablehook = _raise_again


def ignore_stops() -> None:
    """Ignore further signals while the picture is saved; terminals and launchers repeat them."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def received() -> int | None:
    """Return the number of the signal that was received; None if there was none."""
    return _received


def _set_handlers(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in STOPS:
        # A signal that is ignored already stays ignored, for nohup and background jobs.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    global _received
    _received = number
    ignore_stops()
    signals.interrupt(Stopped(number))


def _raise_again(unraisable: Any) -> None:
    """Raise Stopped again if code that swallows exceptions, such as a finaliser, was running."""
    stopped = unraisable.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    signal.signal(stopped.number, _raise_stopped)
    threading.Timer(_RAISE_AGAIN_AFTER_S, _send, (stopped.number,)).start()


def _send(number: signal.Signals) -> None:
    """Send a signal to the main thread, and wake it if it sleeps."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
