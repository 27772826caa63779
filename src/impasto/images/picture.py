"""Read pictures from files, bytes, images, arrays or tensors as sRGB floats, and convert back."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from impasto import files
from impasto.errors import ImageError, SettingsError, ShapeError, one_line
from impasto.images import decode
from impasto.images.arrays import split_array, split_tensor
from impasto.images.decode import check_header, decode_image, decode_texts
from impasto.images.encode import Samples
from impasto.images.icc import Floats, srgb_profile

MAX_FILE_BYTES = 4 * 1024**3
# Rows that are rounded at a time, to save memory.
_STRIP_PX = 256


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: sRGB in [0, 1], float32 of shape (1, 3, H, W).
        alpha: opacity in [0, 1], float32 of shape (1, 1, H, W); None if opaque everywhere.
        name: the file's name without its ending, or "image".
        sha256: hash of the file's bytes; without a file, of pixels and alpha.
        file_name: the file's name with its ending, without its folder; None without a file.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str
    sha256: str
    file_name: str | None = None

    @property
    def height_px(self) -> int:
        """Height in pixels."""
        return self.pixels.shape[2]

    @property
    def width_px(self) -> int:
        """Width in pixels."""
        return self.pixels.shape[3]


def load(source: Any, *, file_name: str | None = None) -> Picture:
    """Read a picture from any source.

    Colour profiles are converted to sRGB, EXIF orientation is applied, and opacity is split off.
    The precision of 16 bits per sample is preserved.

    Args:
        source: a path; the bytes of a file; a file that is open in binary mode, or an upload of a
            web framework, which is read from its beginning; a Pillow image; an array of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 or floats in [0, 1]; a
            tensor of shape (C, H, W) or (1, C, H, W) with 1, 3 or 4 channels, of uint8 or floats
            in [0, 1]; or a Picture, which is returned as it is. Arrays are taken as sRGB. Arrays
            of other libraries have the axes of NumPy's, and are on any device.
        file_name: name of the file that bytes come from, if it is known.

    Raises:
        ImageError: the file is absent, no picture, damaged or too large, or values are out of
            range.
        ShapeError: an array or a tensor of another shape.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = _path(source)
        picture = _load_bytes(_read(path), path.stem, repr(str(path)))
        return dataclasses.replace(picture, file_name=path.name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        label = label_of_bytes(file_name)
        if file_name is None:
            return _load_bytes(bytes(source), "image", label)
        picture = _load_bytes(bytes(source), Path(file_name).stem, label)
        return dataclasses.replace(picture, file_name=file_name)
    if isinstance(source, Image.Image):
        if not source.width * source.height:
            raise ShapeError(
                f"expected a picture with pixels, got {source.width} x {source.height}"
            )
        return _picture(*decode_image(source, "the Pillow image"))
    if isinstance(source, Tensor):
        return _picture(*split_tensor(source))
    if isinstance(source, np.ndarray):
        return _picture(*split_array(source))
    if hasattr(source, "read"):
        data, name = _read_open(source, file_name)
        return load(data, file_name=name)
    if hasattr(source, "__array__") or hasattr(source, "__dlpack__"):
        return _picture(*split_array(_foreign_array(source)))
    raise ImageError(
        "expected a path, bytes, an open file, a Pillow image, an array or a tensor, "
        f"got {type(source).__name__}; convert it to one of these"
    )


def _read_open(file: Any, file_name: str | None) -> tuple[bytes, str | None]:
    """Return the bytes of an open file or an upload, and its name if it has one.

    Raises:
        ImageError: it is not open in binary mode, or cannot be read.
    """
    known = file_name or getattr(file, "filename", None) or getattr(file, "name", None)
    name = Path(known).name if isinstance(known, (str, os.PathLike)) else None
    label = label_of_bytes(name)
    # Starlette's uploads are read asynchronously, and have the file itself beside that.
    inner = getattr(file, "file", file)
    try:
        with suppress(OSError):  # a pipe has no beginning
            inner.seek(0)
        data = inner.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(
            f"{label} cannot be read ({one_line(error)}): expected an open file; open it again"
        ) from error
    if not isinstance(data, (bytes, bytearray)):
        raise ImageError(
            f"{label}: expected a file that is open in binary mode, got {type(data).__name__} "
            'from it; open it with open(path, "rb")'
        )
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(
            f"{label}: expected at most {MAX_FILE_BYTES // 1024**3} GiB, got more; scale the "
            "picture down first"
        )
    return bytes(data), name


def _foreign_array(source: Any) -> NDArray[Any]:
    """Convert an array of another library.

    Raises:
        ImageError: it cannot be converted.
    """
    failures = (TypeError, ValueError, RuntimeError, BufferError)
    try:
        if not hasattr(source, "__dlpack__"):
            return np.asarray(source)
        # Arrays on a GPU refuse to be NumPy's, and have the other protocol.
        with suppress(*failures):
            if hasattr(source, "__array__"):
                return np.asarray(source)
        return np.asarray(from_dlpack(source).cpu())
    except failures as error:
        raise ImageError(
            f"expected an array that NumPy can convert, got {type(source).__name__}, which cannot "
            f"be ({one_line(error)}); convert it"
        ) from error


def read_metadata(
    source: str | os.PathLike[str] | bytes, *, file_name: str | None = None
) -> dict[str, str]:
    """Return the texts that :func:`impasto.images.save_image` stored; empty if there are none.

    Args:
        source: the file's path, or its bytes.
        file_name: of the file that bytes come from, if it is known.

    Raises:
        ImageError: as :func:`load` does.
    """
    if isinstance(source, bytes):
        return decode_texts(source, label_of_bytes(file_name))
    path = _path(source)
    return decode_texts(_read(path), repr(str(path)))


def read_size(source: Any) -> tuple[int, int]:
    """Return a picture's width and height in pixels; of a file, only the header is decoded.

    Args:
        source: any source that :func:`load` takes.

    Raises:
        ImageError: as :func:`load` does.
        ShapeError: as :func:`load` does.
    """
    if isinstance(source, (str, os.PathLike)):
        path = _path(source)
        return decode.read_size(BytesIO(_read(path)), repr(str(path)))
    picture = load(source)
    return picture.width_px, picture.height_px


def label_of_bytes(file_name: str | None) -> str:
    """Return what messages call a picture that is given as bytes."""
    return "the picture given as bytes" if file_name is None else repr(file_name)


def _load_bytes(data: bytes, name: str, label: str) -> Picture:
    rgb, alpha = decode.decode(data, label)
    return _picture(rgb, alpha, name=name, sha256=hashlib.sha256(data).hexdigest())


def _path(source: str | os.PathLike[str]) -> Path:
    """Convert a path from the user.

    Raises:
        ImageError: a web address.
    """
    try:
        return files.path_of(source)
    except SettingsError as error:
        raise ImageError(str(error)) from None


def _read(path: Path) -> bytes:
    """Read a whole file, after a check that it is a picture of a reasonable size."""
    label = repr(str(path))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{label} is a folder: expected a picture file; name one inside it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{label} is a device or a pipe: expected a file; copy it to one")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"{label} has {status.st_size / 1024**3:.1f} GiB: expected at most "
                f"{MAX_FILE_BYTES // 1024**3} GiB; scale the picture down first"
            )
        with files.open_regular(path) as file:
            # Refuse a wrong or huge file before the rest of it is read into memory.
            check_header(file, label)
            file.seek(0)
            return file.read()
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"no file {label}: expected a picture; {_suggest(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            f"{label} cannot be read ({reason}): expected a readable picture file; "
            "check its name and permissions"
        ) from None


