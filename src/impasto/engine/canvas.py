"""The canvas: the picture, and a margin around it that is painted and then cut off.

Near a border the network sees padding instead of paint, which would show as a frame. So the canvas
extends beyond the picture; at the start this margin is the picture's reflection.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from impasto import images
from impasto.engine.pyramid import Scale
from impasto.images.picture import Picture

# The reach of bicubic resampling, in pixels of the smaller size.
_REACH_PX = 4


def resized(picture: Picture, scale: Scale) -> Tensor:
    """Resample a picture to ``scale``, without margin: (1, 3, height_px, width_px)."""
    return images.resize(picture.pixels, scale.height_px, scale.width_px)


def center_cropped(picture: Picture, scale: Scale) -> Tensor:
    """Fill ``scale``, without margin, with the middle of a picture of any shape."""
    return images.cover(picture.pixels, scale.height_px, scale.width_px)


def extend(pixels: Tensor, scale: Scale) -> Tensor:
    """Extend a picture over the margin by reflection; without a margin, return it unchanged."""
    if not scale.margin_px:
        return pixels
    return F.pad(pixels, (scale.margin_px,) * 4, mode="reflect")


def cropped(canvas: Tensor, scale: Scale) -> Tensor:
    """Cut the margin off."""
    edge = scale.margin_px
    return canvas[..., edge : edge + scale.height_px, edge : edge + scale.width_px]


def resize_canvas(canvas: Tensor, scale: Scale) -> Tensor:
    """Resize a canvas and clamp it to [0, 1]; pixels are clamped nowhere else."""
    canvas, (height_px, width_px) = canvas.clamp(0, 1), scale.canvas_px
    if not scale.wraps:
        return images.resize(canvas, height_px, width_px)
    # Extend each edge by a part of the opposite side that is whole pixels at both sizes.
    rows, columns = (
        _common_px(old, new) for old, new in zip(canvas.shape[-2:], scale.canvas_px, strict=True)
    )
    extended = F.pad(canvas, (columns[0],) * 2 + (rows[0],) * 2, mode="circular")
    resized = images.resize(extended, height_px + 2 * rows[1], width_px + 2 * columns[1])
    return resized[..., rows[1] : rows[1] + height_px, columns[1] : columns[1] + width_px]


def _common_px(old_px: int, new_px: int) -> tuple[int, int]:
    """Return a length in both sizes' pixels that is at least the reach of the resampling."""
    common = math.gcd(old_px, new_px)
    unit_px = old_px // common
    times = min(math.ceil(_REACH_PX / unit_px), common)
    return unit_px * times, new_px // common * times
