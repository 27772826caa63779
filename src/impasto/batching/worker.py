"""A worker process that paints one task after another, with one network kept ready."""

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

_REPORT_EVERY_S = 0.2


class TaskPainter:
    """Paints tasks in this process; made once, before torch is loaded.

    Args:
        threads: number of threads for tasks that do not set it.
        index: number of this process among those on the machine; it selects the GPU.
        memory_share: the share of the machine's memory that this process may use.
    """

    def __init__(self, threads: int, *, index: int = 0, memory_share: float = 1.0) -> None:
        keep_pages()
        os.environ["OMP_NUM_THREADS"] = str(threads)
        from impasto.engine.warm import WarmEngine

        freeze_modules()
        self._threads, self._index, self._memory_share = threads, index, memory_share
        self._engine = WarmEngine()
        self._pictures: dict[str, Picture] = {}

    def paint(
        self,
        task: Task,
        on_progress: Callable[[float], None] = lambda progress: None,
        shipped: Mapping[str, bytes] | None = None,
    ) -> Outcome:
        """Paint a task; an error becomes a failed Outcome.

        Args:
            task: the task.
            on_progress: called with the share of the work that is done, a few times a second.
            shipped: bytes of pictures by SHA-256; these are not read from their paths.
        """
        last_s = 0.0

        def on_step(step: Step) -> None:
            nonlocal last_s
            if step.time_s - last_s >= _REPORT_EVERY_S:
                last_s = step.time_s
                on_progress(step.progress)

        began_s = time.perf_counter()
        try:
            result = self._engine.paint(self._job(task, shipped or {}), on_step)
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
        # The next task often has the same pictures, so they stay decoded.
        self._pictures = {
            reference.known_sha256: self._pictures.get(reference.known_sha256)
            or _load(reference, shipped)
            for reference in task.spec.references()
        }
        return task.spec.load(
            self._loaded, runtime=task.runtime.model_copy(update=self._decisions(task))
        )

    def _loaded(self, reference: PictureReference) -> Picture:
        """Return the picture with the name of this file; two files may have the same content."""
        picture, path = self._pictures[reference.known_sha256], reference.file
        return replace(picture, name=path.stem, file_name=path.name)

    def _decisions(self, task: Task) -> dict[str, object]:
        """Set the runtime options that the task leaves open, for several processes on a machine."""
        import torch

        from impasto.planning.plan import make_plan

        decided: dict[str, object] = {}
        runtime, share = task.runtime, self._memory_share
        if runtime.threads is None:
            decided["threads"] = self._threads
        if runtime.device == "auto" and (count := torch.cuda.device_count()):
            decided["device"] = f"cuda:{self._index % count}"
            share *= count
        if runtime.memory is None and share < 1:
            budget = make_plan(runtime.model_copy(update=decided)).memory_bytes
            if budget is not None:
                decided["memory"] = round(share * budget)
        return decided


def devices() -> int:
    """Return the number of GPUs; 1 without any."""
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
            f"{str(reference.path)!r} has changed since the batch began: expected "
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
