"""``impasto batch``: turn the arguments into tasks, run them, and set the exit code."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from impasto import files
from impasto.batching import job_files, journal
from impasto.batching.build import make_tasks
from impasto.batching.executor import Executor
from impasto.batching.process_pool import LocalProcesses
from impasto.batching.progress import BatchDisplay, make_display
from impasto.batching.runner import run
from impasto.batching.tasks import Task
from impasto.cli import interrupts
from impasto.cli.options import with_options
from impasto.config import words
from impasto.config.settings import Mode, Runtime, Settings
from impasto.config.validation import Options, check
from impasto.errors import ImageError, SettingsError
from impasto.output.options import FilePath, OutputOptions, quiet_field

JOURNAL, SHEET = "journal.jsonl", "contact-sheet.jpg"
_CELL_PX = 256


class BatchOptions(Options):
    """Options of a batch: its files, its workers and its display."""

    output: FilePath | None = Field(
        default=None,
        description="The folder for the pictures; by default the folder of the job file.",
        json_schema_extra={"short": "-o"},
    )
    mode: Mode = Field(default="style_transfer", description="Mode of jobs that do not name one.")
    format: Literal["png", "jpg", "tiff", "webp", "avif"] = Field(
        default="png", description="Format of pictures whose job names no output file."
    )
    journal: FilePath | None = Field(
        default=None,
        description="The record of finished jobs. By default it is journal.jsonl in the folder "
        "of the pictures, or JOBS with the ending .journal.jsonl.",
    )
    sheet: FilePath | None = Field(
        default=None,
        description="The contact sheet; by default contact-sheet.jpg beside the journal.",
    )
    no_sheet: bool = Field(default=False, description="Draw no contact sheet.")
    workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Number of processes that paint at the same time; by default one for each GPU, "
        "or one without a GPU.",
    )
    cluster: str | None = Field(
        default=None,
        min_length=1,
        description="Paint on the Ray cluster at this address; local starts Ray on this machine.",
    )
    shared_folder: FilePath | None = Field(
        default=None,
        description="A folder that every node of the cluster can read; other pictures are sent to "
        "the nodes.",
    )
    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each event.",
        json_schema_extra={"flag": "--json"},
    )
    quiet: bool = quiet_field()


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("batch")(paint_many)


@with_options(
    {
        "Batch": BatchOptions,
        "Each file": OutputOptions,
        "Each picture": Settings,
        "Where and how": Runtime,
    }
)
def paint_many(
    jobs: Annotated[
        str | None,
        typer.Argument(metavar="JOBS", help="A .jsonl, .csv or .yaml file, one job a line."),
    ] = None,
    contents: Annotated[
        list[str] | None,
        typer.Option("--content", metavar="FOLDER", help="Photographs: a folder or a file."),
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option("--style", metavar="FOLDER", help="Paintings: a folder or a file."),
    ] = None,
    variations: Annotated[
        list[str] | None,
        typer.Option(
            "--vary", metavar="NAME=V1,V2", help="Paint each pair once with each of these values."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Settings to begin from.")] = None,
    **options: Any,
) -> None:
    """Paint many pictures: the jobs in JOBS, or every content picture with every style picture.

    Finished pictures are recorded. Start the same batch again to paint only the missing ones.
    """
    batch = check(
        BatchOptions,
        {name: options.pop(name) for name in BatchOptions.model_fields if name in options},
    )
    if preset is not None:
        options["preset"] = preset
    listed = _entries(jobs, contents or [], styles or [], variations or [])
    into = _folder(batch, jobs)
    home = batch.journal or _beside(jobs, into, JOURNAL)
    sheet = batch.sheet or _beside(jobs, into, SHEET)
    tasks = make_tasks(
        listed,
        options,
        mode=batch.mode,
        into=into,
        ending=f".{batch.format}",
        home=home.parent,
        written=journal.outputs(home),
    )
    if not batch.no_sheet:
        OutputOptions().check(sheet, 1)
    _check_own(tasks, [home, sheet])
    began_s = time.perf_counter()
    interrupts.raise_stops()
    with (
        journal.Journal(home) as record,
        make_display(quiet=batch.quiet, json_lines=batch.json_lines) as display,
    ):
        for folder in (*(contents or []), *(styles or [])):
            if (others := job_files.skipped_files(files.path_of(folder))) is not None:
                display.note(others)
        try:
            progress = run(tasks, record, display, lambda count: _executor(batch, options, count))
        except Exception:
            raise
        except BaseException:
            display.stopped()
            raise
        is_drawn = batch.no_sheet or _draw(tasks, sheet, display)
        display.finished(progress, time.perf_counter() - began_s)
    if progress.failed or not is_drawn:
        raise typer.Exit(1)


def _entries(
    jobs: str | None, contents: list[str], styles: list[str], variations: list[str]
) -> list[job_files.Entry]:
    if jobs is not None:
        if contents or styles or variations:
            raise SettingsError(
                "expected a job file or folders, got both; leave out JOBS, or --content, "
                "--style and --vary"
            )
        return job_files.read_file(files.path_of(jobs))
    if not (contents or styles):
        raise SettingsError(
            "expected a job file, or folders with --content and --style, got neither; name one"
        )
    return job_files.pair(
        [files.path_of(path) for path in contents],
        [files.path_of(path) for path in styles],
        words.vary(variations),
    )


def _folder(batch: BatchOptions, jobs: str | None) -> Path | None:
    """Return the folder for the pictures, and create it; None if each job names its output."""
    if batch.output is None:
        if jobs is None:
            raise SettingsError(
                "output: expected a folder for the pictures, got none; name one with -o"
            )
        return None
    try:
        batch.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"output: {str(batch.output)!r} cannot be created ({error.strerror or error}); "
            "choose another folder"
        ) from None
    return batch.output


def _beside(jobs: str | None, into: Path | None, name: str) -> Path:
    if into is not None:
        return into / name
    assert jobs is not None
    path = files.path_of(jobs)
    return files.beside(path.with_suffix(""), suffix=f".{name}")


def _check_own(tasks: Sequence[Task], own_files: Sequence[Path]) -> None:
    """Check that no picture is the journal or the contact sheet."""
    own = {files.identity(path) for path in own_files}
    for task in tasks:
        for path in (task.output, *(picture.file for picture in task.spec.references())):
            if files.identity(path) in own:
                raise SettingsError(
                    f"{task.label}: {str(path)!r} is the batch's journal or contact sheet: "
                    "expected another file; move those with --journal or --sheet"
                )


def _executor(batch: BatchOptions, options: dict[str, Any], tasks: int) -> Executor:
    threads = check(Runtime, {k: v for k, v in options.items() if k == "threads"}).threads
    if batch.cluster is None:
        return LocalProcesses(batch.workers, threads, tasks=tasks)
    from impasto.batching.ray_executor import RayCluster

    return RayCluster(
        batch.cluster,
        workers=batch.workers,
        threads=threads,
        shared_folder=batch.shared_folder,
    )


def _draw(tasks: Sequence[Task], sheet: Path, display: BatchDisplay) -> bool:
    """Draw the contact sheet of the pictures that exist."""
    from impasto.images.contact_sheet import contact_sheet
    from impasto.images.save import save_image

    labels = [task.output.stem for task in tasks]
    cell_px = min(_CELL_PX, max(_longest_px(task) for task in tasks))
    try:
        save_image(contact_sheet(labels, _pictures(tasks), cell_px=cell_px), sheet)
    except ImageError as error:
        display.error(str(error))
        return False
    display.drawn(sheet)
    return True


def _longest_px(task: Task) -> int:
    """Return the longest side of a task's picture; a cell's if the settings do not determine it."""
    size = task.spec.settings.size
    if size == "original":
        return _CELL_PX
    return max(size) if isinstance(size, tuple) else size


def _pictures(tasks: Sequence[Task]) -> Iterator[Any]:
    """Open one picture after another."""
    for task in tasks:
        yield _open(task.output)


def _open(path: Path) -> Any:
    """Open a picture; None if it is not there."""
    import numpy as np
    from PIL import Image

    from impasto.images.decode import decode

    try:
        rgb, _ = decode(path.read_bytes(), path.name)
    except (OSError, ImageError):
        return None
    return Image.fromarray(np.rint(255 * rgb).astype(np.uint8))
