"""The progress display in Jupyter: the picture so far, a bar and the time left."""

from __future__ import annotations

import base64
import html
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.job.result import Result, Step
from impasto.output.progress import Display, describe

if TYPE_CHECKING:
    from PIL.Image import Image

# At these rates, updates take less than a thousandth of the time.
_BAR_EVERY_S = 0.5
_PICTURE_EVERY_S = 2.0
_PICTURE_PX = 256


def in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, which shows pictures; IPython's shell does not."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def cell_number() -> int | None:
    """Return the number of the running cell; None outside a notebook."""
    if not in_notebook():
        return None
    number: int = sys.modules["IPython"].get_ipython().execution_count
    return number


class Live(Display):
    """Shows one output in the cell, and updates it during painting."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown_s = self._pictured_s = 0.0
        self._picture = ""

    def progress(self, message: str, done_bytes: int, total_bytes: int | None) -> None:
        """Show the progress of the download."""
        if self._due(done_bytes == total_bytes):
            self._show(message, done_bytes / total_bytes if total_bytes else None)

    def step(self, step: Step) -> None:
        """Show the bar twice a second, the picture every two seconds."""
        for note in step.notes:
            self.message(note)
        if not self._due(step.step == 1):
            return
        if self._shown_s - self._pictured_s >= _PICTURE_EVERY_S or step.step == 1:
            self._pictured_s = self._shown_s
            self._picture = _tag(step.image())
        width_px, height_px = step.size_px
        self._show(
            f"{width_px} x {height_px} pixels, step {step.step} of {step.steps}: {describe(step)}",
            step.progress,
        )

    def saved(self, result: Result, path: Path | None) -> None:
        """Print the picture's size, time and path."""
        size = f"{result.image.width} x {result.image.height} pixels"
        self.message(f"{size} in {result.time_s:.0f} s, {len(result.history)} steps: {path}")

    def message(self, text: str) -> None:
        """Print the message."""
        typer.echo(text)

    def finish(self, jpeg: bytes, text: str) -> None:
        """Replace the bar by a picture."""
        self._put({"image/jpeg": base64.b64encode(jpeg).decode(), "text/plain": text})

    def _due(self, at_once: bool) -> bool:
        now_s = time.monotonic()
        if not at_once and now_s - self._shown_s < _BAR_EVERY_S:
            return False
        self._shown_s = now_s
        return True

    def _show(self, text: str, share: float | None) -> None:
        percent = "" if share is None else f"{share:.0%}  "
        value = "" if share is None else f' value="{share:.3f}"'
        self._put(
            {
                "text/html": f"{self._picture}<div><progress{value}></progress> "
                f"{percent}{html.escape(text)}</div>",
                "text/plain": f"{percent}{text}",
            }
        )

    def _put(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def _tag(image: Image) -> str:
    from impasto import images

    small = image.copy()
    small.thumbnail((_PICTURE_PX, _PICTURE_PX))
    data = base64.b64encode(images.encode_image(small, "jpeg")).decode()
    return f'<img width="{_PICTURE_PX}" src="data:image/jpeg;base64,{data}" alt="so far">'
