"""The command ``impasto``: it reads the words of a command line and runs what they ask for.

Exit codes: 0 done; 2 the user's input or options; 1 anything else, also where standard output
could not take all that was printed; 130 interrupted and 143 terminated, with the best picture so
far written.
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
    weights,
)
from impasto.cli.interrupts import Stopped
from impasto.compute import host
from impasto.errors import Diverged, ImpastoError, LostRankError, OutOfMemoryError, OutputError

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (paint, sheet, batch, studio, plan, replay, measure, presets, weights):
    command.register(app)

# Typer has its own copy of click, or uses click itself, depending on its release.
_UsageError: Any = typer.BadParameter.__base__
_NOT_THE_USERS = (Diverged, LostRankError, OutOfMemoryError, OutputError)


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
    is_own_process = words is None
    if is_own_process:
        streams.open_closed_descriptors()
        streams.make_tolerant()
        host.make_own()
    interrupts.leave_at_stops()
    code = _exit_code(words)
    if is_own_process and (failure := streams.failure(sys.stdout)):
        _complain(f"standard output could not take all that was printed ({failure.strerror})")
        code = code or 1
    sys.exit(code)


def _exit_code(words: Sequence[str] | None) -> int:
    """Run the command, and say on standard error what the user should know."""
    try:
        code: int | None = app(words, standalone_mode=False)
        return code or 0
    except Stopped as stopped:
        return 128 + stopped.number
    except _UsageError as error:
        # A command without any words has shown its help instead of a message.
        if message := suggestions.explain(error, sys.argv[1:] if words is None else words):
            command = error.ctx.command_path if error.ctx else "impasto"
            _complain(f"{message} ({command} --help lists what there is)")
        return 2
    except ImpastoError as error:
        _complain(str(error))
        return 1 if isinstance(error, _NOT_THE_USERS) else 2
    except BaseException:
        # The signal has come in the middle of something that made another exception of it.
        if number := interrupts.received():
            return 128 + number
        raise


def _complain(message: str) -> None:
    typer.echo(f"impasto: {message}", err=True)
