"""Ghosts: objects of the painting that appear in flat parts of the photograph.

Examples are a face in an empty bay, or arches behind a butterfly. Strokes in a sky are wanted. So
objects are measured by features of a deep layer, and strokes by features of a shallow one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.metrics.coverage import nearest, unit_rows

OBJECT_LAYER, STROKE_LAYER = "relu4_3", "relu2_2"
# Flat parts have a local standard deviation of luminance below this.
_FLAT_DEVIATION = 0.03
_WINDOW_PX = 9
# Side of the window, in positions, that a stroke is compared with.
_SURROUNDINGS = 7


def flatness(luminance: Tensor) -> Tensor:
    """Return the flatness around each pixel: 1 without contrast, towards 0 with contrast.

    Args:
        luminance: luminance of the photograph, (1, 1, H, W) in [0, 1].
    """
    side_px = min(_WINDOW_PX, *luminance.shape[-2:])
    side_px -= 1 - side_px % 2
    padded = F.pad(luminance, (side_px // 2,) * 4, mode="replicate")
    mean = F.avg_pool2d(padded, side_px, stride=1)
    variance = (F.avg_pool2d(padded.square(), side_px, stride=1) - mean.square()).clamp_min(0)
    return 1 / (1 + variance / _FLAT_DEVIATION**2)


def object_energy(result: Tensor, content: Tensor, style: Tensor, flat: Tensor) -> float:
    """Return how much of the painting's objects the result adds in flat parts.

    Each position has a value: its energy, divided by the painting's mean energy, times its cosine
    with the nearest feature of the painting. The photograph's value is subtracted.

    Args:
        result: features of the result at OBJECT_LAYER, (1, C, H, W).
        content: features of the photograph, of the same size.
        style: features of the painting, of any size.
        flat: from :func:`flatness`.

    Returns:
        0 if nothing is added; about 1 if the flat parts are full of the painting's objects.
    """
    added = (_likeness(result, style) - _likeness(content, style)).clamp_min(0)
    return _mean_where(added, flat, result)


def stroke_energy(result: Tensor, content: Tensor, style: Tensor, flat: Tensor) -> float:
    """Return how much energy the result adds in flat parts, as a share of the painting's.

    Args:
        result: features of the result at STROKE_LAYER, (1, C, H, W).
        content: features of the photograph, of the same size.
        style: features of the painting, of any size.
        flat: from :func:`flatness`.
    """
    scale = _variation(style).mean().clamp_min(1e-12)
    added = (_variation(result) - _variation(content)).clamp_min(0) / scale
    return _mean_where(added, flat, result)


def _likeness(maps: Tensor, style: Tensor) -> Tensor:
    cosines = nearest(unit_rows(maps, style), unit_rows(style, style)).clamp_min(0)
    return cosines * _energy(maps, style)


def _energy(maps: Tensor, style: Tensor) -> Tensor:
    """Return each position's energy, divided by the painting's mean energy."""
    own = style.square().sum(1).mean().clamp_min(1e-12)
    return (maps.square().sum(1) / own).flatten()


def _variation(maps: Tensor) -> Tensor:
    """Return the squared difference of each position from its surroundings."""
    side = min(_SURROUNDINGS, *maps.shape[-2:])
    side -= 1 - side % 2
    padded = F.pad(maps, (side // 2,) * 4, mode="replicate")
    return (maps - F.avg_pool2d(padded, side, stride=1)).square().sum(1).flatten()


def _mean_where(values: Tensor, flat: Tensor, maps: Tensor) -> float:
    """Average over positions, weighted by the flatness of the photograph."""
    weights = F.adaptive_avg_pool2d(flat, (maps.shape[-2], maps.shape[-1])).flatten()
    return float((values * weights).sum() / weights.sum().clamp_min(1e-12))
