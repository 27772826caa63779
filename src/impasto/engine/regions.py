"""Regions: parts of the picture, each with a style of its own, laid down by grey masks.

White is inside, black outside, and grey in between. Gatys et al., "Controlling perceptual
factors in neural style transfer", 2017, section 4.

Differs: a mask weighs positions, not features, so that sums under a mask and under its
inverse add up to the whole; and each region's loss counts by its area, so that a small one
pulls on its pixels no harder than a large one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import images
from impasto.engine import masks
from impasto.errors import ImageError, SettingsError
from impasto.files import path_of
from impasto.images.picture import Picture
from impasto.job.job import ImageSource, Region

# A colon parts the files of a region; after a lone letter it belongs to a drive's name.
_COLON = re.compile(r"(?<![\s:][A-Za-z])(?<!^[A-Za-z]):|(?<=[A-Za-z]):(?![\\/])")
_ADDRESS = re.compile(r"[a-z0-9]+://.*", re.I | re.S)
# Sides may differ in aspect by this share, which rounding to whole pixels explains.
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class LoadedRegion:
    """A region, read and checked.

    Attributes:
        mask: the picture that lays it down on the painting.
        style: what it is painted after.
        style_mask: the picture that says which part of ``style``; None for all of it.
        mask_colour: of the label that was picked in the mask's file, if one was.
        style_mask_colour: of the label that was picked in the style mask's file, if one was.
    """

    mask: Picture
    style: Picture
    style_mask: Picture | None
    mask_colour: str | None = None
    style_mask_colour: str | None = None

    @property
    def pictures(self) -> tuple[Picture, Picture, Picture | None]:
        """Mask, style and style mask."""
        return self.mask, self.style, self.style_mask


@dataclass(frozen=True)
class RegionFiles:
    """The files of a region, as they were written.

    Attributes:
        mask: the path of the mask.
        style: the path of the painting.
        style_mask: the path of the mask on the painting, if there is one.
        mask_colour: of the label that is picked in the mask, as ``#rrggbb``, if one is.
        style_mask_colour: the same for the style mask.
    """

    mask: str
    style: str
    style_mask: str | None = None
    mask_colour: str | None = None
    style_mask_colour: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Mask, style and, if there is one, style mask."""
        return (self.mask, self.style, *([self.style_mask] if self.style_mask else []))


def parse(words: Sequence[str]) -> tuple[Region, ...]:
    """Read regions written as ``MASK:STYLE`` or ``MASK:STYLE:STYLE_MASK``.

    A mask may be a map of labels: ``map.png#ff0000`` picks the label of that colour.

    Raises:
        SettingsError: a word that is neither.
    """
    return tuple(Region(**vars(files)) for files in parse_files(words))


def parse_files(words: Sequence[str]) -> tuple[RegionFiles, ...]:
    """Read the files of regions, as ``parse`` does.

    Raises:
        SettingsError: as ``parse`` does.
    """
    regions = []
    for word in words:
        if address := _ADDRESS.search(word):
            path_of(address[0])  # refuses it
        files = [part.strip() for part in _COLON.split(word)]
        if len(files) not in (2, 3) or not all(files):
            raise SettingsError(
                f"region: expected MASK:STYLE or MASK:STYLE:STYLE_MASK, got {word!r}; such as "
                "sky.png:night.jpg"
            )
        mask, mask_colour = masks.split_colour(files[0])
        style_mask = style_mask_colour = None
        if len(files) == 3:
            style_mask, style_mask_colour = masks.split_colour(files[2])
        regions.append(RegionFiles(mask, files[1], style_mask, mask_colour, style_mask_colour))
    return tuple(regions)


def read(regions: Sequence[Region], height_px: int, width_px: int) -> tuple[LoadedRegion, ...]:
    """Load the pictures of ``regions`` for a painting of this size.

    Raises:
        ImageError: a picture that cannot be read, or a mask that is empty or of another aspect
            than what it lies on.
    """
    areas = []
    for place, region in enumerate(regions, start=1):
        style = images.load(region.style)
        label = f"the mask of region {place}"
        mask_colour, style_mask_colour = (
            colour and masks.check_colour(colour)
            for colour in (region.mask_colour, region.style_mask_colour)
        )
        mask = _load_mask(region.mask, label, height_px, width_px, mask_colour)
        style_mask = None
        if region.style_mask is not None:
            label = f"the style mask of region {place}"
            style_mask = _load_mask(
                region.style_mask, label, style.height_px, style.width_px, style_mask_colour
            )
        areas.append(LoadedRegion(mask, style, style_mask, mask_colour, style_mask_colour))
    return tuple(areas)


def grey(mask: Picture, height_px: int, width_px: int) -> Tensor:
    """Return a mask's weights at another size: (1, 1, height_px, width_px) in [0, 1]."""
    pixels = masks.weights(mask)
    if pixels.shape[-2:] == (height_px, width_px):
        return pixels
    # Not bicubic: it would throw dark and bright lines along a hard border.
    return F.interpolate(pixels, (height_px, width_px), mode="bilinear", antialias=True)


def rest(weights: Sequence[Tensor]) -> Tensor:
    """Return how much of each pixel no mask covers: (1, 1, H, W) in [0, 1], as the masks are."""
    return (1 - torch.stack([*weights]).sum(0)).clamp_min(0)


def _load_mask(
    source: ImageSource, label: str, height_px: int, width_px: int, colour: str | None
) -> Picture:
    mask = masks.load(source, label, colour)
    wanted, got = width_px / height_px, mask.width_px / mask.height_px
    if abs(got / wanted - 1) > max(_ASPECT_TOLERANCE, 1 / min(height_px, mask.height_px)):
        raise ImageError(
            f"{label} ({mask.name!r}): expected the aspect of what it lies on, {width_px} x "
            f"{height_px}, got {mask.width_px} x {mask.height_px}; cut it to the same shape"
        )
    return mask
