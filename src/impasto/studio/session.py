"""One painting in the worker process: its messages to the server, and its files."""

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
from impasto.studio import frames
from impasto.studio.looks import CHECKPOINT, PICTURE
from impasto.studio.protocol import End, Ended, Paint, PaintingProgress, Preview

# Progress is sent at most this often, and previews take at most this share of the time.
_REPORT_EVERY_S = 0.12
_SHARE_FOR_PREVIEWS = 0.08
# A killed studio loses at most this much.
_CHECKPOINT_EVERY_S = 10.0
_PREVIEW_PX, _SMALL_PX = 2048, 480
_PREVIEW_QUALITY = 88
# A look has at most so many steps, even if the coarsest size has more.
_LOOK_STEPS = 400
# 8 bits to look at and to share, 16 bits to edit further.
_RESULTS = (("picture.png", 8), ("picture.jpg", 8), ("picture.tiff", 16))


class PaintingSession:
    """A painting from its first step to its files.

    Attributes:
        order: the server's message that started it.
        end: the server's message that ends it, once there is one.
        result: the result, once painting is done.
    """

    def __init__(self, order: Paint, send: Callable[[Any], None]) -> None:
        self.order = order
        self.end: End | None = None
        self.result: Result | None = None
        self._keeper = Keeper(order.folder / CHECKPOINT, _CHECKPOINT_EVERY_S)
        self._frames = frames.Frames(order.folder)
        self._painting: Painting | None = None
        self._send = send
        self._last: Step | None = None
        self._notes: tuple[str, ...] = ()
        self._reported_s = self._shown_s = float("-inf")
        self._preview_cost_s = 0.0

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of an earlier session, if there is one.

        Raises:
            CheckpointError: it cannot be read.
        """
        return self._keeper.load()

    def remove_checkpoint(self) -> None:
        """Delete the checkpoint."""
        self._keeper.remove()

    def start(self, painting: Painting) -> None:
        """Set the painting."""
        self._painting = painting

    def advance(self, change: dict[str, Any] | None = None) -> None:
        """Make one step, after a change of settings if there is one.

        Raises:
            SettingsError: the change is invalid; the painting can go on without it.
        """
        assert self._painting is not None
        try:
            self._show(self._painting.send(change))
        except StopIteration:
            self.result = self._painting.result
        else:
            self._keeper.step(self._painting.checkpoint)

    def steer(self, change: dict[str, Any]) -> int:
        """Change settings; return the number of steps before the change.

        Raises:
            SettingsError: as ``advance`` does, or there is no step yet.
        """
        if self._last is None:
            raise SettingsError("expected a painting with a first step, got none; wait a moment")
        after = self._last.step
        self.advance(change)
        return after

    def _show(self, step: Step) -> None:
        """Send progress and a preview to the server, at limited rates."""
        self._last = step
        self._notes += step.notes
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S or step.step == step.steps:
            self._reported_s = now_s
            self._send(
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
        pause_s = max(_REPORT_EVERY_S, self._preview_cost_s / _SHARE_FOR_PREVIEWS)
        if now_s - self._shown_s >= pause_s:
            image = step.image()
            self._send(Preview(self.order.work, step.step, step.size_px, _jpeg(image)))
            self._frames.add(step.step, _jpeg(image, frames.LONGEST_PX))
            self._shown_s = time.monotonic()
            self._preview_cost_s = self._shown_s - now_s

    def save_picture(self, path: Path) -> str:
        """Write the current picture, as a PNG with its recipe; return its name."""
        assert self._last is not None
        self._last.result().save(path)
        return path.name

    def finish(self, result: Result, error: str | None = None) -> Ended:
        """Write the picture in all formats."""
        if self.end is None or not self.end.pause:
            self._keeper.remove()
        for name, bits in _RESULTS:
            result.save(self.order.folder / name, bits=bits)
        files.replace(self.order.folder / "small.jpg", _jpeg(result.image, _SMALL_PX))
        height_px, width_px = result.pixels.shape[-2:]
        return Ended(
            self.order.work,
            "finished" if error is None else "failed",
            error,
            (width_px, height_px),
            result.time_s,
        )

    def stop(self) -> Ended:
        """Pause with a checkpoint, or cancel; write the picture so far."""
        assert self.end is not None
        state: Literal["paused", "cancelled"] = "paused" if self.end.pause else "cancelled"
        if self._last is None or self._painting is None:
            return Ended(self.order.work, state)
        if self.end.pause:
            self._keeper.save(self._painting.checkpoint)
        ended = self.finish(self._last.result())
        return Ended(self.order.work, state, size_px=ended.size_px, time_s=ended.time_s)


class LookSession(PaintingSession):
    """A first look: the coarsest size of a painting, and the checkpoint to go on from."""

    _is_done = False

    def advance(self, change: dict[str, Any] | None = None) -> None:
        """Make one step; after the last one of the coarsest size, the look is done."""
        super().advance(change)
        last = self._last
        if last is not None and (last.scale > 0 or last.step >= min(last.scale_steps, _LOOK_STEPS)):
            self._is_done = True
            self.end = End(self.order.work, pause=True)

    def finish(self, result: Result, error: str | None = None) -> Ended:
        """Write the picture of a painting that has ended within its coarsest size."""
        if error is None:
            files.replace(self.order.folder / PICTURE, _jpeg(result.image, _SMALL_PX))
        return Ended(self.order.work, "finished" if error is None else "failed", error)

    def stop(self) -> Ended:
        """Write the checkpoint, and the picture if the look is done."""
        if self._painting is None or self._last is None:
            return Ended(self.order.work, "paused")
        self._keeper.save(self._painting.checkpoint)
        if not self._is_done:
            return Ended(self.order.work, "paused")
        files.replace(self.order.folder / PICTURE, _jpeg(self._last.image(), _SMALL_PX))
        return Ended(self.order.work, "finished")

    def _show(self, step: Step) -> None:
        self._last = step


def _jpeg(image: Image.Image, longest_px: int = _PREVIEW_PX) -> bytes:
    small = flatten(image)
    small.thumbnail((longest_px, longest_px))
    stream = BytesIO()
    small.save(stream, "JPEG", quality=_PREVIEW_QUALITY)
    return stream.getvalue()
