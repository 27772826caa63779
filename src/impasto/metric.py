"""How far a picture may move at each of its frequencies: the curvature that L-BFGS begins with.

A loss on features bends most where pixels alternate and least where large areas change
together. Steps as long at every frequency are therefore too short for whorls and too long
for grit, until enough pairs have told otherwise; few iterations never learn as much.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from impasto.vectors import Vector

# The highest frequency there is, in cycles a pixel: there the metric is 1.
_HIGHEST = 0.5


class Metric:
    """Weighs the frequencies of a vector by 1 / frequency, one channel at a time.

    Measured beside equal weights and other exponents in docs/speed.md.

    Args:
        shape: the picture's, (..., H, W).
    """

    def __init__(self, shape: torch.Size) -> None:
        self._height_px, self._width_px = shape[-2:]

    def apply(self, values: Tensor) -> None:
        """Weigh ``values``, a flattened picture of floats, in place."""
        weights = self._weights(values)
        for plane in self._planes(values):
            # No name for the spectrum: it would outlive its plane.
            plane.copy_(torch.fft.irfft2(torch.fft.rfft2(plane).mul_(weights), s=plane.shape))

    def square(self, vector: Vector) -> Tensor:
        """Return the inner product of ``vector`` with itself weighed, a scalar."""
        total = weights = None
        for plane in map(self._plane, vector.split(self._height_px * self._width_px)):
            if weights is None:
                weights = self._weights(plane) * self._twice(plane)
            energy = torch.view_as_real(torch.fft.rfft2(plane)).square_().sum(-1)
            found = energy.flatten() @ weights.flatten() / plane.numel()  # Parseval
            total = found if total is None else total + found
        assert total is not None
        return total

    def _planes(self, values: Tensor) -> Iterator[Tensor]:
        return map(self._plane, torch.split(values, self._height_px * self._width_px))

    def _plane(self, values: Tensor) -> Tensor:
        return values.view(self._height_px, self._width_px)

    def _weights(self, like: Tensor) -> Tensor:
        options = {"dtype": like.dtype, "device": like.device}
        rows = torch.fft.fftfreq(self._height_px, **options).view(-1, 1)
        columns = torch.fft.rfftfreq(self._width_px, **options).view(1, -1)
        lowest = 1 / max(self._height_px, self._width_px)
        return _HIGHEST / torch.hypot(rows, columns).clamp_min_(lowest)

    def _twice(self, like: Tensor) -> Tensor:
        """Count the columns of half a spectrum: all but the ends stand for two."""
        columns = self._width_px // 2 + 1
        counts = torch.full((columns,), 2.0, dtype=like.dtype, device=like.device)
        counts[0] = 1.0
        if self._width_px % 2 == 0:
            counts[-1] = 1.0
        return counts
