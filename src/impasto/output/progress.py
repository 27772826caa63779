"""Progress displays of the command: a bar for each size, lines of JSON, or nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

import typer

from impasto.config.settings import Settings
from impasto.job.result import Result, Step

# Columns that a terminal needs for the loss, and for each of its terms.
_ROOM_FOR_LOSS = 60
_ROOM_FOR_TERMS = 110
# What is suggested next: by how much strength changes, and up to where it grows; up to which size
# a doubled one takes minutes and not hours.
_STRONGER = 0.2
_STRONGEST_STARTED = 0.75
_LARGEST_DOUBLED_PX = 1024


class FilmProgress(Protocol):
    """How far a film is, as :class:`impasto.film.painting.FilmStep` says."""

    @property
    def frame(self) -> int:
        """How many frames are painted."""

    @property
    def frames(self) -> int:
        """How many frames there are in all."""

    @property
    def shot(self) -> int:
        """Index of the shot being painted."""

    @property
    def shots(self) -> int:
        """How many shots there are."""

    @property
    def steps(self) -> int:
        """Iterations of the latest frame."""

    @property
    def losses(self) -> dict[str, float]:
        """The latest frame's losses."""

    @property
    def time_s(self) -> float:
        """Seconds so far."""

    @property
    def time_left_s(self) -> float | None:
        """Seconds still to go, if that is known."""

    @property
    def step(self) -> Step | None:
        """The Step of a shot's first frame."""


class FinishedFilm(Protocol):
    """A film, as :class:`impasto.film.painting.FilmResult` describes it."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def frames(self) -> int:
        """How many frames it has."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def shots(self) -> int:
        """How many shots it has."""

    @property
    def time_s(self) -> float:
        """Seconds that painting took."""


class Display:
    """Shows nothing; its subclasses show some of the events.

    Attributes:
        shows_messages: whether :meth:`message` shows anything.
    """

    shows_messages = False

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *raised: object) -> None:
        """Clean up."""

    def progress(self, message: str, done_bytes: int, total_bytes: int | None) -> None:
        """Show nothing."""

    def step(self, step: Step) -> None:
        """Show nothing."""

    def saved(self, result: Result, path: Path | None) -> None:
        """Show nothing."""

    def film_step(self, step: FilmProgress) -> None:
        """Show nothing."""

    def saved_film(self, film: FinishedFilm) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""


class Json(Display):
    """Prints one JSON object a line: steps, messages, and the result."""

    shows_messages = True

    def step(self, step: Step) -> None:
        """Print the step."""
        for note in step.notes:
            self.message(note)
        print_json(
            "step",
            scale=step.scale,
            scales=step.scales,
            step=step.step,
            steps=step.steps,
            width_px=step.size_px[0],
            height_px=step.size_px[1],
            losses=step.losses,
            time_s=round(step.time_s, 3),
            progress=round(step.progress, 4),
        )

    def saved(self, result: Result, path: Path | None) -> None:
        """Print the result's path, size, losses and time."""
        height_px, width_px = result.pixels.shape[-2:]
        print_json(
            "result",
            path=str(path),
            width_px=width_px,
            height_px=height_px,
            steps=len(result.history),
            losses=result.history.losses(),
            time_s=round(result.time_s, 3),
        )

    def film_step(self, step: FilmProgress) -> None:
        """Print the step of a shot's first frame, or the frame."""
        if step.step is not None:
            self.step(step.step)
            return
        left_s = step.time_left_s
        print_json(
            "frame",
            frame=step.frame,
            frames=step.frames,
            shot=step.shot,
            shots=step.shots,
            steps=step.steps,
            losses=step.losses,
            time_s=round(step.time_s, 3),
            time_left_s=None if left_s is None else round(left_s, 1),
        )

    def saved_film(self, film: FinishedFilm) -> None:
        """Print the film's path, size and time."""
        width_px, height_px = film.size_px
        print_json(
            "film",
            path=str(film.path),
            width_px=width_px,
            height_px=height_px,
            frames=film.frames,
            shots=film.shots,
            time_s=round(film.time_s, 3),
        )

    def message(self, text: str) -> None:
        """Print the message."""
        print_json("message", text=text)


