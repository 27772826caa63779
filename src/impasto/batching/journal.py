"""The state of each task, as lines of JSON that are appended and synced, so that a kill loses none.

The states are ``begun``, then ``saving`` with the hash of the picture, then ``done``; or
``failed``. ``saving`` is recorded before the picture's file is written. If the batch is killed
between ``saving`` and ``done``, the hash shows whether the file is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

import impasto
from impasto import files
from impasto.batching.tasks import Outcome, Task
from impasto.errors import OutputError, SettingsError
from impasto.weights.download import sha256_of

_FORMAT = 1


class Journal:
    """The journal of a batch, open for one process at a time.

    Args:
        path: the file; it is created if it is absent.

    Raises:
        SettingsError: another batch has it open, it is no journal, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(files.beside(path, prefix=".", suffix=".lock"))
        try:
            # The lock would create the folder; a misspelt folder should not be created.
            path.parent.resolve(strict=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError(
                f"{str(path)!r} is in use: expected one batch at a time, and another is running; "
                "wait for it, or name another file with --journal"
            ) from None
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            self._latest = read(path)
            self._file = path.open("ab", buffering=0)
            if not _ends_whole(path):
                # End a line that a kill cut short, so that the next record begins on its own line.
                self._file.write(b"\n")
            header = {"event": "batch", "format": _FORMAT, "impasto": impasto.__version__}
            self._append(**header, check=_check_of(header))
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise _unusable(path, error) from None
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._lock.release()

    def is_done(self, task: Task) -> bool:
        """Return whether the journal says done and the file is there, unchanged."""
        latest = self._latest.get(task.identity)
        if latest is None or latest["state"] not in ("saving", "done"):
            return False
        sha256 = latest.get("sha256")
        try:
            if not task.output.is_file():
                return False
            # Journals of earlier versions may have no hash of a picture that is done.
            is_whole = sha256 is None and latest["state"] == "done"
            is_whole = is_whole or sha256_of(task.output) == sha256
        except OSError:
            return False
        if is_whole and latest["state"] == "saving":
            self._record(task, "done", sha256=sha256)
        return is_whole

    def begun(self, task: Task) -> None:
        """Record that a process has received the task."""
        self._record(task, "begun", place=task.label)

    def saving(self, task: Task, data: bytes) -> None:
        """Record that the picture's file is about to be written."""
        self._record(task, "saving", sha256=hashlib.sha256(data).hexdigest())

    def ended(self, outcome: Outcome) -> None:
        """Record how the task ended."""
        facts: dict[str, Any] = {"time_s": round(outcome.time_s, 3)}
        if outcome.size_px:
            facts["width_px"], facts["height_px"] = outcome.size_px
        if outcome.state == "done" and outcome.data is not None:
            facts["sha256"] = hashlib.sha256(outcome.data).hexdigest()
        if outcome.state == "failed":
            facts["message"] = outcome.message
            if outcome.trace:
                facts["trace"] = outcome.trace
        self._record(outcome.task, outcome.state, **facts)

    def _record(self, task: Task, state: str, **facts: Any) -> None:
        self._latest[task.identity] = {"state": state, **facts}
        output = os.path.relpath(task.output, self.path.parent)
        try:
            self._append(job=task.identity, state=state, output=output, **facts)
        except OSError as error:
            raise OutputError(
                f"{str(self.path)!r} cannot be written ({error.strerror or error}), and without "
                "a journal finished work would be lost; free some space, and start the batch again"
            ) from None

    def _append(self, **facts: Any) -> None:
        facts["at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._file.write(f"{json.dumps(facts)}\n".encode())
        os.fsync(self._file.fileno())


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the latest record of each task; damaged lines are skipped.

    Raises:
        SettingsError: no line belongs to a journal, or the journal is of another version.
        OSError: the file cannot be read.
    """
    latest: dict[str, dict[str, Any]] = {}
    try:
        lines = [line for line in files.read_regular(path).split(b"\n") if line.strip()]
    except FileNotFoundError:
        return latest
    is_ours = not lines
    for line in lines:
        record = _parse(line)
        if record.get("event") == "batch":
            is_other = record.get("format") != _FORMAT
            if is_other and record.get("check") == _check_of(record):
                raise _foreign(path)
            is_ours |= not is_other
        job, state = record.get("job"), record.get("state")
        if isinstance(job, str) and isinstance(state, str):
            is_ours = True
            if state == "done" and "sha256" not in record:
                # Earlier versions wrote the hash only before the file was saved.
                record["sha256"] = latest.get(job, {}).get("sha256")
            latest[job] = record
    if not is_ours:
        raise _foreign(path)
    return latest


def outputs(path: Path) -> set[Path]:
    """Return the real paths of the pictures that a batch with this journal has written.

    Raises:
        SettingsError: as ``read``.
    """
    try:
        records = read(path)
    except OSError as error:
        raise _unusable(path, error) from None
    found = set()
    for record in records.values():
        if record["state"] in ("saving", "done") and isinstance(record.get("output"), str):
            with suppress(OSError, ValueError):  # no path at all, such as one with a NUL
                found.add(Path(os.path.realpath(path.parent / record["output"])))
    return found


def _parse(line: bytes) -> dict[str, Any]:
    """Read a line; a damaged or incomplete line gives an empty record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _check_of(header: dict[str, Any]) -> str:
    """Return a checksum, which distinguishes a damaged header from one of another version."""
    facts = [header.get(name) for name in ("event", "format", "impasto")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def _ends_whole(path: Path) -> bool:
    data = path.read_bytes()
    return not data or data.endswith(b"\n")


def _foreign(path: Path) -> SettingsError:
    return SettingsError(
        f"{str(path)!r} is no journal of a batch of this version: expected lines of JSON of format "
        f"{_FORMAT}; name another file with --journal"
    )


def _unusable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{str(path)!r} cannot be used as journal ({error.strerror or error}): expected a file in "
        "a folder that can be written; name another with --journal"
    )
