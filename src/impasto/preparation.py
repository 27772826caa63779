"""What a size is painted from and towards: its first image, and the targets of its objective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import canvas, colour, images, inputs
from impasto.colour import Colours
from impasto.images import Picture
from impasto.inputs import Inputs
from impasto.network import Network
from impasto.planning import Way
from impasto.pyramid import Scale
from impasto.reuse import Reuse
from impasto.settings import Settings
from impasto.targets import Targets, content_targets, style_shares, style_targets

# What the statistics of a style do not depend on, but through the pictures shown to the network.
_BESIDE_STYLE = (
    "size",
    "aspect",
    "seed",
    "start",
    "strength",
    "colour",
    "content_layers",
    "alpha",
    "beta",
    "total_variation",
    "margin",
    "normalisation",
    "optimiser",
    "iterations",
    "learning_rate",
    "history",
    "coarsest",
    "size_ratio",
)


@dataclass(frozen=True)
class Preparation:
    """Makes ready, from the pictures given, what one size after another needs."""

    given: Inputs
    network: Network
    device: torch.device
    reuse: Reuse

    def first_image(self, scale: Scale) -> Tensor:
        """Return the canvas that painting begins with, (1, 3, H, W), at the coarsest size."""
        given = self.given
        if given.start is not None:
            return self._place(canvas.extend(canvas.covered(given.start, scale), scale))
        parts = [self.start(name, scale) * share for name, share in given.starts.items()]
        return self._place(torch.stack(parts).sum(0))

    def start(self, name: str, scale: Scale) -> Tensor:
        """Return the canvas that painting begins with if it starts from ``name`` alone."""
        given = self.given
        if name == "noise":
            return inputs.noise(*scale.canvas_px, given.settings.seed)
        if name == "style":
            return canvas.extend(canvas.covered(given.styles[0], scale), scale)
        assert given.content is not None
        image = canvas.fitted(given.content, scale)
        if name == "matched":
            image = colour.match(image, self._style_colours())
        return canvas.extend(image, scale)

    def _style_colours(self) -> Colours:
        shares = style_shares(len(self.given.styles), self.given.settings)
        return colour.colours([style.pixels for style in self.given.styles], shares)

    def targets(self, scale: Scale, way: Way) -> Targets:
        """Return what the painting should come to at ``scale``."""
        given, settings = self.given, self.given.settings
        content, style, pixels = {}, {}, None
        if given.content is not None and settings.alpha:
            pixels = self._place(canvas.extend(canvas.fitted(given.content, scale), scale))
            if way.keep_content:
                content = content_targets(self.network, pixels, settings, tile_px=way.tile_px)
                pixels = None
            else:
                pixels = pixels.to(self._photograph_dtype)
        if given.styles and settings.beta:
            pictures = [
                self._place(self._style_at(style, scale, ratio))
                for style, ratio in zip(
                    given.styles, inputs.style_scales(len(given.styles), settings), strict=True
                )
            ]
            style = self.reuse.recall(
                "style",
                (self.network, pictures, _about_style(settings), way.tile_px),
                lambda: style_targets(self.network, pictures, settings, tile_px=way.tile_px),
            )
        return Targets(content, style, content_image=pixels)

    def _style_at(self, style: Picture, scale: Scale, ratio: float) -> Tensor:
        """Show a painting at ``ratio`` times the size being painted: strokes grow with both.

        It is never enlarged: blur would be taken for its style.
        """
        longest_px = max(style.height_px, style.width_px)
        shortest_px = min(style.height_px, style.width_px)
        least_px = math.ceil(self.given.smallest_px * longest_px / shortest_px)
        size = images.fit(
            style.height_px,
            style.width_px,
            min(longest_px, max(round(ratio * scale.longest_px), least_px)),
        )
        return images.resize(style.pixels, *size)

    @property
    def _photograph_dtype(self) -> torch.dtype:
        """A narrow network is shown a narrow photograph, in eleven bits: files have eight."""
        narrow = self.network.dtype in (torch.bfloat16, torch.float16)
        return torch.float16 if narrow else torch.float32

    def _place(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device)


def _about_style(settings: Settings) -> Settings:
    """Leave out of ``settings`` what makes no difference to a style's statistics."""
    return settings.model_copy(update=dict.fromkeys(_BESIDE_STYLE))
