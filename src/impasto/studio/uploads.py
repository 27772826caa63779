"""The pictures of the studio: uploaded, looked at in a process of their own, kept and found."""

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
from impasto.studio.schemas import StudioPicture
from impasto.studio.storage import Store

MOST_PIXELS = 100_000_000
_MOST_READERS = 2
_READER_PATIENCE_S = 120.0


class Uploads:
    """Finds pictures, and takes new ones in.

    Args:
        store: the folder.
        quota_bytes: how much the uploaded pictures may take in all.
    """

    def __init__(self, store: Store, quota_bytes: int) -> None:
        self._store, self.quota_bytes = store, quota_bytes
        self._readers = asyncio.Semaphore(_MOST_READERS)

    def bundled(self) -> list[StudioPicture]:
        """List the pictures that come with impasto."""
        return self._store.bundled()

    def uploaded(self) -> list[StudioPicture]:
        """List the pictures that were uploaded."""
        return self._store.uploaded()

    @property
    def used_bytes(self) -> int:
        """How much of the quota is used."""
        return self._store.uploaded_bytes()

    def remove(self, picture_id: str) -> None:
        """Delete an uploaded picture.

        Raises:
            HttpError: there is none, or it comes with impasto.
        """
        if self.picture(picture_id).kind != "own":
            raise HttpError(409, "expected an uploaded picture, got one that comes with impasto")
        self._store.drop_picture(picture_id)

    def check_room(self, size_bytes: int) -> None:
        """Make sure that the quota leaves room for a file.

        Raises:
            HttpError: it does not.
        """
        if self.used_bytes + size_bytes > self.quota_bytes:
            raise HttpError(
                507,
                f"expected uploads of at most {self.quota_bytes / 2**20:.0f} MiB in all, and this "
                "one would be too much; delete uploaded pictures first",
            )

    def has(self, picture_id: str) -> bool:
        """Tell whether there is such a picture."""
        return self._store.picture(picture_id) is not None

    def picture(self, picture_id: str) -> StudioPicture:
        """Return what is known of a picture.

        Raises:
            HttpError: there is none.
        """
        picture = self._store.picture(picture_id)
        if picture is None:
            raise HttpError(404, f"no picture {picture_id!r}; upload it first")
        return picture

    def small(self, picture_id: str) -> Path:
        """Return the file of a picture's small copy."""
        return self._store.small_picture(self.picture(picture_id))

    def original(self, picture_id: str) -> PictureReference:
        """Return a picture's own file."""
        return self._store.picture_file(self.picture(picture_id))

    async def take_in(self, file: Path, name: str) -> StudioPicture:
        """Look at an uploaded file, and keep it if it is a picture.

        Raises:
            HttpError: it is none, or too large, or damaged, or the quota is used up.
        """
        sha256 = await asyncio.to_thread(_sha256, file)
        known = self._store.picture(sha256)
        if known is not None:
            return known.model_copy(update={"name": name})
        self.check_room(file.stat().st_size)
        small = file.with_suffix(".jpg")
        async with self._readers:
            seen = await _look(file, small)
        if "error" in seen:
            small.unlink(missing_ok=True)
            raise HttpError(seen["status"], seen["error"])
        if seen["recipe"] is not None:
            seen["recipe"] = json.loads(seen["recipe"])
        try:
            # Others may have been taken in since.
            self.check_room(file.stat().st_size + small.stat().st_size)
        except HttpError:
            small.unlink(missing_ok=True)
            raise
        return self._store.keep_picture(sha256, file, small, {"name": name, **seen})

    def incoming(self) -> Path:
        """Return a path for a file that comes in."""
        return self._store.incoming / secrets.token_hex(8)


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        digest = hashlib.sha256()
        while block := data.read(2**20):
            digest.update(block)
        return digest.hexdigest()


async def _look(file: Path, small: Path) -> dict[str, Any]:
    """Let a process of its own decode a picture."""
    reader = await asyncio.create_subprocess_exec(
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
        told, _ = await asyncio.wait_for(reader.communicate(), _READER_PATIENCE_S)
    except BaseException as error:
        reader.kill()
        await reader.wait()
        if isinstance(error, asyncio.TimeoutError):
            raise HttpError(422, "the picture takes too long to decode; convert it first") from None
        raise
    if reader.returncode:
        raise HttpError(422, "the picture cannot be decoded; convert it to PNG or JPEG first")
    seen: dict[str, Any] = json.loads(told)
    return seen
