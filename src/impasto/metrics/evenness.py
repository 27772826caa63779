"""Evenness: the variation of the share of style over the picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.metrics.coverage import nearest, unit_rows

# The share is averaged over windows of this part of the shorter side.
_WINDOW = 0.25
_LEAST_DISTANCE = 1e-3


def style_share_deviation(result: Tensor, content: Tensor, style: Tensor) -> float:
    r"""Return the standard deviation of the local share of style.

    The share at a position is $d_p / (d_p + d_s)$: $d_p$ is the distance to the photograph at
    the same position, $d_s$ that to the nearest position of the painting, both as 1 minus the
    cosine of centred features.

    Args:
        result: features of the result, (1, C, H, W).
        content: features of the photograph, of the same size.
        style: features of the painting, of any size.

    Returns:
        0 if the share is the same everywhere; at most 0.5.
    """
    rows = unit_rows(result, style)
    to_photograph = 1 - (rows * unit_rows(content, style)).sum(1)
    to_painting = 1 - nearest(rows, unit_rows(style, style))
    height, width = result.shape[-2:]
    side = max(1, round(_WINDOW * min(height, width)))
    distances = [
        F.avg_pool2d(line.view(1, 1, height, width), side, stride=max(1, side // 2))
        for line in (to_photograph, to_painting)
    ]
    share = distances[0] / (distances[0] + distances[1]).clamp_min(_LEAST_DISTANCE)
    return float(share.std(correction=0))
