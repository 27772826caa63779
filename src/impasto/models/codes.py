"""Maps in eight bits: their codes, and the operations on them between two convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.models.pooling import quarters

# The largest codes: of features, from 0, and of the magnitudes of gradients and weights.
MOST, MOST_SIGNED = 255, 127
# The code of a gradient of 0, once it is unsigned: the operator takes unsigned features only.
ZERO = 128
_STRIP_ROWS = 32


@dataclass(frozen=True)
class Codes:
    """A map as integers and the value of one unit: features as uint8, gradients as int8."""

    values: Tensor
    step: float

    def wide(self) -> Tensor:
        """Return the map in bfloat16."""
        # Two fast passes; one product with a scalar converts each value slowly.
        wide = torch.empty_like(self.values, dtype=torch.bfloat16)
        return wide.copy_(self.values).mul_(self.step)


def encode_features(features: Tensor, step: float) -> Codes:
    """Round rectified features, which are overwritten, to codes."""
    # Only signed integers convert fast, and conversion cuts off instead of rounding.
    codes = features.mul_(1 / step).clamp_(max=MOST).round_().sub_(ZERO).to(torch.int8)
    return Codes(codes.view(torch.uint8).bitwise_xor_(ZERO), step)


def encode_gradient(gradient: Tensor, step: float) -> Codes:
    """Round a gradient, which is overwritten, to codes."""
    scaled = gradient.mul_(1 / step).clamp_(-MOST_SIGNED, MOST_SIGNED).round_()
    return Codes(scaled.to(torch.int8), step)


def to_wide(gradient: Tensor | Codes) -> Tensor:
    """Return a gradient in bfloat16."""
    return gradient.wide() if isinstance(gradient, Codes) else gradient


def rectify_backward(gradient: Tensor | Codes, features: Tensor) -> Tensor | Codes:
    """Zero the gradient, in place, where the codes of features are 0."""
    if isinstance(gradient, Codes):
        # Without their sign, all values but 0 are above 0: one comparison of bytes.
        slope = gradient.values.view(torch.uint8)
        torch.ops.aten.threshold_backward.grad_input(slope, features, 0, grad_input=slope)
        return gradient
    # In strips: masks of 16 bits for the whole map would take as much memory as the gradient.
    strips = torch.split(gradient.view(torch.int16), _STRIP_ROWS, dim=2)
    for slope, by in zip(strips, torch.split(features, _STRIP_ROWS, dim=2), strict=True):
        torch.ops.aten.threshold_backward.grad_input(slope, by.to(torch.int16), 0, grad_input=slope)
    return gradient


def pool_codes(codes: Tensor, kind: str) -> Tensor:
    """Halve maps of codes; an odd last row or column is dropped."""
    first, second, third, fourth = quarters(codes)
    if kind == "max":
        return torch.maximum(torch.maximum(first, second), torch.maximum(third, fourth))
    total = first.to(torch.int16)
    for other in (second, third, fourth):
        total += other
    return total.add_(2).bitwise_right_shift_(2).to(torch.uint8)


def pool_backward(
    gradient: Tensor | Codes, features: Tensor, pooled: Tensor, kind: str
) -> Tensor | Codes:
    """Propagate the gradient of ``pooled`` codes back to the ``features``."""
    is_wide = isinstance(gradient, Tensor)
    values = gradient if isinstance(gradient, Tensor) else gradient.values
    step = 1.0 if isinstance(gradient, Tensor) else gradient.step
    whole = torch.empty_like(features, dtype=values.dtype)
    height, width = features.shape[-2:]
    if height % 2:
        whole[:, :, -1] = 0
    if width % 2:
        whole[:, :, :, -1] = 0
    targets = quarters(whole)
    if kind == "average":
        for target in targets:
            target.copy_(values)
        return whole.mul_(0.25) if is_wide else Codes(whole, step / 4)
    # The first of equal maxima takes the gradient.
    sources = quarters(features)
    if is_wide:
        values, targets = values.view(torch.int16), quarters(whole.view(torch.int16))
    left = values.clone()
    is_most = torch.empty_like(pooled)
    for target, source in zip(targets[:3], sources[:3], strict=True):
        torch.eq(source, pooled, out=is_most)
        by = is_most.to(torch.int16) if is_wide else is_most.view(torch.int8)
        torch.ops.aten.threshold_backward.grad_input(left, by, 0, grad_input=target)
        left.sub_(target)
    targets[3].copy_(left)
    return whole if is_wide else Codes(whole, step)
