"""What the command does when a signal tells it to end.

Until a command has something to lose, a signal ends the process at once: an exception raised in
the middle of an import may be swallowed there, or come out as another one. From
:func:`raise_stops` on, a signal raises :class:`Stopped`.
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
TOO_EARLY = "stopped before the first step: there is no picture yet"
# Long enough for whatever has swallowed the exception to be over.
_ONCE_MORE_S = 0.02

_received: int | None = None


class Stopped(BaseException):
    """A signal has told the process to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def leave_at_stops() -> None:
    """Let a signal end the process at once: nothing is to be kept yet."""
    global _received
    _received = None
    _handle_stops(_leave)


def raise_stops() -> None:
    """Let a signal raise Stopped, so that what has been painted can be kept."""
    _handle_stops(_stop)
    sys.unraisablehook = _raise_once_more


def ignore_stops() -> None:
    """Let nothing interrupt what keeps the picture: terminals and launchers repeat signals."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def received() -> int | None:
    """Return the number of the signal that has told the process to end; None if none has."""
    return _received


def _handle_stops(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in STOPS:
        # Where it is ignored already, nohup or a script's background job meant that.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _stop(number: int, frame: FrameType | None) -> None:
    global _received
    _received = number
    ignore_stops()
    signals.interrupt(Stopped(number))


def _raise_once_more(unraisable: Any) -> None:
    """Raise Stopped again where it came into code that must not raise, such as a finaliser."""
    stopped = unraisable.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    signal.signal(stopped.number, _stop)
    threading.Timer(_ONCE_MORE_S, _send, (stopped.number,)).start()


def _send(number: signal.Signals) -> None:
    """Send a signal to the main thread, and wake it if it sleeps."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
