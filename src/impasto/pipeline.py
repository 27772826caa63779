"""The whole algorithm: a Job goes in, Steps come out, and at the end a Result.

    pictures -> sizes from coarse to fine -> at each size: targets, objective, descent

The only room that knows all the others. To cancel is to stop iterating.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor

import impasto
from impasto import (
    calibration,
    canvas,
    colour,
    images,
    inputs,
    network,
    planning,
    recipe,
    weights,
)
from impasto.errors import Diverged, OutOfMemoryError
from impasto.history import History
from impasto.inputs import Inputs
from impasto.memory import Demand, is_out_of_memory
from impasto.network import Network
from impasto.objective import Objective
from impasto.optimise import Iterate, descend
from impasto.planning import Plan, Way, choose_way, make_plan
from impasto.preparation import Preparation
from impasto.pyramid import Scale
from impasto.recipe import Decisions, Precision, Recipe
from impasto.records import Job, Result, Step
from impasto.reuse import Reuse
from impasto.settings import Settings
from impasto.weights import Progress

_PRECISIONS: dict[torch.dtype, Precision] = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


def iterate(
    job: Job, *, progress: Progress | None = None, reuse: Reuse | None = None
) -> Generator[Step, None, Result]:
    """Paint ``job``: yield a Step after each iteration, and return the Result.

    Nothing is read before the first step is asked for; all input is checked before the
    first iteration.

    Args:
        job: what to paint.
        progress: told of the fetching of weights, should they be absent.
        reuse: what the jobs before left for this one; by default nothing.

    Raises:
        SettingsError: options that contradict each other, the mode or this machine.
        ImageError: a picture that cannot be read or used.
        WeightsError: the network's weights cannot be had.
        Diverged: the first loss is not finite.
        OutOfMemoryError: the painting does not fit.
    """
    reuse = reuse or Reuse()
    plan = make_plan(job.runtime)
    given = inputs.read(job)
    if job.runtime.threads is not None:
        torch.set_num_threads(job.runtime.threads)
    try:
        net = _load_network(job, plan, progress, reuse)
        settings = _weigh(job, given, plan, reuse)
        return (yield from _Painting(job, given, settings, plan, net, reuse).steps())
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        finest = given.scales[-1]
        raise OutOfMemoryError(
            f"expected a painting of {finest.width_px} x {finest.height_px} pixels to fit in "
            "memory, and it did not; ask for a smaller size"
        ) from error


def preview(job: Job) -> list[tuple[Scale, Way]]:
    """Say how ``job`` would be painted, without painting it: each size, and its way.

    Raises:
        SettingsError: as ``iterate`` does.
        ImageError: as ``iterate`` does.
    """
    plan = make_plan(job.runtime)
    given = inputs.read(job)
    return list(zip(given.scales, _choose_ways(given, plan), strict=True))


class _Painting:
    """One job under way."""

    def __init__(
        self,
        job: Job,
        given: Inputs,
        settings: Settings,
        plan: Plan,
        net: Network,
        reuse: Reuse,
    ) -> None:
        self.job, self.given, self.plan, self.network = job, given, plan, net
        self.settings = settings
        self._began_s = time.perf_counter()
        self._history: list[dict[str, float]] = []
        self._preparation = Preparation(replace(given, settings=settings), net, plan.device, reuse)
        self._ways = _choose_ways(given, plan)
        self._notes = given.notes
        finest = demands(given, plan)[-1]
        if told := planning.shortage(finest, self._ways[-1], settings.history, plan.memory_bytes):
            self._notes = (*given.notes, told)
        self._recipe = _write_recipe(job, given, settings, plan, self._ways, reuse)

    def steps(self) -> Generator[Step, None, Result]:
        """Paint from the coarsest size to the finest."""
        scales = self.given.scales
        work = sum(scale.work for scale in scales)
        work_done = 0
        image = self._preparation.first_image(scales[0])
        for place, scale in enumerate(scales):
            # Where ranks have painted each for itself, they may have rounded otherwise.
            image = self.plan.ranks.agree(canvas.bring(image, scale).contiguous())
            try:
                for point in self._descend(image, scale, self._ways[place]):
                    image = point.image
                    work_done += scale.step_work
                    yield self._step(place, point, work_done / work)
            except Diverged as diverged:
                if self._history:
                    diverged.result = self._finish(image, scale, stopped=True)
                raise
        return self._finish(image, scales[-1], stopped=False)

    def _descend(self, image: Tensor, scale: Scale, way: Way) -> Iterator[Iterate]:
        if not scale.iterations:
            return iter(())
        targets = self._preparation.targets(scale, way)
        objective = Objective(
            self.network,
            targets,
            self.settings,
            tile_px=way.tile_px,
            tiles_kept=way.tiles_kept,
            ranks=way.ranks,
        )
        settings = self.settings.model_copy(update={"history": way.history})
        return descend(
            objective.evaluate,
            image,
            scale.iterations,
            settings,
            history_dtype=way.history_dtype,
        )

    def _step(self, place: int, point: Iterate, progress: float) -> Step:
        time_s = time.perf_counter() - self._began_s
        scales = self.given.scales
        done = len(self._history) + 1
        place_px = (scales[place].width_px, scales[place].height_px)
        self._history.append(
            {
                "scale": place,
                "size_px": max(place_px),
                "step": done,
                "time_s": time_s,
                **point.losses,
            }
        )
        return Step(
            scale=place,
            scales=len(scales),
            scale_steps=scales[place].iterations,
            step=done,
            steps=sum(scale.iterations for scale in scales),
            size_px=place_px,
            losses=point.losses,
            time_s=time_s,
            progress=progress,
            notes=self._notes if done == 1 else (),
            image=partial(self._image, point.image, scales[place]),
            result=partial(self._result, point.image, scales[place], done, time_s),
        )

    def _image(self, painted: Tensor, scale: Scale) -> Image.Image:
        pixels = self._coloured(canvas.cut(painted, scale))
        return images.to_image(pixels, self._alpha(pixels))

    def _coloured(self, pixels: Tensor) -> Tensor:
        """Bring the picture into memory, with the colours that the result is to have."""
        pixels = pixels.clamp(0, 1).to("cpu", torch.float32)
        content = self.given.content
        if content is None or self.settings.colour != "keep":
            return pixels
        return colour.keep(pixels, images.resize(content.pixels, *pixels.shape[-2:]))

    def _alpha(self, pixels: Tensor) -> Tensor | None:
        content = self.given.content
        if content is None or content.alpha is None:
            return None
        return images.resize(content.alpha, *pixels.shape[-2:])

    def _finish(self, painted: Tensor, scale: Scale, *, stopped: bool) -> Result:
        time_s = time.perf_counter() - self._began_s
        return self._result(painted, scale, len(self._history), time_s, stopped=stopped)

    def _result(
        self, painted: Tensor, scale: Scale, steps: int, time_s: float, *, stopped: bool = True
    ) -> Result:
        finest = self.given.scales[-1]
        if scale is not finest:
            painted = canvas.bring(painted, finest)
        pixels = self._coloured(canvas.cut(painted, finest))
        decisions = self._recipe.decisions.model_copy(
            update={"stopped_after": steps if stopped else None}
        )
        return Result(
            pixels=pixels,
            history=History(self._history[:steps]),
            settings=self.given.settings,
            mode=self.job.mode,
            time_s=time_s,
            notes=self._notes,
            metadata={
                "Software": f"impasto {impasto.__version__}",
                "Network": self.settings.network,
            },
            alpha=self._alpha(pixels),
            recipe=self._recipe.model_copy(update={"decisions": decisions}),
        )


def _load_network(job: Job, plan: Plan, progress: Progress | None, reuse: Reuse) -> Network:
    name, file, settings = job.settings.network, job.runtime.weights, job.settings
    return reuse.recall(
        "network",
        (name, file, plan.dtype, settings.pooling, settings.border, plan.device),
        lambda: network.load(
            name,
            weights=file,
            dtype=plan.dtype,
            pooling=settings.pooling,
            padding=settings.border,
            device=plan.device,
            offline=job.runtime.offline,
            progress=progress,
        ),
    )


def _weigh(job: Job, given: Inputs, plan: Plan, reuse: Reuse) -> Settings:
    """Put alpha and beta in the place of strength: as decided before, or as measured now."""
    settings = given.settings
    if not settings.strength:
        return calibration.balanced(settings)
    if job.weights is not None:
        alpha, beta = job.weights
        return settings.model_copy(update={"strength": None, "alpha": alpha, "beta": beta})
    net = _load_network(job, replace(plan, dtype=torch.float32), None, reuse)
    return calibration.balanced(settings, calibration.measure(given, net, reuse))


def _choose_ways(given: Inputs, plan: Plan) -> list[Way]:
    """Make each size fit into the memory that there is."""
    return [
        choose_way(demand, given.settings.history, plan.memory_bytes, plan.ranks)
        for demand in demands(given, plan)
    ]


def demands(given: Inputs, plan: Plan) -> list[Demand]:
    """List what each size asks of memory and processor."""
    settings = calibration.balanced(given.settings)
    content = list(settings.content_layers) if given.content and settings.alpha else []
    style = list(settings.style_layers) if given.styles and settings.beta else []
    return [
        Demand(
            *scale.canvas_px,
            layers=tuple(dict.fromkeys([*content, *style])),
            content_layers=tuple(content),
            network=settings.network,
            dtype=plan.dtype,
            optimiser=settings.optimiser,
            steps=scale.iterations,
        )
        for scale in given.scales
    ]


def _write_recipe(
    job: Job, given: Inputs, used: Settings, plan: Plan, ways: list[Way], reuse: Reuse
) -> Recipe:
    settings = given.settings
    weights_from = (settings.network, job.runtime.weights)
    had_to_fit = ways != _choose_ways(given, replace(plan, memory_bytes=None))
    # Pictures stand among the inputs; the settings may hold their paths, which are private.
    settings = settings.model_copy(update={"region": None})
    if given.start is not None:
        settings = settings.model_copy(update={"start": None})
    return Recipe(
        mode=job.mode,
        settings=settings,
        weights_sha256=reuse.recall(
            "weights_sha256",
            weights_from,
            lambda: weights.sha256(weights_from[0], file=weights_from[1]),
        ),
        versions=recipe.versions(),
        decisions=Decisions(
            precision=_PRECISIONS[plan.dtype],
            device=plan.device.type,
            threads=torch.get_num_threads(),
            memory=plan.memory_bytes if had_to_fit else None,
            ranks=plan.ranks.count if plan.ranks.count > 1 else None,
            alpha=used.alpha if settings.strength else None,
            beta=used.beta if settings.strength else None,
        ),
        inputs=recipe.inputs(
            given.content, given.styles, given.start, [area.pictures for area in given.areas]
        ),
    )
