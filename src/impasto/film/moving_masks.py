"""Regions whose masks are films: a picture for each frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from impasto import files, images
from impasto.engine.regions import parse
from impasto.errors import SettingsError
from impasto.film.sources import digest, pictures_of
from impasto.job.hashes import LONGEST_NAME, PictureHash
from impasto.job.job import Job, Region


@dataclass(frozen=True)
class MovingRegion:
    """A region, and the mask of each frame of the whole film."""

    region: Region
    masks: tuple[Path, ...]


def separate(job: Job) -> tuple[Job, tuple[MovingRegion, ...]]:
    """Take the regions whose masks are a folder or a pattern out of a job.

    Returns:
        The job with the other regions, and those that were taken out. Their pictures are loaded.

    Raises:
        SettingsError: a region of another form.
        ImageError: a folder or a pattern has no pictures.
    """
    fixed: list[Region] = []
    moving = []
    for region in (*parse(job.settings.region or ()), *job.regions):
        masks = None
        if isinstance(region.mask, (str, os.PathLike)):
            masks = pictures_of(files.path_of(region.mask))
        if masks is None:
            fixed.append(region)
        else:
            # Painted with in every frame, so it is loaded once.
            loaded = replace(region, style=images.load(region.style))
            moving.append(MovingRegion(loaded, tuple(masks)))
    settings = job.settings.model_copy(update={"region": None})
    return replace(job, settings=settings, regions=tuple(fixed)), tuple(moving)


def at(moving: Sequence[MovingRegion], number: int) -> tuple[Region, ...]:
    """Return the regions of a frame.

    Args:
        moving: the regions.
        number: of the frame in the whole film, from 0.

    Raises:
        SettingsError: there are fewer masks than frames.
    """
    for one in moving:
        if number >= len(one.masks):
            raise SettingsError(
                f"region: expected a mask for each frame, got {len(one.masks)} in "
                f"{str(one.masks[0].parent)!r} and more frames; add masks, or cut with --range"
            )
    return tuple(replace(one.region, mask=one.masks[number]) for one in moving)


def hashes(moving: Sequence[MovingRegion]) -> tuple[PictureHash, ...]:
    """Return names and hashes of the masks; a hash is that of all pictures of a mask."""
    return tuple(
        PictureHash(
            name=Path(os.fspath(cast("Any", one.region.mask))).name[-LONGEST_NAME:],
            sha256=digest(one.masks),
        )
        for one in moving
    )


def identity(job: Job, moving: Sequence[MovingRegion]) -> list[Any]:
    """Return what the regions of a film are, as JSON: hashes and colours."""
    return [
        [
            images.load(region.mask).sha256 if masks is None else digest(masks),
            images.load(region.style).sha256,
            None if region.style_mask is None else images.load(region.style_mask).sha256,
            region.mask_colour,
            region.style_mask_colour,
        ]
        for region, masks in (
            *((region, None) for region in job.regions),
            *((one.region, one.masks) for one in moving),
        )
    ]
