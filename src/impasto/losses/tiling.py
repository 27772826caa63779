"""An image in pieces: cores that cover it once, each seen through a window with a halo.

A feature has a limited receptive field. So the features of a tile's core are the same as in the
whole image if the network sees the core and a halo around it. Features nearer to the window's
border are wrong, unless that border is the image's own, and are ignored. An image without tiling is
one tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from impasto.config.networks import network_spec


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels: its core inside its window."""

    core: slice
    window: slice

    def core_in_image(self, stride_px: int) -> slice:
        """Return the slice of the core's features in those of the whole image."""
        return slice(self.core.start // stride_px, self.core.stop // stride_px)

    def core_in_window(self, stride_px: int) -> slice:
        """Return the slice of the core's features in those of the window."""
        # The window begins on the grid. Only the end of the image can be off the grid: there the
        # network's pooling rounds down, as this does.
        first = self.window.start
        return slice((self.core.start - first) // stride_px, (self.core.stop - first) // stride_px)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image."""

    rows: Span
    columns: Span
    wraps: bool = False

    def window(self, image: Tensor) -> Tensor:
        """Return the pixels that the network must see, (1, 3, h, w), of an ``image``."""
        if self.wraps:
            return _around(_around(image, self.rows.window, 2), self.columns.window, 3)
        return image[..., self.rows.window, self.columns.window]

    def add_window(self, image: Tensor, window: Tensor) -> None:
        """Add values of the window's pixels to an image."""
        if self.wraps:
            rows, columns = self.rows.window, self.columns.window
            strip = image.new_zeros(*image.shape[:-1], columns.stop - columns.start)
            strip.index_add_(2, _indices(rows, image, 2), window)
            image.index_add_(3, _indices(columns, image, 3), strip)
        else:
            self.window(image).add_(window)

    def core(self, features: Tensor, stride_px: int) -> Tensor:
        """View the core's part of ``features`` that were computed from the window."""
        rows, columns = (span.core_in_window(stride_px) for span in (self.rows, self.columns))
        cut: Tensor = _Cut.apply(features, rows, columns)  # type: ignore[no-untyped-call]
        return cut

    def core_of_image(self, features: Tensor, stride_px: int) -> Tensor:
        """View the core's part of ``features`` that belong to the whole image."""
        rows, columns = (span.core_in_image(stride_px) for span in (self.rows, self.columns))
        return features[..., rows, columns]

    def core_and_next(self, window: Tensor) -> Tensor:
        """View the core's pixels and, if they exist, the next row and column."""
        rows, columns = (
            slice(core.start, core.stop + 1)
            for core in (self.rows.core_in_window(1), self.columns.core_in_window(1))
        )
        if self.wraps:
            return _around(_around(window, rows, 2), columns, 3)
        return window[..., rows, columns]

    @property
    def core_px(self) -> tuple[int, int]:
        """Height and width of the core."""
        rows, columns = self.rows.core, self.columns.core
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def window_px(self) -> tuple[int, int]:
        """Height and width of the window."""
        rows, columns = self.rows.window, self.columns.window
        return rows.stop - rows.start, columns.stop - columns.start


@dataclass(frozen=True)
class Geometry:
    """The grid and the halo that the layers in use need.

    Attributes:
        grid_px: cores and windows begin at multiples of this, the product of all pooling strides.
        halo_px: how much of the image a window shows around its core; a multiple of grid_px.
        wraps: whether the image continues at its opposite side; its sides are multiples of grid_px.
    """

    grid_px: int
    halo_px: int
    wraps: bool = False

    def split(self, height_px: int, width_px: int, tile_px: int | None) -> list[Tile]:
        """Cover an image by tiles whose cores are at most ``tile_px`` a side.

        Args:
            height_px: of the image.
            width_px: of the image.
            tile_px: largest side of a core; None for one tile. Less than two cells of the grid
                is not possible for every image.
        """
        return [
            Tile(rows, columns, self.wraps)
            for rows in self._spans(height_px, tile_px)
            for columns in self._spans(width_px, tile_px)
        ]

    @cache  # noqa: B019 - of a few numbers, for a few geometries
    def windows(self, height_px: int, width_px: int, tile_px: int | None) -> tuple[int, ...]:
        """List the pixels of each window that :meth:`split` returns."""
        rows, columns = (
            [span.window.stop - span.window.start for span in self._spans(side_px, tile_px)]
            for side_px in (height_px, width_px)
        )
        return tuple(high * wide for high in rows for wide in columns)

    def _spans(self, length_px: int, tile_px: int | None) -> list[Span]:
        # Cores of even size. The remainder beyond the last whole cell of the grid belongs to
        # the last core: the deepest layer has no feature there.
        cells = max(1, length_px // self.grid_px)
        count = 1
        if tile_px is not None:
            largest_px = self.grid_px * max(1, tile_px // self.grid_px)
            count = min(cells, math.ceil(length_px / largest_px))
        ends = [self.grid_px * math.ceil(cells * index / count) for index in range(count)]
        ends.append(length_px)
        first, last = 0, length_px
        if self.wraps and count > 1:
            first, last = -self.halo_px, length_px + self.halo_px
        return [
            Span(
                core=slice(start, stop),
                window=slice(max(first, start - self.halo_px), min(last, stop + self.halo_px)),
            )
            for start, stop in itertools.pairwise(ends)
        ]


class _Cut(torch.autograd.Function):
    """Slices maps, and leaves their gradient channels-last, which torch's own slicing does not."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice, columns: slice) -> Tensor:
        ctx.shape, ctx.cut = features.shape, (..., rows, columns)
        return features[..., rows, columns]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if gradient.shape == ctx.shape:
            return gradient, None, None
        whole = torch.empty(
            ctx.shape,
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last,
        ).zero_()
        whole[ctx.cut] = gradient
        return whole, None, None


def _around(image: Tensor, span: slice, axis: int) -> Tensor:
    """Slice a span that may continue at the image's opposite side."""
    if span.start >= 0 and span.stop <= image.shape[axis]:
        return image.narrow(axis, span.start, span.stop - span.start)
    return image.index_select(axis, _indices(span, image, axis))


def _indices(span: slice, image: Tensor, axis: int) -> Tensor:
    return torch.arange(span.start, span.stop, device=image.device) % image.shape[axis]


def geometry(layers: Sequence[str], network: str, *, wraps: bool = False) -> Geometry:
    """Return the tile geometry that ``layers`` of ``network`` need.

    Args:
        layers: names of the layers in use.
        network: its name.
        wraps: whether the image continues at its opposite side.

    Raises:
        SettingsError: the network has no such layer.
    """
    spec = network_spec(network)
    used = [spec.layer(name) for name in layers]
    grid_px = max(layer.stride_px for layer in used)
    halo_px = max(1, *(layer.halo_px for layer in used))
    # At least the next pixels are always in the halo: total variation needs them.
    return Geometry(grid_px, grid_px * math.ceil(halo_px / grid_px), wraps)
