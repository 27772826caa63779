"""Steps and Results, made from a snapshot of the painting."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor

import impasto
from impasto import images
from impasto.compute.torch_state import isolated
from impasto.engine import canvas
from impasto.engine.pyramid import Scale
from impasto.engine.snapshot import Snapshot
from impasto.images import colour
from impasto.images.palette import ColourMap
from impasto.job.history import LossHistory
from impasto.job.recipe import Recipe
from impasto.job.result import Result, Step

# Silent, unless the program that uses impasto asks for messages.
_LOGGER = logging.getLogger("impasto")
_LOGGER.addHandler(logging.NullHandler())

_NOT_MOVED = (
    "no step has lowered the loss: the result is what painting started from; use smaller weights, "
    "or another start"
)


@dataclass
class Reporter:
    """Makes Steps and Results.

    Attributes:
        recipe: from the start of painting; a snapshot's decisions override those in it.
        rows: the history so far.
        notes: messages for the user so far.
    """

    recipe: Recipe
    rows: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _notes_shown: int = 0

    def record(self, snapshot: Snapshot, time_s: float) -> None:
        """Add the losses of the snapshot to the history, unless they are there."""
        if len(self.rows) < snapshot.done:
            position = {"scale": snapshot.scale_index, "size_px": snapshot.scale.longest_px}
            self.rows.append(
                {**position, "step": snapshot.done, "time_s": time_s, **snapshot.point.losses}
            )

    def step(self, snapshot: Snapshot, time_s: float) -> Step:
        """Return the Step that led to the snapshot."""
        scales, scale = snapshot.inputs.scales, snapshot.scale
        if snapshot.done == snapshot.iterations and not self._has_moved():
            self.notes.append(_NOT_MOVED)
        notes, self._notes_shown = tuple(self.notes[self._notes_shown :]), len(self.notes)
        for note in notes:
            _LOGGER.warning("%s", note)
        if snapshot.point.steps == 1:
            _LOGGER.info(
                "painting %d x %d pixels on %s in %s, %d steps",
                *(scale.width_px, scale.height_px, snapshot.plan.device),
                *(self.recipe.decisions.precision, scale.iterations),
            )
        return Step(
            scale=snapshot.scale_index,
            scales=len(scales),
            scale_steps=scale.iterations,
            step=snapshot.done,
            steps=snapshot.iterations,
            size_px=(scale.width_px, scale.height_px),
            losses=snapshot.point.losses,
            time_s=time_s,
            progress=snapshot.progress,
            notes=notes,
            image=partial(_image, snapshot),
            read_pixels=partial(_pixels, snapshot),
            result=partial(self.result, snapshot, time_s),
        )

    def _has_moved(self) -> bool:
        """Return whether any step lowered the loss; assumed if each size had one step only."""
        totals: dict[float, set[float]] = {}
        for row in self.rows:
            totals.setdefault(row["scale"], set()).add(row["total"])
        return len(self.rows) == len(totals) or any(len(values) > 1 for values in totals.values())

    def result(self, snapshot: Snapshot, time_s: float, *, stopped: bool = True) -> Result:
        """Return the Result that painting would have if it ended at the snapshot."""
        with isolated():
            return self._result(snapshot, time_s, stopped)

    def _result(self, snapshot: Snapshot, time_s: float, stopped: bool) -> Result:
        finest, painted = snapshot.inputs.scales[-1], snapshot.point.image
        if snapshot.scale is not finest:
            painted = canvas.resize_canvas(painted, finest)
        pixels = finished_pixels(snapshot, painted, finest)
        stopped_after = snapshot.done if stopped else None
        decisions = snapshot.decisions.model_copy(update={"stopped_after": stopped_after})
        return Result(
            pixels=pixels,
            history=LossHistory(self.rows[: snapshot.done]),
            settings=snapshot.inputs.settings,
            mode=self.recipe.mode,
            time_s=time_s,
            notes=tuple(self.notes),
            metadata={
                "Software": f"impasto {impasto.__version__}",
                "Network": snapshot.inputs.settings.network,
            },
            alpha=_alpha(snapshot, pixels),
            recipe=self.recipe.model_copy(update={"decisions": decisions}),
        )


def _image(snapshot: Snapshot) -> Image.Image:
    with isolated():
        pixels = _pixels(snapshot)
        return images.to_image(pixels, _alpha(snapshot, pixels))


def _pixels(snapshot: Snapshot) -> Tensor:
    with isolated():
        return finished_pixels(snapshot, snapshot.point.image, snapshot.scale)


def finished_pixels(
    snapshot: Snapshot,
    painted: Tensor,
    scale: Scale,
    maps: MutableMapping[int, ColourMap] | None = None,
) -> Tensor:
    """Copy the picture from a canvas to CPU memory, and apply the options for its colours.

    Args:
        snapshot: inputs and settings.
        painted: the canvas, (1, 3, H, W).
        scale: its size.
        maps: colour maps that the frames of a film share, as for ``Palettes.recolour``.

    Returns:
        (1, 3, H, W) in [0, 1], without the margin.
    """
    pixels = canvas.cropped(painted, scale).clamp(0, 1).to("cpu", torch.float32)
    pixels = snapshot.inputs.palettes.recolour(
        pixels, replace(scale, margin_px=0), snapshot.inputs.settings, maps
    )
    content, opacity = snapshot.inputs.content, snapshot.opacity
    keeps_colours = snapshot.resolved.colour == "keep"
    if content is None or not (keeps_colours or opacity is not None):
        return pixels
    photograph = images.resize(content.pixels, *pixels.shape[-2:])
    if keeps_colours:
        pixels = colour.keep(pixels, photograph)
    return pixels if opacity is None else photograph.lerp(pixels, opacity)


def _alpha(snapshot: Snapshot, pixels: Tensor) -> Tensor | None:
    content = snapshot.inputs.content
    if content is None or content.alpha is None:
        return None
    return images.resize(content.alpha, *pixels.shape[-2:])
