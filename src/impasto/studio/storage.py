"""The studio's folder: pictures by hash and works by id, all as plain files.

    pictures/SHA256/    picture, small.jpg, about.json
    works/ID/           work.json; after painting also picture.png, .jpg, .tiff and small.jpg
    looks/SHA256/       look.jpg and checkpoint of a first look

Names of uploads are stored in JSON and never become part of a path.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from impasto import files
from impasto.errors import ImageError, OutputError
from impasto.images import samples
from impasto.job.job import PictureReference
from impasto.studio.schemas import Record, StudioPicture

_LONGEST_NAME = 120


class Store:
    """The files of pictures and works.

    Args:
        folder: the folder; it is created if it is absent.

    Raises:
        OutputError: the folder cannot be written, or another studio uses it.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures, self._works = folder / "pictures", folder / "works"
        self.incoming, self.looks = folder / "incoming", folder / "looks"
        is_own = not folder.exists() or self._works.is_dir()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (self._pictures, self._works, self.looks):
                part.mkdir(mode=0o700, exist_ok=True)
            # An earlier version or another program may have made them readable for all.
            for part in (*([folder] if is_own else []), self._pictures, self._works):
                part.chmod(0o700)
            self._lock = FileLock(folder / "lock", timeout=0)
            self._lock.acquire()
            shutil.rmtree(self.incoming, ignore_errors=True)
            self.incoming.mkdir(mode=0o700)
        except Timeout:
            raise OutputError(
                f"another studio uses the folder {str(folder)!r}: expected one at a time; end "
                "that one, or name another folder with --folder"
            ) from None
        except OSError as error:
            raise OutputError(
                f"the folder {str(folder)!r} cannot be used ({error.strerror}): expected one that "
                "may be written to; name another with --folder"
            ) from None

    def close(self) -> None:
        """Release the lock on the folder."""
        self._lock.release()

    # --- pictures ---

    def bundled(self) -> list[StudioPicture]:
        """List the pictures that come with impasto."""
        return [
            self._bundled(kind, name)
            for kind in ("style", "content")
            for name in samples.names(kind)
        ]

    def picture(self, picture_id: str) -> StudioPicture | None:
        """Return the record of a picture; None if there is no such picture."""
        kind, dot, name = picture_id.partition(".")
        if dot:
            with suppress(ImageError):
                return self._bundled(kind, f"{name}.jpg")
            return None
        picture: StudioPicture | None = _read(
            StudioPicture, self._pictures / picture_id / "about.json"
        )
        return picture

    def picture_file(self, picture: StudioPicture) -> PictureReference:
        """Return a reference to a picture's file."""
        if picture.kind == "own":
            path = self._pictures / picture.id / "picture"
        else:
            path = samples.path(picture.kind, picture.name)
        return PictureReference(path, picture.sha256, picture.name)

    def small_picture(self, picture: StudioPicture) -> Path:
        """Return the path of a picture's small copy."""
        if picture.kind == "own":
            return self._pictures / picture.id / "small.jpg"
        return samples.path(picture.kind, picture.name)

    def save_picture(
        self, sha256: str, file: Path, small: Path, facts: dict[str, Any]
    ) -> StudioPicture:
        """Move an inspected picture and its small copy into the folder."""
        picture = StudioPicture(id=sha256, sha256=sha256, **facts)
        folder = self._pictures / sha256
        folder.mkdir(exist_ok=True)
        file.replace(folder / "picture")
        small.replace(folder / "small.jpg")
        self.save_about(picture)
        return picture

    def save_about(self, picture: StudioPicture) -> None:
        """Write the record of an uploaded picture."""
        path = self._pictures / picture.id / "about.json"
        files.replace(path, picture.model_dump_json().encode())

    def uploaded(self) -> list[StudioPicture]:
        """Return the uploaded pictures, sorted by name; unreadable ones are skipped."""
        read = (_read(StudioPicture, folder / "about.json") for folder in self._pictures.iterdir())
        return sorted((picture for picture in read if picture), key=lambda picture: picture.name)

    def uploaded_bytes(self) -> int:
        """Return the size of all uploaded pictures with their small copies."""
        return sum(file.stat().st_size for file in self._pictures.glob("*/*"))

    def remove_picture(self, picture_id: str) -> None:
        """Remove an uploaded picture."""
        shutil.rmtree(self._pictures / picture_id, ignore_errors=True)

    def _bundled(self, kind: Any, name: str) -> StudioPicture:
        path = samples.path(kind, name)
        width_px, height_px = _size_px(path)
        return StudioPicture(
            id=f"{kind}.{name.removesuffix('.jpg')}",
            name=name,
            sha256=_sha256(path),
            kind=kind,
            width_px=width_px,
            height_px=height_px,
        )

    # --- works ---

    def works(self) -> Iterator[Record]:
        """Yield every work, the oldest first; unreadable ones are skipped."""
        records = [_read(Record, folder / "work.json") for folder in self._works.iterdir()]
        yield from sorted((work for work in records if work), key=lambda work: work.created_s)

    def folder(self, work_id: str) -> Path:
        """Return the folder of a work, and create it."""
        folder = self._works / work_id
        folder.mkdir(exist_ok=True)
        return folder

    def save_work(self, work: Record) -> None:
        """Write the record of a work."""
        files.replace(self.folder(work.id) / "work.json", work.model_dump_json().encode())

    def remove_work(self, work_id: str) -> None:
        """Remove a work and its pictures."""
        shutil.rmtree(self._works / work_id, ignore_errors=True)


def clean_name(name: str | None) -> str:
    """Return the name of an upload, without folders and unprintable characters."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[-_LONGEST_NAME:] or "picture"


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _size_px(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def _read(model: Any, path: Path) -> Any:
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        sys.stderr.write(f"impasto: {path} cannot be read and is skipped: {error}\n")
        return None
