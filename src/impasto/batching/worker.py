"""A process that paints one task after another, with network and styles kept warm."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from impasto.batching.tasks import Outcome, Task
from impasto.compute.host import freeze_modules, keep_pages
from impasto.errors import Diverged, ImageError, ImpastoError

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.job import Job, PictureReference
    from impasto.job.result import Result, Step

_TOLD_EVERY_S = 0.2


class TaskPainter:
    """Paints tasks in this process, which is its own: made once, before torch is loaded.

    Args:
        threads: for tasks that do not say.
        place: number of this process among those on the machine: GPUs are dealt out by it.
        memory_share: how much of the machine's memory is for this process.
    """

    def __init__(self, threads: int, *, place: int = 0, memory_share: float = 1.0) -> None:
        keep_pages()
        os.environ["OMP_NUM_THREADS"] = str(threads)
        from impasto.engine.cache import Cache

        freeze_modules()
        self._threads, self._place, self._memory_share = threads, place, memory_share
        self._cache = Cache()
        self._pictures: dict[str, Picture] = {}

    def paint(
        self,
        task: Task,
        told: Callable[[float], None] = lambda progress: None,
        shipped: Mapping[str, bytes] | None = None,
    ) -> Outcome:
        """Paint, whatever happens.

        Args:
            task: what to paint.
            told: called with the share of the work that is done, a few times a second.
            shipped: the bytes of pictures that are not to be read from their paths, by SHA-256.
        """
        from impasto import api

        last_s = 0.0

        def on_step(step: Step) -> None:
            nonlocal last_s
            if step.time_s - last_s >= _TOLD_EVERY_S:
                last_s = step.time_s
                told(step.progress)

        began_s = time.perf_counter()
        try:
            result = api.paint(self._job(task, shipped or {}), on_step, cache=self._cache)
            return _outcome(task, result)
        except Diverged as error:
            best = Outcome(task, "failed") if error.result is None else _outcome(task, error.result)
            return replace(best, state="failed", message=str(error))
        except ImpastoError as error:
            time_s = time.perf_counter() - began_s
            return Outcome(task, "failed", time_s=time_s, message=str(error))
        except Exception as error:
            return Outcome(
                task,
                "failed",
                time_s=time.perf_counter() - began_s,
                message=f"{type(error).__name__}: {error}",
                trace=traceback.format_exc(),
            )

    def _job(self, task: Task, shipped: Mapping[str, bytes]) -> Job:
        # The next task has often the same style.
        self._pictures = {
            reference.known_sha256: self._pictures.get(reference.known_sha256)
            or _load(reference, shipped)
            for reference in task.spec.references()
        }
        return task.spec.load(
            self._loaded, runtime=task.runtime.model_copy(update=self._decisions(task))
        )

    def _loaded(self, reference: PictureReference) -> Picture:
        """Give a picture the name of the file that was asked for: two files may hold the same."""
        picture, path = self._pictures[reference.known_sha256], reference.file
        return replace(picture, name=path.stem, file_name=path.name)

    def _decisions(self, task: Task) -> dict[str, object]:
        """Decide what the task leaves open and several processes on a machine must share."""
        import torch

        from impasto.planning.plan import make_plan

        decided: dict[str, object] = {}
        runtime, share = task.runtime, self._memory_share
        if runtime.threads is None:
            decided["threads"] = self._threads
        if runtime.device == "auto" and (count := torch.cuda.device_count()):
            decided["device"] = f"cuda:{self._place % count}"
            share *= count
        if runtime.memory is None and share < 1:
            budget = make_plan(runtime.model_copy(update=decided)).memory_bytes
            if budget is not None:
                decided["memory"] = round(share * budget)
        return decided


def devices() -> int:
    """Count the devices of this machine that can each take a process; 1 without any GPU."""
    import torch

    return max(1, torch.cuda.device_count())


def _load(reference: PictureReference, shipped: Mapping[str, bytes]) -> Picture:
    from impasto import images

    data = shipped.get(reference.known_sha256)
    if data is not None:
        picture = images.load(data, file_name=reference.name)
    else:
        picture = images.load(reference.file)
    if picture.sha256 != reference.sha256:
        raise ImageError(
            f"{str(reference.path)!r} is another picture now than when the batch began: expected "
            f"SHA-256 {reference.sha256}, got {picture.sha256}; start the batch again"
        )
    return picture


def _outcome(task: Task, result: Result) -> Outcome:
    height_px, width_px = result.pixels.shape[-2:]
    return Outcome(
        task,
        "done",
        data=task.finish.encode(result, task.output),
        size_px=(width_px, height_px),
        time_s=result.time_s,
    )
