"""First looks: what an order would come to, painted at its coarsest size only.

A look is the beginning of the very painting that the order stands for. Its checkpoint is kept, so
that the painting goes on from it, and comes out with the same bits as if there had been no look.
Looks are painted only while no work waits. They are kept by the hash of everything that decides the
picture, up to a maximum size of all of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from impasto import __version__
from impasto.errors import SettingsError
from impasto.job.job import JobSpec

LookState = Literal["waiting", "ready", "failed"]
PICTURE, CHECKPOINT = "look.jpg", "checkpoint"
MOST_BYTES = 2**30
# A coarsest size above this takes longer than a look may.
_LARGEST_COARSEST_PX = 256


@dataclass(frozen=True)
class Look:
    """A look that is wanted: its id, what to paint, and the folder for its files."""

    id: str
    spec: JobSpec
    folder: Path


class Looks:
    """The looks on disk, and those that are wanted.

    Args:
        folder: the folder of all looks.
        most_bytes: maximum size of all looks; the ones that were used least recently are deleted.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._wanted: dict[str, list[Look]] = {}
        self._begun: set[str] = set()
        self._failed: dict[str, str] = {}

    def want(self, client: str, specs: list[JobSpec]) -> None:
        """Let a client's wishes replace its earlier ones.

        Args:
            client: whose wishes they are.
            specs: what to paint, the most wanted one first; empty if it wants nothing any more.
        """
        self._wanted.pop(client, None)
        if specs:
            # The latest client comes first: it is the one that looks at its page.
            self._wanted = {client: [self._look(spec) for spec in specs]} | self._wanted

    def take(self) -> Look | None:
        """Return the next look to paint; None if there is none."""
        for looks in self._wanted.values():
            for look in looks:
                if look.id not in self._begun and self.state(look.id) == "waiting":
                    look.folder.mkdir(parents=True, exist_ok=True)
                    self._begun.add(look.id)
                    return look
        return None

    def is_abandoned(self, look_id: str | None) -> bool:
        """Return whether a worker paints this look, but nobody wants it any more."""
        wanted = (look.id for looks in self._wanted.values() for look in looks)
        return look_id in self._begun and look_id not in wanted

    def is_painted(self, look_id: str | None) -> bool:
        """Return whether a worker paints this look now."""
        return look_id in self._begun

    def put_back(self, look_id: str) -> None:
        """A look was interrupted: it is painted on later, if it is still wanted."""
        self._begun.discard(look_id)

    def finish(self, look_id: str, error: str | None = None) -> None:
        """A look has ended, with an error or without."""
        self._begun.discard(look_id)
        # Otherwise one that is deleted, to stay within the bound, would be painted again at once.
        self._wanted = {
            client: [look for look in looks if look.id != look_id]
            for client, looks in self._wanted.items()
        }
        if error is not None:
            self._failed[look_id] = error
        self._prune(look_id)

    def state(self, look_id: str) -> LookState:
        """Return the state of a look."""
        if look_id in self._failed:
            return "failed"
        return "ready" if self.picture(look_id).exists() else "waiting"

    def error(self, look_id: str) -> str | None:
        """Return why a look failed; None if it did not."""
        return self._failed.get(look_id)

    def picture(self, look_id: str) -> Path:
        """Return the path of a look's picture, which may not exist."""
        return self._folder / look_id / PICTURE

    def lend(self, spec: JobSpec, folder: Path) -> None:
        """Copy the checkpoint of a look to a work that paints the same, if there is one."""
        source, target = self._folder / look_id(spec) / CHECKPOINT, folder / CHECKPOINT
        if target.exists():
            return
        with suppress(OSError):
            shutil.copyfile(source, target)
            os.utime(source)

    def _look(self, spec: JobSpec) -> Look:
        name = look_id(spec)
        return Look(name, spec, self._folder / name)

    def _prune(self, kept: str) -> None:
        """Delete the least recently used looks until the rest is small enough."""
        sizes = {
            folder: sum(file.stat().st_size for file in folder.iterdir())
            for folder in self._folder.iterdir()
        }
        oldest = sorted(sizes, key=_used_s)
        for folder in oldest:
            if sum(sizes.values()) <= self._most_bytes:
                return
            if folder.name != kept and folder.name not in self._begun:
                del sizes[folder]
                shutil.rmtree(folder, ignore_errors=True)


def check(spec: JobSpec) -> None:
    """Check that a job has several sizes, of which the first is small enough for a look.

    Raises:
        SettingsError: it has not.
    """
    size = spec.settings.size
    longest_px = max(size) if isinstance(size, tuple) else size
    if isinstance(longest_px, int) and longest_px <= spec.settings.coarsest:
        raise SettingsError(
            f"expected several sizes for a look, got the single size {longest_px}; start the "
            "painting instead"
        )
    if spec.settings.coarsest > _LARGEST_COARSEST_PX:
        raise SettingsError(
            f"expected a coarsest size of at most {_LARGEST_COARSEST_PX} pixels for a look, got "
            f"{spec.settings.coarsest}; start the painting instead"
        )


def _used_s(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)


def look_id(spec: JobSpec) -> str:
    """Return the hash of everything that decides the picture, and of the version that paints it."""
    decisive = {
        "version": __version__,
        "mode": spec.mode,
        "settings": spec.settings.model_dump(mode="json"),
        "pictures": [
            [one.known_sha256 for one in part]
            for part in (
                [spec.content] if spec.content else [],
                spec.styles,
                [spec.start] if spec.start else [],
                *(region.references() for region in spec.regions),
            )
        ],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
