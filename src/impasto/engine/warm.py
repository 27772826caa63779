"""What a process keeps from one painting to the next: the network and what it has measured."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from impasto import weights
from impasto.compute.device import choose_device
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import Checkpoint, Keeper
from impasto.engine.evaluation import evaluate
from impasto.engine.painting import Painting, iterate
from impasto.errors import Diverged, SettingsError
from impasto.images.picture import Picture
from impasto.job.job import Job
from impasto.job.result import Result, Step
from impasto.weights.download import Progress

# Below this share of free memory, a GPU is short of it.
_SHORT = 0.1


class WarmEngine:
    """Paints one job after another, and keeps what the next one can use.

    It keeps one network, the statistics of the latest 64 style pictures and sizes, and the latest
    64 gradient norms: at most about 500 MB for VGG-16. A job with another network, weights file or
    device replaces all of them. After a job on a GPU that is short of memory, nothing is kept.

    Several threads may paint: they take turns, step by step. A forked child begins with nothing.

    Args:
        make_cache: makes the empty cache.
    """

    def __init__(self, make_cache: Callable[[], Cache] = Cache) -> None:
        self._make_cache = make_cache
        self._cache = make_cache()
        self._kept_for: object = None
        self._process = os.getpid()
        self._inherited: Cache | None = None

    def iterate(
        self, job: Job, *, progress: Progress | None = None, resume: Checkpoint | None = None
    ) -> Painting:
        """Paint ``job`` step by step; see :func:`impasto.engine.painting.iterate`."""
        return iterate(job, progress=progress, cache=self._cache_for(job), resume=resume)

    def paint(
        self,
        job: Job,
        on_step: Callable[[Step], object] | None = None,
        *,
        progress: Progress | None = None,
        resume: Checkpoint | None = None,
        keeper: Keeper | None = None,
    ) -> Result:
        """Paint ``job`` to its end, calling ``on_step`` with each Step.

        If it ends early, a checkpoint is written. A KeyboardInterrupt gets the attribute
        ``result``: the Result as the painting stood, or None before the first step.

        Args:
            job: what to paint.
            on_step: called with each Step; if it returns False, painting ends there.
            progress: called while weights are downloaded.
            resume: the checkpoint to go on from.
            keeper: writes checkpoints while painting.

        Raises:
            ImpastoError: as ``iterate`` does.
        """
        painting = self.iterate(job, progress=progress, resume=resume)
        step: Step | None = None
        try:
            for step in painting:
                cancelled = on_step is not None and on_step(step) is False
                if cancelled:
                    painting.cancel()
                if keeper is not None:
                    (keeper.save if cancelled else keeper.step)(painting.checkpoint)
        except Diverged:
            raise
        except BaseException as error:
            if keeper is not None:
                keeper.save(painting.checkpoint)
            if isinstance(error, KeyboardInterrupt):
                _attach_result(error, step)
            raise
        finally:
            if _is_short_of_memory(job):
                self.close()
        result = painting.result
        assert (
            result is not None
        )  # only a painting that was cancelled before its first step has none
        return result

    def evaluate(self, job: Job, image: Picture) -> dict[str, float]:
        """Return the objective at a picture; see :func:`impasto.engine.evaluation.evaluate`."""
        return evaluate(job, image, self._cache_for(job))

    def close(self) -> None:
        """Release what is kept; the next job loads it again. Paintings under way go on."""
        self._cache, self._kept_for = self._make_cache(), None

    def _cache_for(self, job: Job) -> Cache:
        if self._process != os.getpid():
            # Memory on a GPU cannot be used in a forked child, nor freed there.
            self._process, self._inherited = os.getpid(), self._cache
            self.close()
        name, file = job.settings.network, job.runtime.weights
        wanted = (name, weights.fingerprint(name, file=file), job.runtime.device)
        if wanted != self._kept_for:
            self.close()
            self._kept_for = wanted
        return self._cache


def _is_short_of_memory(job: Job) -> bool:
    """Return whether the job was painted on a GPU that has little free memory left."""
    if not torch.cuda.is_available():
        return False
    try:
        device = choose_device(job.runtime.device)
    except SettingsError:  # there is no such device, and the job has failed
        return False
    if device.type != "cuda":
        return False
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return free_bytes < _SHORT * total_bytes


def _attach_result(interrupt: KeyboardInterrupt, step: Step | None) -> None:
    """Keep what has been painted where the caller can find it."""
    interrupt.result = None if step is None else step.result()  # type: ignore[attr-defined]
    if step is not None and hasattr(interrupt, "add_note"):  # from Python 3.11 on
        interrupt.add_note(
            "The picture so far is in the exception's attribute result: "
            "except KeyboardInterrupt as stopped: stopped.result.save('picture.png')"
        )
