"""Where the frames of a film come from: a film file, an animation, or pictures in a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor

from impasto import files, images
from impasto.errors import ImageError, SettingsError
from impasto.images.limits import check_pixels
from impasto.images.opacity import load_seen
from impasto.output.film_file import FilmFile, FilmFormat, FilmFrame

ANIMATIONS = (".gif", ".webp", ".png", ".apng")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".avif", ".tga")
# A place for the number of a frame, as in frame_%05d.png.
NUMBER = re.compile(r"%(0\d+)?d")
# Of an animation whose file says nothing, or 0, as browsers show it.
_FALLBACK_MS = 100
_CHUNK_BYTES = 2**20


class Source(Protocol):
    """A film to read.

    Attributes:
        format: what it is like.
    """

    format: FilmFormat

    def frames(self) -> Iterator[FilmFrame]:
        """Yield the frames in the order in which they are shown."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that it reads."""

    @property
    def sound(self) -> Path | None:
        """The file that has its sound; None for silence."""


class _File:
    def __init__(self, path: Path) -> None:
        self._film = FilmFile(path)
        self.format = self._film.format
        self.files: Sequence[Path] = (path,)
        self.sound = path if self.format.has_sound else None

    def frames(self) -> Iterator[FilmFrame]:
        return self._film.frames()


class _Animation:
    """The frames of a GIF, WebP or PNG animation, each with its duration."""

    sound = None

    def __init__(self, path: Path) -> None:
        self._path, self.files = path, (path,)
        with self._opened() as image:
            check_pixels(image.width, image.height, repr(str(path)))
            self.format = FilmFormat(
                image.width, image.height, Fraction(1, 1000), Fraction(_duration_ms(image), 1000)
            )

    def frames(self) -> Iterator[FilmFrame]:
        time_ms = 0
        with self._opened() as image:
            try:
                for index, frame in enumerate(ImageSequence.Iterator(image)):
                    duration_ms = _duration_ms(frame)
                    yield FilmFrame(index, time_ms, duration_ms, _on_white(frame))
                    time_ms += duration_ms
            except (OSError, SyntaxError, ValueError) as error:
                raise ImageError(
                    f"{str(self._path)!r} is damaged ({error}): expected a whole animation; "
                    "repair it, or cut it with --range"
                ) from None

    def _opened(self) -> Image.Image:
        try:
            files.open_regular(self._path).close()
            return Image.open(self._path)
        except FileNotFoundError:
            raise ImageError(
                f"no file {str(self._path)!r}: expected a film; check the path"
            ) from None
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            raise ImageError(
                f"{str(self._path)!r} cannot be read ({error}): expected an animation; check it"
            ) from None


class _PictureFiles:
    """Pictures in files, shown at a constant rate."""

    sound = None

    def __init__(self, paths: Sequence[Path], rate: Fraction) -> None:
        self.files = tuple(paths)
        width_px, height_px = images.read_size(paths[0])
        self.format = FilmFormat(width_px, height_px, 1 / rate, 1 / rate)

    def frames(self) -> Iterator[FilmFrame]:
        expected = self.format.height_px, self.format.width_px
        for index, path in enumerate(self.files):
            picture = load_seen(path)
            if (picture.height_px, picture.width_px) != expected:
                raise ImageError(
                    f"{str(path)!r} has {picture.width_px} x {picture.height_px} pixels: expected "
                    f"{expected[1]} x {expected[0]}, as the first frame; make all alike first"
                )
            yield FilmFrame(index, index, 1, picture.pixels)


def open_source(words: str | os.PathLike[str], rate: float | None = None) -> Source:
    """Open a film.

    Args:
        words: a film file; a GIF, WebP or PNG animation; a folder of pictures, in the order of
            the numbers in their names; or a pattern such as ``frames/%05d.png``.
        rate: frames a second, of pictures; 25 by default.

    Raises:
        ImageError: it is absent, cannot be read, or has no frames.
        SettingsError: a rate for a film that has its own.
        MissingPackageError: PyAV is not installed.
    """
    path = files.path_of(words)
    pictures = pictures_of(path)
    if pictures is not None:
        return _PictureFiles(pictures, _rate(rate))
    if rate is not None:
        raise SettingsError(
            f"fps: expected none for {str(path)!r}, which has its own times, got {rate:g}; leave "
            "it out"
        )
    return _Animation(path) if path.suffix.lower() in ANIMATIONS else _File(path)


def pictures_of(path: Path) -> list[Path] | None:
    """List the pictures of a folder or a pattern, in order; None if ``path`` is neither.

    Raises:
        ImageError: there are none.
    """
    if path.is_dir():
        pictures = [one for one in path.iterdir() if one.suffix.lower() in _PICTURES]
        if not pictures:
            raise ImageError(
                f"{str(path)!r} has no pictures: expected frames such as 00001.png; name another "
                "folder"
            )
    elif NUMBER.search(path.name) and not path.exists():
        pictures = _matching(path)
    else:
        return None
    return sorted(pictures, key=_natural)


def digest(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of some files together, in hexadecimal.

    Raises:
        ImageError: one cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        own = hashlib.sha256()
        try:
            with files.open_regular(path) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    own.update(chunk)
        except OSError as error:
            raise ImageError(
                f"{str(path)!r} cannot be read ({error.strerror or error}): expected a film; "
                "check its permissions"
            ) from None
        total.update(own.digest())
    return total.hexdigest()


def _rate(rate: float | None) -> Fraction:
    return Fraction(25) if rate is None else Fraction(rate).limit_denominator(1001)


def _matching(pattern: Path) -> list[Path]:
    """List the files that a pattern names."""
    before, after = (re.escape(part) for part in NUMBER.split(pattern.name, maxsplit=1)[::2])
    name = re.compile(rf"{before}\d+{after}")
    folder = pattern.parent
    found = [one for one in folder.iterdir() if name.fullmatch(one.name)] if folder.is_dir() else []
    if not found:
        raise ImageError(
            f"no file matches {str(pattern)!r}: expected frames such as "
            f"{NUMBER.sub('00001', pattern.name)!r}; check the path"
        )
    return found


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that puts 2.png before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _duration_ms(image: Image.Image) -> int:
    image.load()  # only then is the duration known
    return round(image.info.get("duration") or 0) or _FALLBACK_MS


def _on_white(frame: Image.Image) -> Tensor:
    """Return a frame's pixels; what is transparent becomes white."""
    rgba = frame.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    samples = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    unit = np.ascontiguousarray(samples.transpose(2, 0, 1)).astype(np.float32) / 255
    return torch.from_numpy(unit)[None]
