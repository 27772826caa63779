"""Progress displays of a batch: bars for the batch and each job, lines of JSON, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from impasto.batching.tasks import Advance, Outcome, Task
from impasto.output.progress import clock, print_json

_STOPPED = "stopped: finished pictures are kept; start the same batch again to go on"


@dataclass
class BatchProgress:
    """Counts of a batch's jobs, and the time left.

    Attributes:
        jobs: number of jobs.
        done: number of jobs that have their picture.
        failed: number of jobs that failed in this run.
    """

    jobs: int
    done: int
    failed: int = 0

    def __post_init__(self) -> None:
        self._began_s = time.perf_counter()
        self._work, self._work_done = 0.0, 0.0
        self._under_way: dict[str, float] = {}

    def plan(self, tasks: Sequence[Task]) -> None:
        """Set the tasks of this run."""
        self._work = sum(task.work for task in tasks)

    def advance(self, task: Task, share: float) -> None:
        """Record the share of a task that is done."""
        if not self._under_way and not self._work_done:
            # The start of the processes does not count as painting.
            self._began_s = time.perf_counter()
        self._under_way[task.identity] = task.work * share

    def end(self, outcome: Outcome) -> None:
        """Record that a task has ended."""
        self._under_way.pop(outcome.task.identity, None)
        self._work_done += outcome.task.work
        self.done += outcome.state == "done"
        self.failed += outcome.state == "failed"

    @property
    def share(self) -> float:
        """The share of this run's work that is done, in [0, 1]."""
        done = self._work_done + sum(self._under_way.values())
        return done / self._work if self._work else 1.0

    @property
    def time_left_s(self) -> float | None:
        """Expected seconds until the end, at the speed so far; None before the first progress."""
        share = self.share
        return (time.perf_counter() - self._began_s) * (1 - share) / share if share else None


class BatchDisplay:
    """Shows errors only; its subclasses show more events."""

    def __enter__(self) -> BatchDisplay:
        return self

    def __exit__(self, *raised: object) -> None:
        """Clean up."""

    def began(self, progress: BatchProgress, journal: Path) -> None:
        """Show nothing."""

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Show nothing."""

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
        """Print the error of a failed job."""
        if outcome.state == "failed":
            self.error(f"{outcome.task.label}: {outcome.message}")

    def drawn(self, sheet: Path) -> None:
        """Show nothing."""

    def finished(self, progress: BatchProgress, time_s: float) -> None:
        """Show nothing."""

    def stopped(self) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""

    def error(self, message: str) -> None:
        """Print an error."""
        typer.echo(f"impasto: {message}", err=True)


class BatchJson(BatchDisplay):
    """Prints one JSON object a line: the events of jobs, the contact sheet, and a summary."""

    def began(self, progress: BatchProgress, journal: Path) -> None:
        """Print the number of jobs."""
        print_json("batch", jobs=progress.jobs, done=progress.done, journal=str(journal))

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Print the progress of a job."""
        task = advance.task
        state = "progress" if advance.progress else "begun"
        self._print(state, task.identity, task.output, progress, share=round(advance.progress, 4))

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
        """Print the end of a job."""
        facts: dict[str, Any] = {"time_s": round(outcome.time_s, 3)}
        if outcome.size_px:
            facts["width_px"], facts["height_px"] = outcome.size_px
        if outcome.state == "failed":
            facts |= {"place": outcome.task.label, "message": outcome.message}
        task = outcome.task
        self._print(outcome.state, task.identity, task.output, progress, **facts)

    def drawn(self, sheet: Path) -> None:
        """Print the path of the contact sheet."""
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
        """Print that the batch can go on later."""
        self.error(_STOPPED)

    def note(self, message: str) -> None:
        """Print a message."""
        self.error(message)

    def error(self, message: str) -> None:
        """Print an error that belongs to no job."""
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


class BatchBars(BatchDisplay):
    """Draws bars on standard error: one for the batch, one for each job under way."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
        )
        self._all: Any = None
        self._jobs: dict[str, Any] = {}

    def __exit__(self, *raised: object) -> None:
        """Remove the bars of the jobs; the bar of the batch stays."""
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
            self._all = self._bars.add_task("batch", total=1.0, text="starting")

    def advanced(self, advance: Advance, progress: BatchProgress) -> None:
        """Move the bar of a job and that of the batch."""
        identity = advance.task.identity
        if identity not in self._jobs:
            self._jobs[identity] = self._bars.add_task(advance.task.output.name, total=1.0, text="")
        self._bars.update(self._jobs[identity], completed=advance.progress)
        self._move(progress)

    def ended(self, outcome: Outcome, progress: BatchProgress) -> None:
        """Remove a job's bar."""
        bar = self._jobs.pop(outcome.task.identity, None)
        if bar is not None:
            self._bars.remove_task(bar)
        super().ended(outcome, progress)
        self._move(progress)

    def drawn(self, sheet: Path) -> None:
        """Print the path of the contact sheet."""
        self._say(f"contact sheet: {sheet}")

    def finished(self, progress: BatchProgress, time_s: float) -> None:
        """Print the number of jobs that are done, and of those that failed."""
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._say(f"{progress.done} of {progress.jobs} done{failed}, in {clock(time_s)}")

    def stopped(self) -> None:
        """Print that the batch can go on later."""
        self._say(_STOPPED)

    def note(self, message: str) -> None:
        """Print a message above the bars."""
        self._say(message)

    def error(self, message: str) -> None:
        """Print an error above the bars."""
        self._say(f"impasto: {message}")

    def _move(self, progress: BatchProgress) -> None:
        left_s = progress.time_left_s
        failed = f", {progress.failed} failed" if progress.failed else ""
        left = "" if left_s is None else f", {clock(left_s)} left"
        text = f"{progress.done} of {progress.jobs} done{failed}{left}"
        self._bars.update(self._all, completed=progress.share, text=text)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)


def make_display(*, quiet: bool = False, json_lines: bool = False) -> BatchDisplay:
    """Choose a display."""
    if json_lines:
        return BatchJson()
    return BatchDisplay() if quiet else BatchBars()
