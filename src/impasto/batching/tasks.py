"""Tasks for the workers, and the events they send back: data that can be pickled."""

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
from impasto.engine.defaults import style_layers
from impasto.job.job import JobSpec, PictureReference
from impasto.output.options import OutputOptions
from impasto.weights.download import sha256_of

# Assumed iterations of a task that does not set them, for the estimate of the time left.
_USUAL_ITERATIONS = 300
# Assumed longest side of a photograph in its original size, for the same estimate.
_USUAL_ORIGINAL_PX = 4000
_PENDING = "job "


def pending(identity: str) -> str:
    """Return a placeholder for the hash of a picture that the task ``identity`` will write.

    Like a hash, it determines the picture.
    """
    return f"{_PENDING}{identity}"


def writer_of(picture: PictureReference) -> str | None:
    """Return the identity of the task that will write a picture; None if the picture exists."""
    sha256 = picture.sha256 or ""
    return sha256.removeprefix(_PENDING) if sha256.startswith(_PENDING) else None


def _resolved(picture: PictureReference) -> PictureReference:
    return replace(picture, sha256=sha256_of(picture.file)) if writer_of(picture) else picture


@dataclass(frozen=True)
class Task:
    """One picture to paint.

    Attributes:
        label: the file and line of the job, for messages.
        output: the file to write.
        spec: the inputs and settings, which determine the picture.
        runtime: the options that do not change the picture.
        finish: the options of the output file.
        identity: the same for two tasks only if inputs, settings and output are the same.
    """

    label: str
    output: Path
    spec: JobSpec
    runtime: Runtime
    finish: OutputOptions
    identity: str

    @property
    def writers(self) -> set[str]:
        """Identities of the tasks that write pictures for this one."""
        return {writer for writer in map(writer_of, self.spec.references()) if writer}

    def resolved(self) -> Task:
        """Return the task with the hashes of the pictures that other tasks wrote for it.

        Raises:
            OSError: a picture cannot be read.
        """
        return replace(self, spec=self.spec.mapped(_resolved))

    @property
    def work(self) -> float:
        """The approximate cost, in pixels times iterations."""
        settings = self.spec.settings
        size = settings.size
        if size == "original":
            size = _USUAL_ORIGINAL_PX
        pixels = math.prod(size) if isinstance(size, tuple) else size**2
        return float(pixels * (settings.iterations or _USUAL_ITERATIONS))


def identify(spec: JobSpec, weights_sha256: str | None, finish: OutputOptions, output: str) -> str:
    """Return a hash of everything that determines a task's file, and of nothing else.

    The runtime options are left out. ``output`` is relative to the journal's folder, so that the
    folder can be moved.

    Args:
        spec: the job.
        weights_sha256: hash of the user's own weights file, if there is one.
        finish: the options of the output file.
        output: the output's path.
    """
    former = as_before(Settings)
    # The layers in force, however they were said. Before there were motifs, they were always here.
    layers = style_layers(spec.mode, spec.settings)
    settings = spec.settings.model_copy(update={"motifs": None, "style_layers": layers})
    styles = [style.sha256 for style in spec.styles]
    in_regions = [
        [
            None,
            *(picture.sha256 for picture in region.references()),
            # The chosen mask colours; absent without them, as in the first format.
            *([f"mask {region.mask_colour}"] if region.mask_colour else []),
            *([f"style mask {region.style_mask_colour}"] if region.style_mask_colour else []),
        ]
        for region in spec.regions
    ]
    facts = {
        "mode": spec.mode,
        # In the order of the first format; None separates the kinds of pictures.
        "inputs": [
            *([spec.content.sha256] if spec.content else []),
            None,
            *styles,
            None,
            spec.start and spec.start.sha256,
            weights_sha256,
            *itertools.chain(*in_regions),
        ],
        # A newer option is left out while it has the value that means "as before".
        "settings": {
            name: value
            for name, value in settings.model_dump(mode="json").items()
            if name not in former or value != former[name]
        },
        "finish": finish.model_dump(mode="json"),
        "output": output,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Advance:
    """Progress of a task: ``progress`` is the share of its work that is done, in [0, 1]."""

    task: Task
    progress: float


@dataclass(frozen=True)
class Outcome:
    """The end of a task.

    Attributes:
        task: the task.
        state: ``done``, or ``failed``.
        data: the bytes of the picture's file; if painting failed, the best picture so far, if any.
        size_px: width and height.
        time_s: duration of painting, in seconds.
        message: the reason of a failure.
        trace: the traceback of an unexpected failure.
    """

    task: Task
    state: Literal["done", "failed"]
    data: bytes | None = None
    size_px: tuple[int, int] | None = None
    time_s: float = 0.0
    message: str = ""
    trace: str = ""


Event = Advance | Outcome
