"""The memory that a painting needs, predicted from sizes only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from impasto.config.networks import network_spec
from impasto.losses.tiling import geometry
from impasto.optim.base import CHANNELS, VECTOR_BYTES
from impasto.optim.registry import optimiser_class

_MIB = 2**20
# A process with torch and the network, in float32 too where strength is measured, before the
# first picture. Measured on Linux.
BASE_BYTES = 550 * _MIB
# During a whole step, the image, the best image and the gradient are in memory; the optimiser
# replaces the gradient by the next image.
_IMAGES = 3
# Maps of the widest layer alive at once in the backward pass: the gradient before and after a
# layer, and the copies of a convolution or a product.
_MAPS_ALIVE = 3
# The same in eight bits: what the objective sees is widened from codes on the way back.
_MAPS_ALIVE_INT8 = 4
# The same in a forward pass without a gradient: before and after a layer.
_MAPS_FORWARD = 2
# The ratio of measured to counted memory, without and with tiling: a tile's core is copied out of
# its window, and blocks of many sizes fragment the heap.
_WHOLE, _TILED = 1.18, 1.55


@dataclass(frozen=True)
class ScaleWorkload:
    """The workload of one size: everything that decides its memory and time.

    Attributes:
        height_px: of the canvas.
        width_px: of the canvas.
        layers: names of the layers in use.
        content_layers: those of them whose content features are compared.
        network: its name.
        dtype: number type of features.
        optimiser: its name.
        steps: the iterations; a history cannot be longer.
        style_layers: those of the layers whose statistics are compared.
        styles_px: height and width at which the network sees each style picture.
        style_tile_px: largest side of a style picture's tile if the canvas is not tiled; None if
            style pictures are not tiled either.
        term_bytes: bytes of the states of the objective's terms, per pixel.
        int8: whether the features of the image are stored in eight bits.
        indivisible: the part of the objective, by its name in messages, that needs one process and
            no tiling; None if all parts are additive.
    """

    height_px: int
    width_px: int
    layers: Sequence[str]
    content_layers: Sequence[str]
    network: str
    dtype: torch.dtype
    optimiser: str
    steps: int
    style_layers: Sequence[str] = ()
    styles_px: tuple[tuple[int, int], ...] = ()
    style_tile_px: int | None = None
    term_bytes: float = 0.0
    indivisible: str | None = None
    int8: bool = False

    def peak_bytes(
        self,
        tile_px: int | None,
        history: int,
        cache_content: bool,
        history_dtype: torch.dtype | None = None,
        tiles_kept: int = 1,
    ) -> int:
        """Predict the peak memory of painting, including the process itself.

        Args:
            tile_px: largest side of a tile; None for no tiling.
            history: the number of pairs in the optimiser's history.
            cache_content: whether the content's features are cached, or computed for each tile.
            history_dtype: number type of that history; None for the image's own.
            tiles_kept: how many tiles stay in memory between the two passes.
        """
        pixels = self.height_px * self.width_px
        memory = optimiser_class(self.optimiser).memory_per_pixel
        held, moving = memory(history, history_dtype, self.steps)
        stored = (
            _IMAGES * VECTOR_BYTES + held + self.term_bytes + self._content_bytes(cache_content)
        )
        step = stored * pixels + max(self._step_bytes(tile_px, tiles_kept), moving * pixels)
        return max(round(BASE_BYTES + step), self.targets_bytes(tile_px, cache_content))

    def targets_bytes(self, tile_px: int | None, cache_content: bool) -> int:
        """Predict the peak memory until the targets are known, including the process itself.

        The photograph passes the network first, then each style picture. Meanwhile there is one
        image in memory, and no optimiser.

        Args:
            tile_px: as for :meth:`peak_bytes`.
            cache_content: as for :meth:`peak_bytes`.
        """
        pixels = self.height_px * self.width_px
        stored = (VECTOR_BYTES + self._content_bytes(cache_content)) * pixels
        content = style = 0.0
        if self.content_layers and cache_content:
            content = VECTOR_BYTES * pixels
            content += self._forward_bytes(self.content_layers, [self.windows(tile_px)])
        if self.styles_px:
            style = VECTOR_BYTES * sum(height * width for height, width in self.styles_px)
            style += self._forward_bytes(self.style_layers, self.style_windows(tile_px))
        return round(BASE_BYTES + stored + max(content, style))

    def shrunk(self, share: float) -> ScaleWorkload:
        """Return the workload with the sides of canvas and style pictures times ``share``."""

        def shorter(side_px: int) -> int:
            return max(1, round(share * side_px))

        tile_px = self.style_tile_px
        return replace(
            self,
            height_px=shorter(self.height_px),
            width_px=shorter(self.width_px),
            styles_px=tuple((shorter(height), shorter(width)) for height, width in self.styles_px),
            style_tile_px=None if tile_px is None else shorter(tile_px),
        )

    def windows(self, tile_px: int | None) -> tuple[int, ...]:
        """List the pixels that the network sees of each tile of the canvas, in their order."""
        return geometry(self.layers, self.network).windows(self.height_px, self.width_px, tile_px)

    def style_windows(self, tile_px: int | None) -> list[tuple[int, ...]]:
        """List the pixels that the network sees of each tile of each style picture."""
        tile_px = tile_px or self.style_tile_px
        needs = geometry(self.style_layers, self.network)
        return [needs.windows(height, width, tile_px) for height, width in self.styles_px]

    def _step_bytes(self, tile_px: int | None, tiles_kept: int) -> float:
        """Predict the network's memory: for stored tiles, and one forward and backward pass."""
        windows = self.windows(tile_px)
        saved, alive = self._values_per_pixel()
        code_bytes = 1 if self.int8 else self.dtype.itemsize
        each = (tiles_kept * saved * code_bytes + alive * self.dtype.itemsize) * max(windows)
        return each * (_WHOLE if len(windows) == 1 else _TILED)

    def _forward_bytes(self, layers: Sequence[str], pictures: Iterable[tuple[int, ...]]) -> float:
        """Predict the network's memory in a forward pass over the windows of some pictures."""
        spec = network_spec(self.network)
        widest = max(layer.values_per_pixel for layer in spec.upto(layers))
        values = sum(spec.layer(name).values_per_pixel for name in layers) + _MAPS_FORWARD * widest
        return max(
            values * self.dtype.itemsize * max(windows) * (_WHOLE if len(windows) == 1 else _TILED)
            for windows in pictures
        )

    def _values_per_pixel(self) -> tuple[float, float]:
        """Count the features, per pixel: those saved for the backward pass, and those in use."""
        spec = network_spec(self.network)
        used = spec.upto(self.layers)
        rectified = sum(layer.values_per_pixel for layer in used if layer.kind != "conv")
        slopes = sum(spec.layer(name).values_per_pixel for name in self.layers)
        widest = max(layer.values_per_pixel for layer in used)
        return rectified, slopes + (_MAPS_ALIVE_INT8 if self.int8 else _MAPS_ALIVE) * widest

    def _content_bytes(self, keep: bool) -> float:
        """Count the bytes of the photograph per pixel: its features, or its pixels."""
        if not self.content_layers:
            return 0
        spec = network_spec(self.network)
        values = sum(spec.layer(name).values_per_pixel for name in self.content_layers)
        return (values if keep else CHANNELS) * self.dtype.itemsize
