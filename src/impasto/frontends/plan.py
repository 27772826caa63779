"""``impasto plan``: how a picture would be painted, size by size, and what memory it takes."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import Field

from impasto.frontends.options import with_options
from impasto.settings import PRESETS, Mode, Options, Runtime, Settings


class Showing(Options):
    """How the plan is shown."""

    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each size.",
        json_schema_extra={"flag": "--json"},
    )


app = typer.Typer(
    help="Say how a picture would be painted and what memory it takes; paint nothing.",
    no_args_is_help=True,
)
_options = with_options({"Output": Showing, "The picture": Settings, "Where and how": Runtime})
Preset = Annotated[
    str, typer.Option("--preset", help=f"Settings to begin from: {', '.join(PRESETS)}.")
]


@app.command()
@_options
def transfer(
    content: Annotated[str, typer.Argument(metavar="CONTENT", help="The photograph.")],
    styles: Annotated[list[str], typer.Argument(metavar="STYLE", help="The paintings.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Plan to repaint the photograph CONTENT in the manner of the paintings STYLE."""
    _show("style_transfer", options | {"preset": preset}, content, styles)


@app.command()
@_options
def content(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to rebuild.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Plan to rebuild IMAGE from noise."""
    _show("content", options | {"preset": preset}, image, [])


@app.command()
@_options
def style(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="The paintings.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Plan to paint from noise the texture of the paintings IMAGE."""
    _show("style", options | {"preset": preset}, None, images)


def _show(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    from impasto import modes, pipeline

    json_lines = options.pop("json_lines", False)
    job = modes.make_job(mode, content, styles, **options)
    rows = [
        {
            "width_px": scale.width_px,
            "height_px": scale.height_px,
            "iterations": scale.iterations,
            "tile_px": way.tile_px,
            "history": way.history,
            "content_kept": way.keep_content,
            "peak_bytes": way.peak_bytes,
        }
        for scale, way in pipeline.preview(job)
    ]
    if json_lines:
        for row in rows:
            typer.echo(json.dumps({"event": "size", **row}))
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("size", "iterations", "held", "history", "content", "peak memory"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row['width_px']} x {row['height_px']}",
            str(row["iterations"]),
            "whole" if row["tile_px"] is None else f"tiles of {row['tile_px']}",
            str(row["history"]),
            "kept" if row["content_kept"] else "computed anew",
            f"{row['peak_bytes'] / 2**30:.2f} GiB",
        )
    Console().print(table)
