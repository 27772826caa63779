"""``impasto sheet``: a grid of paintings in one process, on one labelled contact sheet."""

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

    from impasto.engine.cache import Cache
    from impasto.job.job import Job
    from impasto.output.progress import Display

# More pictures than this are a job for batch.
_MOST_PICTURES = 400


class Sheet(DestinationOptions):
    """Where the sheet goes, and how it looks."""

    cell: int = Field(
        default=256, ge=24, le=2048, description="Most sides of a picture on the sheet, in pixels."
    )


@dataclass(frozen=True)
class _Cell:
    """One picture to paint, and what is written under it."""

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
    """Give ``app`` the command."""
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
    """Paint each CONTENT with each style under each value, and show all on one sheet."""
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
    # On a sheet nobody sees more than a cell holds.
    cells = _cells(
        contents,
        styles,
        _combinations(vary or []),
        {"preset": preset, "size": sheet.cell, **options},
    )
    for cell in cells:
        # All that can be wrong is said before the first is painted.
        if not sheet.is_standard_output:
            check_apart([sheet.output], input_files(cell.job))
        inputs.read(cell.job)
    columns = len(cells) // (len(contents) * len(styles)) if vary else len(styles)
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


def _combinations(words: Sequence[str]) -> list[dict[str, Any]]:
    """Read which options vary, and over what, as every combination.

    Raises:
        SettingsError: no NAME=VALUE,VALUE, an unknown name, or one given twice.
    """
    combinations = vary_options(words)
    for name in combinations[0]:
        if name != "preset" and name not in Settings.model_fields:
            raise SettingsError(f"vary: {unknown_option(name, [*Settings.model_fields, 'preset'])}")
    return combinations


def _cells(
    contents: Sequence[str],
    styles: Sequence[str],
    combinations: Sequence[dict[str, Any]],
    options: dict[str, Any],
) -> list[_Cell]:
    """Put together every combination, in the order of reading.

    Raises:
        SettingsError: a combination that contradicts itself, or too many of them.
    """
    from impasto import api

    count = len(contents) * len(styles) * len(combinations)
    if count > _MOST_PICTURES:
        raise SettingsError(
            f"expected at most {_MOST_PICTURES} pictures on a sheet, got {count}; vary less"
        )
    # Standard input can be read once.
    sources = {word: standard_input.picture(word) for word in (*contents, *styles)}
    cells = []
    for content, style, changes in itertools.product(contents, styles, combinations):
        job = api.make_job(
            "style_transfer", sources[content], [sources[style]], **{**options, **changes}
        )
        changed = [f"{name}={value}" for name, value in changes.items()]
        label = "\n".join([f"{Path(content).stem} x {Path(style).stem}", *changed])
        cells.append(_Cell(job, label))
    return cells


def _paint(
    cells: Sequence[_Cell], cell_px: int, display: Display, progress: _Progress
) -> Iterator[Image | None]:
    """Paint one cell after another; a cache keeps what the next one needs too.

    A cell that ends early gets its best picture. A signal and a lack of memory end the rest, which
    stays empty; a painting that diverges does not.
    """
    from impasto.engine.cache import Cache

    reuse = Cache()
    for number, cell in enumerate(cells, start=1):
        picture = None
        if not progress.is_over:
            name = f"{number} of {len(cells)}: {cell.label}".replace("\n", ", ")
            display.message(name)
            result, ended = _paint_cell(cell, display, reuse)
            if isinstance(ended, Diverged):
                display.message(f"{name}: {ended}")
            progress.note(result, ended)
            if result is not None:
                picture = result.image
                # Only what the sheet shows stays in memory.
                picture.thumbnail((cell_px, cell_px))
        try:
            with signals.deferred():  # while it is drawn
                yield picture
        except Stopped as stopped:
            if number < len(cells):
                progress.note(None, stopped)
    interrupts.ignore_stops()  # what has been painted is to be written


def _paint_cell(
    cell: _Cell, display: Display, reuse: Cache
) -> tuple[Result | None, BaseException | None]:
    """Return the result, and what has ended the painting early if anything has."""
    from impasto import api

    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)

    try:
        return api.paint(cell.job, on_step, progress=display.progress, reuse=reuse), None
    except (Stopped, Diverged, OutOfMemoryError) as ended:
        return None if last is None else last.result(), ended
