"""What a batch shows while it works: a bar for all and one for each job, JSON, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from impasto.batching.tasks import Advance, Outcome, Task
from impasto.output.progress import clock, print_json

_STOPPED = "stopped: what is done is kept; start the same batch again to go on"


@dataclass
class BatchProgress:
    """How far a batch has come.

    Attributes:
        jobs: how many there are.
        done: how many of them have their picture.
        failed: how many have failed, this time.
    """

    jobs: int
    done: int
    failed: int = 0

    def __post_init__(self) -> None:
        self._began_s = time.perf_counter()
        self._work, self._work_done = 0.0, 0.0
        self._under_way: dict[str, float] = {}

    def plan(self, tasks: Sequence[Task]) -> None:
        """Count what is to be painted now."""
        self._work = sum(task.work for task in tasks)

    def advance(self, task: Task, share: float) -> None:
        """Count a part of a task."""
        if not self._under_way and not self._work_done:
            # Processes that start say nothing of how long painting takes.
            self._began_s = time.perf_counter()
        self._under_way[task.identity] = task.work * share

    def end(self, outcome: Outcome) -> None:
        """Count a task that has ended."""
        self._under_way.pop(outcome.task.identity, None)
        self._work_done += outcome.task.work
        self.done += outcome.state == "done"
        self.failed += outcome.state == "failed"

    @property
    def share(self) -> float:
        """The share of this time's work that is done, in [0, 1]."""
        done = self._work_done + sum(self._under_way.values())
        return done / self._work if self._work else 1.0

    @property
    def time_left_s(self) -> float | None:
        """Seconds still to go, if work goes on as it did; None before there is any."""
        share = self.share
        return (time.perf_counter() - self._began_s) * (1 - share) / share if share else None


class Show:
    """Shows errors, and nothing else; the others show some of what comes."""

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave nothing behind."""

    def began(self, progress: BatchProgress, journal: Path) -> None:
        """Show nothing."""

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Show nothing."""

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
        """Say what has failed."""
        if outcome.state == "failed":
            self.complain(f"{outcome.task.place}: {outcome.message}")

    def drawn(self, sheet: Path) -> None:
        """Show nothing."""

    def finished(self, progress: BatchProgress, time_s: float) -> None:
        """Show nothing."""

    def stopped(self) -> None:
        """Show nothing."""

    def noted(self, message: str) -> None:
        """Show nothing."""

    def complain(self, message: str) -> None:
        """Write an error."""
        typer.echo(f"impasto: {message}", err=True)


class JsonShow(Show):
    """Prints one JSON object a line: what becomes of jobs, the sheet, and a summary."""

    def began(self, progress: BatchProgress, journal: Path) -> None:
        """Print how much there is to do."""
        print_json("batch", jobs=progress.jobs, done=progress.done, journal=str(journal))

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Print how far a job is."""
        task = advance.task
        state = "progress" if advance.progress else "begun"
        self._print(state, task.identity, task.output, progress, share=round(advance.progress, 4))

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
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

    def finished(self, progress: BatchProgress, time_s: float) -> None:
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

    def noted(self, message: str) -> None:
        """Print what the user should know."""
        self.complain(message)

    def complain(self, message: str) -> None:
        """Print an error that is no job's."""
        print_json("message", text=message)

    @staticmethod
    def _print(state: str, job: str, output: Path, progress: BatchProgress, **facts: Any) -> None:
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


class BarsShow(Show):
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

    def began(self, progress: BatchProgress, journal: Path) -> None:
        """Draw the bar of the batch."""
        if progress.done:
            self._say(f"{progress.done} of {progress.jobs} jobs are done already")
        if progress.done < progress.jobs:
            self._bars.start()
            self._all = self._bars.add_task("batch", total=1.0, told="starting")

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Move the bar of a job and that of the batch."""
        identity = advance.task.identity
        if identity not in self._jobs:
            self._jobs[identity] = self._bars.add_task(advance.task.output.name, total=1.0, told="")
        self._bars.update(self._jobs[identity], completed=advance.progress)
        self._move(progress)

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
        """Take a job's bar away."""
        bar = self._jobs.pop(outcome.task.identity, None)
        if bar is not None:
            self._bars.remove_task(bar)
        super().ended(outcome, progress)
        self._move(progress)

    def drawn(self, sheet: Path) -> None:
        """Say where the contact sheet is."""
        self._say(f"contact sheet: {sheet}")

    def finished(self, progress: BatchProgress, time_s: float) -> None:
        """Say what came of it."""
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._say(f"{progress.done} of {progress.jobs} done{failed}, in {clock(time_s)}")

    def stopped(self) -> None:
        """Say that it can go on."""
        self._say(_STOPPED)

    def noted(self, message: str) -> None:
        """Say what the user should know."""
        self._say(message)

    def complain(self, message: str) -> None:
        """Write an error above the bars."""
        self._say(f"impasto: {message}")

    def _move(self, progress: BatchProgress) -> None:
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
        return JsonShow()
    return Show() if quiet else BarsShow()
