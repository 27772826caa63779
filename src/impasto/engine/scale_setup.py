"""What a size is painted from and towards: its first image, and the targets of its objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from impasto import images
from impasto.config.affects import values_without_weights
from impasto.config.settings import Settings
from impasto.engine import canvas, inputs, pyramid, regions
from impasto.engine.cache import Cache
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.engine.regions import LoadedRegion
from impasto.images import colour
from impasto.images.colour import Colours
from impasto.images.picture import Picture
from impasto.losses.style import matching_term
from impasto.losses.targets import (
    RegionTarget,
    Targets,
    content_targets,
    style_shares,
    style_statistics,
    style_targets,
)
from impasto.models.vgg import VGGFeatures
from impasto.planning.plan import ScalePlan


@dataclass(frozen=True)
class ScaleSetup:
    """Makes ready, from the pictures given, what one size after another needs."""

    given: Inputs
    network: VGGFeatures
    device: torch.device
    reuse: Cache

    @cached_property
    def _exemplars(self) -> VGGFeatures:
        """The network for paintings, which have borders even where the texture has none."""
        settings = self.given.settings
        return self.network.padded(settings.padding) if settings.seamless else self.network

    def first_image(self, scale: Scale) -> Tensor:
        """Return the canvas that painting begins with, (1, 3, H, W), at the coarsest size."""
        given = self.given
        if given.start is not None:
            return self._place(canvas.extend(canvas.center_cropped(given.start, scale), scale))
        image: Tensor | None = None
        for name, share in given.starts.items():
            part = self.start(name, scale)
            part = part if share == 1 else part * share
            image = part if image is None else image + part
            del part  # a large picture is not to be in memory more often than needed
        assert image is not None
        return self._place(image)

    def start(self, name: str, scale: Scale) -> Tensor:
        """Return the canvas that painting begins with if it starts from ``name`` alone."""
        given = self.given
        if name == "noise":
            return inputs.noise(*scale.canvas_px, given.settings.seed)
        if name == "style":
            return canvas.extend(canvas.center_cropped(given.styles[0], scale), scale)
        assert given.content is not None
        image = canvas.resized(given.content, scale)
        if name == "matched":
            image = self._matched(image, scale)
        return canvas.extend(image, scale)

    def _style_colours(self) -> Colours:
        shares = style_shares(len(self.given.styles), self.given.settings)
        styles = self.given.styles
        pixels, alphas = [style.pixels for style in styles], [style.alpha for style in styles]
        return colour.colours(pixels, shares, alphas)

    def targets(self, scale: Scale, way: ScalePlan) -> Targets:
        """Return what the painting should come to at ``scale``."""
        given, settings = self.given, self.given.settings
        content, pixels = {}, None
        style: dict[str, Tensor] = {}
        areas: tuple[RegionTarget, ...] = ()
        rest = None
        if given.content is not None and settings.alpha:
            pixels = self._place(canvas.extend(canvas.resized(given.content, scale), scale))
            if way.cache_content:
                content = content_targets(
                    self.network, pixels, settings, tile_px=way.tile_px, ranks=way.ranks
                )
                pixels = None
            else:
                pixels = pixels.to(self._photograph_dtype)
        if given.areas and settings.beta:
            masks = self._masks(scale)
            areas = tuple(
                RegionTarget(
                    self._place(canvas.extend(mask, scale)), self._area_style(area, scale, way)
                )
                for mask, area in zip(masks, given.areas, strict=True)
            )
            rest = self._place(canvas.extend(regions.rest(masks), scale))
        if given.styles and settings.beta and (rest is None or bool(rest.any())):
            ratios = pyramid.style_scales(len(given.styles), settings)
            pictures = [
                self._place(self._style_at(style, scale, ratio))
                for style, ratio in zip(given.styles, ratios, strict=True)
            ]
            opacities = [
                _opacity(style, picture)
                for style, picture in zip(given.styles, pictures, strict=True)
            ]
            tile_px = way.tile_px or inputs.style_tile_px(scale, given)
            style = self._kept(
                (self._exemplars, pictures, opacities, _about_style(settings), tile_px),
                lambda: style_targets(
                    self._exemplars, pictures, settings, masks=opacities, tile_px=tile_px
                ),
            )
        return Targets(content, style, content_image=pixels, regions=areas, rest=rest)

    def _masks(self, scale: Scale) -> list[Tensor]:
        return [
            regions.grey(area.mask, scale.height_px, scale.width_px) for area in self.given.areas
        ]

    def _area_style(self, area: LoadedRegion, scale: Scale, way: ScalePlan) -> dict[str, Tensor]:
        network = self._exemplars
        image = self._place(self._style_at(area.style, scale, 1.0))
        mask = _opacity(area.style, image)
        if area.style_mask is not None:
            part = self._place(regions.grey(area.style_mask, *image.shape[-2:]))
            mask = part if mask is None else part * mask
        settings = self.given.settings
        return self._kept(
            (network, image, mask, _about_style(settings), way.tile_px),
            lambda: style_statistics(network, image, settings, mask=mask, tile_px=way.tile_px),
        )

    def _kept(
        self, made_from: Sequence[Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return a style's statistics from the cache; what is matched is too large to be kept."""
        if matching_term(self.given.settings) is not None:
            return make()
        return self.reuse.get_or_compute("style", made_from, make)

    def _matched(self, image: Tensor, scale: Scale) -> Tensor:
        """Give the photograph, region by region, the colours of what it is painted after."""
        given = self.given
        plain = self._style_colours()
        assert given.content is not None
        alpha = _opacity(given.content, image)
        if not given.areas:
            return colour.match(image, plain, alpha)
        masks = self._masks(scale)
        targets = [
            colour.colours([pixels], [1.0], [opacity])
            for pixels, opacity in (_under(area.style, area.style_mask) for area in given.areas)
        ]
        matched, mass = torch.zeros_like(image), torch.zeros_like(masks[0])
        for mask, target in zip([*masks, regions.rest(masks)], [*targets, plain], strict=True):
            inside = (mask > 0).expand_as(image)
            if inside.any():
                own = torch.zeros_like(image)
                seen = None if alpha is None else alpha[inside[:, :1]].view(1, 1, 1, -1)
                pixels = image[inside].view(1, 3, 1, -1)
                own[inside] = colour.match(pixels, target, seen).flatten()
                matched += mask * own
                mass += mask
        return matched / mass.clamp_min(1e-6)

    def _style_at(self, style: Picture, scale: Scale, ratio: float) -> Tensor:
        size_px = pyramid.shown_px(style, scale, ratio, self.given.smallest_px)
        return images.resize(style.pixels, *size_px)

    @property
    def _photograph_dtype(self) -> torch.dtype:
        """A narrow network is shown a narrow photograph, in eleven bits: files have eight."""
        narrow = self.network.dtype in (torch.bfloat16, torch.float16)
        return torch.float16 if narrow else torch.float32

    def _place(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device)


def _under(style: Picture, mask: Picture | None) -> tuple[Tensor, Tensor | None]:
    """Return the pixels mostly under a mask, in one row (1, 3, 1, n), and their opacity."""
    pixels, alpha = style.pixels, style.alpha
    if mask is None:
        return pixels, alpha
    weights = regions.grey(mask, *pixels.shape[-2:])
    inside = weights >= min(0.5, float(weights.max()))
    seen = None if alpha is None else alpha[inside].view(1, 1, 1, -1)
    return pixels[inside.expand_as(pixels)].view(1, 3, 1, -1), seen


def _opacity(picture: Picture, resized: Tensor) -> Tensor | None:
    """Return a picture's opacity at the size, and on the device, of its resized pixels."""
    if picture.alpha is None:
        return None
    return images.resize(picture.alpha, *resized.shape[-2:]).to(resized.device)


def _about_style(settings: Settings) -> dict[str, Any]:
    """Return the settings that a style's statistics depend on, beside network and pictures."""
    return values_without_weights(settings, "network", "style_target")
