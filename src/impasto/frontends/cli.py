"""The command: words on a line become a Job, and its Steps a picture.

Exit codes: 0 done; 2 the user's input or options; 1 anything else; 130 interrupted and 143
terminated, with the best picture so far written.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from impasto import __version__
from impasto.errors import Diverged, ImpastoError, OutOfMemoryError
from impasto.frontends.delivery import Delivery, Files
from impasto.frontends.options import with_options
from impasto.frontends.terminal import Display, make_display
from impasto.records import Step
from impasto.settings import PRESETS, Mode, Runtime, Settings

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
weights_app = typer.Typer(help="See, fetch and check the networks' weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

_painting_options = with_options(
    {"Output": Delivery, "The picture": Settings, "Where and how": Runtime}
)
Preset = Annotated[
    str, typer.Option("--preset", help=f"Settings to begin from: {', '.join(PRESETS)}.")
]
NetworkName = Annotated[str, typer.Argument(metavar="NETWORK", help="vgg16 or vgg19.")]


@app.command()
@_painting_options
def transfer(
    content: Annotated[str, typer.Argument(metavar="CONTENT", help="The photograph.")],
    styles: Annotated[list[str], typer.Argument(metavar="STYLE...", help="The paintings.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Repaint the photograph CONTENT in the manner of the paintings STYLE."""
    _paint("style_transfer", options | {"preset": preset}, content, styles)


@app.command()
@_painting_options
def content(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to rebuild.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Rebuild IMAGE from noise, to see what the content layers keep of it."""
    _paint("content", options | {"preset": preset}, image, [])


@app.command()
@_painting_options
def style(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="The paintings.")],
    preset: Preset = "default",
    **options: Any,
) -> None:
    """Paint from noise the texture that the network sees in the paintings IMAGE."""
    _paint("style", options | {"preset": preset}, None, images)


@weights_app.command("list")
def list_weights() -> None:
    """List the networks: where their weights come from and whether they are here."""
    from impasto import weights

    for listed in weights.listing():
        state = f"in {listed.cached}" if listed.present else "not fetched"
        typer.echo(
            f"{listed.name}  {listed.parameters / 1e6:.1f} million parameters, "
            f"{listed.size_bytes / 1e6:.0f} MB, {state}\n"
            f"       from {listed.source} ({listed.download_bytes / 1e6:.0f} MB); {listed.licence}"
        )


@weights_app.command("fetch")
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


@weights_app.command("verify")
def verify_weights(name: NetworkName = "vgg16") -> None:
    """Hash a network's cached weights anew and say how they are."""
    from impasto import weights

    state = weights.verify(name)
    typer.echo(f"{name}: {state}")
    if state != "good":
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"impasto {__version__}")
        raise typer.Exit


def run() -> NoReturn:
    """Run the command, and end the process with its exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except _Terminated:
        sys.exit(143)
    except ImpastoError as error:
        typer.echo(f"impasto: {error}", err=True)
        sys.exit(1 if isinstance(error, (Diverged, OutOfMemoryError)) else 2)
    sys.exit(0)


class _Terminated(BaseException):
    """The process was told to end (SIGTERM)."""


def _paint(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    """Paint, show, and write; whatever ends the painting early, the best picture is kept."""
    from impasto import modes

    chosen = {name: options.pop(name) for name in Delivery.model_fields if name in options}
    delivery = Delivery(**chosen)
    job = modes.make_job(mode, content, styles, **options)
    files = Files(delivery, job.settings.size)
    signal.signal(signal.SIGTERM, _terminate)
    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)
        files.step(step)

    with make_display(quiet=delivery.quiet, json_lines=delivery.json_lines) as display:
        try:
            result = modes.paint(job, on_step, progress=display.progress)
        except (KeyboardInterrupt, _Terminated, Diverged, OutOfMemoryError):
            if last is not None:
                _keep(last, files, display)
            raise
        display.saved(result, files.finish(result))


def _keep(last: Step, files: Files, display: Display) -> None:
    display.message("stopped early: the best picture so far is kept")
    result = last.result()
    display.saved(result, files.finish(result))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated
