"""Standard output and error that tolerate failures: a closed pipe, a full disk, a closed stream.

Text that cannot be printed is dropped, because the picture matters more. A failure of standard
output changes the exit code.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any, TextIO, cast

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


class _Tolerant:
    """A stream that drops everything from the first failure on.

    Attributes:
        failure: the error of the first write that failed, or None.
        buffer: the stream's tolerant byte stream, if it is a text stream.
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
        # Redirect to the null device, so that buffered data does not fail again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._descriptor)
        os.close(null)


def open_closed_descriptors() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next opened file would get its descriptor, and printed text would go into that
    file.
    """
    # open() returns the lowest free descriptor, so these three are filled first.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)


def make_tolerant() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that drop unwritable text."""
    sys.stdout = _tolerant(sys.stdout, _STANDARD_OUTPUT)
    sys.stderr = _tolerant(sys.stderr, _STANDARD_ERROR)


def failure(stream: TextIO) -> OSError | None:
    """Return the error of the first failed write to ``stream``; None if none failed."""
    stream.flush()
    if not isinstance(stream, _Tolerant):
        return None
    buffered = None if stream.buffer is None else stream.buffer.failure
    return stream.failure or buffered


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    """Wrap ``stream``; it is None if it was closed when the process started."""
    if stream is None:
        # It belongs to the process and is never closed.
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    return cast(TextIO, _Tolerant(stream, descriptor))
