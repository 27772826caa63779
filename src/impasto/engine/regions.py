"""Regions: parts of the picture with a style of their own, defined by grey masks.

White is inside, black outside, and grey in between. Gatys et al., "Controlling perceptual
factors in neural style transfer", 2017, section 4.

Differs: a mask weights positions, not features, so that sums under a mask and under its inverse
add up to the whole. The loss of each region is weighted by its area, so that the gradient of a
pixel does not depend on the size of its region.
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

# A colon separates the files of a region; after a single letter it belongs to a drive's name.
_COLON = re.compile(r"(?<![\s:][A-Za-z])(?<!^[A-Za-z]):|(?<=[A-Za-z]):(?![\\/])")
_ADDRESS = re.compile(r"[a-z0-9]+://.*", re.I | re.S)
# Aspects may differ by this share, because sides are rounded to whole pixels.
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class LoadedRegion:
    """A region, read and checked.

    Attributes:
        mask: the picture that marks the region on the painting.
        style: the region's style picture.
        style_mask: the picture that marks the part of ``style`` to use; None for all of it.
        mask_colour: the colour of the label that was picked in the mask, if one was.
        style_mask_colour: the colour of the label that was picked in the style mask, if one was.
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
    """The files of a region, as the user wrote them.

    Attributes:
        mask: the path of the mask.
        style: the path of the painting.
        style_mask: the path of the mask on the painting, if there is one.
        mask_colour: the colour of the label that is picked in the mask, as ``#rrggbb``, if any.
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
        SettingsError: a word of another form.
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
            path_of(address[0])  # raises: a region cannot be an address
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
            than its picture.
    """
    areas = []
    for number, region in enumerate(regions, start=1):
        style = images.load(region.style)
        label = f"the mask of region {number}"
        mask_colour, style_mask_colour = (
            colour and masks.check_colour(colour)
            for colour in (region.mask_colour, region.style_mask_colour)
        )
        mask = _load_mask(region.mask, label, height_px, width_px, mask_colour)
        style_mask = None
        if region.style_mask is not None:
            label = f"the style mask of region {number}"
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
    # Not bicubic: it would overshoot along a hard border.
    return F.interpolate(pixels, (height_px, width_px), mode="bilinear", antialias=True)


def rest(weights: Sequence[Tensor]) -> Tensor:
    """Return the share of each pixel that no mask covers: (1, 1, H, W) in [0, 1]."""
    return (1 - torch.stack([*weights]).sum(0)).clamp_min(0)


def _load_mask(
    source: ImageSource, label: str, height_px: int, width_px: int, colour: str | None
) -> Picture:
    mask = masks.load(source, label, colour)
    wanted, got = width_px / height_px, mask.width_px / mask.height_px
    if abs(got / wanted - 1) > max(_ASPECT_TOLERANCE, 1 / min(height_px, mask.height_px)):
        raise ImageError(
            f"{label} ({mask.name!r}): expected the aspect of its picture, {width_px} x "
            f"{height_px}, got {mask.width_px} x {mask.height_px}; crop it to the same aspect"
        )
    return mask
