"""Standard output and error that may break: a reader that has gone, a full disk, a closed stream.

What cannot be printed is dropped, because the picture matters more. Whether standard output has
lost anything is remembered for the exit code.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any, TextIO, cast

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


class _Tolerant:
    """A stream that drops everything from the first failure on.

    Attributes:
        failure: why the first write failed; None while all is well.
        buffer: the same for bytes, if the stream is one of text.
    """

    def __init__(self, stream: IO[Any], descriptor: int) -> None:
        self._stream, self._descriptor = stream, descriptor
        self.failure: OSError | None = None
        buffer = getattr(stream, "buffer", None)
        self.buffer = None if buffer is None else _Tolerant(buffer, descriptor)

    def write(self, data: Any) -> int:
        """Write text or bytes."""
        try:
            return self._stream.write(data)
        except OSError as error:
            self._fail(error)
            return len(data)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
        # What is buffered would fail again at every turn.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._descriptor)
        os.close(null)


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
    stream.flush()
    if not isinstance(stream, _Tolerant):
        return None
    buffered = None if stream.buffer is None else stream.buffer.failure
    return stream.failure or buffered


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    """Wrap ``stream``, which is None if the process began with it closed."""
    if stream is None:
        # Never closed: it is the process's own.
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    return cast(TextIO, _Tolerant(stream, descriptor))
