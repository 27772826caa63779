"""Steps and Results, made from a snapshot of the painting."""

from __future__ import annotations

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
from impasto.job.history import LossHistory
from impasto.job.recipe import Recipe
from impasto.job.result import Result, Step

_NOT_MOVED = (
    "no step has lowered the loss: the result is what painting started from; use smaller weights, "
    "or another start"
)


@dataclass
class Reporter:
    """Makes Steps and Results.

    Attributes:
        recipe: as it was when painting began; a stage's own decisions replace its.
        rows: the history so far.
        notes: what the user was told so far.
    """

    recipe: Recipe
    rows: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _told: int = 0

    def record(self, stage: Snapshot, time_s: float) -> None:
        """Write down the losses of the stage, unless they are."""
        if len(self.rows) < stage.done:
            place = {"scale": stage.place, "size_px": stage.scale.longest_px}
            self.rows.append({**place, "step": stage.done, "time_s": time_s, **stage.point.losses})

    def step(self, stage: Snapshot, time_s: float) -> Step:
        """Return the Step that has led to the stage."""
        scales, scale = stage.given.scales, stage.scale
        if stage.done == sum(scale.iterations for scale in scales) and not self._has_moved():
            self.notes.append(_NOT_MOVED)
        notes, self._told = tuple(self.notes[self._told :]), len(self.notes)
        return Step(
            scale=stage.place,
            scales=len(scales),
            scale_steps=scale.iterations,
            step=stage.done,
            steps=sum(scale.iterations for scale in scales),
            size_px=(scale.width_px, scale.height_px),
            losses=stage.point.losses,
            time_s=time_s,
            progress=stage.progress,
            notes=notes,
            image=partial(_image, stage),
            result=partial(self.result, stage, time_s),
        )

    def _has_moved(self) -> bool:
        """Tell whether any step has lowered the loss; of a lone step at each size nobody knows."""
        totals: dict[float, set[float]] = {}
        for row in self.rows:
            totals.setdefault(row["scale"], set()).add(row["total"])
        return len(self.rows) == len(totals) or any(len(values) > 1 for values in totals.values())

    def result(self, stage: Snapshot, time_s: float, *, stopped: bool = True) -> Result:
        """Return the Result that painting would have if it ended at the stage."""
        with isolated():
            return self._result(stage, time_s, stopped)

    def _result(self, stage: Snapshot, time_s: float, stopped: bool) -> Result:
        finest, painted = stage.given.scales[-1], stage.point.image
        if stage.scale is not finest:
            painted = canvas.resize_canvas(painted, finest)
        pixels = _coloured(stage, painted, finest)
        stopped_after = stage.done if stopped else None
        decisions = stage.decisions.model_copy(update={"stopped_after": stopped_after})
        return Result(
            pixels=pixels,
            history=LossHistory(self.rows[: stage.done]),
            settings=stage.given.settings,
            mode=self.recipe.mode,
            time_s=time_s,
            notes=tuple(self.notes),
            metadata={
                "Software": f"impasto {impasto.__version__}",
                "Network": stage.given.settings.network,
            },
            alpha=_alpha(stage, pixels),
            recipe=self.recipe.model_copy(update={"decisions": decisions}),
        )


def _image(stage: Snapshot) -> Image.Image:
    with isolated():
        pixels = _coloured(stage, stage.point.image, stage.scale)
        return images.to_image(pixels, _alpha(stage, pixels))


def _coloured(stage: Snapshot, painted: Tensor, scale: Scale) -> Tensor:
    """Bring the picture on a canvas into memory, with the colours that the result is to have."""
    pixels = canvas.cropped(painted, scale).clamp(0, 1).to("cpu", torch.float32)
    pixels = stage.given.palettes.recolour(
        pixels, replace(scale, margin_px=0), stage.given.settings
    )
    content, opacity = stage.given.content, stage.opacity
    keeps_colours = stage.used.colour == "keep"
    if content is None or not (keeps_colours or opacity is not None):
        return pixels
    photograph = images.resize(content.pixels, *pixels.shape[-2:])
    if keeps_colours:
        pixels = colour.keep(pixels, photograph)
    return pixels if opacity is None else photograph.lerp(pixels, opacity)


def _alpha(stage: Snapshot, pixels: Tensor) -> Tensor | None:
    content = stage.given.content
    if content is None or content.alpha is None:
        return None
    return images.resize(content.alpha, *pixels.shape[-2:])
