"""Frozen data passed between the rooms: a Job goes in, Steps come out, a Result remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from impasto.config.settings import Mode, Runtime, Settings

if TYPE_CHECKING:
    from impasto.job.recipe import Decisions

# A path, bytes, a PIL image, a NumPy array or a torch tensor: whatever images.load accepts.
ImageSource = Any


@dataclass(frozen=True)
class Region:
    """A part of the picture with a style of its own.

    Attributes:
        mask: where it is, in the content picture's aspect: white inside, black outside.
        style: what it is painted after.
        style_mask: which part of ``style``, in its aspect; all of it if absent.
    """

    mask: ImageSource
    style: ImageSource
    style_mask: ImageSource | None = None


@dataclass(frozen=True)
class Job:
    """One picture to paint.

    ``regions`` come beside those that the settings name. ``decisions`` are those of an earlier
    painting of the same job, to be obeyed: how it was computed as far as ``runtime`` leaves that
    open, how strength was weighed, how it was steered, where it stopped.
    """

    mode: Mode
    content_image: ImageSource | None = None
    style_images: Sequence[ImageSource] = ()
    start_image: ImageSource | None = None
    regions: Sequence[Region] = ()
    settings: Settings = field(default_factory=Settings)
    runtime: Runtime = field(default_factory=Runtime)
    decisions: Decisions | None = None
