"""The pictures of the studio: those that come with impasto, and uploads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from impasto.job.job import PictureReference
from impasto.studio.http_errors import HttpError
from impasto.studio.schemas import OFFERED, Purpose, StudioPicture
from impasto.studio.storage import Store

MOST_PIXELS = 100_000_000
_MOST_INSPECTIONS = 2
_INSPECT_WITHIN_S = 120.0


class Uploads:
    """Pictures by id; new ones are inspected in a separate process.

    Args:
        store: the studio's folder.
        quota_bytes: maximum size of all uploaded pictures.
    """

    def __init__(self, store: Store, quota_bytes: int) -> None:
        self._store, self.quota_bytes = store, quota_bytes
        self._inspections = asyncio.Semaphore(_MOST_INSPECTIONS)

    def bundled(self) -> list[StudioPicture]:
        """List the pictures that come with impasto."""
        return self._store.bundled()

    def uploaded(self) -> list[StudioPicture]:
        """List the pictures that were uploaded, without the masks and starts of orders."""
        return [one for one in self._store.uploaded() if one.purpose in OFFERED]

    @property
    def used_bytes(self) -> int:
        """The used part of the quota."""
        return self._store.uploaded_bytes()

    def remove(self, picture_id: str) -> None:
        """Delete an uploaded picture.

        Raises:
            HttpError: there is no such picture, or it comes with impasto.
        """
        if self.picture(picture_id).kind != "own":
            raise HttpError(409, "expected an uploaded picture, got one that comes with impasto")
        self._store.remove_picture(picture_id)

    def check_room(self, size_bytes: int) -> None:
        """Check that the quota has room for a file.

        Raises:
            HttpError: it has not.
        """
        if self.used_bytes + size_bytes > self.quota_bytes:
            raise HttpError(
                507,
                f"expected uploads of at most {self.quota_bytes / 2**20:.0f} MiB in all, and this "
                "file would exceed that; delete uploaded pictures first",
            )

    def has(self, picture_id: str) -> bool:
        """Return whether the picture exists."""
        return self._store.picture(picture_id) is not None

    def picture(self, picture_id: str) -> StudioPicture:
        """Return the record of a picture.

        Raises:
            HttpError: there is no such picture.
        """
        picture = self._store.picture(picture_id)
        if picture is None:
            raise HttpError(404, f"no picture {picture_id!r}; upload it first")
        return picture

    def small(self, picture_id: str) -> Path:
        """Return the path of a picture's small copy."""
        return self._store.small_picture(self.picture(picture_id))

    def original(self, picture_id: str) -> PictureReference:
        """Return a reference to a picture's own file."""
        return self._store.picture_file(self.picture(picture_id))

    async def add(self, file: Path, name: str, purpose: Purpose = "picture") -> StudioPicture:
        """Inspect an uploaded file, and add it if it is a picture.

        A file that is here already gets the new name.

        Raises:
            HttpError: it is no picture, too large or damaged, or the quota is used up.
        """
        sha256 = await asyncio.to_thread(_sha256, file)
        known = self._store.picture(sha256)
        if known is not None:
            if known.kind != "own":
                return known
            both = _both(known.purpose, purpose)
            known = known.model_copy(update={"name": name, "purpose": both})
            self._store.save_about(known)
            return known
        self.check_room(file.stat().st_size)
        small = file.with_suffix(".jpg")
        async with self._inspections:
            facts = await _inspect(file, small)
        if "error" in facts:
            small.unlink(missing_ok=True)
            raise HttpError(facts["status"], facts["error"])
        if facts["recipe"] is not None:
            facts["recipe"] = json.loads(facts["recipe"])
        try:
            # Other uploads may have been added meanwhile.
            self.check_room(file.stat().st_size + small.stat().st_size)
        except HttpError:
            small.unlink(missing_ok=True)
            raise
        return self._store.save_picture(
            sha256, file, small, {"name": name, "purpose": purpose, **facts}
        )

    def incoming(self) -> Path:
        """Return a path for a new file."""
        return self._store.incoming / secrets.token_hex(8)


def _both(one: Purpose, other: Purpose) -> Purpose:
    """Return the purpose of a picture that has two; one that is offered stays so."""
    if one == other or other not in OFFERED:
        return one
    return other if one not in OFFERED else "picture"


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        digest = hashlib.sha256()
        while block := data.read(2**20):
            digest.update(block)
        return digest.hexdigest()


async def _inspect(file: Path, small: Path) -> dict[str, Any]:
    """Decode a picture in a separate process, and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "impasto.studio.inspect_upload",
        str(file),
        str(small),
        str(MOST_PIXELS),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _INSPECT_WITHIN_S)
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, asyncio.TimeoutError):
            raise HttpError(422, "the picture takes too long to decode; convert it first") from None
        raise
    if process.returncode:
        raise HttpError(422, "the picture cannot be decoded; convert it to PNG or JPEG first")
    facts: dict[str, Any] = json.loads(output)
    return facts
