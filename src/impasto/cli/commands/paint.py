"""The commands `transfer`, `content` and `style`: paint one picture and write it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from impasto.cli import interrupts, standard_input
from impasto.cli.interrupts import Stopped, ignore_stops
from impasto.cli.options import ModeHelp, add_modes
from impasto.compute import host
from impasto.config.settings import Mode, Runtime, Settings
from impasto.config.validation import check
from impasto.errors import Diverged, LostRankError, OutOfMemoryError
from impasto.job.job import Job
from impasto.job.result import Result, Step
from impasto.output.collisions import input_files
from impasto.output.options import DeliveryOptions
from impasto.output.progress import Display, make_display
from impasto.output.writer import Files


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    add_modes(
        app,
        {"Output": DeliveryOptions, "The picture": Settings, "Where and how": Runtime},
        _paint_new,
        transfer=ModeHelp(
            "Repaint the photograph CONTENT in the manner of the paintings STYLE.",
            "cat.jpg night.jpg -o cat.png --strength 0.7",
        ),
        content=ModeHelp(
            "Rebuild IMAGE from noise, to see which content the layers preserve.",
            "cat.jpg -o seen.png --content-layers relu5_1",
        ),
        style=ModeHelp(
            "Paint a texture from noise in the style of the paintings IMAGE.",
            "night.jpg -o texture.png --aspect 16:9",
        ),
    )


def _paint_new(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    delivery = pop_delivery(options)
    paint(make_job(mode, options, content, styles), delivery)


def make_job(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> Job:
    """Make the job from a command's arguments; ``-`` is standard input."""
    from impasto import api

    if "start" in options:
        options["start"] = standard_input.picture(options["start"])
    return api.make_job(
        mode,
        standard_input.picture(content),
        [standard_input.picture(style) for style in styles],
        **options,
    )


def pop_delivery(options: dict[str, Any]) -> DeliveryOptions:
    """Remove the fields of DeliveryOptions from ``options``, and return them checked."""
    chosen = {name: options.pop(name) for name in DeliveryOptions.model_fields if name in options}
    return check(DeliveryOptions, chosen)


def display_of(delivery: DeliveryOptions) -> Display:
    """Return the display for these options."""
    return make_display(quiet=delivery.quiet, json_lines=delivery.json_lines)


def paint(job: Job, delivery: DeliveryOptions, read: Iterable[Path] = ()) -> None:
    """Paint a job and write the picture; under torchrun, all processes paint it together.

    Args:
        job: the job.
        delivery: the options of the output.
        read: input files beside those that the job names.
    """
    from impasto import api
    from impasto.compute import distributed
    from impasto.engine import inputs

    interrupts.raise_stops()
    host.freeze_modules()
    with distributed.joined() as ranks:
        if ranks.rank == 0:
            files = Files(delivery, inputs.longest_px(job), [*read, *input_files(job)])
            _paint_and_deliver(job, delivery, files)
        else:
            resume = delivery.keeper(lambda message: None).load() if delivery.resume else None
            api.paint(job, resume=resume)


def _paint_and_deliver(job: Job, delivery: DeliveryOptions, files: Files) -> None:
    """Paint, show and write; if painting ends early, the best picture so far is written."""
    from impasto import api

    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)
        if message := files.step(step):
            display.message(message)

    display = display_of(delivery)
    keeper = delivery.keeper(display.message)
    resume = keeper.load() if delivery.resume else None
    if delivery.resume and resume is None:
        display.message(
            f"no checkpoint {str(keeper.path)!r}: the painting starts from the beginning"
        )
    try:
        with display:
            result = api.paint(
                job, on_step, progress=display.progress, resume=resume, keeper=keeper
            )
        path = _deliver(result, files, display)
    except (Stopped, Diverged, LostRankError, OutOfMemoryError) as ended:
        # When torchrun loses a process, it ends all others, so write the picture first.
        ignore_stops()
        if isinstance(ended, Diverged):
            keeper.remove()  # A painting resumed from there would diverge again.
        more = ", and --resume goes on from there" if keeper.path.exists() else ""
        if last is not None:
            display.message(f"stopped early: the best picture so far is saved{more}")
            _deliver(last.result(), files, display)
        elif isinstance(ended, Stopped):
            more = "; --resume goes on from the checkpoint" if more else ""
            display.message(f"{interrupts.TOO_EARLY}{more}")
        raise
    keeper.remove()
    if delivery.show and path is not None:
        typer.launch(str(path))


def _deliver(result: Result, files: Files, display: Display) -> Path | None:
    ignore_stops()
    path = files.finish(result)
    display.saved(result, path)
    return path
