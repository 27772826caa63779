"""Write picture files atomically."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from impasto import files
from impasto.errors import ImageError, SettingsError
from impasto.images.encode import (
    FORMATS,
    Samples,
    check_fit,
    encode_image,
    flatten,
    format_of,
    to_palette,
    unwritable,
)

_LAST_FRAME_MS = 2000


def check_output(
    path: str | os.PathLike[str],
    *,
    longest_px: int = 1,
    bits: int = 8,
    dpi: float | None = None,
) -> Path:
    """Check in advance that a picture can be written to ``path``.

    Args:
        path: the output file; it may exist already.
        longest_px: longest side of the picture, in pixels.
        bits: bits per sample, 8 or 16.
        dpi: its print size, in pixels per inch, if it has one.

    Returns:
        ``path`` as a Path. Nothing is written.

    Raises:
        ImageError: the ending is unknown, the format cannot hold the picture, the folder is absent
            or cannot be written, or the path is not a file.
    """
    target = _path(path)
    label = repr(str(target))
    check_fit(format_of(target), label, longest_px=longest_px, bits=bits, dpi=dpi)
    folder = _real(target).parent
    try:
        mode = _mode(target)
        if mode is not None and stat.S_ISDIR(mode):
            raise ImageError(f"{label} is a folder: expected a file's path; add a file name")
        if mode is not None and not stat.S_ISREG(mode):
            raise ImageError(
                f"{label} is no regular file: expected a picture's path; choose another"
            )
        if not folder.is_dir():
            raise ImageError(
                f"no folder {str(folder)!r}: expected one to write {label} into; create it first"
            )
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise unwritable(label, error) from None
    return target


def check_animation(path: str | os.PathLike[str]) -> Path:
    """Check in advance that an animation can be written to ``path``.

    Raises:
        ImageError: another ending than .gif or .webp, or as :func:`check_output` does.
    """
    target = _path(path)
    if target.suffix.lower() not in (".gif", ".webp"):
        raise ImageError(
            f"{str(target)!r} is no animation: expected a path that ends in .gif or .webp; "
            "rename it"
        )
    return check_output(target)


def save_image(
    image: Image.Image | Samples,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    dpi: float | None = None,
) -> Path:
    """Write a picture; an existing file stays complete until the new one replaces it.

    Takes what :func:`encode_image` does.

    Raises:
        ImageError: as :func:`check_output` and :func:`encode_image` do, or a full disk.
    """
    return write(encode_image(image, path, metadata=metadata, dpi=dpi), path)


def write(data: bytes, path: str | os.PathLike[str]) -> Path:
    """Write the bytes of a file; an existing one stays complete until the new one replaces it.

    Raises:
        ImageError: as :func:`check_output` does, or a full disk.
    """
    target = check_output(path)
    try:
        files.replace(_real(target), data)
    except OSError as error:
        raise unwritable(repr(str(target)), error) from None
    return target


def save_animation(
    frames: Iterable[Image.Image], path: str | os.PathLike[str], *, frame_ms: int = 100
) -> Path:
    """Write a GIF or WebP that repeats ``frames``; the last one is shown for two seconds.

    Args:
        frames: sRGB images; all are shown at the size of the last one.
        path: a path that ends in .gif or .webp.
        frame_ms: duration of each frame, in milliseconds.

    Raises:
        ImageError: no frames, another ending, or as :func:`save_image` does.
    """
    target = check_animation(path)
    label = repr(str(target))
    shown = [flatten(frame) for frame in frames]
    if not shown:
        raise ImageError(f"no frames for {label}: expected at least one picture; paint first")
    size = shown[-1].size
    file_format = FORMATS[target.suffix.lower()]
    check_fit(file_format, label, longest_px=max(size))
    first, *rest = [frame.resize(size, Image.Resampling.BICUBIC) for frame in shown]
    if file_format.name == "GIF":
        first, *rest = [to_palette(frame) for frame in (first, *rest)]
    stream = BytesIO()
    first.save(
        stream,
        file_format.name,
        save_all=True,
        append_images=rest,
        duration=[frame_ms] * len(rest) + [max(frame_ms, _LAST_FRAME_MS)],
        loop=0,
        **file_format.options,
    )
    return write(stream.getvalue(), target)


def _path(path: str | os.PathLike[str]) -> Path:
    """Convert a path from the user.

    Raises:
        ImageError: a web address.
    """
    try:
        return files.path_of(path)
    except SettingsError as error:
        raise ImageError(str(error)) from None


def _mode(path: Path) -> int | None:
    """Return the type and permissions of a file, links followed; None if there is none.

    Raises:
        OSError: the path cannot be resolved, for example because of a loop of links.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _real(path: Path) -> Path:
    """Resolve symbolic links, so that the link stays and its target is replaced."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise unwritable(repr(str(path)), error) from None
