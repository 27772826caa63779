"""Frozen data passed between the rooms: a Job goes in, Steps come out, a Result remains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from impasto.history import History
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
        scale_steps: iterations planned at this size.
        step: iterations done, over all sizes.
        steps: iterations planned, over all sizes.
        size_px: width and height at this size.
        losses: value of each weighted term, and their sum as ``total``.
        time_s: seconds since the job began.
        progress: share of the whole job's work that is done, in [0, 1].
        notes: what the user should be told, since the step before.
        image: makes the picture as it stands, at this size (lazy: costs a conversion).
        result: makes the Result that painting would have if it ended here, enlarged to the
            size asked for.
    """

    scale: int
    scales: int
    scale_steps: int
    step: int
    steps: int
    size_px: tuple[int, int]
    losses: dict[str, float]
    time_s: float
    progress: float
    notes: tuple[str, ...]
    image: Callable[[], Image]
    result: Callable[[], Result]

    @property
    def time_left_s(self) -> float:
        """Seconds still to go, if each pixel takes as long as those before."""
        return self.time_s * (1 - self.progress) / self.progress


@dataclass(frozen=True)
class Result:
    """A finished painting.

    Attributes:
        image: the picture, 8 bits a sample, sRGB; RGBA if the content picture was.
        history: the loss terms of each step.
        settings: what it was painted with.
        mode: ``style_transfer``, ``content`` or ``style``.
        time_s: how long it took, in seconds.
        notes: what the user was told on the way.
        metadata: what goes into the file beside the pixels.
    """

    image: Image
    history: History
    settings: Settings
    mode: Mode
    time_s: float
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write the picture to ``path``; its ending names the format.

        Raises:
            ImageError: the ending cannot be written, or the folder is absent or read-only.
        """
        from impasto import images

        return images.save(self.image, path, metadata=self.metadata)

    def __repr__(self) -> str:
        size = f"{self.image.width} x {self.image.height} pixels"
        return f"<Result of {self.mode}: {size}, {len(self.history)} steps, {self.time_s:.1f} s>"

    def _repr_png_(self) -> bytes | None:
        from impasto import images

        return images.encode(self.image, "png")
