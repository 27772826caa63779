"""Files written whole or not at all, and the folder that impasto keeps its own in."""

from __future__ import annotations

import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device is refused instead of waited for.

    Raises:
        OSError: it cannot be opened, or it is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    # The descriptor is checked, not the path: the path may name another file by then.
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        reason = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise OSError(number, f"{reason}, not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file; raises as :func:`open_regular` does."""
    with open_regular(path) as file:
        return file.read()


@contextmanager
def writing(path: Path, *, partial: Path | None = None) -> Iterator[Path]:
    """Give the path of a file to write, which then takes the place of ``path``.

    An earlier file stays whole until the new one is on the disk.

    Args:
        path: where the file belongs.
        partial: where it is written first, in the same folder; by default a name of its own.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    partial = partial or path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; an earlier file stays whole until the new one is on the disk.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    with writing(path) as partial, partial.open("xb") as file:
        file.write(data)


def cache_folder() -> Path:
    """Return impasto's folder in the user's cache; the variable IMPASTO_CACHE moves it.

    Raises:
        RuntimeError: the variable is not set, and the user has no home folder.
    """
    chosen = os.environ.get("IMPASTO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "impasto"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "impasto"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "impasto"
