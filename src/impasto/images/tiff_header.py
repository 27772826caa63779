"""Headers of TIFF files that only libvips reads: colour with 32 bits per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import TiffImagePlugin

from impasto.errors import one_line

_BIG_BEGINNINGS = (b"II+\0", b"MM\0+")
_BEGINNINGS = (b"II*\0", b"MM\0*", *_BIG_BEGINNINGS)
_RGB = 2
_UNSIGNED, _FLOAT = 1, 3
_DEPTH = 32
_KINDS = {
    _UNSIGNED: "integers",
    2: "signed integers",
    _FLOAT: "floats",
    5: "complex integers",
    6: "complex floats",
}
# A fourth sample is opacity, multiplied into the colours or not.
_MULTIPLIED = 1
_OPACITY = (_MULTIPLIED, 2)
_ICC_PROFILE = 34675


@dataclass(frozen=True)
class TiffHeader:
    """The header fields that decoding needs, with the attribute names of Pillow's images.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        has_transparency_data: whether a fourth sample is opacity.
        tags: values by TIFF's numbers.
    """

    width: int
    height: int
    has_transparency_data: bool
    tags: dict[int, Any]
    format: str = "TIFF"
    mode: str = "RGB"

    @property
    def info(self) -> dict[str, Any]:
        """The ICC profile, if there is one."""
        return {"icc_profile": self.tags.get(_ICC_PROFILE)}

    def getexif(self) -> dict[int, Any]:
        """Return the tags; orientation and description are among them."""
        return self.tags


def read_header(file: BinaryIO) -> TiffHeader | None:
    """Read the header of an RGB TIFF with 32 bits per sample; None for any other file.

    Raises:
        Exception: any exception of Pillow about a damaged directory.
    """
    tags = _tags(file)
    if tags is None:
        return None
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL)
    depths, kinds, extra = _sample_facts(tags)
    is_rgb = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _RGB and samples in (3, 4)
    # libvips misreads premultiplied opacity in integers.
    is_known = kinds == {_FLOAT} or (kinds == {_UNSIGNED} and _MULTIPLIED not in extra)
    if not (is_rgb and depths == {_DEPTH} and is_known):
        return None
    return TiffHeader(
        width=int(tags[TiffImagePlugin.IMAGEWIDTH]),
        height=int(tags[TiffImagePlugin.IMAGELENGTH]),
        has_transparency_data=samples == 4 and not extra.isdisjoint(_OPACITY),
        tags=tags,
    )


def describe(file: BinaryIO) -> str | None:
    """Name the kind of a TIFF that is not read, by its samples; None if it is no whole TIFF.

    Raises:
        Exception: whatever Pillow raises about a damaged directory.
    """
    tags = _tags(file)
    if not tags:
        return None
    depths, kinds, extra = _sample_facts(tags)
    depth = "/".join(str(depth) for depth in sorted(depths))
    kind = "/".join(_KINDS.get(kind, "unknown numbers") for kind in sorted(kinds))
    alpha = ", multiplied by opacity" if _MULTIPLIED in extra else ""
    count = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return one_line(
        f"a TIFF of a kind that is not read ({count} x {depth} bits a pixel, {kind}{alpha})"
    )


def _tags(file: BinaryIO) -> dict[int, Any] | None:
    """Read the tags of the first page; None if the file is no TIFF."""
    file.seek(0)
    beginning = file.read(8)
    if not beginning.startswith(_BEGINNINGS):
        return None
    if beginning.startswith(_BIG_BEGINNINGS):
        beginning += file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(beginning)
    file.seek(directory.next)
    directory.load(file)
    return dict(directory)


def _sample_facts(tags: dict[int, Any]) -> tuple[set[Any], set[Any], set[Any]]:
    """Return the bits a sample, the kinds of number, and what samples beyond the colours are."""
    depths, kinds, extra = (
        {*_several(tags.get(tag, default))}
        for tag, default in (
            (TiffImagePlugin.BITSPERSAMPLE, 1),
            (TiffImagePlugin.SAMPLEFORMAT, _UNSIGNED),
            (TiffImagePlugin.EXTRASAMPLES, 0),
        )
    )
    return depths, kinds, extra


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
