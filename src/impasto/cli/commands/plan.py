"""``impasto plan``: how a picture would be painted, size by size, in what memory and time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from pydantic import Field

from impasto.cli.commands.paint import make_job
from impasto.cli.options import add_modes
from impasto.config.settings import Mode, Runtime, Settings
from impasto.config.validation import Options
from impasto.output.progress import clock

if TYPE_CHECKING:
    from impasto.engine.estimate import ScaleEstimate


class PlanOutput(Options):
    """How the plan is shown."""

    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each size.",
        json_schema_extra={"flag": "--json"},
    )


def register(app: typer.Typer) -> None:
    """Give ``app`` the command, with one of its own for each mode."""
    own = typer.Typer(
        help="Say how a picture would be painted, in what memory and time; paint nothing.",
        no_args_is_help=True,
    )
    add_modes(
        own,
        {"Output": PlanOutput, "The picture": Settings, "Where and how": Runtime},
        _show,
        transfer="Plan to repaint the photograph CONTENT in the manner of the paintings STYLE.",
        content="Plan to rebuild IMAGE from noise.",
        style="Plan to paint from noise the texture of the paintings IMAGE.",
    )
    app.add_typer(own, name="plan")


def _show(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    from impasto.engine.estimate import estimate

    json_lines = options.pop("json_lines", False)
    found = estimate(make_job(mode, options, content, styles))
    rows = [_row(size) for size in found]
    total = {
        "time_s": sum(size.time_s for size in found),
        "peak_bytes": max(size.way.peak_bytes for size in found),
    }
    if json_lines:
        for row in rows:
            typer.echo(json.dumps({"event": "size", **row}))
        typer.echo(json.dumps({"event": "total", **total}))
    else:
        _print_table(rows, total)
    for told in dict.fromkeys(size.shortage for size in found[-1:] if size.shortage):
        if json_lines:
            typer.echo(json.dumps({"event": "message", "text": told}))
        else:
            typer.echo(told)


def _row(size: ScaleEstimate) -> dict[str, Any]:
    scale, way = size.scale, size.way
    return {
        "width_px": scale.width_px,
        "height_px": scale.height_px,
        "iterations": scale.iterations,
        "tile_px": way.tile_px,
        "tiles_kept": way.tiles_kept,
        "history": way.history,
        "history_bits": 32 if way.history_dtype is None else 8 * way.history_dtype.itemsize,
        "content_kept": way.cache_content,
        "peak_bytes": way.peak_bytes,
        "step_s": size.step_s,
        "time_s": size.time_s,
    }


def _print_table(rows: list[dict[str, Any]], total: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    footers = {
        "size": "total",
        "memory": f"{total['peak_bytes'] / 2**30:.2f} GiB",
        "time": clock(total["time_s"]),
    }
    for heading in ("size", "iterations", "held", "history", "content", "memory", "time"):
        table.add_column(heading, justify="right", footer=footers.get(heading, ""))
    for row in rows:
        table.add_row(
            f"{row['width_px']} x {row['height_px']}",
            str(row["iterations"]),
            "whole" if row["tile_px"] is None else f"tiles of {row['tile_px']}",
            f"{row['history']} in {row['history_bits']} bits",
            "kept" if row["content_kept"] else "computed anew",
            f"{row['peak_bytes'] / 2**30:.2f} GiB",
            clock(row["time_s"]),
        )
    Console().print(table)
