"""The setup of one scale: its first image, and the targets of its objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from impasto import images
from impasto.config.affects import values_without_weights
from impasto.config.registry import STATISTICS
from impasto.config.settings import Settings
from impasto.engine import canvas, pyramid, regions
from impasto.engine.cache import Cache
from impasto.engine.inputs import Inputs, noise, style_tile_px
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
from impasto.models.base import FeatureNetwork
from impasto.planning.plan import ScalePlan


@dataclass(frozen=True)
class ScaleSetup:
    """Makes the first image, and the targets of each scale, from the inputs.

    Attributes:
        inputs: pictures and settings, with alpha and beta in place of strength.
        network: the network whose features are compared.
        device: the device of all tensors that are returned.
        cache: style statistics of earlier jobs.
    """

    inputs: Inputs
    network: FeatureNetwork
    device: torch.device
    cache: Cache

    @cached_property
    def _style_network(self) -> FeatureNetwork:
        """The network for style pictures: they have borders even if the texture wraps around."""
        settings = self.inputs.settings
        return self.network.padded(settings.padding) if settings.seamless else self.network

    def first_image(self, scale: Scale) -> Tensor:
        """Return the canvas that painting starts from, (1, 3, H, W)."""
        inputs = self.inputs
        if inputs.start is not None:
            return self._on_device(canvas.extend(canvas.center_cropped(inputs.start, scale), scale))
        image: Tensor | None = None
        for name, share in inputs.starts.items():
            part = self.start(name, scale)
            part = part if share == 1 else part * share
            image = part if image is None else image + part
            del part  # a large picture should not be in memory twice
        assert image is not None
        return self._on_device(image)

    def start(self, name: str, scale: Scale) -> Tensor:
        """Return the canvas of one named start: noise, style, content or matched, (1, 3, H, W)."""
        inputs = self.inputs
        if name == "noise":
            return noise(*scale.canvas_px, inputs.settings.seed)
        if name == "style":
            return canvas.extend(canvas.center_cropped(inputs.styles[0], scale), scale)
        assert inputs.content is not None
        image = canvas.resized(inputs.content, scale)
        if name == "matched":
            image = self._matched(image, scale)
        return canvas.extend(image, scale)

    def _style_colours(self) -> Colours:
        shares = style_shares(len(self.inputs.styles), self.inputs.settings)
        styles = self.inputs.styles
        pixels, alphas = [style.pixels for style in styles], [style.alpha for style in styles]
        return colour.colours(pixels, shares, alphas)

    def targets(self, scale: Scale, scale_plan: ScalePlan) -> Targets:
        """Return the targets of the objective at ``scale``."""
        inputs, settings = self.inputs, self.inputs.settings
        content, pixels = {}, None
        style: dict[str, Tensor] = {}
        areas: tuple[RegionTarget, ...] = ()
        rest = None
        if inputs.content is not None and settings.alpha:
            pixels = self._on_device(canvas.extend(canvas.resized(inputs.content, scale), scale))
            if scale_plan.cache_content:
                content = content_targets(
                    self.network,
                    pixels,
                    settings,
                    tile_px=scale_plan.tile_px,
                    ranks=scale_plan.ranks,
                )
                pixels = None
            else:
                pixels = pixels.to(self._photograph_dtype)
        if inputs.areas and settings.beta:
            masks = self._masks(scale)
            areas = tuple(
                RegionTarget(
                    self._on_device(canvas.extend(mask, scale)),
                    self._area_style(area, scale, scale_plan),
                )
                for mask, area in zip(masks, inputs.areas, strict=True)
            )
            rest = self._on_device(canvas.extend(regions.rest(masks), scale))
        if inputs.styles and settings.beta and (rest is None or bool(rest.any())):
            ratios = pyramid.style_scales(len(inputs.styles), settings)
            pictures = [
                self._on_device(self._style_at(style, scale, ratio))
                for style, ratio in zip(inputs.styles, ratios, strict=True)
            ]
            opacities = [
                _opacity(style, picture)
                for style, picture in zip(inputs.styles, pictures, strict=True)
            ]
            tile_px = scale_plan.tile_px or style_tile_px(scale, inputs)
            style = self._cached(
                (self._style_network, pictures, opacities, _style_options(settings), tile_px),
                lambda: style_targets(
                    self._style_network, pictures, settings, masks=opacities, tile_px=tile_px
                ),
            )
        held = inputs.held if scale == inputs.scales[-1] else None
        return Targets(content, style, content_image=pixels, regions=areas, rest=rest, held=held)

    def _masks(self, scale: Scale) -> list[Tensor]:
        return [
            regions.grey(area.mask, scale.height_px, scale.width_px) for area in self.inputs.areas
        ]

    def _area_style(
        self, area: LoadedRegion, scale: Scale, scale_plan: ScalePlan
    ) -> dict[str, Tensor]:
        network = self._style_network
        image = self._on_device(self._style_at(area.style, scale, 1.0))
        mask = _opacity(area.style, image)
        if area.style_mask is not None:
            part = self._on_device(regions.grey(area.style_mask, *image.shape[-2:]))
            mask = part if mask is None else part * mask
        settings = self.inputs.settings
        return self._cached(
            (network, image, mask, _style_options(settings), scale_plan.tile_px),
            lambda: style_statistics(
                network, image, settings, mask=mask, tile_px=scale_plan.tile_px
            ),
        )

    def _cached(
        self, key: Sequence[Any], compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return a style's statistics from the cache; candidates are too large for it."""
        if matching_term(self.inputs.settings) is not None:
            return compute()
        return self.cache.get_or_compute("style", key, compute)

    def _matched(self, image: Tensor, scale: Scale) -> Tensor:
        """Give each region of the photograph the colours of its style."""
        inputs = self.inputs
        outside = self._style_colours()
        assert inputs.content is not None
        alpha = _opacity(inputs.content, image)
        if not inputs.areas:
            return colour.match(image, outside, alpha)
        masks = self._masks(scale)
        targets = [
            colour.colours([pixels], [1.0], [opacity])
            for pixels, opacity in (
                _masked_pixels(area.style, area.style_mask) for area in inputs.areas
            )
        ]
        matched, mass = torch.zeros_like(image), torch.zeros_like(masks[0])
        for mask, target in zip([*masks, regions.rest(masks)], [*targets, outside], strict=True):
            inside = (mask > 0).expand_as(image)
            if inside.any():
                own = torch.zeros_like(image)
                opacity = None if alpha is None else alpha[inside[:, :1]].view(1, 1, 1, -1)
                pixels = image[inside].view(1, 3, 1, -1)
                own[inside] = colour.match(pixels, target, opacity).flatten()
                matched += mask * own
                mass += mask
        return matched / mass.clamp_min(1e-6)

    def _style_at(self, style: Picture, scale: Scale, ratio: float) -> Tensor:
        size_px = pyramid.shown_px(style, scale, ratio, self.inputs.smallest_px)
        return images.resize(style.pixels, *size_px)

    @property
    def _photograph_dtype(self) -> torch.dtype:
        """The dtype of the photograph: float16 for a 16-bit network, as most files have 8 bits."""
        narrow = self.network.dtype in (torch.bfloat16, torch.float16)
        return torch.float16 if narrow else torch.float32

    def _on_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device)


def _masked_pixels(style: Picture, mask: Picture | None) -> tuple[Tensor, Tensor | None]:
    """Return the pixels mostly inside a mask, in one row (1, 3, 1, n), and their opacity."""
    pixels, alpha = style.pixels, style.alpha
    if mask is None:
        return pixels, alpha
    weights = regions.grey(mask, *pixels.shape[-2:])
    inside = weights >= min(0.5, float(weights.max()))
    opacity = None if alpha is None else alpha[inside].view(1, 1, 1, -1)
    return pixels[inside.expand_as(pixels)].view(1, 3, 1, -1), opacity


def _opacity(picture: Picture, resized: Tensor) -> Tensor | None:
    """Return a picture's opacity at the size, and on the device, of its resized pixels."""
    if picture.alpha is None:
        return None
    return images.resize(picture.alpha, *resized.shape[-2:]).to(resized.device)


def _style_options(settings: Settings) -> dict[str, Any]:
    """Return what a style's statistics depend on, beside network and pictures."""
    # A program may register another statistic under the same name.
    part = STATISTICS.load(settings.statistic)
    return {**values_without_weights(settings, "network", "style_target"), "part": part}
