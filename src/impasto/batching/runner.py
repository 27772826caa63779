"""The batch itself: what is missing is painted, written, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from impasto.batching.build import in_order
from impasto.batching.executor import Executor
from impasto.batching.journal import Journal
from impasto.batching.progress import Progress, Show
from impasto.batching.tasks import Advance, Outcome, Task
from impasto.errors import OutputError
from impasto.output import writer


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
