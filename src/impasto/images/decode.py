"""Decode picture files of every format into sRGB samples and opacity.

Pillow identifies every format and decodes most pictures. libvips decodes two kinds: PNG with 16
bits per sample, because Pillow reduces it to 8; and TIFF, because Pillow reads missing strips as
black, and its libtiff writes to the terminal.
"""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from impasto.errors import ImageError
from impasto.images import tiff_header
from impasto.images.icc import Floats, Space, from_linear, to_srgb, to_unit
from impasto.images.limits import MAX_PIXELS, check_pixels, check_scans, too_large
from impasto.images.tiff_header import TiffHeader

Header = Image.Image | TiffHeader

# PPM stands for PBM, PGM and PFM too. TGA is last, because it has no signature of its own.
READ_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "TGA")

# Files that begin like this are not read; the message names their kind.
_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document, perhaps an SVG drawing"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop document"),
    *((b"PF" + space, "a PFM picture in colour") for space in (b"\n", b" ", b"\r", b"\t")),
)
_OUR_SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8",
    b"GIF8",
    b"RIFF",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Bits per pixel that each kind of TGA picture may have.
_TGA_HEADER_BYTES = 18
_TGA_DEPTHS = {1: (8,), 2: (16, 24, 32), 3: (8, 16), 9: (8,), 10: (16, 24, 32), 11: (8, 16)}
_TGA_PALETTES = (1, 9)
_LONGEST_DESCRIPTION = 2**20
_ADVICE = "convert it to PNG or JPEG first"
# Without a handler, Python would print what Pillow logs about a damaged file.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# One decoder at a time: Pillow's pixel limit and Python's warning filters are global.
_decoding = threading.Lock()


def check_header(file: BinaryIO, label: str) -> None:
    """Check from the header that a file is a readable picture.

    Args:
        file: open for reading, at its start.
        label: the picture's name in messages.

    Raises:
        ImageError: unknown format, damaged header, or more than MAX_PIXELS pixels.
    """
    with _guard(label):
        _open(file, label)


def read_size(file: BinaryIO, label: str) -> tuple[int, int]:
    """Return a picture's width and height in pixels from its header, of any size.

    Raises:
        ImageError: unknown format, or damaged header.
    """
    with _guard(label, most_pixels=None):
        image = _identify(file, label)
        return image.width, image.height


def decode(data: bytes, label: str) -> tuple[Floats, Floats | None]:
    """Decode the first frame of a picture file.

    Args:
        data: the whole file.
        label: the picture's name in messages.

    Returns:
        sRGB in [0, 1] of shape (H, W, 3), upright, and opacity in [0, 1] of shape (H, W),
        or None if every pixel is opaque.

    Raises:
        ImageError: unknown format, damaged or cut short, or more than MAX_PIXELS pixels.
    """
    with _guard(label):
        image = _open(BytesIO(data), label)
        if isinstance(image, TiffHeader) or _is_for_vips(image):
            profile, orientation = image.info.get("icc_profile"), _orientation(image)
            return _finish(*_vips_samples(data, image, label), profile, orientation)
        if image.format in ("JPEG", "MPO"):
            check_scans(data, image.width * image.height, label)
        return _decode_image(image, label)


def decode_image(image: Image.Image, label: str) -> tuple[Floats, Floats | None]:
    """Decode a Pillow image of any mode; returns and raises as :func:`decode` does."""
    with _guard(label):
        return _decode_image(image, label)


def decode_texts(data: bytes, label: str) -> dict[str, str]:
    """Return the texts in a picture file: PNG's by name, others' from a JSON description.

    Raises:
        ImageError: as :func:`decode` does.
    """
    with _guard(label):
        image = _open(BytesIO(data), label)
        if isinstance(image, PngImagePlugin.PngImageFile):
            return {str(name): str(text) for name, text in image.text.items()}
        description = image.getexif().get(ExifTags.Base.ImageDescription, "")
    if not isinstance(description, str) or len(description) > _LONGEST_DESCRIPTION:
        return {}
    try:
        texts = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(texts, dict):
        return {}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _decode_image(image: Image.Image, label: str) -> tuple[Floats, Floats | None]:
    image.load()
    profile = None if image.mode == "LAB" else image.info.get("icc_profile")
    return _finish(*_pillow_samples(image, label), profile, _orientation(image))


