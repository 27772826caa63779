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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import images
from impasto.errors import ImageError, SettingsError
from impasto.files import path_of
from impasto.images.picture import Picture
from impasto.job.job import ImageSource, Region

# A colon parts the files of a region; after a lone letter it belongs to a drive's name.
_COLON = re.compile(r"(?<![\s:][A-Za-z])(?<!^[A-Za-z]):|(?<=[A-Za-z]):(?![\\/])")
_ADDRESS = re.compile(r"[a-z0-9]+://.*", re.I | re.S)
# Sides may differ in aspect by this share, which rounding to whole pixels explains.
_ASPECT_TOLERANCE = 0.02
_LEAST_GREY = 0.5 / 255


@dataclass(frozen=True)
class LoadedRegion:
    """A region, read and checked.

    Attributes:
        mask: the picture that lays it down on the painting.
        style: what it is painted after.
        style_mask: the picture that says which part of ``style``; None for all of it.
    """

    mask: Picture
    style: Picture
    style_mask: Picture | None

    @property
    def pictures(self) -> tuple[Picture, Picture, Picture | None]:
        """Mask, style and style mask."""
        return self.mask, self.style, self.style_mask


def parse(words: Sequence[str]) -> tuple[Region, ...]:
    """Read regions written as ``MASK:STYLE`` or ``MASK:STYLE:STYLE_MASK``.

    Raises:
        SettingsError: a word that is neither.
    """
    return tuple(Region(*files) for files in parse_files(words))


def parse_files(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Read the paths of mask, style and, if there is one, style mask of each region.

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
        regions.append(tuple(files))
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
        mask = _load_mask(region.mask, f"the mask of region {place}", height_px, width_px)
        style_mask = None
        if region.style_mask is not None:
            label = f"the style mask of region {place}"
            style_mask = _load_mask(region.style_mask, label, style.height_px, style.width_px)
        areas.append(LoadedRegion(mask, style, style_mask))
    return tuple(areas)


def grey(mask: Picture, height_px: int, width_px: int) -> Tensor:
    """Return a mask's weights at another size: (1, 1, height_px, width_px) in [0, 1]."""
    pixels = mask.pixels.mean(1, keepdim=True)
    if mask.alpha is not None:
        pixels = pixels * mask.alpha
    if pixels.shape[-2:] == (height_px, width_px):
        return pixels
    # Not bicubic: it would throw dark and bright lines along a hard border.
    return F.interpolate(pixels, (height_px, width_px), mode="bilinear", antialias=True)


def rest(masks: Sequence[Tensor]) -> Tensor:
    """Return how much of each pixel no mask covers: (1, 1, H, W) in [0, 1], as the masks are."""
    return (1 - torch.stack([*masks]).sum(0)).clamp_min(0)


def _black_and_white(source: ImageSource) -> ImageSource:
    """Turn what a comparison gives, an array or a tensor of truths, into grey levels."""
    if isinstance(source, np.ndarray) and source.dtype == bool:
        return source.astype(np.uint8) * 255
    if isinstance(source, Tensor) and source.dtype == torch.bool:
        return source.to(torch.uint8) * 255
    return source


def _load_mask(source: ImageSource, label: str, height_px: int, width_px: int) -> Picture:
    mask = images.load(_black_and_white(source))
    wanted, got = width_px / height_px, mask.width_px / mask.height_px
    if abs(got / wanted - 1) > max(_ASPECT_TOLERANCE, 1 / min(height_px, mask.height_px)):
        raise ImageError(
            f"{label} ({mask.name!r}): expected the aspect of what it lies on, {width_px} x "
            f"{height_px}, got {mask.width_px} x {mask.height_px}; cut it to the same shape"
        )
    if grey(mask, mask.height_px, mask.width_px).max() < _LEAST_GREY:
        raise ImageError(
            f"{label} ({mask.name!r}): expected some white, got black everywhere; paint white "
            "where the region is, or leave the region out"
        )
    return mask
