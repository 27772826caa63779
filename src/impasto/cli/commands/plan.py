"""``impasto plan``: the sizes of a painting with their expected memory and time.

The exit code is 1 if the picture does not fit into memory even with the smallest tiles.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from pydantic import Field

from impasto.cli.commands.paint import make_job
from impasto.cli.options import ModeHelp, add_modes
from impasto.config.settings import Mode, Runtime, Settings
from impasto.config.validation import Options
from impasto.output.options import quiet_field
from impasto.output.progress import clock

if TYPE_CHECKING:
    from impasto.engine.estimate import ScaleEstimate
    from impasto.planning.throughput import Measurement


class PlanOutput(Options):
    """Options of the plan command itself."""

    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each size.",
        json_schema_extra={"flag": "--json"},
    )
    quiet: bool = quiet_field()
    measure_again: bool = Field(
        default=False,
        description="Measure the speed of this machine now, and replace the stored measurement.",
    )


def register(app: typer.Typer) -> None:
    """Add the command to ``app``, with a subcommand for each mode."""
    own = typer.Typer(
        help="Show sizes, memory and time of a painting, without painting it. "
        "The exit code is 1 if the picture does not fit into memory.",
        no_args_is_help=True,
    )
    add_modes(
        own,
        {"Output": PlanOutput, "The picture": Settings, "Where and how": Runtime},
        _show,
        transfer=ModeHelp(
            "Plan to repaint the photograph CONTENT in the manner of the paintings STYLE.",
            "cat.jpg night.jpg --size 4096",
        ),
        content=ModeHelp("Plan to rebuild IMAGE from noise.", "cat.jpg --size 1024"),
        style=ModeHelp(
            "Plan to paint a texture from noise in the style of the paintings IMAGE.",
            "night.jpg --size 2048",
        ),
    )
    app.add_typer(own, name="plan")


def _show(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    from impasto.engine.estimate import estimate

    json_lines, quiet = options.pop("json_lines", False), options.pop("quiet", False)
    measure_again = options.pop("measure_again", False)
    plan = estimate(make_job(mode, options, content, styles), measure_again=measure_again)
    measurement = plan.measurement
    rows = [_row(size) for size in plan.scales]
    total = {
        "time_s": plan.time_s,
        "peak_bytes": plan.peak_bytes,
        "measured_s_ago": round(measurement.age_s, 1),
        "measured_while_busy": measurement.is_busy,
    }
    notes = [*plan.notes, *([plan.shortage] if plan.shortage else [])]
    if json_lines:
        for row in rows:
            typer.echo(json.dumps({"event": "size", **row}))
        typer.echo(json.dumps({"event": "total", **total}))
        for note in notes:
            typer.echo(json.dumps({"event": "message", "text": note}))
    else:
        _print_table(rows, total)
        for note in [*([] if quiet else [_about(measurement)]), *notes]:
            typer.echo(note)
    if plan.shortage:
        raise typer.Exit(1)


def _about(measurement: Measurement) -> str:
    """Return a message about the age of the speed measurement and its quality."""
    age = _age(measurement.age_s)
    if not measurement.is_busy:
        return f"speed of this machine measured {age}; --measure-again measures it now"
    return (
        f"speed of this machine measured {age}, while other programs used the processor (the steps "
        f"got {measurement.processor_share:.0%} of it): the times may be too long; repeat with "
        "--measure-again when it is idle"
    )


def _age(age_s: float) -> str:
    for unit, length_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if age_s >= length_s:
            count = int(age_s // length_s)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _row(size: ScaleEstimate) -> dict[str, Any]:
    scale, scale_plan = size.scale, size.scale_plan
    return {
        "width_px": scale.width_px,
        "height_px": scale.height_px,
        "iterations": scale.iterations,
        "tile_px": scale_plan.tile_px,
        "tiles_kept": scale_plan.tiles_kept,
        "history": scale_plan.history,
        "history_bits": 32
        if scale_plan.history_dtype is None
        else 8 * scale_plan.history_dtype.itemsize,
        "content_kept": scale_plan.cache_content,
        "peak_bytes": scale_plan.peak_bytes,
        "targets_bytes": size.targets_bytes,
        "targets_s": size.targets_s,
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
    for heading in (
        "size",
        "iterations",
        "tiling",
        "history",
        "content",
        "targets",
        "memory",
        "time",
    ):
        table.add_column(heading, justify="right", footer=footers.get(heading, ""))
    for row in rows:
        table.add_row(
            f"{row['width_px']} x {row['height_px']}",
            str(row["iterations"]),
            "none" if row["tile_px"] is None else f"{row['tile_px']} px",
            f"{row['history']} x fp{row['history_bits']}",
            "cached" if row["content_kept"] else "recomputed",
            f"{row['targets_bytes'] / 2**30:.2f} GiB, {clock(row['targets_s'])}",
            f"{row['peak_bytes'] / 2**30:.2f} GiB",
            clock(row["time_s"]),
        )
    Console().print(table)
