"""What is handed to whoever paints, and what comes back: data that can travel between processes."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from impasto.config.affects import as_before
from impasto.config.settings import Runtime, Settings
from impasto.job.job import JobSpec, PictureReference
from impasto.output.options import OutputOptions
from impasto.weights.download import sha256_of

# Iterations of a painting that leaves their number open, near enough for the time left.
_USUAL_ITERATIONS = 300
# Longest side of a photograph in its original size, likewise.
_USUAL_ORIGINAL_PX = 4000
_PENDING = "job "


def pending(identity: str) -> str:
    """Return what stands for the hash of a picture that the task ``identity`` has still to write.

    It decides the picture as well as a hash does.
    """
    return f"{_PENDING}{identity}"


def writer_of(picture: PictureReference) -> str | None:
    """Return the identity of the task that has still to write a picture; None if it is there."""
    sha256 = picture.sha256 or ""
    return sha256.removeprefix(_PENDING) if sha256.startswith(_PENDING) else None


def _resolved(picture: PictureReference) -> PictureReference:
    return replace(picture, sha256=sha256_of(picture.file)) if writer_of(picture) else picture


@dataclass(frozen=True)
class Task:
    """One picture to paint.

    Attributes:
        place: where the user asked for it, for messages.
        output: the file to write.
        spec: what decides the picture.
        runtime: where and how it is painted.
        finish: what its file holds.
        identity: the same for two tasks only if inputs, settings and output are the same.
    """

    place: str
    output: Path
    spec: JobSpec
    runtime: Runtime
    finish: OutputOptions
    identity: str

    @property
    def writers(self) -> set[str]:
        """Identities of the tasks that write what this one is painted from."""
        return {writer for writer in map(writer_of, self.spec.references()) if writer}

    def resolved(self) -> Task:
        """Return the task with the hashes of what other tasks have written for it.

        Raises:
            OSError: a picture cannot be read.
        """
        return replace(self, spec=self.spec.mapped(_resolved))

    @property
    def work(self) -> float:
        """What it costs, in proportion and about."""
        settings = self.spec.settings
        size = settings.size
        if size == "original":
            size = _USUAL_ORIGINAL_PX
        pixels = math.prod(size) if isinstance(size, tuple) else size**2
        return float(pixels * (settings.iterations or _USUAL_ITERATIONS))


def identify(spec: JobSpec, weights_sha256: str | None, finish: OutputOptions, output: str) -> str:
    """Name a task by everything that decides its file, and nothing else.

    Where and how it is painted is left out; ``output`` is relative to the journal's folder, so
    that this can be moved with all that is in it.

    Args:
        spec: the job.
        weights_sha256: of the user's own weights file, if there is one.
        finish: what the file holds.
        output: where it is written.
    """
    former = as_before(Settings)
    styles = [style.sha256 for style in spec.styles]
    in_regions = [
        [
            None,
            *(picture.sha256 for picture in region.references()),
            # Labels that were picked; absent where none was, as in the first format.
            *([f"mask {region.mask_colour}"] if region.mask_colour else []),
            *([f"style mask {region.style_mask_colour}"] if region.style_mask_colour else []),
        ]
        for region in spec.regions
    ]
    facts = {
        "mode": spec.mode,
        # The order of the first format; None separates one kind of picture from the next.
        "inputs": [
            *([spec.content.sha256] if spec.content else []),
            None,
            *styles,
            None,
            spec.start and spec.start.sha256,
            weights_sha256,
            *itertools.chain(*in_regions),
        ],
        # An option that did not exist then is left out while it changes nothing.
        "settings": {
            name: value
            for name, value in spec.settings.model_dump(mode="json").items()
            if name not in former or value != former[name]
        },
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
