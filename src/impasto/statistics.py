r"""Additive statistics: sums over the positions of a feature map.

A sum can be taken whole, tile by tile, or on several processes, and added; that is what
lets one objective serve an image of any size. The Gram matrix is the style of Gatys,
Ecker and Bethge (2015): $G_{ij} = \sum_k F_{ik} F_{jk}$.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# One product over all positions would round each entry once to the narrow type; several
# partial products, added in float32, keep the error far below the differences compared.
_MOST_CHUNKS = 16
_FEWEST_CHUNKS = 4


def gram_sum(features: Tensor) -> Tensor:
    r"""Correlate channels over space, forgetting where things are.

    $G_{ij} = \sum_k F_{ik} F_{jk}$, summed over positions and over the batch, the raw sum
    of Gatys et al. (2015), eq. 3.

    Args:
        features: (B, C, H, W), of any float type.

    Returns:
        (C, C), float32 or wider, symmetric.
    """
    total: Tensor = _GramSum.apply(features)  # type: ignore[no-untyped-call]
    return total


class _GramSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        rows = _rows(features)
        if features.dtype not in (torch.bfloat16, torch.float16):
            return rows.t() @ rows
        # Partial products of fewer positions than channels would be larger than the features.
        count = min(_MOST_CHUNKS, len(rows) // rows.shape[1])
        if count < _FEWEST_CHUNKS:
            rows = rows.float()
            return rows.t() @ rows
        each = len(rows) // count
        even = each * count
        scale = 1.0
        if features.dtype == torch.float16:
            # A chunk's sum would pass 65504: a power of two brings it near a mean square.
            scale = 2.0 ** -math.ceil(math.log2(each) / 2)
        chunks = rows[:even].view(count, each, rows.shape[1])
        chunks = chunks if scale == 1 else chunks * scale
        total = torch.bmm(chunks.transpose(1, 2), chunks).sum(0, dtype=torch.float32)
        rest = rows[even:].float()
        return total.div_(scale**2).addmm_(rest.t(), rest)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        # d/dF of sum S.G is F (S + S^T): one product, since G is symmetric. Transposed by a
        # copy, which works in blocks; a sum would not.
        both = (gradient + gradient.t().contiguous()).to(features.dtype)
        back = _rows(features) @ both
        return back.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _rows(features: Tensor) -> Tensor:
    """View (B, C, H, W) as (B H W, C): free when the memory is channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
