"""What the painting brings into flat parts of the photograph: objects that are not there.

A face in an empty bay, arches behind a butterfly. Strokes in a sky are wanted; so the features of
deep layers, which know objects, are told apart from those of shallow ones, which know strokes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.metrics.coverage import nearest, unit_rows

OBJECT_LAYER, STROKE_LAYER = "relu4_3", "relu2_2"
# A part is flat whose local contrast is below this standard deviation of luminance.
_FLAT_DEVIATION = 0.03
_WINDOW_PX = 9
# Positions a side that a stroke is told apart from.
_SURROUNDINGS = 7


def flatness(luminance: Tensor) -> Tensor:
    """Return how flat each pixel's surroundings are: 1 without contrast, falling towards 0.

    Args:
        luminance: of the photograph, (1, 1, H, W) in [0, 1].
    """
    side_px = min(_WINDOW_PX, *luminance.shape[-2:])
    side_px -= 1 - side_px % 2
    padded = F.pad(luminance, (side_px // 2,) * 4, mode="replicate")
    mean = F.avg_pool2d(padded, side_px, stride=1)
    variance = (F.avg_pool2d(padded.square(), side_px, stride=1) - mean.square()).clamp_min(0)
    return 1 / (1 + variance / _FLAT_DEVIATION**2)


def object_energy(result: Tensor, content: Tensor, style: Tensor, flat: Tensor) -> float:
    """Return how much of the painting's objects the result adds in flat parts.

    At each position a feature counts by its energy beside the painting's mean, and by its
    cosine with the nearest of the painting's; the photograph's count is taken off.

    Args:
        result: its features of OBJECT_LAYER, (1, C, H, W).
        content: the photograph's, of the same size.
        style: the painting's, of any size.
        flat: from :func:`flatness`.

    Returns:
        0 where nothing is added; about 1 where the flat parts are full of the painting's objects.
    """
    added = (_likeness(result, style) - _likeness(content, style)).clamp_min(0)
    return _mean_where(added, flat, result)


def stroke_energy(result: Tensor, content: Tensor, style: Tensor, flat: Tensor) -> float:
    """Return how much energy the result adds in flat parts, as a share of the painting's.

    Args:
        result: its features of STROKE_LAYER, (1, C, H, W).
        content: the photograph's, of the same size.
        style: the painting's, of any size.
        flat: from :func:`flatness`.
    """
    scale = _variation(style).mean().clamp_min(1e-12)
    added = (_variation(result) - _variation(content)).clamp_min(0) / scale
    return _mean_where(added, flat, result)


def _likeness(maps: Tensor, style: Tensor) -> Tensor:
    cosines = nearest(unit_rows(maps, style), unit_rows(style, style)).clamp_min(0)
    return cosines * _energy(maps, style)


def _energy(maps: Tensor, style: Tensor) -> Tensor:
    """Return each position's energy, over the painting's mean energy."""
    own = style.square().sum(1).mean().clamp_min(1e-12)
    return (maps.square().sum(1) / own).flatten()


def _variation(maps: Tensor) -> Tensor:
    """Return how much each position differs from its surroundings, squared."""
    side = min(_SURROUNDINGS, *maps.shape[-2:])
    side -= 1 - side % 2
    padded = F.pad(maps, (side // 2,) * 4, mode="replicate")
    return (maps - F.avg_pool2d(padded, side, stride=1)).square().sum(1).flatten()


def _mean_where(values: Tensor, flat: Tensor, maps: Tensor) -> float:
    """Average over positions, each by how flat the photograph is there."""
    weights = F.adaptive_avg_pool2d(flat, (maps.shape[-2], maps.shape[-1])).flatten()
    return float((values * weights).sum() / weights.sum().clamp_min(1e-12))
