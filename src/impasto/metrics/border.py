"""Detect a frame at the border of the result that its photograph does not have."""

from __future__ import annotations

import torch
from torch import Tensor

_FRAME = 0.03
# Added to contrasts, so that none is zero: a hundredth of a level of 255.
_LEAST_CONTRAST = 0.01 / 255


def border_index(result: Tensor, content: Tensor) -> float:
    """Return the contrast of the result's border over its inside, divided by the photograph's.

    The border is a frame of 3 % of the shorter side. The inside is the next three such frames.

    Args:
        result: luminance of the result, (1, 1, H, W) in [0, 1].
        content: luminance of the photograph, of the same size.
    """
    return _border_share(result) / _border_share(content)


def _border_share(luminance: Tensor) -> float:
    """Return the mean gradient in the outermost frame, divided by the mean gradient inside."""
    down = luminance[..., 1:, :-1] - luminance[..., :-1, :-1]
    right = luminance[..., :-1, 1:] - luminance[..., :-1, :-1]
    steps = (down.square() + right.square()).sqrt()[0, 0]
    width_px = max(1, round(_FRAME * min(steps.shape)))
    rows, columns = (
        torch.minimum(torch.arange(side), torch.arange(side).flip(0)) for side in steps.shape
    )
    depth = torch.minimum(rows[:, None], columns[None, :])
    frame = steps[depth < width_px].mean()
    inside = steps[(depth >= width_px) & (depth < 4 * width_px)]
    contrast_inside = inside.mean() if len(inside) else frame
    return float((frame + _LEAST_CONTRAST) / (contrast_inside + _LEAST_CONTRAST))
