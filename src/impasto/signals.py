"""Moments that must not be cut in two: what interrupts them waits until they are over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_waiting: list[BaseException] = []
_depth = 0


@contextmanager
def deferred() -> Iterator[None]:
    """Do all of the block, and only then raise what :func:`interrupt` was called with."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if _waiting and not _depth:
        first = _waiting[0]
        _waiting.clear()
        raise first


def interrupt(exception: BaseException) -> None:
    """Raise ``exception`` now, or at the end of the moment: what a signal's handler does."""
    if _depth:
        _waiting.append(exception)
    else:
        raise exception
