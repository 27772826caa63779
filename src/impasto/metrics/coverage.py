"""Coverage: does the result come from the painting, and is all of the painting in the result?

For each position of one picture's features, find the nearest neighbour in the other's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LAYER = "relu3_1"
# Larger pictures are shrunk to this size, because the cost grows with its fourth power.
LONGEST_PX = 384
# Positions that are compared at a time, to save memory.
_CHUNK = 1024


def coverage_distances(result: Tensor, style: Tensor) -> tuple[float, float]:
    """Return the mean distance from result to painting, and from painting to result.

    The first is large if the result has parts that the painting does not have. The second is large
    if the result leaves parts out, for example because one motif repeats everywhere.

    Args:
        result: features of the result, (1, C, H, W).
        style: features of the painting, of any size.

    Returns:
        Two means of 1 minus the cosine of the nearest neighbour; 0 for equal features.
    """
    rows = unit_rows(result, style), unit_rows(style, style)
    return (
        float((1 - nearest(*rows)).mean()),
        float((1 - nearest(*reversed(rows))).mean()),
    )


def unit_rows(maps: Tensor, style: Tensor) -> Tensor:
    """Return (positions, C): features minus the painting's mean, normalised to length 1."""
    centred = maps - style.mean((2, 3), keepdim=True)
    rows = centred[0].flatten(1).t()
    return functional.normalize(rows, dim=1, eps=1e-8)


def nearest(rows: Tensor, others: Tensor) -> Tensor:
    """Return for each of ``rows`` the greatest cosine with one of ``others``, (positions,)."""
    return torch.cat([(some @ others.t()).amax(1) for some in torch.split(rows, _CHUNK)])
