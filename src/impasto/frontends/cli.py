"""The command: words on a line become a Job, and its Steps a picture.

Exit codes: 0 done; 2 the user's input or options; 1 anything else; 130 interrupted and 143
terminated, with the best picture so far written.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from impasto import __version__, signals
from impasto.compute import host
from impasto.config.settings import Mode, Runtime, Settings
from impasto.config.validation import check
from impasto.errors import Diverged, ImpastoError, LostRankError, OutOfMemoryError, OutputError
from impasto.frontends import bench, measure, plan, presets, sheet
from impasto.frontends.batch import command as batch
from impasto.frontends.options import add_modes, with_options
from impasto.frontends.studio.command import add_studio
from impasto.job.job import Job
from impasto.job.result import Result, Step
from impasto.output.options import Delivery
from impasto.output.progress import Display, make_display
from impasto.output.writer import Files

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
weights_app = typer.Typer(help="See, fetch and check the networks' weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
app.add_typer(bench.app, name="bench")
app.add_typer(plan.app, name="plan")
add_studio(app)

# Typer has its own copy of click, or uses click itself, depending on its release.
_UsageError: Any = typer.BadParameter.__base__
_NOT_THE_USERS = (Diverged, LostRankError, OutOfMemoryError, OutputError)
_STOPS = (signal.SIGINT, signal.SIGTERM)

NetworkName = Annotated[str, typer.Argument(metavar="NETWORK", help="vgg16 or vgg19.")]


def _paint_new(mode: Mode, options: dict[str, Any], content: str | None, styles: list[str]) -> None:
    from impasto import api

    delivery = _take_delivery(options)
    _paint(api.make_job(mode, content, styles, **options), delivery)


add_modes(
    app,
    {"Output": Delivery, "The picture": Settings, "Where and how": Runtime},
    _paint_new,
    transfer="Repaint the photograph CONTENT in the manner of the paintings STYLE.",
    content="Rebuild IMAGE from noise, to see what the content layers keep of it.",
    style="Paint from noise the texture that the network sees in the paintings IMAGE.",
)


app.command("sheet")(sheet.paint_sheet)
app.command("presets")(presets.show_presets)
app.command("measure")(measure.measure_picture)


@app.command("recipe")
def show_recipe(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="What impasto painted.")],
) -> None:
    """Print as JSON how PICTURE was made."""
    from impasto.job import recipe

    typer.echo(recipe.read(picture).text(indent=2))


@app.command("replay")
@with_options({"Output": Delivery, "Where and how": Runtime})
def replay_picture(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="What impasto painted.")],
    content: Annotated[
        str | None, typer.Option("--content", metavar="FILE", help="Its content picture.")
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="FILE", help="Its style picture; once for each, in their order."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="FILE", help="The picture it started from, if one."),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="MASK:STYLE[:MASK]",
            help="A region's pictures; once for each, in their order.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, such as size=2048."),
    ] = None,
    other_inputs: Annotated[
        bool,
        typer.Option("--other-inputs", help="Take other pictures or weights than the recipe's."),
    ] = False,
    **options: Any,
) -> None:
    """Paint PICTURE again, by the recipe in it, from the same pictures."""
    from impasto.frontends import replay
    from impasto.job import recipe

    made = recipe.read(picture)
    delivery = _take_delivery(options)
    with _display_of(delivery) as display:
        job = replay.make_job(
            made,
            content=content,
            styles=styles or [],
            start=start,
            regions=regions or [],
            changes=changes or [],
            runtime=options,
            other_inputs=other_inputs,
            progress=display.progress,
        )
        if told := replay.differences(made):
            display.message(told)
    _paint(job, delivery)


app.command("batch")(batch.paint_many)


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


def run(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command, and end the process with its exit code.

    Args:
        words: what follows ``impasto`` on the line; this process's own if absent.
    """
    if words is None:
        host.make_own()
    for number in _STOPS:
        # Where it is ignored already, nohup or a script's background job meant that.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        sys.exit(app(words, standalone_mode=False))
    except _Stopped as stopped:
        sys.exit(128 + stopped.number)
    except _UsageError as error:
        # A command without any words has shown its help instead of a message.
        if message := error.format_message():
            command = error.ctx.command_path if error.ctx else "impasto"
            _complain(f"{message} ({command} --help lists what there is)")
        sys.exit(2)
    except ImpastoError as error:
        _complain(str(error))
        sys.exit(1 if isinstance(error, _NOT_THE_USERS) else 2)


class _Stopped(BaseException):
    """A signal has told the process to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    _ignore_stops()
    signals.interrupt(_Stopped(number))


def _ignore_stops() -> None:
    """Let nothing interrupt what keeps the picture: terminals and launchers repeat signals."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def _complain(message: str) -> None:
    typer.echo(f"impasto: {message}", err=True)


def _take_delivery(options: dict[str, Any]) -> Delivery:
    """Take out of ``options`` what a Delivery holds."""
    chosen = {name: options.pop(name) for name in Delivery.model_fields if name in options}
    return check(Delivery, chosen)


def _display_of(delivery: Delivery) -> Display:
    return make_display(quiet=delivery.quiet, json_lines=delivery.json_lines)


def _paint(job: Job, delivery: Delivery) -> None:
    """Paint; where torchrun has started several processes, together with them."""
    from impasto import api
    from impasto.compute import distributed

    host.settle()
    with distributed.joined() as ranks:
        if ranks.rank == 0:
            _paint_and_deliver(job, delivery)
        else:
            resume = delivery.keeper(lambda told: None).load() if delivery.resume else None
            api.paint(job, resume=resume)


def _paint_and_deliver(job: Job, delivery: Delivery) -> None:
    """Paint, show, and write; whatever ends the painting early, the best picture is kept."""
    from impasto import api

    files = Files(delivery, job.settings.size)
    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)
        if told := files.step(step):
            display.message(told)

    display = _display_of(delivery)
    keeper = delivery.keeper(display.message)
    resume = keeper.load() if delivery.resume else None
    if delivery.resume and resume is None:
        display.message(f"no checkpoint {str(keeper.path)!r}: the painting starts afresh")
    try:
        with display:
            result = api.paint(
                job, on_step, progress=display.progress, resume=resume, keeper=keeper
            )
        _deliver(result, files, display)
    except (_Stopped, Diverged, LostRankError, OutOfMemoryError) as ended:
        # torchrun ends all processes when it has lost one: the picture comes first.
        _ignore_stops()
        if isinstance(ended, Diverged):
            keeper.remove()  # from there it would diverge again
        if last is not None:
            more = ", and --resume goes on from there" if keeper.path.exists() else ""
            display.message(f"stopped early: the best picture so far is kept{more}")
            _deliver(last.result(), files, display)
        raise
    keeper.remove()


def _deliver(result: Result, files: Files, display: Display) -> None:
    _ignore_stops()
    display.saved(result, files.finish(result))
