"""Frozen data passed between the rooms: a Job goes in, Steps come out, a Result remains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from impasto.settings import Mode, Runtime, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

# A path, bytes, a PIL image, a NumPy array or a torch tensor: whatever images.load accepts.
ImageSource = Any


@dataclass(frozen=True)
class Job:
    """One picture to paint."""

    mode: Mode
    content_image: ImageSource | None = None
    style_images: Sequence[ImageSource] = ()
    start_image: ImageSource | None = None
    settings: Settings = field(default_factory=Settings)
    runtime: Runtime = field(default_factory=Runtime)


@dataclass(frozen=True)
class Step:
    """Where the painting stands after one iteration.

    Attributes:
        scale: index of the size being painted, from 0.
        scales: how many sizes there are.
        step: iterations done, over all sizes.
        steps: iterations planned, over all sizes.
        size_px: width and height at this size.
        losses: value of each weighted term, and their sum as ``total``.
        time_s: seconds since the job began.
        progress: share of the whole job's work that is done, in [0, 1].
        image: makes the picture as it stands (lazy: costs a conversion).
    """

    scale: int
    scales: int
    step: int
    steps: int
    size_px: tuple[int, int]
    losses: dict[str, float]
    time_s: float
    progress: float
    image: Callable[[], Image]


@dataclass(frozen=True)
class Result:
    """A finished painting."""

    image: Image
    history: list[dict[str, float]]
    settings: Settings
    mode: Mode
    time_s: float
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path) -> Path:
        """Write the picture to ``path``; its ending names the format.

        Raises:
            ImageError: the ending cannot be written, or the folder is absent or read-only.
        """
        from impasto import images

        return images.save(self.image, path)

    def _repr_png_(self) -> bytes:
        from impasto import images

        return images.encode(self.image, "png")
