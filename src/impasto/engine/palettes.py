"""The palettes of a painting: each region takes the colours of its own style pictures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping, Sequence

import torch
from torch import Tensor

from impasto import images
from impasto.config.settings import Settings
from impasto.engine import canvas, regions
from impasto.engine.defaults import matched_share
from impasto.engine.pyramid import Scale, shown_px, style_scales
from impasto.engine.regions import LoadedRegion
from impasto.images.palette import ColourHistogram, ColourMap, Palette, find_map, histogram
from impasto.images.picture import Picture
from impasto.losses.targets import style_shares

# The part outside of all regions; a region's part is its index.
_REST = -1
# Palettes in the cache, for sizes, regions and changes of settings: 0.6 MB each.
_MOST_PALETTES = 32


def amount(settings: Settings) -> float:
    """Return how far colours move to those of the style: 1 is fully, 0 is not at all.

    At low strength the photograph keeps more of its own colours, as in the start.
    Without the style term it keeps all of them.

    Args:
        settings: complete.
    """
    if not settings.palette or settings.beta == 0 or settings.strength == 0:
        return 0.0
    strength = 1.0 if settings.strength is None else settings.strength
    return settings.palette * matched_share(strength)


class Palettes:
    """Recolours a painting at any size.

    The colours of a style picture are counted at the size at which the network sees it: at that
    size the fine grain of a large file averages out. Transparent pixels are not counted.

    Args:
        content: the photograph; its transparent pixels are not counted. None if there is none.
        styles: the style pictures outside of all regions.
        areas: the regions, each of which takes the colours of its own style picture.
        smallest_px: the shortest side that leaves every layer in use a feature.
    """

    def __init__(
        self,
        content: Picture | None,
        styles: Sequence[Picture],
        areas: Sequence[LoadedRegion],
        smallest_px: int = 1,
    ) -> None:
        self._alpha = None if content is None else content.alpha
        self._styles, self._areas, self._smallest_px = styles, areas, smallest_px
        self._cache: dict[Hashable, Palette] = {}

    def recolour(
        self,
        image: Tensor,
        scale: Scale,
        settings: Settings,
        maps: MutableMapping[int, ColourMap] | None = None,
    ) -> Tensor:
        """Move the colours of a painting to those of its style pictures.

        Args:
            image: (1, 3, H, W), sRGB in [0, 1]: the canvas at ``scale``. Its margin is not
                counted, but it is recoloured too.
            scale: the size of the canvas.
            settings: complete.
            maps: the colour map of each part; a part without one gets that of this image. The
                frames of a film share them. By default every image has its own.

        Returns:
            The same shape, on the same device; ``image`` itself if no colour moves.
        """
        share = amount(settings)
        if not share:
            return image
        pixels = image.to("cpu", torch.float32)
        alpha = self._alpha_at(scale)
        maps = {} if maps is None else maps
        parts = list(self._parts(scale, settings))
        if len(parts) == 1:
            ((index, _, palette),) = parts
            if index not in maps:
                maps[index] = _map(pixels, scale, alpha, palette)
            return maps[index].apply(pixels, share).to(image)
        mixed, total = torch.zeros_like(pixels), torch.zeros_like(pixels[:, :1])
        for index, mask, palette in parts:
            if index not in maps:
                weights = mask if alpha is None else mask * alpha
                maps[index] = _map(pixels, scale, weights, palette)
            extended = canvas.extend(mask, scale)
            mixed += extended * maps[index].apply(pixels, share)
            total += extended
        return (mixed / total.clamp_min(1e-6)).clamp(0, 1).to(image)

    def plain(self, scale: Scale, settings: Settings) -> list[str]:
        """Return the names of the style pictures that have nearly one colour at ``scale``."""
        if not amount(settings):
            return []
        common = ", ".join(repr(style.name) for style in self._styles)
        palettes = {common: self._common_palette(scale, settings)}
        palettes |= {
            repr(area.style.name): self._region_palette(area, scale) for area in self._areas
        }
        return [name for name, palette in palettes.items() if palette.is_plain]

    def _parts(self, scale: Scale, settings: Settings) -> Iterator[tuple[int, Tensor, Palette]]:
        """Yield each part of the picture: its index, its mask without margin, and its palette."""
        size_px = scale.height_px, scale.width_px
        masks = [regions.grey(area.mask, *size_px) for area in self._areas]
        for index, (mask, area) in enumerate(zip(masks, self._areas, strict=True)):
            yield index, mask, self._region_palette(area, scale)
        rest = regions.rest(masks) if masks else torch.ones(1, 1, *size_px)
        if bool(rest.any()):
            yield _REST, rest, self._common_palette(scale, settings)

    def _common_palette(self, scale: Scale, settings: Settings) -> Palette:
        """Return the palette outside of all regions."""
        count = len(self._styles)
        shares, ratios = style_shares(count, settings), style_scales(count, settings)
        key = (scale.longest_px, tuple(shares), ratios)
        if key not in self._cache:
            histograms = [
                _histogram_at(style, None, shown_px(style, scale, ratio, self._smallest_px))
                for style, ratio in zip(self._styles, ratios, strict=True)
            ]
            self._add(key, Palette(histograms, shares))
        return self._cache[key]

    def _region_palette(self, area: LoadedRegion, scale: Scale) -> Palette:
        """Return the palette of a region."""
        key = (scale.longest_px, self._areas.index(area))
        if key not in self._cache:
            size_px = shown_px(area.style, scale, 1.0, self._smallest_px)
            counted = _histogram_at(area.style, area.style_mask, size_px)
            self._add(key, Palette([counted], [1.0]))
        return self._cache[key]

    def _add(self, key: Hashable, palette: Palette) -> None:
        if len(self._cache) == _MOST_PALETTES:
            self._cache.pop(next(iter(self._cache)))
        self._cache[key] = palette

    def _alpha_at(self, scale: Scale) -> Tensor | None:
        if self._alpha is None:
            return None
        return images.resize(self._alpha, scale.height_px, scale.width_px)


def _map(pixels: Tensor, scale: Scale, weights: Tensor | None, palette: Palette) -> ColourMap:
    """Find the map for the counted pixels of a canvas."""
    return find_map(histogram(canvas.cropped(pixels, scale), weights), palette)


def _histogram_at(
    style: Picture, mask: Picture | None, size_px: tuple[int, int]
) -> ColourHistogram:
    """Count the colours of a style picture, or of the part under a mask, at a size."""
    weights = None if style.alpha is None else images.resize(style.alpha, *size_px)
    if mask is not None:
        inside = regions.grey(mask, *size_px)
        weights = inside if weights is None else inside * weights
    return histogram(images.resize(style.pixels, *size_px), weights)
