"""What is handed to whoever paints, and what comes back: data that can travel between processes."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from impasto.config.settings import Mode, Runtime, Settings
from impasto.output.options import OutputOptions

# Iterations of a painting that leaves their number open, near enough for the time left.
_USUAL_ITERATIONS = 300
# Longest side of a photograph in its original size, likewise.
_USUAL_ORIGINAL_PX = 4000


@dataclass(frozen=True)
class Source:
    """A file to paint from: where it is, and the SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Task:
    """One picture to paint.

    Attributes:
        place: where the user asked for it, for messages.
        output: the file to write.
        mode: style_transfer, content or style.
        content: the content picture, if the mode has one.
        styles: the style pictures, if the mode has any.
        start: the picture to start from, if one was given.
        regions: mask and style of each region, and the style's mask, if it has one.
        settings: what decides the picture; the paths in it have moved to the fields above.
        runtime: where and how it is painted.
        finish: what its file holds.
        identity: the same for two tasks only if inputs, settings and output are the same.
    """

    place: str
    output: Path
    mode: Mode
    content: Source | None
    styles: tuple[Source, ...]
    start: Source | None
    regions: tuple[tuple[Source, ...], ...]
    settings: Settings
    runtime: Runtime
    finish: OutputOptions
    identity: str

    @property
    def sources(self) -> list[Source]:
        """The pictures that it is painted from."""
        regions = itertools.chain(*self.regions)
        return [source for source in (self.content, *self.styles, self.start, *regions) if source]

    @property
    def work(self) -> float:
        """What it costs, in proportion and about."""
        size = self.settings.size
        if size == "original":
            size = _USUAL_ORIGINAL_PX
        pixels = math.prod(size) if isinstance(size, tuple) else size**2
        return float(pixels * (self.settings.iterations or _USUAL_ITERATIONS))


def identify(
    mode: Mode, sources: list[Source | None], settings: Settings, finish: OutputOptions, output: str
) -> str:
    """Name a task by everything that decides its file, and nothing else.

    Where and how it is painted is left out; ``output`` is relative to the journal's folder, so
    that this can be moved with all that is in it.
    """
    facts = {
        "mode": mode,
        "inputs": [source and source.sha256 for source in sources],
        "settings": settings.model_dump(mode="json"),
        "finish": finish.model_dump(mode="json"),
        "output": output,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Advance:
    """A task is under way: ``progress`` is the share of its work that is done, in [0, 1]."""

    task: Task
    progress: float


@dataclass(frozen=True)
class Outcome:
    """A task has ended.

    Attributes:
        task: which.
        state: ``done``, or ``failed``.
        data: the picture's file; of a failed painting the best so far, if there is one.
        size_px: width and height.
        time_s: how long painting took, in seconds.
        message: why it failed.
        trace: where it failed, if nobody foresaw that.
    """

    task: Task
    state: Literal["done", "failed"]
    data: bytes | None = None
    size_px: tuple[int, int] | None = None
    time_s: float = 0.0
    message: str = ""
    trace: str = ""


Event = Advance | Outcome
