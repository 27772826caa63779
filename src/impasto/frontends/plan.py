"""``impasto plan``: how a picture would be painted, size by size, and what memory it takes."""

from __future__ import annotations

import json
from typing import Any

import typer
from pydantic import Field

from impasto.frontends.options import add_modes
from impasto.settings import Mode, Options, Runtime, Settings


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
            "history_bits": 32 if way.history_dtype is None else 8 * way.history_dtype.itemsize,
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
            f"{row['history']} in {row['history_bits']} bits",
            "kept" if row["content_kept"] else "computed anew",
            f"{row['peak_bytes'] / 2**30:.2f} GiB",
        )
    Console().print(table)


add_modes(
    app,
    {"Output": Showing, "The picture": Settings, "Where and how": Runtime},
    _show,
    transfer="Plan to repaint the photograph CONTENT in the manner of the paintings STYLE.",
    content="Plan to rebuild IMAGE from noise.",
    style="Plan to paint from noise the texture of the paintings IMAGE.",
)
