"""Encode pictures as the bytes of a file: tagged as sRGB, with texts and print size.

Private data, such as GPS, is not copied. Pillow cannot write colour with 16 bits per sample, so
libvips writes these.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin

from impasto.errors import ImageError
from impasto.images.icc import srgb_profile

Samples = NDArray[np.uint16]
# Maximum of JPEG's density fields; the other formats can hold more.
MOST_DPI = 65535

_MM_PER_INCH = 25.4
_INCH = 2
# A segment of JPEG has 65535 bytes, of which two are its length.
_LONGEST_JPEG_EXIF_BYTES = 65533


@dataclass(frozen=True)
class Format:
    """The properties of a file format.

    Attributes:
        name: Pillow's name of it.
        longest_px: maximum side, in pixels.
        alpha: whether it can hold opacity.
        deep: whether it can hold 16 bits per sample.
        exif: whether texts go into EXIF.
        density: whether Pillow writes the print size into the format's own fields.
        options: Pillow's options for writing.
    """

    name: str
    longest_px: int
    alpha: bool = True
    deep: bool = False
    exif: bool = True
    density: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


_PNG = Format("PNG", 2**31 - 1, deep=True, exif=False)
_JPEG = Format("JPEG", 65500, alpha=False, options={"quality": 95, "subsampling": "4:4:4"})
_TIFF = Format("TIFF", 2**31 - 1, deep=True, options={"compression": "tiff_adobe_deflate"})
FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": Format("WEBP", 16383, density=False, options={"quality": 95}),
    ".avif": Format("AVIF", 65536, density=False, options={"quality": 90, "subsampling": "4:4:4"}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": Format("BMP", 2**31 - 1, alpha=False, exif=False),
    ".gif": Format("GIF", 65535, exif=False, density=False),
}


def format_of(path: Path) -> Format:
    """Return the format for the ending of ``path``.

    Raises:
        ImageError: an unknown ending.
    """
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ImageError(
            f"{str(path)!r} cannot be written: expected a name that ends in "
            f"{', '.join(FORMATS)}, got {path.suffix!r}; choose one of these"
        )
    return file_format


def check_fit(
    file_format: Format, label: str, *, longest_px: int, bits: int = 8, dpi: float | None = None
) -> None:
    """Check that a format can hold a picture.

    Raises:
        ImageError: too many pixels a side or bits per sample, or the format has no print size.
    """
    if longest_px > file_format.longest_px:
        raise ImageError(
            f"{label} cannot be written: expected at most {file_format.longest_px} pixels a side "
            f"in {file_format.name}, got {longest_px}; choose .png or .tiff"
        )
    if bits > 8 and not file_format.deep:
        raise ImageError(
            f"{label} cannot be written: expected 8 bits a sample in {file_format.name}, "
            f"got {bits}; choose .png or .tiff"
        )
    if dpi is None:
        return
    if not (file_format.density or file_format.exif):
        raise ImageError(
            f"{label} cannot be written: expected no print size in {file_format.name}, which "
            f"cannot hold one, got {dpi:g} dpi; choose .png, .jpg or .tiff"
        )
    if not 0 < dpi <= MOST_DPI:
        raise ImageError(
            f"{label} cannot be written: expected more than 0 and at most {MOST_DPI} dpi, "
            f"got {dpi:g}; choose another print size"
        )


def encode_image(
    image: Image.Image | Samples,
    name: str | os.PathLike[str],
    *,
    metadata: Mapping[str, str] | None = None,
    dpi: float | None = None,
) -> bytes:
    """Encode a picture as the bytes of a file.

    ``image.info`` is not copied, so EXIF and GPS data are left out. Formats without opacity
    show the picture on white.

    Args:
        image: an image in sRGB; for 16 bits a sample, in PNG and TIFF, an array of uint16 of
            shape (H, W, 3) or (H, W, 4).
        name: the file's name, or its ending alone, such as "png", "jpeg" or "webp".
        metadata: texts by name, stored in PNG texts or in EXIF's description. GIF and BMP cannot
            hold them, and JPEG no more than 64 KiB. PNG with 16 bits holds ASCII; other letters
            become escapes.
        dpi: the print size, in pixels per inch; GIF cannot hold it.

    Raises:
        ImageError: an unknown format, or a picture that the format cannot hold.
    """
    path = Path(name)
    if path.suffix:
        file_format, label = format_of(path), repr(str(path))
    else:
        file_format = format_of(Path(f"image.{path.name.lower().lstrip('.')}"))
        label = f"the {file_format.name} picture"
    bits, size = (8, image.size) if isinstance(image, Image.Image) else (16, image.shape[:2])
    check_fit(file_format, label, longest_px=max(size), bits=bits, dpi=dpi)
    try:
        if isinstance(image, Image.Image):
            return _encode_shallow(image, file_format, metadata or {}, dpi)
        return _encode_deep(image, file_format.name, metadata or {}, dpi)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise unwritable(label, error) from None


def flatten(image: Image.Image) -> Image.Image:
    """Return the picture on a white background, as RGB."""
    copy = _without_metadata(image)
    if copy.mode == "RGB":
        return copy
    white = Image.new("RGBA", copy.size, "white")
    return Image.alpha_composite(white, copy).convert("RGB")


def to_palette(image: Image.Image) -> Image.Image:
    """Reduce the picture to 256 colours, with error diffusion against banding."""
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def unwritable(label: str, error: Exception) -> ImageError:
    """Return an error with the reason why a picture cannot be written."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    reason = reason or type(error).__name__
    return ImageError(
        f"{label} cannot be written ({reason}): expected a writable folder with free space; "
        "choose another"
    )


