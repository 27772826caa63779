"""The terms of the objective, each a function of sums that add up over the tiles of an image.

A term names the layers it looks at, adds up over a tile's core what it needs to know, and
makes its weighted values from the sums over the whole image. Whatever is written so works at
every size and in tiles, and the objective needs to know nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto import losses
from impasto.layers import check_layer
from impasto.network import Network
from impasto.settings import Settings
from impasto.statistics import gram_sum
from impasto.targets import Targets, core_features
from impasto.tiles import Tile


@dataclass(frozen=True)
class View:
    """A tile as the terms see it.

    Attributes:
        tile: which part of the image.
        pixels: of its window, (1, 3, h, w).
        features: of its core, by layer.
    """

    tile: Tile
    pixels: Tensor
    features: dict[str, Tensor]


class Term(Protocol):
    """A part of what is minimised."""

    layers: tuple[str, ...]

    def sums(self, view: View) -> dict[str, Tensor]:
        """Add up, over a tile's core, what the term must know, under names of its own."""

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Return the weighted values by name, from the sums over an image of this size."""


class Content:
    """Holds the photograph: alpha times the content loss of each layer, by its share."""

    def __init__(self, network: Network, targets: Targets, settings: Settings) -> None:
        known = targets.content if targets.content_image is None else settings.content_layers
        alpha, _ = settings.weights
        shares = _shares(settings.content_layers) if alpha else {}
        self._weights = {name: alpha * share for name, share in shares.items() if name in known}
        self.layers = tuple(self._weights)
        self._network = network
        self._targets = targets
        self._per_position = settings.normalisation == "position"

    def sums(self, view: View) -> dict[str, Tensor]:
        """Compare features position by position."""
        wanted = self._wanted(view.tile)
        return {
            f"content:{name}": losses.content_loss(view.features[name], wanted[name])
            for name in self.layers
        }

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weigh the losses, per position or as they are."""
        values = {}
        for name, weight in self._weights.items():
            positions = _positions(name, self._network, size_px) if self._per_position else 1
            values[f"content:{name}"] = sums[f"content:{name}"] * (weight / positions)
        return values

    def _wanted(self, tile: Tile) -> dict[str, Tensor]:
        """Return the content's features of a tile's core."""
        if self._targets.content_image is None:
            return {
                name: tile.core_of_image(
                    self._targets.content[name], _stride_px(name, self._network)
                )
                for name in self.layers
            }
        window = tile.window(self._targets.content_image)
        window = window.to(torch.promote_types(window.dtype, torch.float32))
        with torch.no_grad():
            return core_features(self._network, window, self.layers, tile)


class Style:
    """Draws towards the painting: beta times the style loss of each layer, by its share."""

    def __init__(self, network: Network, targets: Targets, settings: Settings) -> None:
        _, beta = settings.weights
        shares = _shares(settings.style_layers) if beta else {}
        self._weights = {
            name: beta * share for name, share in shares.items() if name in targets.style
        }
        self.layers = tuple(self._weights)
        self._network = network
        self._wanted = targets.style

    def sums(self, view: View) -> dict[str, Tensor]:
        """Correlate each layer's channels."""
        return {f"style:{name}": gram_sum(view.features[name]) for name in self.layers}

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Compare with the painting's statistics: both per position, for their sizes differ."""
        values = {}
        for name, weight in self._weights.items():
            gram = sums[f"style:{name}"] / _positions(name, self._network, size_px)
            loss = losses.style_loss(gram, self._wanted[name], len(gram), 1)
            values[f"style:{name}"] = loss * weight
        return values


class Smoothness:
    """Calms the pixels: total variation, as a mean over them."""

    layers: tuple[str, ...] = ()

    def __init__(self, network: Network, targets: Targets, settings: Settings) -> None:
        self._weight = settings.total_variation or 0.0

    def sums(self, view: View) -> dict[str, Tensor]:
        """Compare each pixel with its neighbours."""
        if not self._weight:
            return {}
        near = view.tile.core_and_next(view.pixels)
        return {"total_variation": losses.total_variation(near, *view.tile.core_px)}

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weigh the mean."""
        height_px, width_px = size_px
        factor = self._weight / (height_px * width_px)
        return {name: sums[name] * factor for name in ("total_variation",) if name in sums}


TERMS = (Content, Style, Smoothness)


def make_terms(network: Network, targets: Targets, settings: Settings) -> list[Term]:
    """Make every term; one without a target or with weight 0 has no layers and no sums."""
    return [make(network, targets, settings) for make in TERMS]


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _positions(name: str, network: Network, size_px: tuple[int, int]) -> int:
    stride_px = _stride_px(name, network)
    return (size_px[0] // stride_px) * (size_px[1] // stride_px)


def _stride_px(name: str, network: Network) -> int:
    return check_layer(name, network.name).stride_px
