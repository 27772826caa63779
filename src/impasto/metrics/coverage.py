"""Whether all of the result comes from the painting, and all of the painting is in the result.

Each position of one picture's features looks for its nearest neighbour in the other's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LAYER = "relu3_1"
# Larger pictures are compared at this size: the work grows with its fourth power.
LONGEST_PX = 384
# Positions that are compared at a time, for memory's sake.
_CHUNK = 1024


def coverage_distances(result: Tensor, style: Tensor) -> tuple[float, float]:
    """Return the mean distance from result to painting, and from painting to result.

    The first grows with what the painting has not; the second with what the result leaves
    out, such as where one motif is everywhere.

    Args:
        result: its features, (1, C, H, W).
        style: the painting's, of any size.

    Returns:
        Two means of 1 minus the cosine of the nearest neighbour, 0 for the same.
    """
    rows = unit_rows(result, style), unit_rows(style, style)
    return (
        float((1 - nearest(*rows)).mean()),
        float((1 - nearest(*reversed(rows))).mean()),
    )


def unit_rows(maps: Tensor, style: Tensor) -> Tensor:
    """Return (positions, C): features less the painting's mean, each of length 1."""
    centred = maps - style.mean((2, 3), keepdim=True)
    rows = centred[0].flatten(1).t()
    return functional.normalize(rows, dim=1, eps=1e-8)


def nearest(rows: Tensor, others: Tensor) -> Tensor:
    """Return for each of ``rows`` the greatest cosine with one of ``others``, (positions,)."""
    return torch.cat([(some @ others.t()).amax(1) for some in torch.split(rows, _CHUNK)])
