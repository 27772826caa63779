"""The loop over the scales of a painting: steps, changes of settings, smaller memory budgets."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from impasto.compute.allocator import is_out_of_memory, trim_heap
from impasto.config.settings import Settings
from impasto.engine import canvas, setup, steering, strength
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import misfit
from impasto.engine.inputs import Inputs
from impasto.engine.scale_setup import ScaleSetup
from impasto.engine.snapshot import Snapshot
from impasto.errors import SettingsError, WeightsError
from impasto.job.job import Job
from impasto.job.recipe import Budget, Change
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets
from impasto.models.base import FeatureNetwork
from impasto.optim.minimizer import Iterate, Minimizer, State
from impasto.planning.memory_model import BASE_BYTES

# If memory runs out, the next attempt may use this share of what the last one was planned to
# use, beside what the process itself needs.
_SMALLER = 0.75

SomeDecision = TypeVar("SomeDecision", Budget, Change)


class ScaleLoop:
    """Advances a painting from one Snapshot to the next.

    Attributes:
        snapshot: the current state of the painting.
        notes: messages for the user; the list grows.

    Args:
        job: the job; decisions recorded in it are repeated.
        snapshot: the state to begin with.
        network: the network whose features are compared.
        cache: networks and style statistics of earlier jobs.
        notes: messages for the user that are known at the start.
        state: the state of the Minimizer at the snapshot's scale; by default a new Minimizer
            begins at the snapshot's image.

    Raises:
        ValueError: no Minimizer can continue from ``state``.
    """

    def __init__(
        self,
        job: Job,
        snapshot: Snapshot,
        network: FeatureNetwork,
        cache: Cache,
        *,
        notes: list[str],
        state: State | None = None,
    ) -> None:
        self.snapshot, self.notes = snapshot, notes
        self._job, self._network, self._cache = job, network, cache
        self._decisions = job.decisions or snapshot.decisions
        self._changes_made = len(snapshot.decisions.changes)
        self._budgets_set = len(snapshot.decisions.budgets)
        self._minimizer: Minimizer | None = None
        self._objective: Objective | None = None
        self._term_state: Mapping[str, Tensor] = {} if state is None else state.term_state
        self._targets: tuple[object, Targets] | None = None
        if state is not None:
            self._minimizer = snapshot.minimizer(state)
            self.snapshot = replace(snapshot, point=self._minimizer.point)

    @property
    def state(self) -> State | None:
        """The state of the Minimizer at this scale; None if an exception left it inconsistent."""
        point, minimizer = self.snapshot.point, self._minimizer
        if minimizer is None:
            return State(point.image, steps=point.steps)
        if not minimizer.is_whole:
            return None
        terms = self._term_state if self._objective is None else self._objective.state_dict()
        return replace(minimizer.state, term_state=terms)

    def step(self, change: Mapping[str, Any]) -> bool:
        """Change settings and do one iteration; return False if none is left.

        Raises:
            SettingsError: an invalid change.
            Diverged: as a Minimizer does.
        """
        while self.snapshot.point.steps == self.snapshot.scale.iterations:
            if self.snapshot.scale_index + 1 == len(self.snapshot.inputs.scales):
                self._finish()
                return False
            self._in_memory(self._start_next_scale)
        self._apply_decisions()
        if change:
            self.change(change)
        self._in_memory(self._iterate)
        return True

    def check_layers(self, settings: Settings) -> Inputs:
        """Return the inputs under changed ``settings``.

        Raises:
            SettingsError: pictures, sizes or weights are too small for their layers.
        """
        changed = self.snapshot.inputs.steered(self._job.mode, settings)
        try:
            self._network.check_weights((*settings.content_layers, *settings.layers_of_style))
        except WeightsError as error:
            raise SettingsError(str(error)) from None
        return changed

    def change(
        self, change: Mapping[str, Any], decided: Change | None = None, *, is_last: bool = True
    ) -> None:
        """Change settings, and continue from the best image towards the changed objective.

        Args:
            change: fields of Settings by name.
            decided: the record of the same change in an earlier painting.
            is_last: whether no other change follows before the next step.

        Raises:
            SettingsError: the change is invalid while painting.
        """
        snapshot = self.snapshot
        settings = steering.check_change(self._job, snapshot.inputs.settings, change)
        if settings == snapshot.inputs.settings:
            return
        inputs = self.check_layers(settings)
        resolved = setup.resolve_weights(self._job, inputs, snapshot.plan, self._cache, decided)
        recorded = Change(
            after=snapshot.done,
            settings=settings.model_dump(mode="json", include=set(change)),
            alpha=resolved.alpha if settings.strength else None,
            beta=resolved.beta if settings.strength else None,
            opacity=strength.opacity(settings, decided),
        )
        memory = snapshot.decisions.memory
        if is_last and not snapshot.decisions.budgets:
            # Other layers may need more memory.
            memory = memory or setup.binding_budget(inputs, snapshot.plan)
        decisions = snapshot.decisions.model_copy(
            update={"changes": (*snapshot.decisions.changes, recorded), "memory": memory}
        )
        changed = replace(snapshot, inputs=inputs, resolved=resolved, decisions=decisions)
        self._objective, self._term_state = None, {}
        if self._minimizer is None or not snapshot.scale_plan.shares_history_with(
            changed.scale_plan
        ):
            self._minimizer, self.snapshot = None, changed
            return
        with self._minimizer.moving():
            self._minimizer.retarget(resolved)
            self.snapshot = changed

    def fit(self, memory_bytes: int, why: str, *, skipped: Sequence[Budget] = ()) -> None:
        """Continue from the best image within another memory budget; the optimiser starts anew.

        Args:
            memory_bytes: the new budget.
            why: for the note to the user.
            skipped: budgets that this one replaces before any step was made in them.
        """
        snapshot = self.snapshot
        budget = Budget(after=snapshot.done, memory=memory_bytes)
        budgets = (*snapshot.decisions.budgets, *skipped, budget)
        decisions = snapshot.decisions.model_copy(update={"budgets": budgets})
        self._minimizer = self._objective = self._targets = None
        self._term_state = {}
        self.snapshot = snapshot.with_memory(memory_bytes, decisions)
        gc.collect()
        if snapshot.plan.device.type == "cuda":
            torch.cuda.empty_cache()
        scale_plan = self.snapshot.scale_plan
        tiles = (
            "whole" if scale_plan.tile_px is None else f"in tiles of {scale_plan.tile_px} pixels"
        )
        self.notes.append(
            f"{why} after {snapshot.done} steps: the painting goes on {tiles}, with a history of "
            f"{scale_plan.history}"
        )

    def _apply_decisions(self) -> None:
        """Make the changes that an earlier painting made before this step."""
        changes = self._due(self._decisions.changes[self._changes_made :])
        # Counted here: a change that changes nothing is not recorded in the snapshot's decisions.
        self._changes_made += len(changes)
        for number, change in enumerate(changes, start=1):
            self.change(change.settings, change, is_last=number == len(changes))
        budgets = self._due(self._decisions.budgets[self._budgets_set :])
        self._budgets_set += len(budgets)
        if budgets:
            *skipped, last = budgets
            why = "memory had run out in the first painting"
            self.fit(last.memory, why, skipped=skipped)

    def _due(self, decisions: Sequence[SomeDecision]) -> list[SomeDecision]:
        """Return the leading decisions that come before the next step."""
        return list(itertools.takewhile(lambda one: one.after <= self.snapshot.done, decisions))

    def _iterate(self) -> None:
        """Do one iteration at this scale."""
        snapshot = self.snapshot
        if self._minimizer is None:
            self._minimizer = snapshot.minimizer(
                State(snapshot.point.image, steps=snapshot.point.steps)
            )
        self._objective = self._objective or self._make_objective()
        if self._objective.refresh(self._minimizer.point.image, snapshot.point.steps):
            self._minimizer.retarget(snapshot.resolved)
        is_last = snapshot.point.steps + 1 == snapshot.scale.iterations
        point = self._minimizer.step(self._objective.evaluate, is_last=is_last)
        self.snapshot = replace(snapshot, point=point)

    def _finish(self) -> None:
        """Free memory for the finished picture."""
        self._objective = self._targets = None
        if self.snapshot.scale_plan.tile_px is not None:
            trim_heap(self.snapshot.plan.device)

    def _start_next_scale(self) -> None:
        """Continue at the next scale."""
        index, inputs = self.snapshot.scale_index + 1, self.snapshot.inputs
        self._minimizer = self._objective = self._targets = None
        self._term_state = {}
        image = canvas.resize_canvas(self.snapshot.point.image, inputs.scales[index])
        # The next scale begins with the colours of the result.
        image = inputs.palettes.recolour(image, inputs.scales[index], inputs.settings).contiguous()
        # Ranks that painted separately may have rounded differently.
        image = self.snapshot.plan.ranks.agree(image)
        self.snapshot = replace(self.snapshot, scale_index=index, point=Iterate(image, {}))

    def _make_objective(self) -> Objective:
        """Return the objective at this scale; unchanged targets are reused."""
        snapshot, scale_plan = self.snapshot, self.snapshot.scale_plan
        key = (
            snapshot.scale_index,
            scale_plan.tile_px,
            scale_plan.cache_content,
            steering.target_options(snapshot.resolved),
        )
        if self._targets is None or self._targets[0] != key:
            self._targets = None
            if scale_plan.tile_px is not None:
                trim_heap(snapshot.plan.device)
            scale_setup = ScaleSetup(
                snapshot.resolved_inputs, self._network, snapshot.plan.device, self._cache
            )
            self._targets = key, scale_setup.targets(snapshot.scale, scale_plan)
        objective = Objective(
            self._network,
            self._targets[1],
            snapshot.resolved,
            tile_px=scale_plan.tile_px,
            tiles_kept=scale_plan.tiles_kept,
            ranks=scale_plan.ranks,
            memory_bytes=snapshot.plan.memory_bytes,
            own=self._job.terms,
            int8=snapshot.plan.int8,
        )
        if self._term_state:
            device = snapshot.plan.device
            try:
                objective.load_state_dict(
                    {name: tensor.to(device) for name, tensor in self._term_state.items()},
                    snapshot.scale.canvas_px,
                )
            except ValueError as error:
                raise misfit(error) from None
            self._term_state = {}
        return objective

    def _in_memory(self, action: Callable[[], None]) -> None:
        """Call ``action``; if memory runs out, call it again with a smaller budget."""
        while True:
            try:
                return action()
            except (MemoryError, RuntimeError) as error:
                memory_bytes = self._smaller_budget() if is_out_of_memory(error) else None
                if memory_bytes is None:
                    raise
            # Only outside of the handler is the memory of the failed attempt free.
            self.fit(memory_bytes, "memory ran out")

    def _smaller_budget(self) -> int | None:
        """Return a budget whose plan needs less memory than the current one, or None."""
        if self.snapshot.plan.ranks.count > 1:
            return None  # the other ranks would keep their budget
        peak_bytes = self.snapshot.scale_plan.peak_bytes
        budget = round(BASE_BYTES + _SMALLER * (peak_bytes - BASE_BYTES))
        smaller = self.snapshot.with_memory(budget, self.snapshot.decisions).scale_plan
        return budget if smaller.peak_bytes < peak_bytes else None
