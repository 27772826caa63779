"""The interface between a batch and the processes that paint its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from impasto.batching.tasks import Event, Task


class Executor(Protocol):
    """Paints tasks in other processes, several at a time."""

    def check(self, task: Task) -> None:
        """Check that this executor can paint the task.

        Raises:
            SettingsError: no worker is large enough for it.
        """

    def submit(self, task: Task) -> None:
        """Add a task to the queue; tasks start in the order of submission.

        More tasks may be submitted while ``as_completed`` yields.
        """

    def as_completed(self) -> Iterator[Event]:
        """Yield events until every submitted task has ended.

        The first Advance of a task means that a process has received it.
        """

    def cancel(self) -> None:
        """Stop all tasks now, and free the processes."""
