"""Targets of the objective: the content's features and the styles' statistics, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from impasto.compute.allocator import trim_heap
from impasto.compute.distributed import ALONE, Ranks
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.losses.style import make_statistic, matching_term
from impasto.losses.tiling import Tile, geometry
from impasto.models.base import FeatureNetwork
from impasto.models.int8 import Int8Pass
from impasto.models.vgg import VGGFeatures


@dataclass(frozen=True)
class RegionTarget:
    """The target of one region: the weights of its mask, (1, 1, H, W), and its style.

    No mask means everywhere.
    """

    mask: Tensor | None
    style: dict[str, Tensor]


@dataclass(frozen=True)
class Held:
    """The picture that a frame of a film is held to.

    Attributes:
        image: the frames before it, moved along the optical flow, (1, 3, H, W).
        certainty: how far each pixel is known to be the same, (1, 1, H, W) in [0, 1].
        weight: of the mean squared difference.
    """

    image: Tensor
    certainty: Tensor
    weight: float


@dataclass(frozen=True)
class Targets:
    """The targets that a painting is compared with.

    Attributes:
        content: features by layer, (1, C, H, W).
        style: statistics divided by their own number of positions, by layer.
        content_image: (1, 3, H, W), in place of ``content``: its features are then computed
            again for each tile, which takes time instead of memory; its type may be narrow.
        regions: parts of the image with a style of their own.
        rest: the weights, (1, 1, H, W), of the part with ``style``; None for all of the image.
        held: what a frame of a film is held to; None for a picture of its own.
    """

    content: dict[str, Tensor]
    style: dict[str, Tensor]
    content_image: Tensor | None = None
    regions: tuple[RegionTarget, ...] = ()
    rest: Tensor | None = None
    held: Held | None = None


@dataclass(frozen=True)
class StylePicture:
    """A style picture, (1, 3, H, W), and how much it and each of its pixels counts.

    Attributes:
        image: its pixels.
        share: of the whole style.
        mask: (1, 1, H, W) in [0, 1]; None for all alike.
    """

    image: Tensor
    share: float = 1.0
    mask: Tensor | None = None


def content_targets(
    network: FeatureNetwork,
    image: Tensor,
    settings: Settings,
    *,
    tile_px: int | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Tensor]:
    """Return the content image's features, P, by layer; the ``ranks`` share the work."""
    whole: dict[str, Tensor] = {}
    for tile, maps in tiled_features(
        network, image, tuple(settings.content_layers), tile_px, ranks
    ):
        for name, features in maps.items():
            stride_px = network.spec.layer(name).stride_px
            if name not in whole:
                size = [side_px // stride_px for side_px in image.shape[-2:]]
                whole[name] = torch.empty(
                    *features.shape[:2],
                    *size,
                    dtype=features.dtype,
                    device=features.device,
                    memory_format=torch.channels_last,
                )
                if ranks.count > 1:
                    whole[name].zero_()
            tile.core_of_image(whole[name], stride_px).copy_(features)
    for features in whole.values():
        # The features of other ranks are 0 here, and those of this one are 0 there.
        ranks.add_in_place(features.permute(0, 2, 3, 1))
    return whole


def style_targets(
    network: FeatureNetwork,
    images: Sequence[Tensor],
    settings: Settings,
    *,
    masks: Sequence[Tensor | None] | None = None,
    tile_px: int | None = None,
) -> dict[str, Tensor]:
    """Return the style images' statistics per position by layer, blended by their weights.

    Args:
        network: whose features count.
        images: (1, 3, H, W) each.
        settings: layers, statistic and weights of the images.
        masks: the weight of each pixel of each image, as in :func:`style_statistics`; None for
            equal weights.
        tile_px: largest side of a tile.
    """
    shares = style_shares(len(images), settings)
    masks = masks or [None] * len(images)
    if (own := matching_term(settings)) is not None:
        pictures = [StylePicture(*one) for one in zip(images, shares, masks, strict=True)]
        return own.style_targets(network, pictures, settings, tile_px=tile_px)
    blended: dict[str, Tensor] = {}
    for image, share, mask in zip(images, shares, masks, strict=True):
        statistics = style_statistics(network, image, settings, mask=mask, tile_px=tile_px)
        add(blended, {name: value * share for name, value in statistics.items()})
    return blended


def style_statistics(
    network: FeatureNetwork,
    image: Tensor,
    settings: Settings,
    *,
    mask: Tensor | None = None,
    tile_px: int | None = None,
) -> dict[str, Tensor]:
    """Return one style image's statistics per position by layer.

    Args:
        network: whose features count.
        image: (1, 3, H, W).
        settings: layers and statistic.
        mask: the weight of each pixel, (1, 1, H, W) in [0, 1]; a layer where no weight is above 0
            is omitted.
        tile_px: largest side of a tile.

    Raises:
        SettingsError: there are several tiles, and the statistic is not additive.
    """
    if (own := matching_term(settings)) is not None:
        picture = StylePicture(image, mask=mask)
        return own.style_targets(network, [picture], settings, tile_px=tile_px)
    statistic = make_statistic(settings)
    check_whole(statistic.additive, f"statistic {settings.statistic!r}", tile_px)
    names = statistic.layers
    weights = LayerWeights(network, names, (image.shape[-2], image.shape[-1]), mask)
    sums: dict[str, Tensor] = {}
    for tile, features_by_layer in tiled_features(network, image, names, tile_px):
        add(sums, statistic.sum(features_by_layer, weights.roots(tile)))
    masses = weights.masses
    return {name: value / masses[name] for name, value in sums.items() if masses[name]}


class LayerWeights:
    """The weight of each position of some layers: the mask's mean over its cell, or 1.

    Attributes:
        masses: the sum over positions, by layer.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        names: Sequence[str],
        size_px: tuple[int, int],
        mask: Tensor | None,
    ) -> None:
        self._strides_px = {name: network.spec.layer(name).stride_px for name in names}
        self._roots: dict[int, Tensor] = {}
        self.masses: dict[str, float] = {}
        for name, stride_px in self._strides_px.items():
            self.masses[name] = (size_px[0] // stride_px) * (size_px[1] // stride_px)
            if mask is not None:
                cells = functional.avg_pool2d(mask, stride_px)
                self._roots[stride_px] = cells.sqrt()
                self.masses[name] = float(cells.sum(dtype=torch.float64))

    def cells(self, name: str) -> Tensor | None:
        """Return the weights of a whole layer, (1, 1, H, W); None where all are 1."""
        return self._roots[self._strides_px[name]].square() if self._roots else None

    def roots(self, tile: Tile) -> dict[str, Tensor | None]:
        """Return the square roots of the weights in a tile's core; None where all are 1."""
        return {
            name: tile.core_of_image(self._roots[stride_px], stride_px) if self._roots else None
            for name, stride_px in self._strides_px.items()
        }


def check_whole(additive: bool, label: str, tile_px: int | None, ranks: Ranks = ALONE) -> None:
    """Check that a statistic or term that is not additive is not computed in parts.

    Args:
        additive: whether sums over tiles add up.
        label: the statistic or term, for messages.
        tile_px: largest side of a tile; None for no tiling.
        ranks: the processes that share the picture.

    Raises:
        SettingsError: it would be computed in parts.
    """
    if additive or (tile_px is None and ranks.count == 1):
        return
    parts = f"{ranks.count} processes" if ranks.count > 1 else f"tiles of {tile_px} pixels"
    raise SettingsError(
        f"{label}: expected a picture held whole by one process, because its sums over parts of "
        f"a picture do not add up, got {parts}; ask for a smaller size, allow more memory, or "
        "do without it"
    )


def style_shares(count: int, settings: Settings) -> list[float]:
    """Return the weight of each of ``count`` style pictures; the weights sum to 1."""
    weights = settings.style_weights or (1.0,) * count
    return [weight / sum(weights) for weight in weights]


def core_features(
    network: FeatureNetwork,
    window: Tensor,
    layers: tuple[str, ...],
    tile: Tile,
    *,
    int8: Int8Pass | None = None,
) -> dict[str, Tensor]:
    """Return the features of a tile's core by layer, from the pixels of its window.

    The gradients that reach them are overwritten. ``int8`` is as VGGFeatures.features takes it.
    """
    if int8 is None:
        features_by_layer = network.features(window, layers, keep_gradients=False)
    else:
        assert isinstance(network, VGGFeatures)  # the plan sees to it
        features_by_layer = network.features(window, layers, keep_gradients=False, int8=int8)
    return {
        name: tile.core(features, network.spec.layer(name).stride_px)
        for name, features in features_by_layer.items()
    }


def split(
    network: FeatureNetwork, layers: tuple[str, ...], image: Tensor, tile_px: int | None
) -> list[Tile]:
    """Cover an image by the tiles that ``layers`` need; one tile if ``tile_px`` is None."""
    height_px, width_px = image.shape[-2:]
    return geometry(layers, network.name, wraps=network.padding == "circular").split(
        height_px, width_px, tile_px
    )


def add(sums: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add the sums of another tile to ``sums``, in place and without their graph."""
    for name, value in more.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()


def tiled_features(
    network: FeatureNetwork,
    image: Tensor,
    layers: tuple[str, ...],
    tile_px: int | None,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
    """Yield each tile of this rank with the features of its core, without a gradient."""
    tiles = ranks.share(split(network, layers, image, tile_px))
    for tile in tiles:
        with torch.no_grad():
            features_by_layer = core_features(network, tile.window(image), layers, tile)
        yield tile, features_by_layer
        del features_by_layer
        if len(tiles) > 1:
            trim_heap(image.device)
