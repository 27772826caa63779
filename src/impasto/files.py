"""Files written whole or not at all, and the folder that impasto keeps its own in."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
