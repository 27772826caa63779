"""The studio's folder: pictures by their hash, works by their number, all as plain files.

    pictures/SHA256/    picture, small.jpg, about.json
    works/ID/           work.json, and once painted picture.png, .jpg, .tiff and small.jpg

Names that come from outside are kept in JSON and never become a path.
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
    """What is kept on the disk.

    Args:
        folder: where; it is created.

    Raises:
        OutputError: it cannot be written, or another studio uses it.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures, self._works = folder / "pictures", folder / "works"
        self.incoming = folder / "incoming"
        is_own = not folder.exists() or self._works.is_dir()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (self._pictures, self._works):
                part.mkdir(mode=0o700, exist_ok=True)
            # Also what an earlier version, or another program, has made for all to read.
            for part in (*([folder] if is_own else []), self._pictures, self._works):
                part.chmod(0o700)
            self._lock = FileLock(folder / "lock", timeout=0)
            self._lock.acquire()
            shutil.rmtree(self.incoming, ignore_errors=True)
            self.incoming.mkdir(mode=0o700)
        except Timeout:
            raise OutputError(
                f"another studio uses the folder {str(folder)!r}: expected one at a time; end "
                "that one, or give another --folder"
            ) from None
        except OSError as error:
            raise OutputError(
                f"the folder {str(folder)!r} cannot be used ({error.strerror}): expected one that "
                "may be written to; give another --folder"
            ) from None

    def close(self) -> None:
        """Let another studio use the folder."""
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
        """Return what is known of a picture; None if there is none."""
        kind, dot, name = picture_id.partition(".")
        if dot:
            with suppress(ImageError):
                return self._bundled(kind, f"{name}.jpg")
            return None
        found: StudioPicture | None = _read(
            StudioPicture, self._pictures / picture_id / "about.json"
        )
        return found

    def picture_file(self, picture: StudioPicture) -> PictureReference:
        """Return where a picture lies."""
        if picture.kind == "own":
            path = self._pictures / picture.id / "picture"
        else:
            path = samples.path(picture.kind, picture.name)
        return PictureReference(path, picture.sha256, picture.name)

    def small_picture(self, picture: StudioPicture) -> Path:
        """Return where its small copy lies."""
        if picture.kind == "own":
            return self._pictures / picture.id / "small.jpg"
        return samples.path(picture.kind, picture.name)

    def keep_picture(
        self, sha256: str, file: Path, small: Path, seen: dict[str, Any]
    ) -> StudioPicture:
        """Take in a picture that was looked at, with its small copy."""
        picture = StudioPicture(id=sha256, sha256=sha256, **seen)
        folder = self._pictures / sha256
        folder.mkdir(exist_ok=True)
        file.replace(folder / "picture")
        small.replace(folder / "small.jpg")
        files.replace(folder / "about.json", picture.model_dump_json().encode())
        return picture

    def uploaded(self) -> list[StudioPicture]:
        """List the pictures that were uploaded, by name; one that cannot be read is left alone."""
        read = (_read(StudioPicture, folder / "about.json") for folder in self._pictures.iterdir())
        return sorted((picture for picture in read if picture), key=lambda picture: picture.name)

    def uploaded_bytes(self) -> int:
        """Return how many bytes the uploaded pictures take, with their small copies."""
        return sum(file.stat().st_size for file in self._pictures.glob("*/*"))

    def drop_picture(self, picture_id: str) -> None:
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
        """Yield every work, the oldest first; one that cannot be read is left alone."""
        found = [_read(Record, folder / "work.json") for folder in self._works.iterdir()]
        yield from sorted((work for work in found if work), key=lambda work: work.created_s)

    def folder(self, work_id: str) -> Path:
        """Return the folder of a work; it exists."""
        folder = self._works / work_id
        folder.mkdir(exist_ok=True)
        return folder

    def keep_work(self, work: Record) -> None:
        """Write what is known of a work."""
        files.replace(self.folder(work.id) / "work.json", work.model_dump_json().encode())

    def drop_work(self, work_id: str) -> None:
        """Remove a work and its pictures."""
        shutil.rmtree(self._works / work_id, ignore_errors=True)


def clean_name(name: str | None) -> str:
    """Make of what an upload calls itself a name to show: no folders, nothing unprintable."""
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
        sys.stderr.write(f"impasto: {path} cannot be read and is left alone: {error}\n")
        return None
