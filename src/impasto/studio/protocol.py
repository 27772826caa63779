"""What server and painter say to each other over their pipe: frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from impasto.job.job import JobSpec

# --- to the painter ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Paint:
    """Begin, or go on with, a painting; its files go into ``folder``."""

    work: str
    spec: JobSpec
    folder: Path


@dataclass(frozen=True)
class End:
    """Stop painting: set it aside to go on later, or cancel it and keep the picture so far."""

    work: str
    set_aside: bool = False


@dataclass(frozen=True)
class Question:
    """Something that is answered, by its ``ticket``, between two steps."""

    ticket: int


@dataclass(frozen=True)
class AskPlan(Question):
    """How would this be painted?"""

    spec: JobSpec


@dataclass(frozen=True)
class Steer(Question):
    """Change settings of the painting under way."""

    work: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Keep(Question):
    """Write the painting under way, as it stands, as a PNG."""

    work: str
    path: Path


# --- from the painter -------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerState:
    """What the painter is doing: ``loading``, ``ready`` or ``broken``; ``message`` in words."""

    state: str
    message: str = ""
    device: str = ""


@dataclass(frozen=True)
class Answer:
    """To a Question: ``value``, or ``error`` in words and as an HTTP status."""

    ticket: int
    value: Any = None
    error: str | None = None
    status: int = 200


@dataclass(frozen=True)
class PaintingProgress:
    """Where the painting stands; ``losses`` by term; ``notes`` since the Progress before."""

    work: str
    step: int
    steps: int
    size_px: tuple[int, int]
    progress: float
    time_s: float
    time_left_s: float
    losses: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """The painting as it stands, as a JPEG."""

    work: str
    step: int
    size_px: tuple[int, int]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Ended:
    """The painting under way is over.

    ``size_px`` is the picture's, if one was written.
    """

    work: str
    state: Literal["finished", "cancelled", "paused", "failed"]
    message: str | None = None
    size_px: tuple[int, int] | None = None
    time_s: float = 0.0
