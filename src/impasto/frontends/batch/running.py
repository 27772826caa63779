"""The batch itself: what is missing is painted, written, and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from impasto.errors import OutputError
from impasto.frontends.batch.executors import Executor
from impasto.frontends.batch.journal import Journal
from impasto.frontends.batch.making import in_order
from impasto.frontends.batch.showing import Show
from impasto.frontends.batch.tasks import Advance, Outcome, Task
from impasto.output import writer


@dataclass
class Progress:
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


def run(
    tasks: Sequence[Task],
    journal: Journal,
    show: Show,
    make_executor: Callable[[], Executor],
) -> Progress:
    """Paint those of ``tasks`` that have no picture yet.

    Args:
        tasks: what the user asked for.
        journal: of this batch; nothing that it knows to be done is done again.
        show: told of everything.
        make_executor: starts whatever paints; not called if nothing is missing.

    Returns:
        How far it came; a task that fails does not keep others from being painted.

    Raises:
        SettingsError: the executor can never paint one of the tasks; none is painted.
        OutputError: the journal cannot be written.
    """
    missing = in_order([task for task in tasks if not journal.is_done(task)])
    progress = Progress(len(tasks), len(tasks) - len(missing))
    progress.plan(missing)
    show.began(progress, journal.path)
    if not missing:
        return progress
    executor = make_executor()
    try:
        for task in missing:
            executor.submit(task)
        for event in executor.as_completed():
            if isinstance(event, Advance):
                if event.progress == 0:
                    journal.begun(event.task)
                progress.advance(event.task, event.progress)
                show.advanced(event, progress)
            else:
                outcome = _keep(event, journal)
                progress.end(outcome)
                show.ended(outcome, progress)
    finally:
        executor.cancel()
    return progress


def _keep(outcome: Outcome, journal: Journal) -> Outcome:
    """Write the picture, and record what has become of the task."""
    if outcome.data is not None:
        if outcome.state == "done":
            journal.saving(outcome.task, outcome.data)
        try:
            writer.save(outcome.data, outcome.task.output)
        except OutputError as error:
            outcome = replace(outcome, state="failed", message=str(error))
    journal.ended(outcome)
    return outcome
