"""``impasto presets``: list the presets and the options that they change."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from impasto.cli.options import Quiet
from impasto.config.presets import PRESETS


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("presets")(show_presets)


def show_presets(
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each preset.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """List the presets, the options that each changes, and its source."""
    for name, preset in PRESETS.items():
        if json_lines:
            typer.echo(
                json.dumps(
                    {
                        "event": "preset",
                        "name": name,
                        "summary": preset.summary,
                        "source": preset.source,
                        "changes": preset.changes,
                    }
                )
            )
            continue
        typer.echo(f"{name}: {preset.summary}")
        for option, value in preset.changes.items():
            typer.echo(f"    --{option.replace('_', '-')} {_word(value)}")
        typer.echo(f"    from: {preset.source}\n")


def _word(value: object) -> str:
    """Return a value in the form of the command line."""
    if isinstance(value, dict):
        return ",".join(f"{layer}={weight:.6g}" for layer, weight in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
