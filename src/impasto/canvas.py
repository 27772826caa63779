"""The canvas: the picture, and a margin around it that is painted and then cut off.

Near a border the network sees padding instead of paint, and what comes of that would show
as a frame. So the painting goes on beyond the picture, which begins there as its mirror.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto import images
from impasto.images import Picture
from impasto.pyramid import Scale


def fitted(picture: Picture, scale: Scale) -> Tensor:
    """Resample a picture to ``scale``, without margin: (1, 3, height_px, width_px)."""
    return images.resize(picture.pixels, scale.height_px, scale.width_px)


def covered(picture: Picture, scale: Scale) -> Tensor:
    """Fill ``scale``, without margin, with the middle of a picture of any shape."""
    return images.cover(picture.pixels, scale.height_px, scale.width_px)


def extend(pixels: Tensor, scale: Scale) -> Tensor:
    """Continue a picture over the margin, by its own reflection."""
    return F.pad(pixels, (scale.margin_px,) * 4, mode="reflect")


def cut(canvas: Tensor, scale: Scale) -> Tensor:
    """Cut the margin off."""
    edge = scale.margin_px
    return canvas[..., edge : edge + scale.height_px, edge : edge + scale.width_px]


def bring(canvas: Tensor, scale: Scale) -> Tensor:
    """Bring a canvas to another size, inside [0, 1]: the one place where pixels are clamped."""
    return images.resize(canvas.clamp(0, 1), *scale.canvas_px)
