"""What a batch shows while it works: a bar for all and one for each job, JSON, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.frontends.batch.tasks import Advance, Outcome
from impasto.output.progress import clock, print_json

if TYPE_CHECKING:
    from impasto.frontends.batch.running import Progress


_STOPPED = "stopped: what is done is kept; start the same batch again to go on"


class Show:
    """Shows errors, and nothing else; the others show some of what comes."""

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave nothing behind."""

    def began(self, progress: Progress, journal: Path) -> None:
        """Show nothing."""

    def advanced(self, advance: Advance, progress: Progress) -> None:
        """Show nothing."""

    def ended(self, outcome: Outcome, progress: Progress) -> None:
        """Say what has failed."""
        if outcome.state == "failed":
            self.complain(f"{outcome.task.place}: {outcome.message}")

    def drawn(self, sheet: Path) -> None:
        """Show nothing."""

    def finished(self, progress: Progress, time_s: float) -> None:
        """Show nothing."""

    def stopped(self) -> None:
        """Show nothing."""

    def complain(self, message: str) -> None:
        """Write an error."""
        typer.echo(f"impasto: {message}", err=True)


class Json(Show):
    """Prints one JSON object a line: what becomes of jobs, the sheet, and a summary."""

    def began(self, progress: Progress, journal: Path) -> None:
        """Print how much there is to do."""
        print_json("batch", jobs=progress.jobs, done=progress.done, journal=str(journal))

    def advanced(self, advance: Advance, progress: Progress) -> None:
        """Print how far a job is."""
        task = advance.task
        state = "progress" if advance.progress else "begun"
        self._print(state, task.identity, task.output, progress, share=round(advance.progress, 4))

    def ended(self, outcome: Outcome, progress: Progress) -> None:
        """Print what has become of a job."""
        facts: dict[str, Any] = {"time_s": round(outcome.time_s, 3)}
        if outcome.size_px:
            facts["width_px"], facts["height_px"] = outcome.size_px
        if outcome.state == "failed":
            facts |= {"place": outcome.task.place, "message": outcome.message}
        task = outcome.task
        self._print(outcome.state, task.identity, task.output, progress, **facts)

    def drawn(self, sheet: Path) -> None:
        """Print where the contact sheet is."""
        print_json("sheet", path=str(sheet))

    def finished(self, progress: Progress, time_s: float) -> None:
        """Print the summary."""
        print_json(
            "summary",
            jobs=progress.jobs,
            done=progress.done,
            failed=progress.failed,
            time_s=round(time_s, 3),
        )

    def stopped(self) -> None:
        """Print that it can go on."""
        self.complain(_STOPPED)

    def complain(self, message: str) -> None:
        """Print an error that is no job's."""
        print_json("message", text=message)

    @staticmethod
    def _print(state: str, job: str, output: Path, progress: Progress, **facts: Any) -> None:
        left_s = progress.time_left_s
        print_json(
            state,
            job=job,
            output=str(output),
            **facts,
            jobs_done=progress.done,
            jobs_failed=progress.failed,
            jobs=progress.jobs,
            progress=round(progress.share, 4),
            time_left_s=None if left_s is None else round(left_s, 1),
        )


class Bars(Show):
    """Draws bars on standard error: one for the batch, one for each job under way."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}"),
            console=self._console,
        )
        self._all: Any = None
        self._jobs: dict[str, Any] = {}

    def __exit__(self, *raised: object) -> None:
        """Leave the bar of the batch as it stands."""
        for bar in self._jobs.values():
            self._bars.remove_task(bar)
        if self._bars.live.is_started:
            self._bars.stop()

    def began(self, progress: Progress, journal: Path) -> None:
        """Draw the bar of the batch."""
        if progress.done:
            self._say(f"{progress.done} of {progress.jobs} jobs are done already")
        if progress.done < progress.jobs:
            self._bars.start()
            self._all = self._bars.add_task("batch", total=1.0, told="starting")

    def advanced(self, advance: Advance, progress: Progress) -> None:
        """Move the bar of a job and that of the batch."""
        identity = advance.task.identity
        if identity not in self._jobs:
            self._jobs[identity] = self._bars.add_task(advance.task.output.name, total=1.0, told="")
        self._bars.update(self._jobs[identity], completed=advance.progress)
        self._move(progress)

    def ended(self, outcome: Outcome, progress: Progress) -> None:
        """Take a job's bar away."""
        bar = self._jobs.pop(outcome.task.identity, None)
        if bar is not None:
            self._bars.remove_task(bar)
        super().ended(outcome, progress)
        self._move(progress)

    def drawn(self, sheet: Path) -> None:
        """Say where the contact sheet is."""
        self._say(f"contact sheet: {sheet}")

    def finished(self, progress: Progress, time_s: float) -> None:
        """Say what came of it."""
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._say(f"{progress.done} of {progress.jobs} done{failed}, in {clock(time_s)}")

    def stopped(self) -> None:
        """Say that it can go on."""
        self._say(_STOPPED)

    def complain(self, message: str) -> None:
        """Write an error above the bars."""
        self._say(f"impasto: {message}")

    def _move(self, progress: Progress) -> None:
        left_s = progress.time_left_s
        failed = f", {progress.failed} failed" if progress.failed else ""
        left = "" if left_s is None else f", {clock(left_s)} left"
        told = f"{progress.done} of {progress.jobs} done{failed}{left}"
        self._bars.update(self._all, completed=progress.share, told=told)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)


def make_show(*, quiet: bool = False, json_lines: bool = False) -> Show:
    """Choose what to show."""
    if json_lines:
        return Json()
    return Show() if quiet else Bars()
