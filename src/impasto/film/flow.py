"""Optical flow between two frames, and which of its vectors can be trusted.

The flow is OpenCV's DIS (Kroeger et al., "Fast optical flow using dense inverse search", 2016),
which needs no weights. It is computed in both directions: a vector counts where the way there and
back ends near its beginning (Sundaram, Brox and Keutzer, "Dense point trajectories by
GPU-accelerated large displacement optical flow", 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.errors import MissingPackageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The way there and back may miss by this share of its length, and by this many square pixels.
_SHARE_MISSED, _MISSED_PX2 = 0.01, 0.5
# Where the flow changes faster than this, a border between two motions runs.
_SHARE_BORDER, _BORDER_PX2 = 0.01, 0.02
# Two points whose surroundings differ by this much in lightness are not the same thing.
_DIFFERENT = 0.12
# Motion below this many pixels may be noise. It is, if the flow does not explain the frame better
# by this share, in a neighbourhood of so many pixels.
_NOISY_PX, _BETTER, _AROUND_PX = 0.5, 0.15, 33
# An area has texture if its lightness differs by this much within five pixels. The camera has not
# moved if this share of all texture is unchanged.
_TEXTURE, _STAYED = 3 / 255, 0.2
_LUMINANCE = (0.299, 0.587, 0.114)
# DIS needs some pixels for its pyramid.
LEAST_SIDE_PX = 16


@dataclass(frozen=True)
class Flow:
    """Where each pixel of a frame was in another one.

    Attributes:
        vectors: (1, 2, H, W) float32, in pixels to the right and down: what is at ``p`` was at
            ``p + vectors(p)``. They are exactly 0 where nothing moves.
        certainty: (1, 1, H, W) float32, 1 where the vector can be trusted and 0 where not, such as
            where something was hidden or outside of the other frame.
        still: (1, 1, H, W) of bool, where nothing has changed, bit for bit.
    """

    vectors: Tensor
    certainty: Tensor
    still: Tensor


def import_opencv() -> Any:
    """Import OpenCV, which only films need.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingPackageError(
            f"expected OpenCV for the optical flow of a film, and there is no {error.name}; "
            "pip install '.[video]' in impasto's own folder"
        ) from None
    return cv2


def luminance(pixels: Tensor) -> Tensor:
    """Return the lightness of a picture: (1, 3, H, W) in [0, 1] becomes (1, 1, H, W)."""
    weights = pixels.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)


def between(frame: Tensor, other: Tensor) -> Flow:
    """Compute where each pixel of ``frame`` was in ``other``.

    Args:
        frame: (1, 3, H, W) in [0, 1], on the CPU; sides of at least LEAST_SIDE_PX.
        other: the same shape.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """
    if torch.equal(frame, other):
        height, width = frame.shape[-2:]
        ones = torch.ones(1, 1, height, width)
        return Flow(torch.zeros(1, 2, height, width), ones, ones.bool())
    here, there = luminance(frame), luminance(other)
    images = [_bytes(here), _bytes(there)]
    vectors, back = _dis(*images), _dis(*reversed(images))
    moved = warp(there, vectors)
    off = _mean_around(here - moved, _AROUND_PX)
    off_still = _mean_around(here - there, _AROUND_PX)
    is_noise = (vectors.norm(dim=1, keepdim=True) < _NOISY_PX) & (off > (1 - _BETTER) * off_still)
    vectors = vectors * ~is_noise
    still = _still(frame, other)
    vectors = vectors * ~still
    certain = _consistent(vectors, back) & ~_is_border(vectors) & _is_inside(vectors)
    certain &= _mean_around(here - warp(there, vectors), 5) < _DIFFERENT
    return Flow(vectors, (certain | still).float(), still)


def warp(image: Tensor, vectors: Tensor) -> Tensor:
    """Move a picture along a flow: bicubic, and exact where the vectors are 0.

    Args:
        image: (1, C, H, W).
        vectors: (1, 2, H, W), where each pixel of the result is found in ``image``.

    Returns:
        The shape of ``image``, within its range of values. Beyond its border, the border's pixels
        are repeated.
    """
    height, width = image.shape[-2:]
    columns = torch.arange(width, dtype=torch.float32).view(1, 1, width) + vectors[:, 0].cpu()
    rows = torch.arange(height, dtype=torch.float32).view(1, height, 1) + vectors[:, 1].cpu()
    grid = torch.stack([columns * (2 / max(1, width - 1)), rows * (2 / max(1, height - 1))], -1) - 1
    moved = F.grid_sample(
        image, grid.to(image), mode="bicubic", padding_mode="border", align_corners=True
    )
    moved = moved.clamp(*(float(bound) for bound in image.aminmax()))
    is_still = (vectors == 0).all(1, keepdim=True).to(image.device)
    return torch.where(is_still, image, moved)


def _bytes(lightness: Tensor) -> NDArray[np.uint8]:
    return np.asarray((lightness[0, 0] * 255).round().clamp(0, 255).to(torch.uint8).numpy())


def _dis(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> Tensor:
    cv2 = import_opencv()
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    vectors: NDArray[np.float32] = dis.calc(frame, other, None)
    return torch.from_numpy(np.ascontiguousarray(vectors.transpose(2, 0, 1)))[None]


def _still(frame: Tensor, other: Tensor) -> Tensor:
    """Return where two frames are equal bit for bit, and nothing has moved.

    A plain area, such as a white sky, is equal even if the camera moves. So it counts only if
    something with texture has stayed in its place too.
    """
    same = (frame == other).all(1, keepdim=True)
    lightness = luminance(frame)
    highest = F.max_pool2d(lightness, 5, 1, 2)
    lowest = -F.max_pool2d(-lightness, 5, 1, 2)
    textured = highest - lowest > _TEXTURE
    stayed = float((same & textured).sum()) / max(1.0, float(textured.sum()))
    return same if stayed >= _STAYED else same & textured


def _consistent(vectors: Tensor, back: Tensor) -> Tensor:
    """Return where the way there and back ends near its beginning."""
    returned = warp(back, vectors)
    lengths = (vectors.square() + returned.square()).sum(1, keepdim=True)
    missed = (vectors + returned).square().sum(1, keepdim=True)
    return missed <= _SHARE_MISSED * lengths + _MISSED_PX2


def _is_border(vectors: Tensor) -> Tensor:
    """Return where the flow changes abruptly."""
    right = F.pad(vectors[..., :, 1:] - vectors[..., :, :-1], (0, 1, 0, 0))
    down = F.pad(vectors[..., 1:, :] - vectors[..., :-1, :], (0, 0, 0, 1))
    change = (right.square() + down.square()).sum(1, keepdim=True)
    return change > _SHARE_BORDER * vectors.square().sum(1, keepdim=True) + _BORDER_PX2


def _is_inside(vectors: Tensor) -> Tensor:
    """Return where a vector ends inside of the other frame."""
    height, width = vectors.shape[-2:]
    columns = torch.arange(width).view(1, 1, width) + vectors[:, 0]
    rows = torch.arange(height).view(1, height, 1) + vectors[:, 1]
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return inside[:, None]


def _mean_around(difference: Tensor, size_px: int) -> Tensor:
    """Return the mean size of a difference in a square around each pixel."""
    return F.avg_pool2d(difference.abs(), size_px, 1, size_px // 2, count_include_pad=False)
