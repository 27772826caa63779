"""A preconditioner by frequency: the initial inverse curvature of L-BFGS.

The curvature of a loss on features is largest where pixels alternate, and smallest where large
areas change together. Steps of one length at every frequency are therefore too short for large
shapes and too long for grain, until enough pairs have been learnt. Few iterations never learn
as many.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from impasto.optim.compressed import CompressedVector, entries_at_once

# The highest frequency, in cycles a pixel: there the weight is 1.
_HIGHEST = 0.5


class Preconditioner:
    """Weights the frequencies of a vector by 1 / frequency, channel by channel.

    docs/speed.md compares it with equal weights and other exponents. A channel that is too large
    to be transformed at once is transformed by blocks of rows, then by blocks of columns. Only half
    a spectrum, which has the size of the channel, grows with the picture.

    Args:
        shape: the picture's, (..., H, W).
        longest_px: longer waves have the weight of this length; None for no limit.
    """

    def __init__(self, shape: torch.Size, longest_px: int | None = None) -> None:
        self.shape = shape
        self._height_px, self._width_px = shape[-2:]
        self._longest_px = min(max(shape[-2:]), longest_px or max(shape[-2:]))
        self._columns = self._width_px // 2 + 1
        # Of the last block of columns: if there is only one, all channels and steps share it.
        self._cached_weights: tuple[slice, Tensor, Tensor] | None = None

    def apply(self, values: Tensor) -> None:
        """Precondition ``values``, a flattened picture of floats, in place."""
        for channels in self._channels(values):
            planes = values[channels].view(-1, self._height_px, self._width_px)
            spectrum = self._transform_rows(values, channels)
            for columns in self._blocks(self._columns, self._height_px, values.device):
                block = torch.fft.fft(spectrum[..., columns], dim=-2)
                block *= self._weights(columns, planes)[0]
                spectrum[..., columns] = torch.fft.ifft(block, dim=-2)
            for rows in self._blocks(self._height_px, self._width_px, values.device):
                planes[:, rows] = torch.fft.irfft(spectrum[:, rows], n=self._width_px)

    def square(self, vector: CompressedVector) -> Tensor:
        """Return the inner product of ``vector`` with itself preconditioned, a scalar."""
        parts = []
        for channels in self._channels(vector):
            spectrum = self._transform_rows(vector, channels)
            for columns in self._blocks(self._columns, self._height_px, spectrum.device):
                block = torch.view_as_real(torch.fft.fft(spectrum[..., columns], dim=-2))
                weights, counts = self._weights(columns, block)
                powers = block.square_().sum(-1).mul_(weights)
                parts.append((powers.sum((0, 1)) * counts).sum())
        square = parts[0] if len(parts) == 1 else torch.stack(parts).sum()
        return square / (self._height_px * self._width_px)  # Parseval

    def _transform_rows(self, values: Tensor | CompressedVector, channels: slice) -> Tensor:
        """Return half the spectrum of each row of some channels, (C, H, W // 2 + 1)."""
        blocks = [*self._blocks(self._height_px, self._width_px, values.device)]
        if len(blocks) == 1:
            planes = values[channels].view(-1, self._height_px, self._width_px)
            transformed: Tensor = torch.fft.rfft(planes)
            return transformed
        spectrum: Tensor | None = None
        for rows in blocks:
            begins, ends = (
                channels.start + row * self._width_px for row in (rows.start, rows.stop)
            )
            transformed_rows = torch.fft.rfft(values[begins:ends].view(1, -1, self._width_px))
            if spectrum is None:
                spectrum = transformed_rows.new_empty(1, self._height_px, self._columns)
            spectrum[:, rows] = transformed_rows
        assert spectrum is not None
        return spectrum

    def _channels(self, values: Tensor | CompressedVector) -> Iterator[slice]:
        """Divide a flattened picture into channels: one at a time, or several that fit a block."""
        pixels = self._height_px * self._width_px
        step = pixels * max(1, entries_at_once(values.device) // pixels)
        return (
            slice(first, min(first + step, len(values))) for first in range(0, len(values), step)
        )

    def _blocks(self, count: int, length: int, device: torch.device) -> Iterator[slice]:
        """Divide ``count`` rows or columns, of ``length`` entries each, into blocks."""
        step = max(1, entries_at_once(device) // length)
        return (slice(first, min(first + step, count)) for first in range(0, count, step))

    def _weights(self, columns: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of some columns of half a spectrum, and their multiplicities."""
        if self._cached_weights is None or self._cached_weights[0] != columns:
            options = {"dtype": like.dtype, "device": like.device}
            down = torch.fft.fftfreq(self._height_px, **options).view(-1, 1)
            across = torch.fft.rfftfreq(self._width_px, **options)
            lowest = 1 / self._longest_px
            weights = _HIGHEST / torch.hypot(down, across[columns]).clamp_min_(lowest)
            # All columns but the first and last count twice.
            counts = torch.full_like(across, 2.0)
            counts[0] = 1
            if self._width_px % 2 == 0:
                counts[-1] = 1
            self._cached_weights = columns, weights, counts[columns]
        return self._cached_weights[1:]
