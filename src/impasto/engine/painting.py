"""The whole algorithm: a Job goes in, Steps come out, and at the end a Result.

    pictures -> sizes from coarse to fine -> at each size: targets, objective, descent

The only room that knows all the others. To cancel is to stop iterating.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from impasto.compute.allocator import is_out_of_memory
from impasto.compute.torch_state import isolated
from impasto.config.settings import Settings
from impasto.engine import canvas, defaults, inputs, setup, steering
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import Checkpoint, misfit
from impasto.engine.inputs import Inputs
from impasto.engine.reporting import Reporter
from impasto.engine.scale_loop import ScaleLoop
from impasto.engine.scale_setup import ScaleSetup
from impasto.engine.snapshot import Snapshot
from impasto.errors import Diverged, OutOfMemoryError
from impasto.job.job import Job
from impasto.job.recipe import Decisions
from impasto.job.result import Result, Step
from impasto.models.vgg import VGGFeatures
from impasto.optim.minimizer import Iterate
from impasto.planning.plan import ComputePlan, make_plan
from impasto.weights.download import Progress


def iterate(
    job: Job,
    *,
    progress: Progress | None = None,
    reuse: Cache | None = None,
    resume: Checkpoint | None = None,
) -> Painting:
    """Paint ``job``: iterating yields a Step after each iteration, and returns the Result.

    Nothing is read before the first step is asked for; all input is checked before the
    first iteration.

    Args:
        job: what to paint.
        progress: told of the fetching of weights, should they be absent.
        reuse: what the jobs before left for this one; by default nothing.
        resume: where to go on from, instead of from the start.

    Raises:
        SettingsError: options that contradict each other, the mode or this machine.
        CheckpointError: ``resume`` is of another painting.
        ImageError: a picture that cannot be read or used.
        WeightsError: the network's weights cannot be had.
        Diverged: the first loss is not finite.
        OutOfMemoryError: the painting does not fit.
    """
    return Painting(job, progress, reuse or Cache(), resume)


class Painting(Generator[Step, Mapping[str, Any] | None, Result]):
    """A job under way: a generator of Steps that can be steered.

    ``painting.send({"beta": 1e5})`` changes settings and returns the next Step. Which ones may
    change, ``steering.steerable()`` lists. The painting goes on from its best image, towards the
    changed objective; losses before and after do not compare. A change that cannot be is refused
    with SettingsError, and, unlike other generators, the painting is none the worse for it.
    """

    def __init__(
        self, job: Job, progress: Progress | None, reuse: Cache, resume: Checkpoint | None
    ) -> None:
        if resume is not None and job.decisions is None:
            job = replace(job, decisions=resume.recipe.decisions)
        self._job, self._progress, self._reuse = job, progress, reuse
        self._resume = resume
        self._course: ScaleLoop | None = None
        self._sent: Mapping[str, Any] = {}
        self._before_s, self._since_s = 0.0, 0.0
        self._steps = self._paint()

    @property
    def settings(self) -> Settings:
        """What it is painted with at this moment."""
        if self._course is not None:
            return self._course.stage.given.settings
        settings = defaults.complete(self._job, self._job.settings)
        if self._resume is not None:
            settings = steering.steered(self._job, settings, self._resume.recipe.decisions)
        return settings

    def check_change(self, change: Mapping[str, Any]) -> Settings:
        """Return what the settings would be after ``change``, fields of Settings by name.

        Raises:
            SettingsError: it cannot be made while painting.
        """
        return steering.check_change(self._job, self.settings, change)

    def send(self, change: Mapping[str, Any] | None, /) -> Step:
        """Return the next Step, after the change of settings, if there is one.

        Raises:
            SettingsError: a change that cannot be made; nothing has happened then.
        """
        if change:
            change = self._beside(change)
            self.check_change(change)
            self._sent = change
        self._since_s = time.perf_counter()
        try:
            with isolated(self._threads):
                return next(self._steps)
        finally:
            self._before_s = self._time_s
            self._since_s = 0.0

    def _beside(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Keep alpha where beta takes the place of strength, and beta where alpha does."""
        weights = {"alpha", "beta"}
        if self._course is None or not self.settings.strength or not weights & change.keys():
            return dict(change)
        return {**self._course.stage.used.model_dump(include=weights), **change}

    def throw(self, *raised: Any) -> Step:
        """Raise an exception where the painting stands, which ends it."""
        with isolated(self._threads):
            return self._steps.throw(*raised)

    def checkpoint(self) -> Checkpoint | None:
        """Return all that it takes to go on from here, between two steps or after an exception.

        Its tensors are the painting's own: write them before the next step.

        Returns:
            None before the first step, and where a fault has left nothing whole.
        """
        course = self._course
        state = None if course is None else course.state
        if course is None or state is None:
            return None
        # An exception may have come before the stage could follow.
        stage = replace(course.stage, point=state.point)
        if not stage.done:
            return None
        self._showing.record(stage, self._time_s)
        return Checkpoint(
            recipe=self._showing.recipe.model_copy(update={"decisions": stage.decisions}),
            place=stage.place,
            state=state,
            rows=tuple(self._showing.rows),
            time_s=self._time_s,
        )

    @property
    def _threads(self) -> int | None:
        return setup.obeying(self._job.runtime, self._job.decisions).threads

    @property
    def _time_s(self) -> float:
        """Seconds spent on painting; what the caller does between two steps is not counted."""
        now_s = time.perf_counter() - self._since_s if self._since_s else 0.0
        return self._before_s + now_s

    def _paint(self) -> Generator[Step, None, Result]:
        job = self._job
        runtime = setup.obeying(job.runtime, job.decisions)
        plan = make_plan(runtime)
        given = inputs.read(job)
        if job.decisions is not None:
            steering.steered(job, given.settings, job.decisions)
        try:
            course = self._course = self._begin(given, plan)
            return (yield from self._follow(course))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            finest = given.scales[-1]
            raise OutOfMemoryError(
                f"expected a painting of {finest.width_px} x {finest.height_px} pixels to fit in "
                "memory, and it did not; ask for a smaller size"
            ) from error

    def _begin(self, given: Inputs, plan: ComputePlan) -> ScaleLoop:
        job, reuse = self._job, self._reuse
        network = setup.load_network(job, plan, self._progress, reuse)
        used = setup.resolve_weights(job, given, plan, reuse, job.decisions)
        made = setup.write_recipe(job, given, used, plan, reuse)
        notes = [*network.notes, *given.notes, *setup.shortage(given, plan)]
        self._showing = Reporter(made, notes=notes)
        if self._resume is not None:
            return self._go_on(given, plan, network, self._resume)
        scale = given.scales[0]
        preparation = ScaleSetup(replace(given, settings=used), network, plan.device, reuse)
        image = canvas.resize_canvas(preparation.first_image(scale), scale).contiguous()
        point = Iterate(plan.ranks.agree(image), {})
        stage = Snapshot(given, used, plan, made.decisions, 0, point)
        return ScaleLoop(job, stage, network, reuse, notes=self._showing.notes)

    def _go_on(
        self, given: Inputs, plan: ComputePlan, network: VGGFeatures, kept: Checkpoint
    ) -> ScaleLoop:
        """Stand where a checkpoint has been made."""
        kept.check(self._showing.recipe)
        job, decisions = self._job, kept.recipe.decisions
        given = replace(given, settings=steering.steered(job, given.settings, decisions))
        latest = decisions.changes[-1] if decisions.changes else decisions
        used = setup.resolve_weights(job, given, plan, self._reuse, latest)
        memory = [decisions.memory, *(budget.memory for budget in decisions.budgets)][-1]
        state = kept.state.to(plan.device)
        stage = Snapshot(
            given,
            used,
            replace(plan, memory_bytes=memory),
            decisions,
            min(kept.place, len(given.scales) - 1),
            state.point,
        )
        if not _fits(kept, stage, job.decisions or decisions):
            raise misfit("of another length or size")
        try:
            course = ScaleLoop(
                job, stage, network, self._reuse, notes=self._showing.notes, state=state
            )
        except ValueError as error:
            raise misfit(error) from None
        self._showing.rows, self._before_s = [*kept.rows], kept.time_s
        asked = replace(plan, memory_bytes=job.runtime.memory)
        decided = (None, memory, decisions.memory)
        if asked.memory_bytes and setup.had_to_fit(given, asked) not in decided:
            course.fit(asked.memory_bytes, "asked to fit into other memory")
        return course

    def _follow(self, course: ScaleLoop) -> Generator[Step, None, Result]:
        """Show the course step by step, to its end or to where it ended before."""
        stopped_after = self._job.decisions and self._job.decisions.stopped_after
        while self._go(course):
            self._showing.record(course.stage, self._time_s)
            yield self._showing.step(course.stage, self._time_s)
            if course.stage.done == stopped_after:
                return self._showing.result(course.stage, self._time_s)
        return self._showing.result(course.stage, self._time_s, stopped=False)

    def _go(self, course: ScaleLoop) -> bool:
        sent, self._sent = self._sent, {}
        try:
            return course.step(sent)
        except Diverged as diverged:
            if course.stage.done:
                diverged.result = self._showing.result(course.stage, self._time_s)
            raise


def _fits(kept: Checkpoint, stage: Snapshot, decided: Decisions) -> bool:
    """Tell whether a checkpoint can come from the painting whose stage it is to be."""
    changes = stage.decisions.changes
    due = [change for change in decided.changes[len(changes) :] if change.after < stage.done]
    return (
        (kept.place, *kept.state.image.shape[-2:]) == (stage.place, *stage.scale.canvas_px)
        and kept.state.steps <= stage.scale.iterations
        and len(kept.rows) == stage.done
        and changes == decided.changes[: len(changes)]
        and not due
    )
