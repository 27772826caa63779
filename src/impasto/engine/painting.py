"""The whole algorithm: a Job goes in, Steps come out, and at the end a Result.

    pictures -> sizes from coarse to fine -> at each size: targets, objective, descent

This module uses all others of the engine.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from impasto.compute.allocator import is_out_of_memory
from impasto.compute.torch_state import isolated
from impasto.config.settings import Settings
from impasto.engine import canvas, defaults, setup, steering
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import Checkpoint, misfit
from impasto.engine.inputs import Inputs
from impasto.engine.inputs import read as read_inputs
from impasto.engine.reporting import Reporter
from impasto.engine.scale_loop import ScaleLoop
from impasto.engine.scale_setup import ScaleSetup
from impasto.engine.snapshot import Snapshot
from impasto.errors import Diverged, OutOfMemoryError
from impasto.job.job import Job
from impasto.job.recipe import Decisions
from impasto.job.result import Result, Step
from impasto.models.base import FeatureNetwork
from impasto.optim.minimizer import Iterate
from impasto.planning.plan import ComputePlan, make_plan
from impasto.weights.download import Progress


def iterate(
    job: Job,
    *,
    progress: Progress | None = None,
    cache: Cache | None = None,
    resume: Checkpoint | None = None,
) -> Painting:
    """Paint ``job``: iterating yields a Step after each iteration, and returns the Result.

    Nothing is read until the first Step is requested. All input is checked before the first
    iteration.

    Args:
        job: what to paint.
        progress: called while weights are downloaded, if they are absent.
        cache: a cache that earlier jobs have filled; by default an empty one.
        resume: a checkpoint to continue from; by default painting starts anew.

    Raises:
        SettingsError: options that contradict each other, the mode or this machine.
        CheckpointError: ``resume`` is of another painting.
        ImageError: a picture that cannot be read or used.
        WeightsError: the network's weights cannot be loaded.
        Diverged: the first loss is not finite.
        OutOfMemoryError: the painting does not fit.
    """
    return Painting(job, progress, cache or Cache(), resume)


class Painting(Generator[Step, Mapping[str, Any] | None, Result | None]):
    """A running job: a generator of Steps that can be steered.

    After the loop, ``painting.result`` is the Result. ``painting.cancel()`` ends the loop before
    the next step, and may be called from another thread.

    ``painting.send({"beta": 1e5})`` changes settings and returns the next Step.
    ``steering.steerable()`` lists the settings that may change. The painting continues from its
    best image towards the changed objective; losses before and after cannot be compared. An
    invalid change raises SettingsError, and the generator can still be used afterwards.
    """

    def __init__(
        self, job: Job, progress: Progress | None, cache: Cache, resume: Checkpoint | None
    ) -> None:
        if resume is not None and job.decisions is None:
            job = replace(job, decisions=resume.recipe.decisions)
        self._job, self._progress, self._cache = job, progress, cache
        self._resume = resume
        self._scale_loop: ScaleLoop | None = None
        self._sent: Mapping[str, Any] = {}
        self._before_s, self._since_s = 0.0, 0.0
        self._cancelled = False
        self._result: Result | None = None
        self._steps = self._paint()

    @property
    def settings(self) -> Settings:
        """The current settings."""
        if self._scale_loop is not None:
            return self._scale_loop.snapshot.inputs.settings
        settings = defaults.complete(self._job, self._job.settings)
        if self._resume is not None:
            settings = steering.with_changes(self._job, settings, self._resume.recipe.decisions)
        return settings

    @property
    def result(self) -> Result | None:
        """The Result: the finished one or, before the end, as the painting stands.

        None before the first step. It costs a conversion, as long as the painting goes on.
        """
        scale_loop = self._scale_loop
        if self._result is not None or scale_loop is None or not scale_loop.snapshot.done:
            return self._result
        return self._reporter.result(scale_loop.snapshot, self._time_s)

    def cancel(self) -> None:
        """End the painting before its next step; ``result`` is then as the painting stood."""
        self._cancelled = True

    @property
    def snapshot(self) -> Snapshot | None:
        """The state after the latest step, with the canvas; None before the first step."""
        return None if self._scale_loop is None else self._scale_loop.snapshot

    def check_change(self, change: Mapping[str, Any]) -> Settings:
        """Return what the settings would be after ``change``, fields of Settings by name.

        Raises:
            SettingsError: the change is invalid while painting.
        """
        settings = steering.check_change(self._job, self.settings, change)
        if self._scale_loop is not None:
            self._scale_loop.check_layers(settings)
        return settings

    def send(self, change: Mapping[str, Any] | None, /) -> Step:
        """Change settings, if ``change`` is not empty, and return the next Step.

        Raises:
            SettingsError: an invalid change; the painting is as it was.
        """
        if change:
            change = self._with_other_weight(change)
            self.check_change(change)
            self._sent = change
        self._since_s = time.perf_counter()
        try:
            with isolated(self._threads):
                return next(self._steps)
        except StopIteration as finished:
            self._result = finished.value or self._result
            raise
        except Diverged as diverged:
            self._result = diverged.result
            raise
        finally:
            self._before_s = self._time_s
            self._since_s = 0.0

    def _with_other_weight(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Add the current value of the other weight if alpha or beta replaces strength."""
        weights = {"alpha", "beta"}
        if self._scale_loop is None or not self.settings.strength or not weights & change.keys():
            return dict(change)
        return {**self._scale_loop.snapshot.resolved.model_dump(include=weights), **change}

    def throw(self, *raised: Any) -> Step:
        """Raise an exception at the current step, which ends the painting."""
        with isolated(self._threads):
            return self._steps.throw(*raised)

    def checkpoint(self) -> Checkpoint | None:
        """Return a checkpoint, between two steps or after an exception.

        Its tensors are not copied: write them before the next step.

        Returns:
            None before the first step, or if an exception left the state inconsistent.
        """
        scale_loop = self._scale_loop
        state = None if scale_loop is None else scale_loop.state
        if scale_loop is None or state is None:
            return None
        # An exception may have come before the snapshot was updated.
        snapshot = replace(scale_loop.snapshot, point=state.point)
        if not snapshot.done:
            return None
        self._reporter.record(snapshot, self._time_s)
        return Checkpoint(
            recipe=self._reporter.recipe.model_copy(update={"decisions": snapshot.decisions}),
            scale_index=snapshot.scale_index,
            state=state,
            rows=tuple(self._reporter.rows),
            time_s=self._time_s,
        )

    @property
    def _threads(self) -> int | None:
        return setup.with_decisions(self._job.runtime, self._job.decisions).threads

    @property
    def _time_s(self) -> float:
        """Seconds spent on painting; what the caller does between two steps is not counted."""
        now_s = time.perf_counter() - self._since_s if self._since_s else 0.0
        return self._before_s + now_s

    def _paint(self) -> Generator[Step, None, Result | None]:
        job = self._job
        if self._cancelled:
            return None
        runtime = setup.with_decisions(job.runtime, job.decisions)
        plan = make_plan(runtime, job.settings)
        inputs = read_inputs(job)
        if job.decisions is not None:
            steering.with_changes(job, inputs.settings, job.decisions)
        try:
            scale_loop = self._scale_loop = self._begin(inputs, plan)
            return (yield from self._follow(scale_loop))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            finest = inputs.scales[-1]
            raise OutOfMemoryError(
                f"expected a painting of {finest.width_px} x {finest.height_px} pixels to fit in "
                "memory, and it did not; ask for a smaller size"
            ) from error

    def _begin(self, inputs: Inputs, plan: ComputePlan) -> ScaleLoop:
        job, cache = self._job, self._cache
        network = setup.load_network(job, plan, self._progress, cache)
        resolved = setup.resolve_weights(job, inputs, plan, cache, job.decisions)
        recipe = setup.write_recipe(job, inputs, resolved, plan, cache)
        notes = [*plan.notes, *network.notes, *inputs.notes, *setup.shortage(inputs, plan)]
        self._reporter = Reporter(recipe, notes=notes)
        if self._resume is not None:
            return self._resumed(inputs, plan, network, self._resume)
        scale = inputs.scales[0]
        scale_setup = ScaleSetup(replace(inputs, settings=resolved), network, plan.device, cache)
        image = canvas.resize_canvas(scale_setup.first_image(scale), scale).contiguous()
        point = Iterate(plan.ranks.agree(image), {})
        snapshot = Snapshot(inputs, resolved, plan, recipe.decisions, 0, point)
        return ScaleLoop(job, snapshot, network, cache, notes=self._reporter.notes)

    def _resumed(
        self, inputs: Inputs, plan: ComputePlan, network: FeatureNetwork, checkpoint: Checkpoint
    ) -> ScaleLoop:
        """Continue from a checkpoint."""
        checkpoint.check(self._reporter.recipe)
        job, decisions = self._job, checkpoint.recipe.decisions
        settings = steering.with_changes(job, inputs.settings, decisions)
        inputs = inputs.steered(job.mode, settings)
        latest = decisions.changes[-1] if decisions.changes else decisions
        resolved = setup.resolve_weights(job, inputs, plan, self._cache, latest)
        memory = [decisions.memory, *(budget.memory for budget in decisions.budgets)][-1]
        state = checkpoint.state.to(plan.device)
        snapshot = Snapshot(
            inputs,
            resolved,
            replace(plan, memory_bytes=memory),
            decisions,
            min(checkpoint.scale_index, len(inputs.scales) - 1),
            state.point,
        )
        if not _fits(checkpoint, snapshot, job.decisions or decisions):
            raise misfit("of another length or size")
        try:
            scale_loop = ScaleLoop(
                job, snapshot, network, self._cache, notes=self._reporter.notes, state=state
            )
        except ValueError as error:
            raise misfit(error) from None
        self._reporter.rows, self._before_s = [*checkpoint.rows], checkpoint.time_s
        requested = replace(plan, memory_bytes=job.runtime.memory)
        applied = (None, memory, decisions.memory)
        if requested.memory_bytes and setup.binding_budget(inputs, requested) not in applied:
            scale_loop.fit(requested.memory_bytes, "asked to fit into other memory")
        return scale_loop

    def _follow(self, scale_loop: ScaleLoop) -> Generator[Step, None, Result]:
        """Yield a Step after each iteration, to the end or to where an earlier painting stopped."""
        stopped_after = self._job.decisions and self._job.decisions.stopped_after
        while self._advance(scale_loop):
            self._reporter.record(scale_loop.snapshot, self._time_s)
            yield self._reporter.step(scale_loop.snapshot, self._time_s)
            is_last = scale_loop.snapshot.done == scale_loop.snapshot.iterations
            if scale_loop.snapshot.done == stopped_after or (self._cancelled and not is_last):
                return self._reporter.result(scale_loop.snapshot, self._time_s)
        return self._reporter.result(scale_loop.snapshot, self._time_s, stopped=False)

    def _advance(self, scale_loop: ScaleLoop) -> bool:
        sent, self._sent = self._sent, {}
        try:
            return scale_loop.step(sent)
        except Diverged as diverged:
            if scale_loop.snapshot.done:
                diverged.result = self._reporter.result(scale_loop.snapshot, self._time_s)
            raise


def _fits(checkpoint: Checkpoint, snapshot: Snapshot, decided: Decisions) -> bool:
    """Return whether a checkpoint can belong to this painting."""
    changes = snapshot.decisions.changes
    due = [change for change in decided.changes[len(changes) :] if change.after < snapshot.done]
    return (
        (checkpoint.scale_index, *checkpoint.state.image.shape[-2:])
        == (snapshot.scale_index, *snapshot.scale.canvas_px)
        and checkpoint.state.steps <= snapshot.scale.iterations
        and len(checkpoint.rows) == snapshot.done
        and changes == decided.changes[: len(changes)]
        and not due
    )
