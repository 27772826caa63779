"""``impasto video``: paint a film, without flicker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from impasto.cli import interrupts
from impasto.cli.interrupts import Stopped, ignore_stops
from impasto.cli.options import with_options
from impasto.compute import host
from impasto.config.film_settings import FilmSettings
from impasto.config.settings import Runtime, Settings
from impasto.config.validation import Options, check
from impasto.errors import SettingsError
from impasto.output.options import FilePath, quiet_field
from impasto.output.progress import clock

if TYPE_CHECKING:
    from impasto.film.painting import FilmPainting
    from impasto.job.job import Job
    from impasto.output.progress import Display


class FilmOutput(Options):
    """Where a film goes, and what is kept beside it."""

    output: FilePath = Field(
        description="The film to write: .mp4, .mov, .m4v, .mkv, .webm, .gif, .webp, or a pattern "
        "such as frames/%05d.png.",
        json_schema_extra={"short": "-o"},
    )
    resume: bool = Field(
        default=False,
        description="Go on with the painted frames of the same command, if that ended early.",
    )
    keep_frames: bool = Field(
        default=False,
        description="Leave the painted frames in OUTPUT.parts when the film is finished.",
    )
    preview: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Paint only so many frames, spread over the film, as pictures beside OUTPUT, "
        "to see the look beforehand.",
    )
    no_sound: bool = Field(default=False, description="Do not copy the film's sound.")
    no_recipe: bool = Field(default=False, description="Do not save in the file how it was made.")
    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each frame and for the result.",
        json_schema_extra={"flag": "--json"},
    )
    quiet: bool = quiet_field()


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("video")(paint_video)


@with_options(
    {
        "Output": FilmOutput,
        "The film": FilmSettings,
        "The picture": Settings,
        "Where and how": Runtime,
    }
)
def paint_video(
    film: Annotated[
        str,
        typer.Argument(
            metavar="FILM",
            help="The film: a file, an animation, a folder of pictures, or a pattern such as "
            "frames/%05d.png.",
        ),
    ],
    styles: Annotated[list[str], typer.Argument(metavar="STYLE", help="The paintings.")],
    preset: Annotated[
        str, typer.Option("--preset", help="Settings to begin from.", rich_help_panel="The picture")
    ] = "default",
    **options: Any,
) -> None:
    """Repaint FILM in the manner of the paintings STYLE, so that strokes move with things."""
    from impasto import api

    output = check(FilmOutput, _popped(FilmOutput, options))
    settings = check(FilmSettings, _popped(FilmSettings, options))
    paint(
        film,
        lambda _: api.make_job("style_transfer", None, styles, preset=preset, **options),
        settings,
        output,
    )


def paint(
    film: str,
    make_job: Callable[[Display], Job],
    settings: FilmSettings,
    output: FilmOutput,
) -> None:
    """Paint a film, or a preview of it.

    Args:
        film: the film to paint.
        make_job: returns the paintings and the options of a picture.
        settings: the options of a film.
        output: where it goes.
    """
    from impasto.film.painting import FilmOptions, FilmPainting
    from impasto.output.progress import make_display

    interrupts.raise_stops()
    host.freeze_modules()
    if output.output == Path("-"):
        raise SettingsError(
            "output: expected a file, got standard output (-); a film needs a file's name"
        )
    display = make_display(quiet=output.quiet, json_lines=output.json_lines)
    with display:
        painting = FilmPainting(
            film,
            make_job(display),
            FilmOptions(
                settings,
                output.output,
                resume=output.resume,
                keep_frames=output.keep_frames,
                sound=not output.no_sound,
                recipe=not output.no_recipe,
            ),
            progress=display.progress,
        )
        if output.preview is not None:
            for path in painting.preview(output.preview, display.film_step):
                display.message(f"preview: {str(path)!r}")
            return
        painting.open()
        _announce(painting, display)
        try:
            painting.paint(display.film_step)
        except Stopped:
            _finish_early(painting, display)
            raise
        ignore_stops()
        display.saved_film(painting.finish())


def _announce(painting: FilmPainting, display: Display) -> None:
    if not display.shows_messages:
        return  # The time need not be measured.
    width_px, height_px = painting.size_px
    shots = "1 shot" if len(painting.shots) == 1 else f"{len(painting.shots)} shots"
    display.message(
        f"{painting.frames} frames of {width_px} x {height_px} pixels in {shots}; the painted "
        f"frames wait in {str(painting.parts_folder)!r}"
    )
    display.message(
        f"time: about {clock(painting.expected_s())}; disk: about "
        f"{painting.needed_bytes / 2**20:.0f} MiB until the film is finished"
    )
    if painting.done:
        display.message(f"{painting.done} frames are painted already")


def _finish_early(painting: FilmPainting, display: Display) -> None:
    """Encode what there is."""
    ignore_stops()
    if painting.done:
        display.message(
            f"stopped early: the film has the first {painting.done} of {painting.frames} frames, "
            "and --resume goes on from there"
        )
        display.saved_film(painting.finish())
    else:
        display.message("stopped before the first frame: there is no film yet")


def _popped(model: type[Options], options: dict[str, Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in model.model_fields if name in options}