@contextmanager
def _guard(label: str, *, most_pixels: int | None = MAX_PIXELS) -> Iterator[None]:
    """Turn every exception of a decoder into an ImageError, and silence its warnings."""
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pillow_limit = Image.MAX_IMAGE_PIXELS
        # Pillow warns at its limit and refuses at twice that.
        Image.MAX_IMAGE_PIXELS = most_pixels and most_pixels // 2
        try:
            yield
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise too_large(label, str(error).partition(" exceeds")[0]) from None
        except MemoryError:
            raise ImageError(
                f"{label} does not fit in memory: expected a smaller picture; scale it down first"
            ) from None
        except Exception as error:  # A damaged file can make a decoder raise anything.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ImageError(
                f"{label} is damaged or cut short: expected a whole picture, got {reason!r}; "
                "copy or export it again"
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = pillow_limit


def _identify(file: BinaryIO, label: str) -> Header:
    head = file.read(512)
    file.seek(0)
    if _is_heic(head):
        return _open_heic(file, label)
    formats = READ_FORMATS if _is_tga(head) else READ_FORMATS[:-1]
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        header = tiff_header.read_header(file)
        if header is not None:
            return header
        if (kind := tiff_header.describe(file)) is not None:
            raise ImageError(
                f"{label} is {kind}: expected 8 or 16 bits a sample, or RGB of 32 bits; {_ADVICE}"
            ) from None
        raise ImageError(_explain(head, label)) from None


def _is_heic(head: bytes) -> bool:
    # AVIF files may also name mif1; the first brand is the main one.
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and b"avif" not in head[:64]


def _open_heic(file: BinaryIO, label: str) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(
            f"{label} is a HEIC picture: expected the package pillow-heif, which reads it and is "
            f"not installed; pip install '.[heic]' in impasto's own folder, or {_ADVICE}"
        ) from None
    image: Image.Image = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


def _is_tga(head: bytes) -> bool:
    """Return whether these bytes can be a TGA header, which has no signature."""
    if len(head) < _TGA_HEADER_BYTES:
        return False
    has_palette, kind, depth, descriptor = head[1], head[2], head[16], head[17]
    return (
        depth in _TGA_DEPTHS.get(kind, ())
        and has_palette in ((1,) if kind in _TGA_PALETTES else (0, 1))
        and not descriptor & 0xC0
    )


def _open(file: BinaryIO, label: str) -> Header:
    image = _identify(file, label)
    check_pixels(image.width, image.height, label)
    return image


def _explain(head: bytes, label: str) -> str:
    if not head:
        return f"{label} is empty: expected a picture; copy or export it again"
    expected = f"expected {', '.join(READ_FORMATS[:-1])} or {READ_FORMATS[-1]}"
    start = head.lstrip().lower()
    for signature, kind in _SIGNATURES:
        if head.startswith(signature) or start.startswith(signature.lower()):
            return f"{label} is {kind}: {expected}; {_ADVICE}"
    if head.startswith(_OUR_SIGNATURES) or head[4:12] == b"ftypavif":
        return f"{label} is damaged or of an unusual kind: {expected}; {_ADVICE}"
    if head[4:8] == b"ftyp":
        return f"{label} is a film, or a picture of an unsupported kind: {expected}; {_ADVICE}"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"{label} is a text: {expected}; name a picture file"
    return f"{label} cannot be read as a picture: {expected}; {_ADVICE}"


def _is_for_vips(image: Image.Image) -> bool:
    """Return whether libvips decodes the picture, by the header that Pillow has read."""
    if image.format == "TIFF":
        return image.mode != "LAB"  # libvips reads it as another kind of LAB.
    if image.format != "PNG":
        return False
    tiles = getattr(image, "tile", [])
    return any(str(tile[3]).endswith(";16B") for tile in tiles)


def _orientation(image: Header) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Damaged EXIF data does not make the picture unreadable.
        return 1


