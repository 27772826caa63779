"""Files written whole or not at all, and the folder that impasto keeps its own in."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
import uuid
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from impasto.errors import SettingsError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

# The most bytes that a file's name may have, where the system does not say: true of most.
_USUAL_NAME_BYTES = 255
# Stands for the number in a partial file's name, which is as long.
_ZEROS = "0" * len(uuid.UUID(int=0).hex)
_WEB_ADDRESS = re.compile(r"(https?|ftps?|s3|gs)://?\S.*", re.I | re.S)


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
def writing(path: Path, partial: Path) -> Iterator[None]:
    """Let the block write the file ``partial``, which then takes the place of ``path``.

    An earlier file stays whole until the new one is on the disk.

    Args:
        path: where the file belongs.
        partial: where it is written first, in the same folder.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    try:
        yield
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; an earlier file stays whole until the new one is on the disk.

    A process that is killed while it writes leaves its partial file behind. The next call with the
    same path removes it.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    _remove_abandoned(path)
    partial = _partial_of(path, uuid.uuid4().hex)
    # The lock is held until the file has its place: without it, the file is abandoned.
    with ExitStack() as lock, writing(path, partial):
        partial.touch(exist_ok=False)
        lock.enter_context(_locked(partial))
        partial.write_bytes(data)


def _partial_of(path: Path, number: str) -> Path:
    """Return where a process writes the new content of ``path``, named by a number of its own."""
    return beside(path, prefix=".", suffix=f".{number}.part")


def _remove_abandoned(path: Path) -> None:
    """Delete the partial files for ``path`` that no process writes any more."""
    if fcntl is None:
        return
    beginning, _, end = _partial_of(path, _ZEROS).name.partition(_ZEROS)
    pattern = re.compile(f"{re.escape(beginning)}[0-9a-f]{{{len(_ZEROS)}}}{re.escape(end)}")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for partial in [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]:
            with suppress(OSError), open_regular(partial) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Mark a file as in use. Some file systems have no locks: there it is never removed either."""
    if fcntl is None:
        yield
        return
    with path.open("rb") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


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


def identity(path: str | os.PathLike[str]) -> Hashable:
    """Return what two paths share exactly if they name the same file.

    A file that exists is known by its device and inode, so symbolic links, hard links, ``..`` and
    another case on a file system that ignores case make no difference. One that does not exist is
    known by its folder's and its name.
    """
    real = Path(os.path.realpath(path))
    for known, rest in ((real, ""), (real.parent, real.name)):
        with suppress(OSError, ValueError):
            status = known.stat()
            if status.st_ino:
                return status.st_dev, status.st_ino, rest
    return os.path.normcase(real)


def beside(path: Path, *, prefix: str = "", suffix: str) -> Path:
    """Name a file that belongs to ``path``, in the same folder: its name between two others.

    Where the file system allows no name that long, a hash stands for the name's end.
    """
    return path.with_name(fitting_name(path.name, prefix=prefix, suffix=suffix, folder=path.parent))


def fitting_name(name: str, *, prefix: str = "", suffix: str = "", folder: Path) -> str:
    """Put a file name together, shortened by a hash if the folder's file system needs that."""
    whole = f"{prefix}{name}{suffix}"
    most_bytes = _most_bytes_of_a_name(folder)
    if len(os.fsencode(whole)) <= most_bytes:
        return whole
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    room = most_bytes - len(os.fsencode(f"{prefix}-{digest}{suffix}"))
    shortened = name
    while shortened and len(os.fsencode(shortened)) > room:
        shortened = shortened[:-1]
    return f"{prefix}{shortened}-{digest}{suffix}"


def _most_bytes_of_a_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _USUAL_NAME_BYTES


def path_of(text: str | os.PathLike[str]) -> Path:
    """Read a path as the user wrote it: ``~`` is the home folder, unless a file is called so.

    Raises:
        SettingsError: a web address.
    """
    words = os.fsdecode(text)
    if _WEB_ADDRESS.match(words):
        raise SettingsError(
            f"expected a file on this machine, got the web address {words!r}; download it first"
        )
    if words.startswith("~") and not os.path.lexists(words):
        # Nobody's home folder is left as it is: it is then reported as an absent file.
        with suppress(RuntimeError):
            return Path(words).expanduser()
    return Path(words)
