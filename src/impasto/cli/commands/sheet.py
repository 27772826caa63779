"""``impasto sheet``: paint a grid of pictures in one process, as a labelled contact sheet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from impasto import signals
from impasto.cli import interrupts, standard_input
from impasto.cli.interrupts import Stopped
from impasto.cli.options import with_options
from impasto.config.settings import Runtime, Settings
from impasto.config.validation import unknown_option
from impasto.config.words import vary as vary_options
from impasto.errors import Diverged, OutOfMemoryError, SettingsError
from impasto.job.result import Result, Step
from impasto.output.options import DestinationOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from impasto.engine.warm import WarmEngine
    from impasto.job.job import Job
    from impasto.output.progress import Display

# For more pictures there is batch.
_MOST_PICTURES = 400
# Of variants that differ by their seed.
_NOISE = 0.3


class Sheet(DestinationOptions):
    """Where the sheet goes, and how it looks."""

    cell: int = Field(
        default=256,
        ge=24,
        le=2048,
        description="Longest side of a picture on the sheet, in pixels.",
    )
    seeds: int | None = Field(
        default=None,
        ge=2,
        le=_MOST_PICTURES,
        description="Paint so many variants of each picture, from seed on. The start gets 30 % of "
        "noise if it has none: without noise all variants would be alike.",
    )


@dataclass(frozen=True)
class _Cell:
    """One picture to paint, and its label."""

    job: Job
    label: str


@dataclass
class _Progress:
    """How far a sheet has come.

    Attributes:
        painted: how many of its cells have a picture.
        unfinished: how many of these ended early.
        ended: what the command ends with: the first failure, or the signal.
        is_over: whether the rest stays empty.
    """

    painted: int = 0
    unfinished: int = 0
    ended: BaseException | None = None
    is_over: bool = False

    def note(self, result: Result | None, ended: BaseException | None) -> None:
        """Take in how one cell, or all of them, has ended."""
        self.painted += result is not None
        self.unfinished += result is not None and ended is not None
        self.is_over |= ended is not None and not isinstance(ended, Diverged)
        if self.ended is None or self.is_over:
            self.ended = ended or self.ended

    def summary(self, cells: int, where: str) -> str:
        """Say what is on the sheet."""
        if self.ended is None:
            return f"{cells} paintings on {where}"
        unfinished = f", {self.unfinished} of them unfinished" if self.unfinished else ""
        return f"ended early: {self.painted} of {cells} paintings are on {where}{unfinished}"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("sheet")(paint_sheet)


@with_options({"Output": Sheet, "The picture": Settings, "Where and how": Runtime})
def paint_sheet(
    contents: Annotated[list[str], typer.Argument(metavar="CONTENT", help="The photographs.")],
    styles: Annotated[
        list[str], typer.Option("--style", metavar="FILE", help="A painting; once for each.")
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="NAME=VALUE,...",
            help="An option and the values it takes, such as strength=0.2,0.5,0.8 or "
            "preset=default,fast; once for each option.",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="Settings to begin from.", rich_help_panel="The picture")
    ] = "default",
    **options: Any,
) -> None:
    """Paint each CONTENT in each style with each value, all on one contact sheet."""
    from impasto import images
    from impasto.config.validation import check
    from impasto.engine import inputs
    from impasto.images.contact_sheet import contact_sheet
    from impasto.output.collisions import check_apart, input_files
    from impasto.output.progress import make_display, print_json
    from impasto.output.writer import check_standard_output, deliver

    interrupts.raise_stops()
    chosen = {name: options.pop(name) for name in Sheet.model_fields if name in options}
    sheet = check(Sheet, chosen)
    if sheet.is_standard_output:
        check_standard_output(sheet)
    else:
        images.check_output(sheet.output)
    # By default paint no larger than a cell.
    cells = _cells(
        contents,
        styles,
        _combinations(vary or [], sheet.seeds),
        {"preset": preset, "size": sheet.cell, **options},
        sheet.seeds or 1,
    )
    for cell in cells:
        # Check all inputs before the first picture is painted.
        if not sheet.is_standard_output:
            check_apart([sheet.output], input_files(cell.job))
        inputs.read(cell.job)
    several = vary or sheet.seeds
    columns = len(cells) // (len(contents) * len(styles)) if several else len(styles)
    progress = _Progress()
    with make_display(quiet=sheet.quiet, json_lines=sheet.json_lines) as display:
        drawn = contact_sheet(
            [cell.label for cell in cells],
            _paint(cells, sheet.cell, display, progress),
            columns=columns,
            cell_px=sheet.cell,
        )
        if progress.painted:
            path = deliver(images.encode_image(drawn, sheet.file_name), sheet)
            where = "standard output" if path is None else repr(str(path))
            display.message(progress.summary(len(cells), where))
            if sheet.json_lines:
                print_json("sheet", path=str(path), paintings=progress.painted)
        elif isinstance(progress.ended, Stopped):
            display.message(interrupts.TOO_EARLY)
    if progress.ended is not None:
        raise progress.ended


def _combinations(words: Sequence[str], seeds: int | None) -> list[dict[str, Any]]:
    """Return every combination of the options that vary.

    Raises:
        SettingsError: a word that is not NAME=VALUE,VALUE, an unknown name, a name twice, or a
            seed beside ``seeds``.
    """
    combinations = vary_options(words)
    if seeds is not None and "seed" in combinations[0]:
        raise SettingsError("seeds: expected none beside --vary seed=..., got both; leave one out")
    for name in combinations[0]:
        if name != "preset" and name not in Settings.model_fields:
            raise SettingsError(f"vary: {unknown_option(name, [*Settings.model_fields, 'preset'])}")
    return combinations


def _cells(
    contents: Sequence[str],
    styles: Sequence[str],
    combinations: Sequence[dict[str, Any]],
    options: dict[str, Any],
    seeds: int,
) -> list[_Cell]:
    """Make a cell for every combination and seed, row by row.

    Raises:
        SettingsError: a combination is invalid, or there are too many.
    """
    count = len(contents) * len(styles) * len(combinations) * seeds
    if count > _MOST_PICTURES:
        raise SettingsError(
            f"expected at most {_MOST_PICTURES} pictures on a sheet, got {count}; vary less"
        )
    from impasto import api

    # Standard input can be read only once.
    sources = {word: standard_input.picture(word) for word in (*contents, *styles)}
    cells = []
    for content, style, changes in itertools.product(contents, styles, combinations):
        pictures = (sources[content], [sources[style]])
        for variant in _variants(pictures, {**options, **changes}, seeds):
            job = api.make_job("style_transfer", *pictures, **{**options, **changes, **variant})
            changed = [f"{name}={value}" for name, value in {**changes, **variant}.items()]
            label = "\n".join([f"{Path(content).stem} x {Path(style).stem}", *changed])
            cells.append(_Cell(job, label))
    return cells


def _variants(pictures: Any, options: dict[str, Any], seeds: int) -> list[dict[str, Any]]:
    """List what the variants of one painting change: seed and start, or nothing for a single one.

    Raises:
        SettingsError: they would all be alike.
    """
    from impasto import api
    from impasto.engine.defaults import with_noise

    if seeds == 1:
        return [{}]
    job = api.make_job("style_transfer", *pictures, **options)
    start, first = with_noise(job, _NOISE), job.settings.seed
    return [{"seed": seed, "start": start} for seed in range(first, first + seeds)]


def _paint(
    cells: Sequence[_Cell], cell_px: int, display: Display, progress: _Progress
) -> Iterator[Image | None]:
    """Paint one cell after another; what the next one needs is kept.

    A cell that ends early gets its best picture. A signal and a lack of memory end the rest, which
    stays empty; a painting that diverges does not.
    """
    from impasto.engine.warm import WarmEngine

    engine = WarmEngine()
    for number, cell in enumerate(cells, start=1):
        picture = None
        if not progress.is_over:
            name = f"{number} of {len(cells)}: {cell.label}".replace("\n", ", ")
            display.message(name)
            result, ended = _paint_cell(cell, display, engine)
            if isinstance(ended, Diverged):
                display.message(f"{name}: {ended}")
            progress.note(result, ended)
            if result is not None:
                picture = result.image
                # Keep only the small picture in memory.
                picture.thumbnail((cell_px, cell_px))
        try:
            with signals.deferred():  # while it is drawn
                yield picture
        except Stopped as stopped:
            if number < len(cells):
                progress.note(None, stopped)
    interrupts.ignore_stops()  # what has been painted is to be written


def _paint_cell(
    cell: _Cell, display: Display, engine: WarmEngine
) -> tuple[Result | None, BaseException | None]:
    """Return the result, and what has ended the painting early if anything has."""
    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)

    try:
        return engine.paint(cell.job, on_step, progress=display.progress), None
    except (Stopped, Diverged, OutOfMemoryError) as ended:
        return None if last is None else last.result(), ended
