"""Run a batch: paint the missing pictures, write them, and record them in the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from impasto.batching.build import schedule
from impasto.batching.dependencies import Dependencies
from impasto.batching.executor import Executor
from impasto.batching.journal import Journal
from impasto.batching.progress import BatchDisplay, BatchProgress
from impasto.batching.tasks import Advance, Outcome, Task
from impasto.errors import OutputError
from impasto.output import writer


def run(
    tasks: Sequence[Task],
    journal: Journal,
    display: BatchDisplay,
    make_executor: Callable[[int], Executor],
) -> BatchProgress:
    """Paint those of ``tasks`` that have no picture yet.

    Args:
        tasks: all tasks of the batch.
        journal: the batch's journal; tasks that are done by it are skipped.
        display: receives all events.
        make_executor: called with the number of missing tasks, unless that is 0.

    Returns:
        The final counts; a failed task does not stop the others.

    Raises:
        SettingsError: the executor can never paint one of the tasks; none is painted.
        OutputError: the journal cannot be written.
    """
    missing = schedule([task for task in tasks if not journal.is_done(task)])
    progress = BatchProgress(len(tasks), len(tasks) - len(missing))
    progress.plan(missing)
    display.began(progress, journal.path)
    if not missing:
        return progress
    executor = make_executor(len(missing))
    try:
        for task in missing:
            executor.check(task)
        batch = _BatchRun(journal, display, progress, executor, Dependencies(missing))
        batch.run()
    finally:
        executor.cancel()
    return progress


class _BatchRun:
    """Submits each task once the pictures that it needs exist, and handles the events."""

    def __init__(
        self,
        journal: Journal,
        display: BatchDisplay,
        progress: BatchProgress,
        executor: Executor,
        dependencies: Dependencies,
    ) -> None:
        self._journal, self._display, self._progress = journal, display, progress
        self._executor, self._dependencies = executor, dependencies

    def run(self) -> None:
        for task in self._dependencies.ready():
            self._submit(task)
        for event in self._executor.as_completed():
            if isinstance(event, Advance):
                if event.progress == 0:
                    self._journal.begun(event.task)
                self._progress.advance(event.task, event.progress)
                self._display.advanced(event, self._progress)
            else:
                self._end(event)

    def _submit(self, task: Task) -> None:
        try:
            resolved = task.resolved()
        except OSError as error:
            message = f"a picture that another job wrote cannot be read ({error}); paint it again"
            self._end(Outcome(task, "failed", message=message))
        else:
            self._executor.submit(resolved)

    def _end(self, outcome: Outcome) -> None:
        """Record how a task ended; tasks that waited for it are submitted, or fail."""
        ended = [outcome]
        while ended:
            outcome = _save(ended.pop(), self._journal)
            task = outcome.task
            self._progress.end(outcome)
            self._display.ended(outcome, self._progress)
            if outcome.state == "done":
                for released in self._dependencies.done(task):
                    self._submit(released)
            else:
                ended += [
                    Outcome(waiting, "failed", message=_unpainted(task))
                    for waiting in self._dependencies.failed(task)
                ]


def _unpainted(writer: Task) -> str:
    return (
        f"not painted: it needs {str(writer.output)!r}, which {writer.label} was to write, and "
        "that job failed; fix that one first"
    )


def _save(outcome: Outcome, journal: Journal) -> Outcome:
    """Write the picture, and record how the task ended."""
    if outcome.data is not None:
        if outcome.state == "done":
            journal.saving(outcome.task, outcome.data)
        try:
            writer.save(outcome.data, outcome.task.output)
        except OutputError as error:
            outcome = replace(outcome, state="failed", message=str(error))
    journal.ended(outcome)
    return outcome
