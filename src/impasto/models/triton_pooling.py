"""Max pooling on CUDA, with one pass over the maps forward and one backward, in Triton.

Triton comes with torch for CUDA. With torch's operations, as on other devices, the backward pass
reads the maps a dozen times. Maps are channels-last in memory, (B, H, W, C).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ENTRIES = 1024


def max_pool(features: Tensor) -> Tensor:
    """Halve maps (B, C, H, W); an odd last row or column is dropped."""
    batch, channels, height, width = features.shape
    features = features.contiguous(memory_format=torch.channels_last)
    pooled = torch.empty(
        (batch, channels, height // 2, width // 2),
        dtype=features.dtype,
        device=features.device,
        memory_format=torch.channels_last,
    )
    _launch(_pool, features, features, pooled)
    return pooled


def max_pool_backward(gradient: Tensor, features: Tensor) -> Tensor:
    """Propagate the gradient of the pooled maps to the first maximum of each four entries."""
    height, width = features.shape[-2:]
    features = features.contiguous(memory_format=torch.channels_last)
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    whole = torch.empty_like(features)
    if height % 2:
        whole[:, :, -1] = 0
    if width % 2:
        whole[:, :, :, -1] = 0
    _launch(_pool_backward, features, gradient, features, whole)
    return whole


def _launch(kernel: Any, features: Tensor, *maps: Tensor) -> None:
    """Run ``kernel`` on ``maps``, once for each entry of the pooled ``features``."""
    batch, channels, height, width = features.shape
    rows, columns = height // 2, width // 2
    count = batch * rows * columns * channels
    with torch.cuda.device(features.device):
        kernel[(triton.cdiv(count, _ENTRIES),)](
            *maps, count, channels, rows, columns, height, width, ENTRIES=_ENTRIES
        )


@triton.jit
def _corner(at, channels, rows, columns, height, width):
    """Return the offset of the first of the four entries that are pooled to the entry ``at``."""
    channel, at = at % channels, at // channels
    x, at = at % columns, at // columns
    y, picture = at % rows, at // rows
    return ((picture * height + 2 * y) * width + 2 * x) * channels + channel


@triton.jit
def _largest(first, second):
    return tl.maximum(first, second, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _pool(features, pooled, count, channels, rows, columns, height, width, ENTRIES: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    here = at < count
    corner = features + _corner(at, channels, rows, columns, height, width)
    below = corner + width * channels
    first, second = tl.load(corner, mask=here), tl.load(corner + channels, mask=here)
    third, fourth = tl.load(below, mask=here), tl.load(below + channels, mask=here)
    largest = _largest(_largest(first, second), _largest(third, fourth))
    tl.store(pooled + at, largest, mask=here)


@triton.jit
def _pool_backward(
    gradient, features, whole, count, channels, rows, columns, height, width, ENTRIES: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    here = at < count
    offset = _corner(at, channels, rows, columns, height, width)
    corner = features + offset
    below = corner + width * channels
    first, second = tl.load(corner, mask=here), tl.load(corner + channels, mask=here)
    third, fourth = tl.load(below, mask=here), tl.load(below + channels, mask=here)
    largest = _largest(_largest(first, second), _largest(third, fourth))
    slope = tl.load(gradient + at, mask=here)
    nothing = tl.zeros_like(slope)
    is_first = first == largest
    is_second = (second == largest) & ~is_first
    is_third = (third == largest) & ~is_first & ~is_second
    is_fourth = ~is_first & ~is_second & ~is_third
    corner = whole + offset
    below = corner + width * channels
    tl.store(corner, tl.where(is_first, slope, nothing), mask=here)
    tl.store(corner + channels, tl.where(is_second, slope, nothing), mask=here)
    tl.store(below, tl.where(is_third, slope, nothing), mask=here)
    tl.store(below + channels, tl.where(is_fourth, slope, nothing), mask=here)
