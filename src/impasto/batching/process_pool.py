"""Paint tasks in processes on this machine, which share its cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from impasto.batching.tasks import Advance, Event, Outcome, Task
from impasto.batching.worker import TaskPainter, devices
from impasto.compute.host import physical_cores

_MOST_DEATHS = 3


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    index: int
    task: Task | None = None


class LocalProcesses:
    """Processes that each paint one task at a time; a process that dies is replaced.

    Args:
        workers: number of processes; by default one for each GPU, or one on the CPU.
        threads: threads of each process; by default an equal share of the physical cores.
        tasks: number of tasks to expect; by default the number submitted so far.
    """

    def __init__(
        self, workers: int | None = None, threads: int | None = None, *, tasks: int = 0
    ) -> None:
        self._most = workers or 1
        self._count_devices = workers is None
        self._threads = threads
        self._waiting: deque[Task] = deque()
        self._expected, self._submitted = tasks, 0
        self._workers: list[_Worker] = []
        self._deaths: Counter[str] = Counter()

    def check(self, task: Task) -> None:
        """Accept every task."""

    def submit(self, task: Task) -> None:
        """Add a task to the queue."""
        self._waiting.append(task)
        self._submitted += 1

    def as_completed(self) -> Iterator[Event]:
        """Yield events until every task has ended; then end the processes."""
        try:
            yield from self._dispatch()
            while busy := [worker for worker in self._workers if worker.task]:
                for pipe in connection.wait([worker.pipe for worker in busy]):
                    (worker,) = (worker for worker in busy if worker.pipe is pipe)
                    events = self._receive(worker)
                    # Dispatch before the caller saves a picture, so that no worker waits for that.
                    started = list(self._dispatch())
                    yield from events
                    yield from started
                # The end of a task may have released others, which are now in the queue.
                yield from self._dispatch()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Kill the processes."""
        self._waiting.clear()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _dispatch(self) -> Iterator[Advance]:
        while self._waiting:
            idle = next((worker for worker in self._workers if worker.task is None), None)
            if idle is None:
                if len(self._workers) >= self._most:
                    return
                idle = self._start()
            task = self._waiting.popleft()
            try:
                idle.pipe.send(task)
            except OSError:
                # The process died while it was idle.
                self._waiting.appendleft(task)
                self._remove(idle)
                continue
            idle.task = task
            yield Advance(task, 0.0)

    def _receive(self, worker: _Worker) -> list[Event]:
        task = worker.task
        assert task is not None
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, task)
        if isinstance(message, int):
            if self._count_devices:
                self._most = max(self._most, message)
            return []
        if isinstance(message, float):
            return [Advance(task, message)]
        worker.task = None
        return [message]

    def _died(self, worker: _Worker, task: Task) -> list[Event]:
        """Queue the task again, unless it has killed several processes already."""
        reason = self._remove(worker)
        self._deaths[task.identity] += 1
        if self._deaths[task.identity] < _MOST_DEATHS:
            self._waiting.appendleft(task)
            return []
        return [
            Outcome(
                task,
                "failed",
                message=f"expected its process to survive, but {_MOST_DEATHS} ended, the last one "
                f"{reason}; if memory ran out, ask for a smaller size or for fewer workers",
            )
        ]

    def _remove(self, worker: _Worker) -> str:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def _start(self) -> _Worker:
        taken = {worker.index for worker in self._workers}
        index = next(index for index in range(self._most) if index not in taken)
        side_by_side = min(self._most, max(self._expected, self._submitted))
        cores = physical_cores() or os.cpu_count() or 1
        threads = self._threads or max(1, cores // side_by_side)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, threads, index, 1 / side_by_side), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, pipe, index)
        self._workers.append(worker)
        return worker


def serve(pipe: Connection, threads: int, index: int, memory_share: float) -> None:
    """Paint the tasks from ``pipe`` until it is closed or the parent process has ended."""
    # Ctrl-C in a terminal reaches all its processes; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    painter = TaskPainter(threads, index=index, memory_share=memory_share)
    # When the parent is killed, its end of the pipe is closed.
    with suppress(EOFError, OSError):
        pipe.send(devices())
        while True:
            pipe.send(painter.paint(pipe.recv(), pipe.send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
