"""One painting under way in the painter: what is told of it, and what is written of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from impasto import files
from impasto.engine.checkpoint import Checkpoint, Keeper
from impasto.engine.painting import Painting
from impasto.errors import SettingsError
from impasto.images.encode import flatten
from impasto.job.result import Result, Step
from impasto.studio.protocol import End, Ended, Paint, PaintingProgress, Preview

# Progress is told at most this often, and pictures take at most this share of the time.
_TELL_EVERY_S = 0.12
_SHARE_FOR_PREVIEWS = 0.08
# What a killed studio loses at most.
_KEEP_EVERY_S = 10.0
_PREVIEW_PX, _SMALL_PX = 2048, 480
_PREVIEW_QUALITY = 88
# Of 8 bits for looking at and sending on, of 16 for going on with.
_RESULTS = (("picture.png", 8), ("picture.jpg", 8), ("picture.tiff", 16))


class PaintingSession:
    """A painting from its first step to its files.

    Attributes:
        order: what the server asked for.
        end: how the server wants it ended, once it does.
        result: the painting, once it is done.
    """

    def __init__(self, order: Paint, say: Callable[[Any], None]) -> None:
        self.order = order
        self.end: End | None = None
        self.result: Result | None = None
        self._keeper = Keeper(order.folder / "checkpoint", _KEEP_EVERY_S)
        self._painting: Painting | None = None
        self._say = say
        self._last: Step | None = None
        self._notes: tuple[str, ...] = ()
        self._told_s = self._shown_s = float("-inf")
        self._preview_cost_s = 0.0

    def kept(self) -> Checkpoint | None:
        """Return where an earlier session left off.

        Raises:
            CheckpointError: that cannot be read.
        """
        return self._keeper.load()

    def forget(self) -> None:
        """Begin anew."""
        self._keeper.remove()

    def begin(self, painting: Painting) -> None:
        """Take ``painting`` up."""
        self._painting = painting

    def advance(self, change: dict[str, Any] | None = None) -> None:
        """Make one step, after a change of settings if there is one.

        Raises:
            SettingsError: a change that cannot be made; the painting is none the worse for it.
        """
        assert self._painting is not None
        try:
            self._show(self._painting.send(change))
        except StopIteration as finished:
            self.result = finished.value
        else:
            self._keeper.step(self._painting.checkpoint)

    def steer(self, change: dict[str, Any]) -> int:
        """Change settings; return how many steps were made before.

        Raises:
            SettingsError: as ``advance`` does, or nothing is painted yet.
        """
        if self._last is None:
            raise SettingsError("expected a painting with a first step, got none; wait a moment")
        after = self._last.step
        self.advance(change)
        return after

    def _show(self, step: Step) -> None:
        """Tell the server where the painting stands, as often as is good."""
        self._last = step
        self._notes += step.notes
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_EVERY_S or step.step == step.steps:
            self._told_s = now_s
            self._say(
                PaintingProgress(
                    self.order.work,
                    step=step.step,
                    steps=step.steps,
                    size_px=step.size_px,
                    progress=step.progress,
                    time_s=step.time_s,
                    time_left_s=step.time_left_s,
                    losses=step.losses,
                    notes=self._notes,
                )
            )
            self._notes = ()
        pause_s = max(_TELL_EVERY_S, self._preview_cost_s / _SHARE_FOR_PREVIEWS)
        if now_s - self._shown_s >= pause_s:
            self._say(Preview(self.order.work, step.step, step.size_px, _jpeg(step.image())))
            self._shown_s = time.monotonic()
            self._preview_cost_s = self._shown_s - now_s

    def keep(self, path: Path) -> str:
        """Write the picture as it stands, as a PNG with its recipe; return its name."""
        assert self._last is not None
        self._last.result().save(path)
        return path.name

    def finish(self, result: Result, trouble: str | None = None) -> Ended:
        """Write the picture in every form in which it can be had."""
        if self.end is None or not self.end.set_aside:
            self._keeper.remove()
        for name, bits in _RESULTS:
            result.save(self.order.folder / name, bits=bits)
        files.replace(self.order.folder / "small.jpg", _jpeg(result.image, _SMALL_PX))
        height_px, width_px = result.pixels.shape[-2:]
        return Ended(
            self.order.work,
            "finished" if trouble is None else "failed",
            trouble,
            (width_px, height_px),
            result.time_s,
        )

    def stop(self) -> Ended:
        """End as the server wants it: set aside, or cancelled with the picture so far."""
        assert self.end is not None
        state: Literal["paused", "cancelled"] = "paused" if self.end.set_aside else "cancelled"
        if self._last is None or self._painting is None:
            return Ended(self.order.work, state)
        if self.end.set_aside:
            self._keeper.save(self._painting.checkpoint)
        ended = self.finish(self._last.result())
        return Ended(self.order.work, state, size_px=ended.size_px, time_s=ended.time_s)


def _jpeg(image: Image.Image, longest_px: int = _PREVIEW_PX) -> bytes:
    small = flatten(image)
    small.thumbnail((longest_px, longest_px))
    stream = BytesIO()
    small.save(stream, "JPEG", quality=_PREVIEW_QUALITY)
    return stream.getvalue()