def _vips_samples(
    data: bytes, header: Header, label: str
) -> tuple[NDArray[Any], Space, NDArray[Any] | None]:
    import pyvips

    load = pyvips.Image.pngload_buffer if header.format == "PNG" else pyvips.Image.tiffload_buffer
    try:
        image = load(data, fail_on="error")
        if image.width * image.height != header.width * header.height:
            raise ValueError("two different sizes in its header")
        samples = np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    except pyvips.Error:
        # libvips also reports earlier failures in its message, so the message is left out.
        raise ValueError("unreadable samples") from None
    space: Space = "cmyk" if image.interpretation == "cmyk" else "rgb"
    if image.bands < 3:
        space = "grey"
    colours = {"grey": 1, "rgb": 3, "cmyk": 4}[space]
    transparent = header.has_transparency_data and image.bands > colours
    alpha = _scale(samples[..., colours], label) if transparent else None
    colour = _scale(samples[..., :colours], label)
    is_linear = image.interpretation == "scrgb" and float(samples[..., :colours].max()) <= 1
    if is_linear and not header.info.get("icc_profile"):
        colour = from_linear(colour)
    return colour, space, alpha


def _pillow_samples(
    image: Image.Image, label: str
) -> tuple[NDArray[Any], Space, NDArray[Any] | None]:
    if image.format == "PPM" and image.mode == "I":
        # Pillow has scaled the samples to 16 bits already.
        return np.asarray(image).astype(np.uint16)[..., None], "grey", None
    if image.mode.startswith("I") or image.mode == "F":
        return _scale(np.asarray(image)[..., None], label), "grey", None
    if image.mode == "CMYK":
        return np.asarray(image), "cmyk", None
    if image.mode == "LAB":
        return np.asarray(_from_lab(image)), "rgb", None
    space: Space = "grey" if image.mode in ("1", "L", "LA", "La") else "rgb"
    plain, transparent = ("L", "LA") if space == "grey" else ("RGB", "RGBA")
    if not image.has_transparency_data:
        samples = np.asarray(image.convert(plain))
        return samples.reshape(image.height, image.width, -1), space, None
    samples = np.asarray(image.convert(transparent))
    return samples[..., :-1], space, samples[..., -1]


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(
        image, lab, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
    )
    assert converted is not None
    return converted


def _scale(samples: NDArray[Any], label: str) -> NDArray[Any]:
    """Scale samples of 32 bits to [0, 1]; the file does not say which number is white."""
    if samples.dtype.name in ("uint8", "uint16"):
        return samples
    low, high = float(samples.min()), float(samples.max())
    # Floats usually end at 1, but Pillow does not rescale 8 and 16 bits when it converts.
    whites = (1.0, 255.0, 65535.0) if samples.dtype.kind == "f" else (255.0, 65535.0, 2.0**32 - 1)
    white = next((white for white in whites if high <= white), None)
    if not np.isfinite([low, high]).all() or low < 0 or white is None or 1 < high < 2:
        raise ImageError(
            f"{label} has samples from {low:g} to {high:g}: expected [0, 1] or [0, 255]; "
            "scale or clip them"
        )
    unit: Floats = np.divide(samples, white, dtype=np.float64).astype(np.float32)
    return unit


def _finish(
    colour: NDArray[Any],
    space: Space,
    alpha: NDArray[Any] | None,
    profile: Any,
    orientation: int,
) -> tuple[Floats, Floats | None]:
    """Convert to sRGB, apply the orientation, and drop an opacity that is 1 everywhere."""
    rgb = _upright(to_srgb(colour, space, profile), orientation)
    if alpha is None:
        return rgb, None
    opacity = to_unit(alpha)
    if float(opacity.min()) == 1.0:
        return rgb, None
    return rgb, _upright(opacity, orientation)


def _upright(array: Floats, orientation: int) -> Floats:
    """Apply the EXIF orientation, 1 to 8, to the first two axes."""
    return {
        2: lambda: array[:, ::-1],
        3: lambda: array[::-1, ::-1],
        4: lambda: array[::-1],
        5: lambda: array.swapaxes(0, 1),
        6: lambda: np.rot90(array, -1),
        7: lambda: array[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(array, 1),
    }.get(orientation, lambda: array)()
