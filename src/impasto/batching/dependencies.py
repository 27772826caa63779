"""The order between tasks: a picture may be painted from one that another task writes."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.batching.tasks import Task


class Dependencies:
    """The tasks of a batch that have not started, and the tasks that each of them waits for.

    A task waits only for tasks before it in the user's list, so there is no cycle.

    Args:
        tasks: all tasks to paint, in the order in which they should start.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = {task.identity: task for task in tasks}
        self._waiting = {
            task.identity: task.writers & self._tasks.keys() for task in tasks if task.writers
        }
        self._readers: dict[str, list[str]] = {}
        for reader, writers in self._waiting.items():
            for writer in writers:
                self._readers.setdefault(writer, []).append(reader)

    def ready(self) -> list[Task]:
        """Return the tasks that wait for no other task."""
        return [task for name, task in self._tasks.items() if not self._waiting.get(name)]

    def done(self, task: Task) -> list[Task]:
        """Record that ``task`` has its picture; return the tasks that may start now."""
        released = []
        for reader in self._readers.pop(task.identity, []):
            waiting = self._waiting.get(reader)
            if waiting is None:
                continue  # Another task that it waited for has failed.
            waiting.discard(task.identity)
            if not waiting:
                released.append(self._tasks[reader])
        return released

    def failed(self, task: Task) -> list[Task]:
        """Record that ``task`` has no picture; return the tasks that cannot be painted now.

        Each is returned once, and only those that wait for ``task`` directly.
        """
        return [
            self._tasks[reader]
            for reader in self._readers.pop(task.identity, [])
            if self._waiting.pop(reader, None) is not None
        ]
