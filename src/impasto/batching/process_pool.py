"""Tasks painted by processes on this machine, which share its cores."""

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
    place: int
    task: Task | None = None


class LocalProcesses:
    """Processes that each paint one task at a time; one that dies is replaced.

    Args:
        workers: how many; by default one for each GPU, or one on the CPU.
        threads: of each; by default the physical cores are dealt out.
        tasks: how many will be submitted; by default as many as have been.
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
        """Refuse nothing: every task can be tried on this machine."""

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._waiting.append(task)
        self._submitted += 1

    def as_completed(self) -> Iterator[Event]:
        """Yield what happens, until every task has ended; then the processes end too."""
        try:
            yield from self._hand_out()
            while busy := [worker for worker in self._workers if worker.task]:
                for pipe in connection.wait([worker.pipe for worker in busy]):
                    (worker,) = (worker for worker in busy if worker.pipe is pipe)
                    happened = self._listen(worker)
                    # Before anything is done with a picture: nobody should wait for that.
                    begun = list(self._hand_out())
                    yield from happened
                    yield from begun
                # A task that ended may have let others be submitted.
                yield from self._hand_out()
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

    def _hand_out(self) -> Iterator[Advance]:
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
                # It died before it had anything to do.
                self._waiting.appendleft(task)
                self._bury(idle)
                continue
            idle.task = task
            yield Advance(task, 0.0)

    def _listen(self, worker: _Worker) -> list[Event]:
        task = worker.task
        assert task is not None
        try:
            told = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, task)
        if isinstance(told, int):
            if self._count_devices:
                self._most = max(self._most, told)
            return []
        if isinstance(told, float):
            return [Advance(task, told)]
        worker.task = None
        return [told]

    def _died(self, worker: _Worker, task: Task) -> list[Event]:
        """Give the task to another process, unless it seems to be what kills them."""
        how = self._bury(worker)
        self._deaths[task.identity] += 1
        if self._deaths[task.identity] < _MOST_DEATHS:
            self._waiting.appendleft(task)
            return []
        return [
            Outcome(
                task,
                "failed",
                message=f"expected its process to live, and {_MOST_DEATHS} ended, the last one "
                f"{how}; if memory ran out, ask for a smaller size or for fewer workers",
            )
        ]

    def _bury(self, worker: _Worker) -> str:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def _start(self) -> _Worker:
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(self._most) if place not in taken)
        side_by_side = min(self._most, max(self._expected, self._submitted))
        cores = physical_cores() or os.cpu_count() or 1
        threads = self._threads or max(1, cores // side_by_side)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, threads, place, 1 / side_by_side), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, pipe, place)
        self._workers.append(worker)
        return worker


def serve(pipe: Connection, threads: int, place: int, memory_share: float) -> None:
    """Paint what comes through ``pipe``, until it is closed or the parent is gone."""
    # The terminal tells all its processes of Ctrl-C; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    painter = TaskPainter(threads, place=place, memory_share=memory_share)
    # A parent that is killed closes its end.
    with suppress(EOFError, OSError):
        pipe.send(devices())
        while True:
            pipe.send(painter.paint(pipe.recv(), pipe.send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
