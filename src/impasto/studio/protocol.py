"""The messages between server and worker, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from impasto.job.job import JobSpec

# --- to the worker ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Paint:
    """Start or resume a painting; its files go into ``folder``.

    ``is_look``: paint its coarsest size only.
    """

    work: str
    spec: JobSpec
    folder: Path
    is_look: bool = False


@dataclass(frozen=True)
class End:
    """Stop painting: pause, to resume later, or cancel. Both save the picture so far."""

    work: str
    pause: bool = False


@dataclass(frozen=True)
class Question:
    """A message that is answered between two steps; ``ticket`` identifies the answer."""

    ticket: int


@dataclass(frozen=True)
class AskPlan(Question):
    """Ask for sizes, memory and time of a job."""

    spec: JobSpec


@dataclass(frozen=True)
class Steer(Question):
    """Change settings of the current painting."""

    work: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class SavePicture(Question):
    """Write the current picture as a PNG."""

    work: str
    path: Path


# --- from the worker -------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerState:
    """The state of the worker: ``loading``, ``ready`` or ``broken``; ``message`` is for people."""

    state: str
    message: str = ""
    device: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to a Question: ``value``, or ``error`` with an HTTP status."""

    ticket: int
    value: Any = None
    error: str | None = None
    status: int = 200


@dataclass(frozen=True)
class PaintingProgress:
    """The progress of a painting; ``losses`` by term; ``notes`` since the last message."""

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
    """The current picture, as a JPEG."""

    work: str
    step: int
    size_px: tuple[int, int]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Ended:
    """The end of a painting.

    ``size_px`` is the picture's size, if a picture was written.
    """

    work: str
    state: Literal["finished", "cancelled", "paused", "failed"]
    message: str | None = None
    size_px: tuple[int, int] | None = None
    time_s: float = 0.0
