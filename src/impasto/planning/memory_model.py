"""How much memory is free, and how much a painting takes: predicted from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from impasto.config.networks import architecture, check_layer, deepest
from impasto.losses.tiling import geometry

_MIB = 2**20
# A process with torch and the network, in float32 too where strength is measured, before the
# first picture. Measured on Linux.
BASE_BYTES = 550 * _MIB
# An image, a gradient, or a vector of the optimiser: three channels, in float32 if not narrower.
_CHANNELS = 3
_WIDE_BYTES = _CHANNELS * 4
# At every moment there are the image, the best image, and the gradient; the optimiser turns
# the gradient into the next image.
_IMAGES = 3
# L-BFGS, while it moves: half a channel's spectrum, 4 bytes; measured, 5 to 10.
_METRIC_BYTES = 9
# Adam: its own image, two moments; and while it moves, a root.
_ADAM_VECTORS, _ADAM_MOVING = 3, 1
# Maps of the widest layer under way in the backward pass: the gradient before and after a
# layer, and what a convolution or a product copies.
_MAPS_UNDER_WAY = 3
# Measured over counted, for a step held whole; a tile's core is copied out of its window,
# and blocks of many sizes leave holes in the heap.
_WHOLE, _TILED = 1.18, 1.55


@dataclass(frozen=True)
class ScaleWorkload:
    """What decides the memory of painting one size.

    Attributes:
        height_px: of the canvas.
        width_px: of the canvas.
        layers: names of the layers in use.
        content_layers: those of them whose content features are kept.
        network: its name.
        dtype: number type of features.
        optimiser: ``lbfgs`` or ``adam``.
        steps: iterations, beyond which no history grows.
    """

    height_px: int
    width_px: int
    layers: Sequence[str]
    content_layers: Sequence[str]
    network: str
    dtype: torch.dtype
    optimiser: str
    steps: int

    def peak_bytes(
        self,
        tile_px: int | None,
        history: int,
        cache_content: bool,
        history_dtype: torch.dtype | None = None,
        tiles_kept: int = 1,
    ) -> int:
        """Predict the most memory that painting takes, the process itself included.

        Args:
            tile_px: largest side of a tile; None for the image held whole.
            history: pairs of vectors that L-BFGS remembers.
            cache_content: whether the content's features are kept, or computed for each tile.
            history_dtype: number type of those pairs; None for the image's own.
            tiles_kept: how many tiles stay in memory between the two passes.
        """
        pixels = self.height_px * self.width_px
        remembered, moving = self._optimiser_bytes(history, history_dtype)
        kept = _IMAGES * _WIDE_BYTES + remembered + self._content_bytes(cache_content)
        return round(
            BASE_BYTES + kept * pixels + max(self._step_bytes(tile_px, tiles_kept), moving * pixels)
        )

    def _optimiser_bytes(
        self, history: int, history_dtype: torch.dtype | None
    ) -> tuple[float, float]:
        """Count what is remembered while the network runs, per pixel, and what moving adds."""
        if self.optimiser != "lbfgs":
            return _ADAM_VECTORS * _WIDE_BYTES, _ADAM_MOVING * _WIDE_BYTES
        vector = _WIDE_BYTES if history_dtype is None else _CHANNELS * history_dtype.itemsize
        # The pair that is on its way takes the oldest one's place.
        pairs = min(history, max(0, self.steps - 1))
        # Of a lone step nobody asks where it would lead.
        return 2 * pairs * vector, (vector + _METRIC_BYTES if pairs else 0)

    def shrunk(self, share: float) -> ScaleWorkload:
        """Ask for a canvas whose sides are ``share`` of these."""
        height_px, width_px = (
            max(1, round(share * side)) for side in (self.height_px, self.width_px)
        )
        return replace(self, height_px=height_px, width_px=width_px)

    def windows(self, tile_px: int | None) -> tuple[int, ...]:
        """List the pixels that the network sees of each tile, in their order."""
        found = geometry(self.layers, self.network)
        return found.windows(self.height_px, self.width_px, tile_px)

    def _step_bytes(self, tile_px: int | None, tiles_kept: int) -> float:
        """Predict what the network takes for the tiles kept, and for one forward and back."""
        windows = self.windows(tile_px)
        kept, under_way = self._values_per_pixel()
        each = (tiles_kept * kept + under_way) * self.dtype.itemsize * max(windows)
        return each * (_WHOLE if len(windows) == 1 else _TILED)

    def _values_per_pixel(self) -> tuple[float, float]:
        """Count the features, per pixel: those kept for the way back, and those under way."""
        listed = architecture(self.network)
        used = listed[: listed.index(deepest(list(self.layers), self.network)) + 1]
        rectified = sum(
            _per_pixel(layer.name, self.network) for layer in used if layer.kind != "conv"
        )
        slopes = sum(_per_pixel(name, self.network) for name in self.layers)
        widest = max(_per_pixel(layer.name, self.network) for layer in used)
        return rectified, slopes + _MAPS_UNDER_WAY * widest

    def _content_bytes(self, keep: bool) -> float:
        """Count what is kept of the photograph, per pixel: features, or itself."""
        if not self.content_layers:
            return 0
        values = sum(_per_pixel(name, self.network) for name in self.content_layers)
        return (values if keep else _CHANNELS) * self.dtype.itemsize


def _per_pixel(name: str, network: str) -> float:
    layer = check_layer(name, network)
    return float(layer.channels / layer.stride_px**2)
