"""The batch itself: what is missing is painted, written, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from impasto.batching.build import in_order
from impasto.batching.dependencies import Dependencies
from impasto.batching.executor import Executor
from impasto.batching.journal import Journal
from impasto.batching.progress import BatchProgress, Show
from impasto.batching.tasks import Advance, Outcome, Task
from impasto.errors import OutputError
from impasto.output import writer


def run(
    tasks: Sequence[Task],
    journal: Journal,
    show: Show,
    make_executor: Callable[[int], Executor],
) -> BatchProgress:
    """Paint those of ``tasks`` that have no picture yet.

    Args:
        tasks: what the user asked for.
        journal: of this batch; nothing that it knows to be done is done again.
        show: told of everything.
        make_executor: starts whatever paints so many tasks; not called if nothing is missing.

    Returns:
        How far it came; a task that fails does not keep others from being painted.

    Raises:
        SettingsError: the executor can never paint one of the tasks; none is painted.
        OutputError: the journal cannot be written.
    """
    missing = in_order([task for task in tasks if not journal.is_done(task)])
    progress = BatchProgress(len(tasks), len(tasks) - len(missing))
    progress.plan(missing)
    show.began(progress, journal.path)
    if not missing:
        return progress
    executor = make_executor(len(missing))
    try:
        for task in missing:
            executor.check(task)
        batch = _BatchRun(journal, show, progress, executor, Dependencies(missing))
        batch.run()
    finally:
        executor.cancel()
    return progress


class _BatchRun:
    """Tasks being painted: each is submitted once the pictures that it needs are there."""

    def __init__(
        self,
        journal: Journal,
        show: Show,
        progress: BatchProgress,
        executor: Executor,
        dependencies: Dependencies,
    ) -> None:
        self._journal, self._show, self._progress = journal, show, progress
        self._executor, self._dependencies = executor, dependencies

    def run(self) -> None:
        for task in self._dependencies.ready():
            self._submit(task)
        for event in self._executor.as_completed():
            if isinstance(event, Advance):
                if event.progress == 0:
                    self._journal.begun(event.task)
                self._progress.advance(event.task, event.progress)
                self._show.advanced(event, self._progress)
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
        """Record how a task ended, and let those that waited for it begin, or fail."""
        ended = [outcome]
        while ended:
            outcome = _keep(ended.pop(), self._journal)
            task = outcome.task
            self._progress.end(outcome)
            self._show.ended(outcome, self._progress)
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
        f"not painted: it needs {str(writer.output)!r}, which {writer.place} was to write, and "
        "that job failed; mend that one first"
    )


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
