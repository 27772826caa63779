"""Interrupts that wait until a block that must not be cut short is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_waiting: list[BaseException] = []
_depth = 0


@contextmanager
def deferred() -> Iterator[None]:
    """Run the whole block, and only then raise what :func:`interrupt` was called with."""
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
    """Raise ``exception`` now, or at the end of the deferred block; for signal handlers."""
    if _depth:
        _waiting.append(exception)
    else:
        raise exception
