"""Standard output and error that may break: a reader that has gone, a full disk, a closed stream.

What cannot be printed is dropped, because the picture matters more. Whether standard output has
lost anything is remembered for the exit code.
"""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


class _Tolerant(io.RawIOBase):
    """Writes to a file descriptor; after the first failure it drops everything.

    Attributes:
        failure: why the first write failed; None while all is well.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        length = memoryview(data).nbytes
        if self.failure is not None:
            return length
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            select.select([], [self._descriptor], [])
            return 0
        except OSError as error:
            self.failure = error
            return length


def open_closed_descriptors() -> None:
    """Open the null device where a standard stream is closed.

    Otherwise the next file to be opened would take its number, and whatever a library prints
    would go into that file.
    """
    # The lowest free number is given out, so that these come before any other.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)


def make_tolerant() -> None:
    """Let ``sys.stdout`` and ``sys.stderr`` drop what cannot be written."""
    sys.stdout = _tolerant(sys.stdout, _STANDARD_OUTPUT)
    sys.stderr = _tolerant(sys.stderr, _STANDARD_ERROR)


def failure(stream: TextIO) -> OSError | None:
    """Return why ``stream`` has lost something; None if it has lost nothing."""
    with suppress(OSError, ValueError):
        stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Tolerant) else None


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream like ``stream``, which is None if the process began with it closed."""
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Tolerant(descriptor)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors=getattr(stream, "errors", None) or "backslashreplace",
        line_buffering=descriptor == _STANDARD_ERROR or os.isatty(descriptor),
        write_through=bool(getattr(stream, "write_through", False)),
    )
