"""The command ``impasto``: it parses the command line and runs the command.

Exit codes: 0 for success; 2 for an error in the user's input or options; 1 for any other error,
also if standard output could not be written; 130 after SIGINT and 143 after SIGTERM, with the best
picture so far written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from impasto import __version__
from impasto.cli import interrupts, streams, suggestions
from impasto.cli.commands import (
    batch,
    measure,
    paint,
    plan,
    presets,
    replay,
    sheet,
    studio,
    video,
    weights,
)
from impasto.cli.interrupts import Stopped
from impasto.compute import host
from impasto.errors import Diverged, ImpastoError, LostRankError, OutOfMemoryError, OutputError

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (paint, video, sheet, batch, studio, plan, replay, measure, presets, weights):
    command.register(app)

# Typer has its own copy of click, or uses click itself, depending on its release.
_UsageError: Any = typer.BadParameter.__base__
_NOT_USER_ERRORS = (Diverged, LostRankError, OutOfMemoryError, OutputError)


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
        words: the arguments after ``impasto``; by default those of this process.
    """
    is_own_process = words is None
    if is_own_process:
        streams.open_closed_descriptors()
        streams.make_tolerant()
        host.make_own()
    interrupts.exit_at_stops()
    code = _exit_code(words)
    if is_own_process and (failure := streams.failure(sys.stdout)):
        _print_error(f"standard output could not be written in full ({failure.strerror})")
        code = code or 1
    sys.exit(code)


def _exit_code(words: Sequence[str] | None) -> int:
    """Run the command, print its error to standard error, and return the exit code."""
    try:
        code: int | None = app(words, standalone_mode=False)
        return code or 0
    except Stopped as stopped:
        return 128 + stopped.number
    except _UsageError as error:
        # A command without arguments shows its help, and gives no message.
        if message := suggestions.explain(error, sys.argv[1:] if words is None else words):
            command = error.ctx.command_path if error.ctx else "impasto"
            _print_error(f"{message} (see {command} --help)")
        return 2
    except ImpastoError as error:
        _print_error(str(error))
        return 1 if isinstance(error, _NOT_USER_ERRORS) else 2
    except BaseException:
        # Some code may have replaced Stopped by another exception.
        if number := interrupts.received():
            return 128 + number
        raise


def _print_error(message: str) -> None:
    typer.echo(f"impasto: {message}", err=True)
