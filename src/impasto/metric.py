"""How far a picture may move at each of its frequencies: the curvature that L-BFGS begins with.

A loss on features bends most where pixels alternate and least where large areas change
together. Steps as long at every frequency are therefore too short for whorls and too long
for grit, until enough pairs have told otherwise; few iterations never learn as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from impasto.vectors import Vector

# The highest frequency there is, in cycles a pixel: there the metric is 1.
_HIGHEST = 0.5
# Entries of a block of rows or columns that are transformed at a time.
_BLOCK = 2**20


class Metric:
    """Weighs the frequencies of a vector by 1 / frequency, one channel at a time.

    Measured beside equal weights and other exponents in docs/speed.md. A channel is transformed
    by blocks of rows, then by blocks of columns: beside half a spectrum, which has the size of
    the channel, nothing is in memory that grows with the picture.

    Args:
        shape: the picture's, (..., H, W).
    """

    def __init__(self, shape: torch.Size) -> None:
        self._height_px, self._width_px = shape[-2:]
        self._columns = self._width_px // 2 + 1
        # Of the last block: where there is one, all channels share them.
        self._made: tuple[slice, Tensor] | None = None

    def apply(self, values: Tensor) -> None:
        """Weigh ``values``, a flattened picture of floats, in place."""
        spectrum = self._empty_spectrum(values)
        for plane in values.view(-1, self._height_px, self._width_px):
            self._transform_rows(plane.__getitem__, spectrum)
            for columns in self._blocks(self._columns, self._height_px):
                found = torch.fft.fft(spectrum[:, columns], dim=0)
                found *= self._weights(columns, plane)
                spectrum[:, columns] = torch.fft.ifft(found, dim=0)
            for rows in self._blocks(self._height_px, self._width_px):
                plane[rows] = torch.fft.irfft(spectrum[rows], n=self._width_px)

    def square(self, vector: Vector) -> Tensor:
        """Return the inner product of ``vector`` with itself weighed, a scalar."""
        pixels = self._height_px * self._width_px
        spectrum, parts = self._empty_spectrum(vector[:1]), []
        for begins in range(0, len(vector), pixels):
            self._transform_rows(self._rows_of(vector, begins), spectrum)
            for columns in self._blocks(self._columns, self._height_px):
                found = torch.view_as_real(torch.fft.fft(spectrum[:, columns], dim=0))
                weights = self._weights(columns, found) * self._twice(columns, found)
                parts.append((found.square_().sum(-1) * weights).sum())
        return torch.stack(parts).sum() / pixels  # Parseval

    def _empty_spectrum(self, like: Tensor) -> Tensor:
        """Make room for half the spectrum of a channel, (H, W // 2 + 1)."""
        return torch.empty(
            self._height_px, self._columns, dtype=like.dtype.to_complex(), device=like.device
        )

    def _transform_rows(self, rows_at: Callable[[slice], Tensor], spectrum: Tensor) -> None:
        for rows in self._blocks(self._height_px, self._width_px):
            spectrum[rows] = torch.fft.rfft(rows_at(rows))

    def _rows_of(self, vector: Vector, begins: int) -> Callable[[slice], Tensor]:
        """Return what gives some rows of the channel that begins there in ``vector``."""
        width_px = self._width_px

        def rows_at(rows: slice) -> Tensor:
            part = vector[begins + rows.start * width_px : begins + rows.stop * width_px]
            return part.view(-1, width_px)

        return rows_at

    def _blocks(self, count: int, length: int) -> Iterator[slice]:
        """Divide ``count`` rows or columns, of ``length`` entries each, into blocks."""
        step = max(1, _BLOCK // length)
        return (slice(first, min(first + step, count)) for first in range(0, count, step))

    def _weights(self, columns: slice, like: Tensor) -> Tensor:
        if self._made is None or self._made[0] != columns:
            options = {"dtype": like.dtype, "device": like.device}
            down = torch.fft.fftfreq(self._height_px, **options).view(-1, 1)
            across = torch.fft.rfftfreq(self._width_px, **options)[columns].view(1, -1)
            lowest = 1 / max(self._height_px, self._width_px)
            self._made = columns, _HIGHEST / torch.hypot(down, across).clamp_min_(lowest)
        return self._made[1]

    def _twice(self, columns: slice, like: Tensor) -> Tensor:
        """Count the columns of half a spectrum: all but the ends stand for two."""
        counts = torch.full((self._columns,), 2.0, dtype=like.dtype, device=like.device)
        counts[0] = 1.0
        if self._width_px % 2 == 0:
            counts[-1] = 1.0
        return counts[columns]