def _encode_shallow(
    image: Image.Image, file_format: Format, metadata: Mapping[str, str], dpi: float | None
) -> bytes:
    options: dict[str, Any] = {**file_format.options, "icc_profile": srgb_profile()}
    if dpi is not None and file_format.density:
        options["dpi"] = (dpi, dpi)
    if file_format.exif and (metadata or dpi is not None):
        options["exif"] = _exif(metadata, file_format, dpi)
    if file_format.name == "PNG":
        options["pnginfo"] = _png_texts(metadata)
    copy = _without_metadata(image) if file_format.alpha else flatten(image)
    if file_format.name == "GIF":
        copy = to_palette(flatten(copy))
    stream = BytesIO()
    copy.save(stream, file_format.name, **options)
    return stream.getvalue()


def _without_metadata(image: Image.Image) -> Image.Image:
    """Copy the pixels as RGB or RGBA, without any metadata."""
    copy = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if copy is image:
        copy = image.copy()
    copy.info = {}
    return copy


def exif_texts(metadata: Mapping[str, str]) -> Image.Exif:
    """Return texts by name as EXIF's description."""
    exif = Image.Exif()
    if metadata:
        exif[ExifTags.Base.ImageDescription] = json.dumps(dict(metadata))
    if "Software" in metadata:
        exif[ExifTags.Base.Software] = metadata["Software"]
    return exif


def _exif(metadata: Mapping[str, str], file_format: Format, dpi: float | None) -> Image.Exif:
    exif = exif_texts(metadata)
    if dpi is not None and file_format.name != "TIFF":
        # JPEG's own fields are integers, these are not; TIFF has only these.
        exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = dpi
        exif[ExifTags.Base.ResolutionUnit] = _INCH
    if file_format.name == "JPEG" and len(exif.tobytes()) > _LONGEST_JPEG_EXIF_BYTES:
        del exif[ExifTags.Base.ImageDescription]
    return exif


def _png_texts(metadata: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for name, text in metadata.items():
        texts.add_itxt(name, text)
    return texts


def _encode_deep(
    samples: Samples, name: str, metadata: Mapping[str, str], dpi: float | None
) -> bytes:
    """Encode 16 bits a sample, as the format that Pillow calls ``name``."""
    import pyvips

    # Both formats hold a resolution always; programs read 72 as none.
    per_mm = (72 if dpi is None else dpi) / _MM_PER_INCH
    image = pyvips.Image.new_from_array(samples).copy(
        interpretation="rgb16", xres=per_mm, yres=per_mm
    )
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", srgb_profile())
    if name == "PNG":
        for number, (key, text) in enumerate(metadata.items()):
            # libvips writes ASCII alone as it is.
            ascii_text = text.encode("ascii", "backslashreplace").decode()
            image.set_type(pyvips.GValue.gstr_type, f"png-comment-{number}-{key}", ascii_text)
    elif metadata:
        image.set_type(pyvips.GValue.gstr_type, "image-description", json.dumps(dict(metadata)))
    try:
        data: bytes = (
            image.pngsave_buffer(filter="up", bitdepth=16)
            if name == "PNG"
            else image.tiffsave_buffer(
                compression="deflate", predictor="horizontal", resunit="inch"
            )
        )
    except pyvips.Error as error:
        raise ValueError(str(error)) from None
    return data
