"""What has become of each task: lines of JSON, appended and synced, that outlive any kill.

``begun``; then ``saving`` with the hash of the picture, before its file is written; then
``done``; or ``failed``. Whoever is killed between the last two has written the file or has
not, and its hash tells which.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

import impasto
from impasto import files
from impasto.batching.tasks import Outcome, Task
from impasto.errors import OutputError, SettingsError

_FORMAT = 1


class Journal:
    """The journal of a batch, open for one process at a time.

    Args:
        path: the file; it is made if it is absent.

    Raises:
        SettingsError: another batch has it open, it is of another kind or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(files.beside(path, prefix=".", suffix=".lock"))
        try:
            # A lock would make the folder; a misspelt one should not come to be.
            path.parent.resolve(strict=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError(
                f"{str(path)!r} is in use: expected one batch at a time, and another is at work; "
                "wait for it, or give this one another --journal"
            ) from None
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            self._latest = _read(path)
            self._file = path.open("ab", buffering=0)
            if not _ends_whole(path):
                # A line cut short by a kill ends here, and not in the next record.
                self._file.write(b"\n")
            self._append(event="batch", format=_FORMAT, impasto=impasto.__version__)
        except OSError as error:
            self._lock.release()
            raise _unusable(path, error) from None

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
        """Tell whether the task's picture is there, by the journal and on the disk."""
        latest = self._latest.get(task.identity)
        if latest is None or not task.output.is_file():
            return False
        if latest["state"] == "saving" and latest.get("sha256") == _sha256(
            task.output.read_bytes()
        ):
            self._record(task, "done", sha256=latest.get("sha256"))
            return True
        return bool(latest["state"] == "done")

    def begun(self, task: Task) -> None:
        """Record that a process has the task."""
        self._record(task, "begun", place=task.place)

    def saving(self, task: Task, data: bytes) -> None:
        """Record that the picture's file is about to be written."""
        self._record(task, "saving", sha256=_sha256(data))

    def ended(self, outcome: Outcome) -> None:
        """Record how the task has ended."""
        facts: dict[str, Any] = {"time_s": round(outcome.time_s, 3)}
        if outcome.size_px:
            facts["width_px"], facts["height_px"] = outcome.size_px
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
                "a journal work would be lost; make room, and start the batch again"
            ) from None

    def _append(self, **facts: Any) -> None:
        facts["at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._file.write(f"{json.dumps(facts)}\n".encode())
        os.fsync(self._file.fileno())


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the latest record of each task."""
    latest: dict[str, dict[str, Any]] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return latest
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            # Cut short by a kill, or of a file that is none of ours.
            if number == 0 and not line.startswith(b"{"):
                raise _foreign(path)
            continue
        if record.get("event") == "batch" and record.get("format") != _FORMAT:
            raise _foreign(path)
        if isinstance(record.get("job"), str) and isinstance(record.get("state"), str):
            latest[record["job"]] = record
    return latest


def _ends_whole(path: Path) -> bool:
    data = path.read_bytes()
    return not data or data.endswith(b"\n")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _foreign(path: Path) -> SettingsError:
    return SettingsError(
        f"{str(path)!r} is no journal of a batch of this version: expected lines of JSON of format "
        f"{_FORMAT}; give another file with --journal"
    )


def _unusable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"{str(path)!r} cannot be used as journal ({error.strerror or error}): expected a file in "
        "a folder that can be written; give another with --journal"
    )
