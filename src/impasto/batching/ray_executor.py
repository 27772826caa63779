"""Paint tasks with Ray, on a cluster or on this machine."""

from __future__ import annotations

import os
import signal
import socket
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.batching.tasks import Advance, Event, Outcome, Task
from impasto.batching.worker import TaskPainter
from impasto.compute.host import physical_cores
from impasto.errors import MissingPackageError, SettingsError
from impasto.job.job import PictureReference

_MOST_RETRIES = 3
# Extra tasks in the cluster's own queue, so that no worker waits for this process.
_AHEAD = 2
_MOST_SHIPPED = 64
_POLL_S = 0.2
_ANSWERS_WITHIN_S = 10.0

_painter: TaskPainter | None = None


class RayCluster:
    """The workers of a Ray cluster; if a worker or node dies, another one paints its task.

    Args:
        address: the cluster's address, or ``local`` to start Ray on this machine.
        workers: maximum number of tasks at a time; by default as many as the cluster has room
            for, and with ``local`` one.
        threads: CPUs for each task; by default 1, and with ``local`` an equal share of the
            physical cores.
        shared_folder: every node opens pictures in this folder by their path; other pictures
            are sent to the nodes.

    Raises:
        MissingPackageError: Ray is not installed.
        SettingsError: there is no cluster at ``address``.
    """

    def __init__(
        self,
        address: str,
        *,
        workers: int | None = None,
        threads: int | None = None,
        shared_folder: Path | None = None,
    ) -> None:
        self._ray = _import_ray()
        self._most_tasks = workers
        self._threads = threads or 1
        options: dict[str, Any] = {"address": address}
        if address == "local":
            self._most_tasks = workers or 1
            cores = physical_cores() or os.cpu_count() or 1
            self._threads = threads or max(1, cores // self._most_tasks)
            # Without num_cpus, Ray would use an address file that an earlier Ray left behind.
            options |= {"num_cpus": self._most_tasks * self._threads, "include_dashboard": False}
        self._shared = shared_folder and shared_folder.resolve()
        self._waiting: deque[Task] = deque()
        self._under_way: dict[Any, Task] = {}
        self._shipped: OrderedDict[str, Any] = OrderedDict()
        self._connect(address, options)
        self._paint = self._ray.remote(max_retries=_MOST_RETRIES)(paint)

    def check(self, task: Task) -> None:
        """Check that a node is large enough for the task.

        Raises:
            SettingsError: the task needs more threads than any node has CPUs.
        """
        most = max((self._cpus(node) for node in self._nodes()), default=0)
        if self._threads_of(task) > most:
            raise SettingsError(
                f"threads: expected at most {most:g}, the CPUs of the cluster's largest node, got "
                f"{self._threads_of(task)}; ask for fewer"
            )

    def submit(self, task: Task) -> None:
        """Add a task to the queue."""
        self._waiting.append(task)

    def as_completed(self) -> Iterator[Event]:
        """Yield events until every task has ended; then disconnect."""
        try:
            yield from self._dispatch()
            while self._under_way:
                # The timeout lets Python handle signals.
                ended, _ = self._ray.wait(list(self._under_way), timeout=_POLL_S)
                outcomes = [self._outcome(reference) for reference in ended]
                started = list(self._dispatch())
                yield from outcomes
                yield from started
                # The end of a task may have released others, which are now in the queue.
                yield from self._dispatch()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Cancel all tasks, and disconnect from the cluster."""
        self._waiting.clear()
        self._shipped.clear()
        if self._ray.is_initialized():
            for reference in self._under_way:
                self._ray.cancel(reference, force=True)
            self._under_way.clear()
            self._ray.shutdown()

    def _connect(self, address: str, options: dict[str, Any]) -> None:
        # Ray replaces the signal handlers; they are set again afterwards.
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            _check_listening(address)
            self._ray.init(
                **options, log_to_driver=False, configure_logging=False, namespace="impasto"
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise SettingsError(
                f"no Ray cluster at {address!r} ({reason}): expected one that answers; start it "
                "with ray start --head, or use --cluster local"
            ) from None
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _dispatch(self) -> Iterator[Event]:
        room = self._room()
        while self._waiting and len(self._under_way) < room:
            task = self._waiting.popleft()
            try:
                shipped = {
                    picture.known_sha256: self._ship(picture)
                    for picture in task.spec.references()
                    if not self._is_shared(picture.file)
                }
            except OSError as error:
                yield Outcome(task, "failed", message=f"a picture is gone: {error}")
                continue
            threads = self._threads_of(task)
            wants_gpu = task.runtime.device != "cpu" and self._gpus() > 0
            reference = self._paint.options(
                num_cpus=threads, num_gpus=1 if wants_gpu else 0, name=task.output.name
            ).remote(task, threads, list(shipped), *shipped.values())
            self._under_way[reference] = task
            yield Advance(task, 0.0)

    def _outcome(self, reference: Any) -> Outcome:
        task = self._under_way.pop(reference)
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Outcome(
                task,
                "failed",
                message=f"expected the cluster to paint it within {_MOST_RETRIES + 1} attempts: "
                f"{lines[-1].strip()}; see Ray's logs",
                trace=str(error),
            )
        return outcome

    def _ship(self, picture: PictureReference) -> Any:
        """Put a picture's bytes into Ray's object store, once for each picture."""
        sha256 = picture.known_sha256
        if sha256 not in self._shipped:
            self._shipped[sha256] = self._ray.put(picture.file.read_bytes())
            if len(self._shipped) > _MOST_SHIPPED:
                self._shipped.popitem(last=False)
        self._shipped.move_to_end(sha256)
        return self._shipped[sha256]

    def _is_shared(self, path: Path) -> bool:
        return self._shared is not None and path.resolve().is_relative_to(self._shared)

    def _room(self) -> int:
        """Return how many tasks the cluster may have now; nodes may join and leave."""
        nodes = self._nodes()
        slots = int(self._gpus() or sum(self._cpus(node) // self._threads for node in nodes))
        # If the user limits the tasks below the cluster's room, none may wait there.
        return self._most_tasks if self._most_tasks and self._most_tasks < slots else slots + _AHEAD

    def _nodes(self) -> list[dict[str, Any]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    @staticmethod
    def _cpus(node: dict[str, Any]) -> float:
        return float(node.get("CPU", 0))

    def _gpus(self) -> float:
        return sum(float(node.get("GPU", 0)) for node in self._nodes())

    def _threads_of(self, task: Task) -> int:
        return task.runtime.threads or self._threads


def paint(task: Task, threads: int, names: list[str], *pictures: bytes) -> Outcome:
    """Paint a task; Ray calls this on a node, in a worker process that it keeps for later tasks."""
    global _painter
    if _painter is None:
        cores = physical_cores() or os.cpu_count() or 1
        _painter = TaskPainter(threads, memory_share=min(1.0, threads / cores))
    return _painter.paint(task, shipped=dict(zip(names, pictures, strict=True)))


def _check_listening(address: str) -> None:
    """Check that a server listens at ``address``; Ray itself would try for minutes.

    Raises:
        OSError: no server listens.
    """
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_S).close()


def _import_ray() -> Any:
    # Ray reads this when it is imported: no usage statistics are sent unless the user wants it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise MissingPackageError(
            "--cluster needs the package ray, which is not installed: install it with "
            "pip install '.[cluster]' in impasto's own folder, here and on every node"
        ) from None
    return ray
