"""``impasto measure``: metrics of a result against its photograph and its painting."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.cli import standard_input
from impasto.cli.options import Quiet

if TYPE_CHECKING:
    from impasto.metrics import Metrics


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("measure")(measure_picture)


def measure_picture(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="The picture to measure.")],
    content: Annotated[str, typer.Option("--content", metavar="FILE", help="Its photograph.")],
    style: Annotated[str, typer.Option("--style", metavar="FILE", help="Its painting.")],
    weights_file: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="VGG-16's weights file."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare RESULT with its photograph and its painting; the numbers do not replace the eye.

    If a network cannot be downloaded, its numbers are left out, and the reason is printed.
    """
    from impasto import api
    from impasto.output.progress import make_display

    with make_display(quiet=quiet or json_lines) as display:
        metrics = api.measure(
            standard_input.picture(result),
            standard_input.picture(content),
            standard_input.picture(style),
            weights=weights_file,
            offline=offline,
            progress=display.progress,
        )
    if json_lines:
        typer.echo(json.dumps({"event": "measures", **dataclasses.asdict(metrics)}))
    else:
        _print(metrics, quiet=quiet)


def _print(metrics: Metrics, *, quiet: bool) -> None:
    for number in dataclasses.fields(metrics):
        value = getattr(metrics, number.name)
        if "sentence" in number.metadata and value is not None:
            typer.echo(f"{value:8.4f}  {number.name:15}  {number.metadata['sentence']}")
    for missing in () if quiet else metrics.missing:
        typer.echo(f"not measured: {', '.join(missing.numbers)}: {missing.reason}", err=True)
