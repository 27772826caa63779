"""Limits for picture files: pixels, memory and time. They are checked before decoding.

A file of a few kilobytes can need gigabytes or hours to decode. This module has the limits that
depend on the number of pixels; Pillow, libvips and libtiff have their own for each format.
"""

from __future__ import annotations

import re

from impasto.compute import host
from impasto.errors import ImageError

MAX_PIXELS = 300_000_000
# The measured maximum over all formats, from the file to sRGB floats.
_BYTES_PER_PIXEL = 28
# Smaller pictures are decoded without checking the free memory.
_UNNOTICED_BYTES = 2**28
# Each scan of a JPEG visits all of its pixels, and a scan can be as short as eleven bytes: 300
# megapixels in 10 000 scans would take twenty minutes. Programs write about ten scans.
_MAX_SCANNED_PIXELS = 10**10
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA


def check_pixels(width_px: int, height_px: int, label: str) -> None:
    """Check that a picture is below MAX_PIXELS and fits into the free memory.

    Args:
        width_px: width from the file's header.
        height_px: height from the file's header.
        label: the picture's name in messages.

    Raises:
        ImageError: no pixels, more than MAX_PIXELS, or more than fit into memory.
    """
    pixels = width_px * height_px
    if not pixels:
        raise ImageError(
            f"{label} has no pixels: expected a picture; convert it to PNG or JPEG first"
        )
    if pixels > MAX_PIXELS:
        raise too_large(label, f"{width_px} x {height_px} pixels")
    needed = _BYTES_PER_PIXEL * pixels
    if needed < _UNNOTICED_BYTES:
        return
    free = host.free_bytes()
    if free is not None and needed > free:
        raise ImageError(
            f"{label} does not fit in memory: expected a picture that takes at most the "
            f"{free / 1024**3:.1f} GiB that are free, got {width_px} x {height_px} pixels, which "
            f"take {needed / 1024**3:.1f} GiB; scale it down first"
        )


def too_large(label: str, size: str) -> ImageError:
    """Return the error for more than MAX_PIXELS pixels."""
    return ImageError(
        f"{label} is too large: expected at most {MAX_PIXELS // 10**6} megapixels, got {size}; "
        "scale it down first"
    )


def check_scans(jpeg: bytes, pixels: int, label: str) -> None:
    """Refuse a JPEG whose scans would take minutes.

    Raises:
        ImageError: scans times pixels are more than 10^10.
    """
    scans = count_scans(jpeg)
    if scans * pixels > _MAX_SCANNED_PIXELS:
        raise ImageError(
            f"{label} has {scans} scans: expected at most "
            f"{max(1, _MAX_SCANNED_PIXELS // pixels)} in a JPEG of its size; export it again"
        )


def count_scans(jpeg: bytes) -> int:
    """Count the scans of the first picture in a JPEG file; later pictures are ignored."""
    scans, position = 0, 2
    while marker := _MARKER.search(jpeg, position):
        position = marker.end()
        kind = marker[0][1]
        if kind == _END_OF_IMAGE:
            break
        scans += kind == _START_OF_SCAN
        # Every other segment begins with its length; a scan's data follow its header.
        position += int.from_bytes(jpeg[position : position + 2], "big")
    return scans
