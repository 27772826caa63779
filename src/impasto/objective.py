r"""What is minimised: targets frozen once, then image -> the value of each term, and the gradient.

Every term is a function of additive statistics of the image: a Gram matrix, or a
pointwise sum such as the squared distance to the content's features. So the evaluation
has three parts: add up the sums; find each term and its slope on those (small) sums; take
the slopes back to the pixels. Only the first and the last touch the image, and both go
tile by tile; an image held whole is one tile. The gradient is the same, exactly.

    total = alpha * L_content + beta * L_style + total_variation * L_tv
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import losses
from impasto.errors import SettingsError
from impasto.layers import check_layer
from impasto.network import Network
from impasto.settings import Settings
from impasto.statistics import gram_sum
from impasto.tiles import Tile, geometry


@dataclass(frozen=True)
class Evaluation:
    """The objective at one image: each weighted term, their sum, and the gradient.

    Terms and total are scalars that may still be under way on the device.
    """

    terms: dict[str, Tensor]
    total: Tensor
    gradient: Tensor

    def values(self) -> dict[str, float]:
        """Fetch the terms and ``total`` as numbers."""
        names = [*self.terms, "total"]
        numbers = torch.stack([*self.terms.values(), self.total]).tolist()
        return dict(zip(names, numbers, strict=True))


@dataclass(frozen=True)
class Targets:
    """What the painting should come to.

    Attributes:
        content: features by layer, (1, C, H, W).
        style: Gram matrices divided by their own number of positions, by layer, (C, C).
        content_image: (1, 3, H, W), in place of ``content``: its features are then computed
            anew for each tile, which takes time instead of memory.
    """

    content: dict[str, Tensor]
    style: dict[str, Tensor]
    content_image: Tensor | None = None


class Objective:
    """The weighted sum of terms for one image size.

    Args:
        network: whose features are compared.
        targets: from ``content_targets`` and ``style_targets``; a term without a target or
            with weight 0 is left out.
        settings: alpha, beta, layer weights, total variation (None counts as 0), normalisation.
        tile_px: largest side of a tile, in pixels; None to hold the image whole.
    """

    def __init__(
        self,
        network: Network,
        targets: Targets,
        settings: Settings,
        *,
        tile_px: int | None = None,
    ) -> None:
        self.network = network
        self.targets = targets
        self.settings = settings
        self.tile_px = tile_px
        self._content = _shares(settings.content_layers) if settings.alpha else {}
        self._style = _shares(settings.style_layers) if settings.beta else {}
        if targets.content_image is None:
            self._content = {
                name: share for name, share in self._content.items() if name in targets.content
            }
        self._style = {name: w for name, w in self._style.items() if name in targets.style}
        if not self._content and not self._style:
            raise SettingsError(
                "nothing to minimise: expected alpha or beta above 0 with at least one layer"
            )
        self._layers = tuple(dict.fromkeys([*self._content, *self._style]))

    def evaluate(self, image: Tensor) -> Evaluation:
        """Return the terms and the gradient at ``image``, (1, 3, H, W) in [0, 1] or near it."""
        *others, last = _tiles(self.network, self._layers, image, self.tile_px)
        sums: dict[str, Tensor] = {}
        for tile in others:
            with torch.no_grad():
                _add(sums, self._sums(tile.window(image), tile))
        # The last tile is still in memory when the slopes are known, and is not computed
        # twice: nor is an image held whole, which is its own last tile.
        seen = self._look(image, last)
        _add(sums, seen.sums)
        terms, slopes = self._slopes(sums, image)
        gradient = torch.zeros_like(image)
        last.window(gradient).add_(seen.gradient(slopes))
        del seen
        for tile in others:
            tile.window(gradient).add_(self._look(image, tile).gradient(slopes))
        return Evaluation(terms, torch.stack(list(terms.values())).sum(), gradient)

    def _look(self, image: Tensor, tile: Tile) -> _Seen:
        pixels = tile.window(image).detach().requires_grad_()
        with torch.enable_grad():
            return _Seen(pixels, self._sums(pixels, tile))

    def _slopes(
        self, sums: dict[str, Tensor], image: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weighted terms, and the slope of their total on each sum."""
        with torch.enable_grad():
            small = {name: value.detach().requires_grad_() for name, value in sums.items()}
            terms = self._terms(small, image)
            total = torch.stack(list(terms.values())).sum()
            slopes = torch.autograd.grad(total, list(small.values()))
        detached = {name: term.detach() for name, term in terms.items()}
        return detached, dict(zip(small, slopes, strict=True))

    def _sums(self, pixels: Tensor, tile: Tile) -> dict[str, Tensor]:
        """Add up what the terms need to know of a tile's core, given its window's pixels."""
        found = _core_features(self.network, pixels, self._layers, tile)
        wanted = self._wanted(tile)
        sums = {
            f"content:{name}": losses.content_loss(found[name], wanted[name])
            for name in self._content
        }
        sums |= {f"style:{name}": gram_sum(found[name]) for name in self._style}
        if self.settings.total_variation:
            sums["total_variation"] = losses.total_variation(
                tile.core_and_next(pixels), *tile.core_px
            )
        return sums

    def _wanted(self, tile: Tile) -> dict[str, Tensor]:
        """Return the content's features in a tile's core."""
        if self.targets.content_image is None:
            return {
                name: tile.core_of_image(features, self._stride_px(name))
                for name, features in self.targets.content.items()
            }
        window = tile.window(self.targets.content_image)
        with torch.no_grad():
            return _core_features(self.network, window, tuple(self._content), tile)

    def _terms(self, sums: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        """Turn sums into weighted terms."""
        terms = {}
        for name, share in self._content.items():
            positions = self._positions(name, image) if self._per_position else 1
            terms[f"content:{name}"] = (
                self.settings.alpha * share / positions * sums[f"content:{name}"]
            )
        for name, share in self._style.items():
            positions = self._positions(name, image)
            gram = sums[f"style:{name}"]
            # The style image has its own size: its Gram matrix, kept per position, is
            # brought to this image's number of positions.
            terms[f"style:{name}"] = (
                self.settings.beta
                * share
                * losses.style_loss(
                    gram, self.targets.style[name] * positions, len(gram), positions
                )
            )
        if "total_variation" in sums:
            pixels = image.shape[-1] * image.shape[-2]
            terms["total_variation"] = (
                (self.settings.total_variation or 0) / pixels * sums["total_variation"]
            )
        return terms

    @property
    def _per_position(self) -> bool:
        return self.settings.normalisation == "position"

    def _positions(self, name: str, image: Tensor) -> int:
        stride_px = self._stride_px(name)
        return (image.shape[-2] // stride_px) * (image.shape[-1] // stride_px)

    def _stride_px(self, name: str) -> int:
        return check_layer(name, self.network.name).stride_px


@dataclass(frozen=True)
class _Seen:
    """A window's pixels and its sums, with all that leads back from these to those."""

    pixels: Tensor
    sums: dict[str, Tensor]

    def gradient(self, slopes: dict[str, Tensor]) -> Tensor:
        """Take the slopes on the sums back to the pixels."""
        (gradient,) = torch.autograd.grad(
            list(self.sums.values()), self.pixels, [slopes[name] for name in self.sums]
        )
        return gradient


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
            _add(grams, {name: gram_sum(features) for name, features in found.items()})
            for name, features in found.items():
                positions[name] += features[0, 0].numel()
        _add(blended, {name: gram * (share / positions[name]) for name, gram in grams.items()})
    return blended


def style_shares(count: int, settings: Settings) -> list[float]:
    """Return how much each of ``count`` style pictures counts; the shares sum to 1."""
    weights = settings.style_weights or (1.0,) * count
    return [weight / sum(weights) for weight in weights]


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _tiles(
    network: Network, layers: tuple[str, ...], image: Tensor, tile_px: int | None
) -> list[Tile]:
    height_px, width_px = image.shape[-2:]
    return geometry(layers, network.name).split(height_px, width_px, tile_px)


def _features(
    network: Network, image: Tensor, layers: tuple[str, ...], tile_px: int | None
) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
    """Yield each tile with the features of its core; for targets: without a gradient."""
    for tile in _tiles(network, layers, image, tile_px):
        with torch.no_grad():
            found = _core_features(network, tile.window(image), layers, tile)
        yield tile, found


def _core_features(
    network: Network, window: Tensor, layers: tuple[str, ...], tile: Tile
) -> dict[str, Tensor]:
    return {
        name: tile.core(features, check_layer(name, network.name).stride_px)
        for name, features in network.features(window, layers).items()
    }


def _add(sums: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, value in more.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()
