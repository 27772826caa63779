r"""Additive statistics: sums over the positions of a feature map.

A sum can be computed at once, tile by tile, or on several processes, and added. So one objective
works for an image of any size. The Gram matrix is the style of Gatys,
Ecker and Bethge (2015): $G_{ij} = \sum_k F_{ik} F_{jk}$. With the plain sum beside it, mean
and covariance follow.

Positions may have weights, such as a mask's; the sums take the square roots of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# One product over all positions would round each entry once to the narrow dtype; several
# partial products, added in float32, keep the error far below the differences compared.
_MOST_CHUNKS = 16
_FEWEST_CHUNKS = 4


# Positions that are converted to the wide dtype and multiplied at a time, for exact sums.
_CHUNK = 2**14


def gram_sum(features: Tensor, roots: Tensor | None = None) -> Tensor:
    r"""Correlate channels over space; positions are lost.

    $G_{ij} = \sum_k F_{ik} F_{jk}$, summed over positions and over the batch, the raw sum
    of Gatys et al. (2015), eq. 3.

    Args:
        features: (B, C, H, W), of any float type.
        roots: of each position's weight, (1, 1, H, W); all 1 if absent.

    Returns:
        (C, C), float32 or wider, symmetric.
    """
    weighed = features if roots is None else features * roots.to(features.dtype)
    total: Tensor = _GramSum.apply(weighed)  # type: ignore[no-untyped-call]
    return total


def moment_sum(features: Tensor, roots: Tensor | None = None) -> Tensor:
    r"""Sum $F_{ik} F_{jk}$ and $F_{ik}$ over positions and over the batch.

    A covariance is the small difference of the two: products and sums are float32 at least,
    and added up in float64.

    Args:
        features: (B, C, H, W), of any float type.
        roots: of each position's weight, (1, 1, H, W); all 1 if absent.

    Returns:
        (C + 1, C): the Gram matrix, and in the last row the sum; float64 where the device has it.
    """
    total: Tensor = _MomentSum.apply(features, roots)  # type: ignore[no-untyped-call]
    return total


def feature_sum(features: Tensor, roots: Tensor | None = None) -> Tensor:
    r"""Sum $F_{ik}$ over positions and over the batch.

    Args:
        features: (B, C, H, W), of any float type.
        roots: of each position's weight, (1, 1, H, W); all 1 if absent.

    Returns:
        (C,), float64 where the device has it.
    """
    widest = torch.float32 if features.device.type == "mps" else torch.float64
    total = torch.zeros(features.shape[1], dtype=widest, device=features.device)
    for rows, weights in _chunks(features, roots):
        total += (rows if weights is None else rows * weights).sum(0, dtype=widest)
    return total


class _GramSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        rows = rows_of(features)
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
        # d/dF of sum S.G is F (S + S^T): one product, since G is symmetric.
        both = (gradient + gradient.t()).to(features.dtype)
        back = rows_of(features) @ both
        return back.view(batch, height, width, channels).permute(0, 3, 1, 2)


class _MomentSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, roots: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, roots)
        widest = torch.float32 if features.device.type == "mps" else torch.float64
        channels = features.shape[1]
        total = torch.zeros(channels + 1, channels, dtype=widest, device=features.device)
        for rows, weights in _chunks(features, roots):
            # Products are computed about an approximate mean, and shifted in the wide dtype.
            near = rows.mean(0)
            rows = rows - near
            weighed = rows if weights is None else rows * weights
            mass = len(rows) if weights is None else weights.sum(dtype=widest)
            near, rest = near.to(widest), weighed.sum(0, dtype=widest)
            beside = torch.outer(near, rest)
            total[:-1] += weighed.t() @ rows
            total[:-1] += beside + beside.t() + mass * torch.outer(near, near)
            total[-1] += rest + mass * near
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        features, roots = ctx.saved_tensors
        batch, channels, height, width = features.shape
        back = torch.empty(
            batch * height * width, channels, dtype=features.dtype, device=features.device
        )
        wide = torch.float64 if features.dtype == torch.float64 else torch.float32
        both = (gradient[:-1] + gradient[:-1].t()).to(wide)
        constant = gradient[-1].to(wide)
        begin = 0
        for rows, weights in _chunks(features, roots):
            slope = torch.addmm(constant, rows, both)
            back[begin : begin + len(rows)] = slope if weights is None else slope * weights
            begin += len(rows)
        return back.view(batch, height, width, channels).permute(0, 3, 1, 2), None


def _chunks(features: Tensor, roots: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield some positions at a time: rows, float32 or wider, and their weights (n, 1)."""
    narrow = features.dtype in (torch.bfloat16, torch.float16)
    dtype = torch.float32 if narrow else features.dtype
    rows = torch.split(rows_of(features), _CHUNK)
    if roots is None:
        yield from ((some.to(dtype), None) for some in rows)
        return
    squares = rows_of(roots.expand(len(features), -1, -1, -1)).to(dtype).square()
    weights = torch.split(squares, _CHUNK)
    yield from ((some.to(dtype), w) for some, w in zip(rows, weights, strict=True))


def rows_of(features: Tensor) -> Tensor:
    """View (B, C, H, W) as (B H W, C): free when the memory is channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
