"""``impasto weights``: list, download and verify the weights of the networks."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from impasto.cli import interrupts
from impasto.cli.options import Quiet
from impasto.output.progress import make_display, print_json

JsonLines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each network.")]
NetworkName = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK", help="vgg16, vgg19, alexnet or dists; the last two are for measure only."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``, with three subcommands."""
    own = typer.Typer(help="List, download and verify the networks' weights.", no_args_is_help=True)
    own.command("list")(list_weights)
    own.command("fetch")(fetch_weights)
    own.command("verify")(verify_weights)
    app.add_typer(own, name="weights")


def list_weights(json_lines: JsonLines = False, quiet: Quiet = False) -> None:
    """List the networks, the source of their weights, and whether these are in the cache."""
    from impasto import weights

    for network in weights.listing():
        if json_lines:
            print_json("weights", **{**dataclasses.asdict(network), "cached": str(network.cached)})
            continue
        state = f"in {network.cached}" if network.present else "not fetched"
        typer.echo(
            f"{network.name}  {network.parameters / 1e6:.1f} million parameters, "
            f"{_size(network.size_bytes)}, {state}\n"
            f"       from {network.source} ({_size(network.download_bytes)}); {network.licence}"
        )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def fetch_weights(
    name: NetworkName = "vgg16",
    force: Annotated[bool, typer.Option("--force", help="Download them again.")] = False,
    json_lines: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Download a network's weights into the cache, and verify them."""
    from impasto import weights

    interrupts.raise_stops()
    with make_display(quiet=quiet, json_lines=json_lines) as display:
        path = weights.fetch(name, force=force, progress=display.progress)
    if json_lines:
        print_json("weights", name=name, cached=str(path))
    else:
        typer.echo(path)


def verify_weights(
    name: NetworkName = "vgg16", json_lines: JsonLines = False, quiet: Quiet = False
) -> None:
    """Compare the hash of a network's cached weights with the expected one."""
    from impasto import weights

    state = weights.verify(name)
    if json_lines:
        print_json("weights", name=name, state=state)
    else:
        typer.echo(f"{name}: {state}")
    if state != "good":
        raise typer.Exit(1)
