"""Picture files written: whole or not at all, tagged as sRGB, without private data."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from impasto.errors import ImageError
from impasto.profiles import srgb_profile


@dataclass(frozen=True)
class _Format:
    """How one file format is written; ``longest_px`` is the most that it can hold."""

    name: str
    longest_px: int
    alpha: bool = True
    exif: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


_PNG = _Format("PNG", 2**31 - 1, exif=False)
_JPEG = _Format("JPEG", 65500, alpha=False, options={"quality": 95, "subsampling": "4:4:4"})
_TIFF = _Format("TIFF", 2**31 - 1, options={"compression": "tiff_adobe_deflate"})
_FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format("WEBP", 16383, options={"quality": 95}),
    ".avif": _Format("AVIF", 65536, options={"quality": 90, "subsampling": "4:4:4"}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Format("BMP", 2**31 - 1, alpha=False, exif=False),
    ".gif": _Format("GIF", 65535, exif=False),
}
_LAST_FRAME_MS = 2000


def check_output(path: str | os.PathLike[str], *, longest_px: int = 1) -> Path:
    """Make sure, before any work, that a picture can be written to ``path``.

    Args:
        path: the file to come; one that exists may be replaced later.
        longest_px: longest side of the picture to come, in pixels.

    Returns:
        ``path`` as a Path. Nothing is written.

    Raises:
        ImageError: an ending that names no format, a picture too large for the format, a
            folder that is absent or cannot be written, or something other than a file there.
    """
    target = Path(path)
    label = repr(str(target))
    _check_size(_format_of(target), longest_px, label)
    folder = _real(target).parent
    try:
        if target.is_dir():
            raise ImageError(f"{label} is a folder: expected a file's path; add a file name")
        if target.exists() and not target.is_file():
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
        raise _unwritable(label, error) from None
    return target


def check_animation(path: str | os.PathLike[str]) -> Path:
    """Make sure, before any work, that an animation can be written to ``path``.

    Raises:
        ImageError: another ending than .gif, or as :func:`check_output` does.
    """
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise ImageError(
            f"{str(target)!r} is no animation: expected a path that ends in .gif; rename it"
        )
    return check_output(target)


def encode(
    image: Image.Image, format_name: str, *, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Encode a picture as the bytes of a file.

    Nothing of ``image.info`` is copied: no EXIF and no GPS data. Formats without opacity
    show the picture on white.

    Args:
        image: an image in sRGB.
        format_name: a file's ending, such as "png", "jpeg" or "webp".
        metadata: texts by name, kept in PNG texts or in EXIF's description; GIF and BMP
            cannot hold them.

    Raises:
        ImageError: an unknown format, or a picture that the format cannot hold.
    """
    file_format = _format_of(Path(f"image.{format_name.lower().lstrip('.')}"))
    return _encode(image, file_format, metadata or {}, f"the {file_format.name} picture")


def save(
    image: Image.Image,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a picture; an earlier file stays whole until the new one has replaced it.

    Args:
        image: an image in sRGB.
        path: its ending names the format.
        metadata: as for :func:`encode`.

    Raises:
        ImageError: as :func:`check_output` and :func:`encode` do, or a full disk.
    """
    target = check_output(path, longest_px=max(image.size))
    data = _encode(image, _format_of(target), metadata or {}, repr(str(target)))
    return _write(data, target)


def save_animation(
    frames: Iterable[Image.Image], path: str | os.PathLike[str], *, frame_ms: int = 100
) -> Path:
    """Write a GIF that shows ``frames`` over and over, the last one for two seconds.

    Args:
        frames: sRGB images; all are shown at the size of the last one.
        path: ends in .gif.
        frame_ms: how long each frame shows, in milliseconds.

    Raises:
        ImageError: no frames, another ending, or as :func:`save` does.
    """
    target = check_animation(path)
    label = repr(str(target))
    shown = [_flatten(frame) for frame in frames]
    if not shown:
        raise ImageError(f"no frames for {label}: expected at least one picture; paint first")
    size = shown[-1].size
    _check_size(_FORMATS[".gif"], max(size), label)
    first, *rest = [_to_palette(frame.resize(size, Image.Resampling.BICUBIC)) for frame in shown]
    stream = BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=[frame_ms] * len(rest) + [max(frame_ms, _LAST_FRAME_MS)],
        loop=0,
    )
    return _write(stream.getvalue(), target)


def _format_of(path: Path) -> _Format:
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ImageError(
            f"{str(path)!r} cannot be written: expected a name that ends in "
            f"{', '.join(_FORMATS)}, got {path.suffix!r}; choose one of these"
        )
    return file_format


def _check_size(file_format: _Format, longest_px: int, label: str) -> None:
    if longest_px > file_format.longest_px:
        raise ImageError(
            f"{label} cannot be written: expected at most {file_format.longest_px} pixels a side "
            f"in {file_format.name}, got {longest_px}; choose .png or .tiff"
        )


def _encode(
    image: Image.Image, file_format: _Format, metadata: Mapping[str, str], label: str
) -> bytes:
    _check_size(file_format, max(image.size), label)
    options: dict[str, Any] = {**file_format.options, "icc_profile": srgb_profile()}
    if file_format.exif and metadata:
        options["exif"] = _exif(metadata)
    if file_format.name == "PNG":
        options["pnginfo"] = _png_texts(metadata)
    bare = _bare(image) if file_format.alpha else _flatten(image)
    if file_format.name == "GIF":
        bare = _to_palette(_flatten(bare))
    stream = BytesIO()
    try:
        bare.save(stream, file_format.name, **options)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise _unwritable(label, error) from None
    return stream.getvalue()


def _bare(image: Image.Image) -> Image.Image:
    """Copy as RGB or RGBA, with nothing of what the image carries beside its pixels."""
    copy = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if copy is image:
        copy = image.copy()
    copy.info = {}
    return copy


def _flatten(image: Image.Image) -> Image.Image:
    """Show the picture on white, as RGB."""
    bare = _bare(image)
    if bare.mode == "RGB":
        return bare
    white = Image.new("RGBA", bare.size, "white")
    return Image.alpha_composite(white, bare).convert("RGB")


def _to_palette(image: Image.Image) -> Image.Image:
    """Choose 256 colours for this picture, and diffuse the error so that no bands show."""
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _exif(metadata: Mapping[str, str]) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = json.dumps(dict(metadata))
    if "Software" in metadata:
        exif[ExifTags.Base.Software] = metadata["Software"]
    return exif


def _png_texts(metadata: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for name, text in metadata.items():
        texts.add_itxt(name, text)
    return texts


def _real(path: Path) -> Path:
    """Follow symbolic links, so that a link stays one and its target is replaced."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise _unwritable(repr(str(path)), error) from None


def _write(data: bytes, target: Path) -> Path:
    final = _real(target)
    partial = final.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(final)
    except OSError as error:
        raise _unwritable(repr(str(target)), error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def _unwritable(label: str, error: Exception) -> ImageError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    reason = reason or type(error).__name__
    return ImageError(
        f"{label} cannot be written ({reason}): expected a folder with room that may be "
        "written to; choose another"
    )
