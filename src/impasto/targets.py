"""What a painting should come to: the content's features, the styles' statistics, frozen once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.layers import check_layer
from impasto.network import Network
from impasto.settings import Settings
from impasto.statistics import gram_sum
from impasto.tiles import Tile, geometry


@dataclass(frozen=True)
class Targets:
    """What the painting should come to.

    Attributes:
        content: features by layer, (1, C, H, W).
        style: Gram matrices divided by their own number of positions, by layer, (C, C).
        content_image: (1, 3, H, W), in place of ``content``: its features are then computed
            anew for each tile, which takes time instead of memory; it may be narrow.
    """

    content: dict[str, Tensor]
    style: dict[str, Tensor]
    content_image: Tensor | None = None


def content_targets(
    network: Network, image: Tensor, settings: Settings, *, tile_px: int | None = None
) -> dict[str, Tensor]:
    """Return the content image's features, P, by layer."""
    whole: dict[str, Tensor] = {}
    for tile, found in _features(network, image, tuple(settings.content_layers), tile_px):
        for name, features in found.items():
            stride_px = check_layer(name, network.name).stride_px
            if name not in whole:
                size = [side_px // stride_px for side_px in image.shape[-2:]]
                whole[name] = torch.empty(
                    *features.shape[:2],
                    *size,
                    dtype=features.dtype,
                    device=features.device,
                    memory_format=torch.channels_last,
                )
            tile.core_of_image(whole[name], stride_px).copy_(features)
    return whole


def style_targets(
    network: Network,
    images: Sequence[Tensor],
    settings: Settings,
    *,
    tile_px: int | None = None,
) -> dict[str, Tensor]:
    """Return the style images' Gram matrices per position, blended by their weights."""
    names = tuple(settings.style_layers)
    blended: dict[str, Tensor] = {}
    for image, share in zip(images, style_shares(len(images), settings), strict=True):
        grams: dict[str, Tensor] = {}
        positions = dict.fromkeys(names, 0)
        for _, found in _features(network, image, names, tile_px):
            add(grams, {name: gram_sum(features) for name, features in found.items()})
            for name, features in found.items():
                positions[name] += features[0, 0].numel()
        add(blended, {name: gram * (share / positions[name]) for name, gram in grams.items()})
    return blended


def style_shares(count: int, settings: Settings) -> list[float]:
    """Return how much each of ``count`` style pictures counts; the shares sum to 1."""
    weights = settings.style_weights or (1.0,) * count
    return [weight / sum(weights) for weight in weights]


def core_features(
    network: Network, window: Tensor, layers: tuple[str, ...], tile: Tile
) -> dict[str, Tensor]:
    """Return the features of a tile's core by layer, given the pixels of its window."""
    return {
        name: tile.core(features, check_layer(name, network.name).stride_px)
        for name, features in network.features(window, layers).items()
    }


def split(
    network: Network, layers: tuple[str, ...], image: Tensor, tile_px: int | None
) -> list[Tile]:
    """Cover an image by the tiles that ``layers`` ask for; one tile if ``tile_px`` is None."""
    height_px, width_px = image.shape[-2:]
    return geometry(layers, network.name).split(height_px, width_px, tile_px)


def add(sums: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add the sums of another tile to ``sums``, in place and without their graph."""
    for name, value in more.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()


def _features(
    network: Network, image: Tensor, layers: tuple[str, ...], tile_px: int | None
) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
    """Yield each tile with the features of its core, without a gradient."""
    for tile in split(network, layers, image, tile_px):
        with torch.no_grad():
            found = core_features(network, tile.window(image), layers, tile)
        yield tile, found