def _suggest(path: Path) -> str:
    several = [part.strip() for part in str(path).split(",")]
    if len(several) > 1 and all(os.path.lexists(part) for part in several):
        return (
            f"to name {len(several)} pictures, separate them by spaces instead of commas; in "
            "Python, pass a list"
        )
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"there is no folder {str(path.parent)!r} either; check the path"
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    if not close:
        return "check the path"
    return f"did you mean {' or '.join(repr(name) for name in close)}?"


def _picture(
    rgb: Floats,
    alpha: Floats | None,
    *,
    name: str = "image",
    sha256: str | None = None,
) -> Picture:
    pixels = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]
    opacity = None if alpha is None else torch.from_numpy(np.ascontiguousarray(alpha))[None, None]
    if sha256 is None:
        digest = hashlib.sha256(str(tuple(pixels.shape)).encode())
        for tensor in (pixels, opacity):
            digest.update(b"" if tensor is None else tensor.numpy().tobytes())
        sha256 = digest.hexdigest()
    return Picture(pixels, opacity, name, sha256)


def to_image(pixels: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Round to 8 bits a sample, tagged as sRGB.

    Args:
        pixels: sRGB of shape (1, 3, H, W); clipped to [0, 1].
        alpha: opacity of shape (1, 1, H, W), if any; the image is then RGBA.

    Raises:
        ShapeError: ``pixels`` or ``alpha`` has another shape.
        ImageError: a value is NaN.
    """
    image = Image.fromarray(_rounded(pixels, alpha, 255))
    image.info["icc_profile"] = srgb_profile()
    return image


def to_samples(pixels: Tensor, alpha: Tensor | None = None) -> Samples:
    """Round to 16 bits a sample: (H, W, 3), or (H, W, 4) with opacity.

    Takes and raises what :func:`to_image` does.
    """
    return _rounded(pixels, alpha, 65535)


def _rounded(pixels: Tensor, alpha: Tensor | None, white: int) -> NDArray[Any]:
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3) or not pixels.numel():
        raise ShapeError(f"expected pixels of shape (1, 3, H, W), got {tuple(pixels.shape)}")
    planes = pixels.detach()[0]
    if alpha is not None:
        if alpha.shape != (1, 1, *pixels.shape[2:]):
            raise ShapeError(
                f"expected alpha of shape (1, 1, {pixels.shape[2]}, {pixels.shape[3]}) to go "
                f"with the pixels, got {tuple(alpha.shape)}; resize it first"
            )
        planes = torch.cat([planes, alpha.detach()[0].to(planes)])
    samples = np.empty((*planes.shape[1:], len(planes)), np.uint8 if white == 255 else np.uint16)
    # In strips, so that a large picture is not copied as floats.
    for top in range(0, len(samples), _STRIP_PX):
        strip = planes[:, top : top + _STRIP_PX].to("cpu", torch.float32)
        if bool(strip.isnan().any()):
            raise ImageError("expected numbers in [0, 1], got NaN; the painting has diverged")
        rounded = (strip.clamp(0, 1) * white).round_()
        samples[top : top + _STRIP_PX] = rounded.permute(1, 2, 0).numpy()
    return samples
