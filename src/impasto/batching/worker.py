"""A process that paints one task after another, with network and styles kept warm."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from impasto.batching.tasks import Outcome, Source, Task
from impasto.compute.host import freeze_modules, keep_pages
from impasto.errors import Diverged, ImageError, ImpastoError

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.job import Job
    from impasto.job.result import Result, Step

_TOLD_EVERY_S = 0.2


class Painter:
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
        self._reuse = Cache()
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
            result = api.paint(self._job(task, shipped or {}), on_step, reuse=self._reuse)
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
        from impasto.job.job import Job, Region

        pictures = {
            source.sha256: self._pictures.get(source.sha256) or _load(source, shipped)
            for source in task.sources
        }
        # The next task has often the same style.
        self._pictures = pictures
        return Job(
            mode=task.mode,
            content_image=task.content and _named(pictures, task.content),
            style_images=tuple(_named(pictures, style) for style in task.styles),
            start_image=task.start and _named(pictures, task.start),
            regions=tuple(
                Region(*(_named(pictures, source) for source in region)) for region in task.regions
            ),
            settings=task.settings,
            runtime=task.runtime.model_copy(update=self._decisions(task)),
        )

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


def _load(source: Source, shipped: Mapping[str, bytes]) -> Picture:
    from impasto import images

    if source.sha256 in shipped:
        picture = images.load(shipped[source.sha256], file_name=source.path.name)
    else:
        picture = images.load(source.path)
    if picture.sha256 != source.sha256:
        raise ImageError(
            f"{str(source.path)!r} is another picture now than when the batch began: expected "
            f"SHA-256 {source.sha256}, got {picture.sha256}; start the batch again"
        )
    return picture


def _named(pictures: Mapping[str, Picture], source: Source) -> Picture:
    """Give a picture the name of the file that was asked for: two files may hold the same."""
    return replace(pictures[source.sha256], name=source.path.stem, file_name=source.path.name)


def _outcome(task: Task, result: Result) -> Outcome:
    height_px, width_px = result.pixels.shape[-2:]
    return Outcome(
        task,
        "done",
        data=task.finish.encode(result, task.output),
        size_px=(width_px, height_px),
        time_s=result.time_s,
    )
