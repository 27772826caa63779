"""Who paints the tasks: the seam between a batch and the processes that it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from impasto.batching.tasks import Event, Task


class Executor(Protocol):
    """Paints tasks elsewhere, several at a time."""

    def check(self, task: Task) -> None:
        """Make sure that the task can be painted here.

        Raises:
            SettingsError: nothing here could ever paint it.
        """

    def submit(self, task: Task) -> None:
        """Take a task; it is begun when there is room, in the order of submission.

        More may be submitted while ``as_completed`` yields.
        """

    def as_completed(self) -> Iterator[Event]:
        """Yield what happens, until every task that was submitted has ended.

        The first Advance of a task says that it is handed to a process.
        """

    def cancel(self) -> None:
        """End everything now, whatever is under way, and give back what was held."""
