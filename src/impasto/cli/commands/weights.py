"""The command `weights`: list, fetch and verify the networks' weights."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.output.progress import make_display

NetworkName = Annotated[
    str,
    typer.Argument(metavar="NETWORK", help="vgg16 or vgg19; alexnet or dists, which only measure."),
]


def register(app: typer.Typer) -> None:
    """Give ``app`` the command, with three of its own."""
    own = typer.Typer(help="See, fetch and check the networks' weights.", no_args_is_help=True)
    own.command("list")(list_weights)
    own.command("fetch")(fetch_weights)
    own.command("verify")(verify_weights)
    app.add_typer(own, name="weights")


def list_weights() -> None:
    """List the networks: where their weights come from and whether they are here."""
    from impasto import weights

    for listed in weights.listing():
        state = f"in {listed.cached}" if listed.present else "not fetched"
        typer.echo(
            f"{listed.name}  {listed.parameters / 1e6:.1f} million parameters, "
            f"{_size(listed.size_bytes)}, {state}\n"
            f"       from {listed.source} ({_size(listed.download_bytes)}); {listed.licence}"
        )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def fetch_weights(
    name: NetworkName = "vgg16",
    force: Annotated[bool, typer.Option("--force", help="Fetch anew.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Put a network's weights into the cache, checked."""
    from impasto import weights

    with make_display(quiet=quiet) as display:
        path = weights.fetch(name, force=force, progress=display.progress)
    typer.echo(path)


def verify_weights(name: NetworkName = "vgg16") -> None:
    """Hash a network's cached weights anew and say how they are."""
    from impasto import weights

    state = weights.verify(name)
    typer.echo(f"{name}: {state}")
    if state != "good":
        raise typer.Exit(1)
