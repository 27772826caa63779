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
from impasto.config.networks import check_layer
from impasto.config.settings import Settings
from impasto.losses.style import STATISTICS
from impasto.losses.targets import LayerWeights, RegionTarget, Targets, core_features
from impasto.losses.tiling import Tile
from impasto.models.vgg import VGGFeatures


@dataclass(frozen=True)
class View:
    """A tile as the terms see it.

    Attributes:
        size_px: height and width of the image.
        tile: which part of it.
        pixels: of its window, (1, 3, h, w).
        features: of its core, by layer.
    """

    size_px: tuple[int, int]
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

    def __init__(self, network: VGGFeatures, targets: Targets, settings: Settings) -> None:
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
    """Draws towards the painting: beta times the style loss of each layer, by its share.

    Where regions have styles of their own, each is a loss of its own and counts by its area.
    """

    def __init__(self, network: VGGFeatures, targets: Targets, settings: Settings) -> None:
        _, self._beta = settings.weights
        self._shares = _shares(settings.style_layers) if self._beta else {}
        self._network = network
        self._statistic = STATISTICS[settings.statistic]
        whole = RegionTarget(targets.rest, targets.style)
        self._parts = {"": whole} | {
            f":region{place}": region for place, region in enumerate(targets.regions, start=1)
        }
        self._distances = {
            f"style:{name}{ending}": self._statistic(part.style[name])
            for ending, part in self._parts.items()
            for name in self._shares
            if name in part.style
        }
        self.layers = tuple(
            name
            for name in self._shares
            if any(name in part.style for part in self._parts.values())
        )
        self._weights: dict[str, LayerWeights] = {}
        self._size_px: tuple[int, int] | None = None

    def sums(self, view: View) -> dict[str, Tensor]:
        """Add up each layer's statistic, under each mask."""
        found = {}
        for ending, weights in self._of_size(view.size_px).items():
            roots = weights.roots(view.tile)
            for name in self.layers:
                if self._counts(name, ending):
                    features = view.features[name]
                    found[f"style:{name}{ending}"] = self._statistic.sum(features, roots[name])
        return found

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Compare with the painting's statistics: both per position, for their sizes differ."""
        values = {}
        for ending, weights in self._of_size(size_px).items():
            for name in self.layers:
                if self._counts(name, ending):
                    term, mass = f"style:{name}{ending}", weights.masses[name]
                    area = mass / _positions(name, self._network, size_px)
                    loss = self._distances[term](sums[term] / mass)
                    values[term] = loss * (self._beta * self._shares[name] * area)
        return values

    def _of_size(self, size_px: tuple[int, int]) -> dict[str, LayerWeights]:
        """Return the weights of each part, for an image of this size."""
        if size_px != self._size_px:
            self._size_px = size_px
            self._weights = {
                ending: LayerWeights(self._network, self.layers, size_px, part.mask)
                for ending, part in self._parts.items()
            }
        return self._weights

    def _counts(self, name: str, ending: str) -> bool:
        return f"style:{name}{ending}" in self._distances and self._weights[ending].masses[name] > 0


class Smoothness:
    """Calms the pixels: total variation, as a mean over them."""

    layers: tuple[str, ...] = ()

    def __init__(self, network: VGGFeatures, targets: Targets, settings: Settings) -> None:
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


def make_terms(network: VGGFeatures, targets: Targets, settings: Settings) -> list[Term]:
    """Make every term; one without a target or with weight 0 has no layers and no sums."""
    return [make(network, targets, settings) for make in TERMS]


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _positions(name: str, network: VGGFeatures, size_px: tuple[int, int]) -> int:
    stride_px = _stride_px(name, network)
    return (size_px[0] // stride_px) * (size_px[1] // stride_px)


def _stride_px(name: str, network: VGGFeatures) -> int:
    return check_layer(name, network.name).stride_px