class Bars(Display):
    """Draws a progress bar for each size on standard error, with the loss and the time left."""

    shows_messages = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
        )

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
        )
        self._scale: Any = None
        self._scale_index = -1
        self._download: Any = None
        self._film: Any = None
        self._first: Any = None

    def __exit__(self, *raised: object) -> None:
        """Stop the bars where they are."""
        if self._bars.live.is_started:
            self._bars.stop()

    def progress(self, message: str, done_bytes: int, total_bytes: int | None) -> None:
        """Draw a bar for the download."""
        if self._download is None:
            self._bars.start()
            self._download = self._bars.add_task("weights", text="", total=total_bytes)
        self._bars.update(self._download, completed=done_bytes, total=total_bytes, text=message)

    def step(self, step: Step) -> None:
        """Advance this size's bar; the first step of a size adds one."""
        for note in step.notes:
            self.message(note)
        if step.scale != self._scale_index:
            self._bars.start()
            if self._scale is not None:
                self._bars.update(self._scale, text="")
            self._scale_index = step.scale
            width_px, height_px = step.size_px
            self._scale = self._bars.add_task(
                f"{width_px} x {height_px}", total=step.scale_steps, text=""
            )
        self._bars.update(self._scale, advance=1, text=describe(step, self._console.width))

    def saved(self, result: Result, path: Path | None) -> None:
        """Print the picture's size and its path; None stands for standard output."""
        height_px, width_px = result.pixels.shape[-2:]
        size = f"{width_px} x {height_px} pixels"
        end = "" if path is None else ":"
        self._console.print(f"{size} in {clock(result.time_s)}{end}", highlight=False)
        if path is not None:
            # As bytes, because a file name may not be valid text.
            typer.echo(os.fsencode(path))
        # A script, or a log, would only have to leave them out.
        if self._console.is_terminal and (next_steps := suggest(result)):
            self.message(f"next: {' or '.join(next_steps)}")

    def film_step(self, step: FilmProgress) -> None:
        """Advance the bar of all frames, and that of a shot's first frame while it is painted."""
        self._bars.start()
        if self._film is None:
            self._film = self._bars.add_task("frames", total=step.frames, text="")
        if step.step is not None:
            for note in step.step.notes:
                self.message(note)
            if self._first is None:
                self._first = self._bars.add_task(f"shot {step.shot + 1}", total=1.0, text="")
            self._bars.update(self._first, completed=step.step.progress)
            return
        if self._first is not None:
            self._bars.remove_task(self._first)
            self._first = None
        left_s = step.time_left_s
        left = "" if left_s is None else f"{clock(left_s)} left  "
        text = f"{left}frame {step.frame} of {step.frames}, {step.steps} iterations"
        self._bars.update(self._film, completed=step.frame, text=text)

    def saved_film(self, film: FinishedFilm) -> None:
        """Print the film's size, time and path."""
        width_px, height_px = film.size_px
        size = f"{film.frames} frames of {width_px} x {height_px} pixels"
        self._console.print(f"{size} in {clock(film.time_s)}:", highlight=False)
        typer.echo(os.fsencode(film.path))

    def message(self, text: str) -> None:
        """Print the message above the bars."""
        self._bars.console.print(text, highlight=False, markup=False)


def make_display(*, quiet: bool = False, json_lines: bool = False) -> Display:
    """Choose what to show."""
    if json_lines:
        return Json()
    return Display() if quiet else Bars()


def describe(step: Step, width: int = _ROOM_FOR_TERMS) -> str:
    """Return the time left and, if ``width`` columns are enough, the losses."""
    left = f"{clock(step.time_left_s)} left"
    if width < _ROOM_FOR_LOSS:
        return left
    if width < _ROOM_FOR_TERMS:
        return f"{left}  loss {_short(step.losses['total'])}"
    sums: dict[str, float] = {}
    for name, value in step.losses.items():
        term = name.partition(":")[0].replace("_", " ")
        sums[term] = sums.get(term, 0.0) + value
    sums.pop("total")
    return "  ".join([left, *(f"{term} {_short(value)}" for term, value in sums.items())])


def suggest(result: Result) -> list[str]:
    """Return up to two options, with a reason, that a next painting of the pair could change."""
    settings = result.settings
    if result.mode != "style_transfer":
        return [f"--size {2 * settings.size} for more detail"] if _can_be_doubled(settings) else []
    steps = []
    strength = settings.strength
    if strength is not None and strength <= _STRONGEST_STARTED:
        steps.append(f"--strength {strength + _STRONGER:.2g} for more of the painting")
    elif strength is not None:
        steps.append(f"--strength {strength - _STRONGER:.2g} for more of the photograph")
    if settings.motifs:
        steps.append("--motifs 0 for strokes without the painting's objects")
    elif _can_be_doubled(settings):
        steps.append(f"--size {2 * settings.size} for more detail")
    return steps


def _can_be_doubled(settings: Settings) -> bool:
    return isinstance(settings.size, int) and settings.size <= _LARGEST_DOUBLED_PX


def _short(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"


def clock(time_s: float) -> str:
    """Return a duration as text."""
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{time_s:.1f} s"


def print_json(event: str, **fields: Any) -> None:
    """Print an event as a line of JSON, at once."""
    typer.echo(json.dumps({"event": event, **fields}))
    sys.stdout.flush()
