"""``python -m benchmarks.suite``: measurements as a table on the screen, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from impasto.compute import host
from impasto.config.settings import make_runtime
from impasto.errors import ImpastoError, SettingsError
from impasto.images import samples

if TYPE_CHECKING:
    from impasto.planning.plan import ComputePlan

app = typer.Typer(
    help="Measure this machine: a step, a whole painting, growth with the picture.",
    no_args_is_help=True,
)

Value = TypeVar("Value", int, float)
Report = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write rows, machine and versions as JSON."),
]
Sizes = Annotated[
    str,
    typer.Option("--sizes", metavar="N,...", help="Longest sides in pixels, separated by commas."),
]
Precisions = Annotated[
    str | None,
    typer.Option(
        "--precisions",
        metavar="NAME,...",
        help="fp32, bf16 or fp16; by default fp32, and bf16 if the hardware has it.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Repeats = Annotated[
    int, typer.Option("--repeats", min=1, max=1000, help="Number of runs; the fastest counts.")
]


@app.command()
def step(
    sizes: Sizes = "128,256,512,1024",
    precisions: Precisions = None,
    device: Device = "auto",
    repeats: Repeats = 3,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Also time plain autograd.")
    ] = True,
    report: Report = None,
) -> None:
    """Time one step, loss and gradient, as a share of the machine's best matrix product."""
    from benchmarks.suite import steps

    plans = _plans(device, precisions)
    wanted = _numbers("sizes", sizes, int, at_least=16)
    rows = steps.measure_steps(plans, wanted, repeats=repeats, plain=plain)
    _report("step", rows, plans, report)


@app.command()
def scaling(
    megapixels: Annotated[
        str, typer.Option("--megapixels", metavar="X,...", help="Sizes of square pictures.")
    ] = "0.0625,0.25,1,4,16",
    precisions: Precisions = None,
    device: Device = "auto",
    repeats: Repeats = 2,
    report: Report = None,
) -> None:
    """Time a step at growing sizes without tiles, and its time per megapixel."""
    from benchmarks.suite import steps

    plans = _plans(device, precisions)
    wanted = _numbers("megapixels", megapixels, float, at_least=0.0003)
    _report("scaling", steps.measure_growth(plans, wanted, repeats=repeats), plans, report)


@app.command("run")
def paint(
    sizes: Sizes = "256,512,1024",
    content: Annotated[
        Path | None, typer.Option("--content", help="The photograph; a bundled one by default.")
    ] = None,
    style: Annotated[
        Path | None, typer.Option("--style", help="The painting; a bundled one by default.")
    ] = None,
    notebook_steps: Annotated[
        int,
        typer.Option(
            "--notebook-steps", min=0, help="How many of the notebook's 1000 steps to measure."
        ),
    ] = 5,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="The network's weights file.")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", min=0, help="Iterations of impasto's painting; by default as usual."
        ),
    ] = None,
    report: Report = None,
) -> None:
    """Time the default painting from process start to file, and the notebook's 1000 steps."""
    from benchmarks.suite import runs

    options = {"--weights": weights, "--iterations": iterations}
    rows = runs.measure_runs(
        content or samples.path("content", "chelsea"),
        style or samples.path("style", "nocturne"),
        _numbers("sizes", sizes, int, at_least=16),
        notebook_steps=notebook_steps,
        options=[
            word
            for name, value in options.items()
            if value is not None
            for word in (name, str(value))
        ],
    )
    _report("run", rows, _plans("auto", "auto"), report)


def _plans(device: str, precisions: str | None) -> dict[str, ComputePlan]:
    """Return a plan for each named precision; by default for the native ones."""
    from impasto.compute.device import choose_device, has_native_bfloat16
    from impasto.planning.plan import make_plan

    if precisions is None:
        native = has_native_bfloat16(choose_device(make_runtime(device=device).device))
        precisions = "fp32,bf16" if native else "fp32"
    return {
        name: make_plan(make_runtime(device=device, precision=name))
        for name in precisions.replace(" ", "").split(",")
    }


def _numbers(
    option: str, words: str, kind: Callable[[str], Value], *, at_least: Value
) -> list[Value]:
    try:
        numbers = [kind(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < at_least:
        raise SettingsError(
            f"{option}: expected numbers of at least {at_least:g}, separated by commas, "
            f"got {words!r}"
        )
    return numbers


def _report(
    name: str, rows: Iterable[Any], plans: dict[str, ComputePlan], report: Path | None
) -> None:
    """Show each row as soon as it is measured, and write all of them to ``report``."""
    from benchmarks.suite import machine

    description = machine.describe(next(iter(plans.values())).device)
    typer.echo(
        f"{description['device_name']} ({description['device']}), "
        f"{description['threads']} threads, torch {description['torch']}, "
        f"impasto {description['impasto']}"
    )
    done = list(_shown(dataclasses.asdict(row) for row in rows))
    if report is not None:
        written = {"benchmark": name, "machine": description, "rows": done}
        report.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def _shown(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    console = Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    with Live(table, console=console, auto_refresh=False, transient=True) as live:
        for row in rows:
            if not table.columns:
                for name in row:
                    table.add_column(name.replace("_", " "), justify="right")
            table.add_row(*(_cell(name, value) for name, value in row.items()))
            live.refresh()
            yield row
    console.print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.startswith("share"):
        return f"{value:.0%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def run(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command in ``words``, and end the process.

    Args:
        words: the arguments after ``python -m benchmarks.suite``; by default this process's.
    """
    if words is None:
        host.make_own()
    try:
        sys.exit(app(words, prog_name="python -m benchmarks.suite"))
    except ImpastoError as error:
        typer.echo(f"benchmarks: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    run()
