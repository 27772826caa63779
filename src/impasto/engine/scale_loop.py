"""The course of a painting: one size after another, step by step, steered, and made to fit."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from impasto.compute.allocator import is_out_of_memory, trim_heap
from impasto.engine import canvas, setup, steering, strength
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import misfit
from impasto.engine.scale_setup import ScaleSetup
from impasto.engine.snapshot import Snapshot
from impasto.job.job import Job
from impasto.job.recipe import Budget, Change
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets
from impasto.models.vgg import VGGFeatures
from impasto.optim.minimizer import Iterate, Minimizer, State
from impasto.planning.memory_model import BASE_BYTES

# Where memory ran out, the next try may take this much of what the last was meant to take,
# beside what the process itself takes.
_NARROWER = 0.75

SomeDecision = TypeVar("SomeDecision", Budget, Change)


class ScaleLoop:
    """Leads a painting from one stage to the next.

    Attributes:
        stage: where the painting stands.
        notes: what the user should be told; it grows.

    Args:
        job: what is painted; its decisions are obeyed.
        stage: where to begin.
        network: whose features are compared.
        reuse: what the jobs before left for this one.
        notes: what the user should be told from the start.
        state: where the descent at the stage's size stands; by default at its image.

    Raises:
        ValueError: no descent can stand at ``state``.
    """

    def __init__(
        self,
        job: Job,
        stage: Snapshot,
        network: VGGFeatures,
        reuse: Cache,
        *,
        notes: list[str],
        state: State | None = None,
    ) -> None:
        self.stage, self.notes = stage, notes
        self._job, self._network, self._reuse = job, network, reuse
        self._decided = job.decisions or stage.decisions
        self._obeyed_changes = len(stage.decisions.changes)
        self._obeyed_budgets = len(stage.decisions.budgets)
        self._descent: Minimizer | None = None
        self._objective: Objective | None = None
        self._term_state: Mapping[str, Tensor] = {} if state is None else state.term_state
        self._targets: tuple[object, Targets] | None = None
        if state is not None:
            self._descent = stage.descent(state)
            self.stage = replace(stage, point=self._descent.point)

    @property
    def state(self) -> State | None:
        """Where the descent at this size stands; None where a fault has left nothing whole."""
        point, descent = self.stage.point, self._descent
        if descent is None:
            return State(point.image, steps=point.steps)
        if not descent.is_whole:
            return None
        terms = self._term_state if self._objective is None else self._objective.state_dict()
        return replace(descent.state, term_state=terms)

    def step(self, change: Mapping[str, Any]) -> bool:
        """Go one iteration further, after a change of settings; False where none is left.

        Raises:
            SettingsError: a change that cannot be made.
            Diverged: as a Minimizer does.
        """
        while self.stage.point.steps == self.stage.scale.iterations:
            if self.stage.place + 1 == len(self.stage.given.scales):
                self._finish()
                return False
            self._in_memory(self._refine)
        self._obey()
        if change:
            self.change(change)
        self._in_memory(self._descend)
        return True

    def change(
        self, change: Mapping[str, Any], decided: Change | None = None, *, is_last: bool = True
    ) -> None:
        """Change settings, and go on from the best image towards what they ask for.

        Args:
            change: fields of Settings by name.
            decided: what was decided when an earlier painting was changed so.
            is_last: whether no other change follows before the next step.

        Raises:
            SettingsError: it cannot be made while painting.
        """
        stage = self.stage
        settings = steering.check_change(self._job, stage.given.settings, change)
        if settings == stage.given.settings:
            return
        given = replace(stage.given, settings=settings)
        used = setup.resolve_weights(self._job, given, stage.plan, self._reuse, decided)
        made = Change(
            after=stage.done,
            settings=settings.model_dump(mode="json", include=set(change)),
            alpha=used.alpha if settings.strength else None,
            beta=used.beta if settings.strength else None,
            opacity=strength.opacity(settings, decided),
        )
        memory = stage.decisions.memory
        if is_last and not stage.decisions.budgets:
            # Other layers may not fit where those before did.
            memory = memory or setup.had_to_fit(given, stage.plan)
        decisions = stage.decisions.model_copy(
            update={"changes": (*stage.decisions.changes, made), "memory": memory}
        )
        changed = replace(stage, given=given, used=used, decisions=decisions)
        self._objective, self._term_state = None, {}
        if self._descent is None or not stage.way.remembers_as(changed.way):
            self._descent, self.stage = None, changed
            return
        with self._descent.moving():
            self._descent.retarget(used)
            self.stage = changed

    def fit(self, memory_bytes: int, why: str, *, skipped: Sequence[Budget] = ()) -> None:
        """Paint on in other memory, from the best image: what the optimiser held is given up.

        Args:
            memory_bytes: the new budget.
            why: for the note to the user.
            skipped: budgets that this one replaces before any step was made in them.
        """
        stage = self.stage
        budget = Budget(after=stage.done, memory=memory_bytes)
        budgets = (*stage.decisions.budgets, *skipped, budget)
        decisions = stage.decisions.model_copy(update={"budgets": budgets})
        self._descent = self._objective = self._targets = None
        self._term_state = {}
        self.stage = stage.within(memory_bytes, decisions)
        gc.collect()
        if stage.plan.device.type == "cuda":
            torch.cuda.empty_cache()
        way = self.stage.way
        tiles = "whole" if way.tile_px is None else f"in tiles of {way.tile_px} pixels"
        self.notes.append(
            f"{why} after {stage.done} steps: the painting goes on {tiles}, with a history of "
            f"{way.history}"
        )

    def _obey(self) -> None:
        """Do what was decided at this step when it was painted before."""
        changes = self._due(self._decided.changes[self._obeyed_changes :])
        # Counted here, because a change to what is already so leaves no trace in the decisions.
        self._obeyed_changes += len(changes)
        for number, change in enumerate(changes, start=1):
            self.change(change.settings, change, is_last=number == len(changes))
        budgets = self._due(self._decided.budgets[self._obeyed_budgets :])
        self._obeyed_budgets += len(budgets)
        if budgets:
            *skipped, last = budgets
            why = "memory had run out in the first painting"
            self.fit(last.memory, why, skipped=skipped)

    def _due(self, decided: Sequence[SomeDecision]) -> list[SomeDecision]:
        """List those of the next decisions that belong before the next step."""
        return list(itertools.takewhile(lambda one: one.after <= self.stage.done, decided))

    def _descend(self) -> None:
        """Go one step further at this size."""
        stage = self.stage
        if self._descent is None:
            self._descent = stage.descent(State(stage.point.image, steps=stage.point.steps))
        self._objective = self._objective or self._make_objective()
        if self._objective.refresh(self._descent.point.image, stage.point.steps):
            self._descent.retarget(stage.used)
        is_last = stage.point.steps + 1 == stage.scale.iterations
        point = self._descent.step(self._objective.evaluate, is_last=is_last)
        self.stage = replace(stage, point=point)

    def _finish(self) -> None:
        """Make room for the finished picture."""
        self._objective = self._targets = None
        if self.stage.way.tile_px is not None:
            trim_heap(self.stage.plan.device)

    def _refine(self) -> None:
        """Go on to the next size."""
        place, given = self.stage.place + 1, self.stage.given
        self._descent = self._objective = self._targets = None
        self._term_state = {}
        image = canvas.resize_canvas(self.stage.point.image, given.scales[place])
        # What is painted next is painted in the colours that the result is to have.
        image = given.palettes.recolour(image, given.scales[place], given.settings).contiguous()
        # Where ranks have painted each for itself, they may have rounded otherwise.
        image = self.stage.plan.ranks.agree(image)
        self.stage = replace(self.stage, place=place, point=Iterate(image, {}))

    def _make_objective(self) -> Objective:
        """Make the objective at this size; targets are kept where they stay the same."""
        stage, way = self.stage, self.stage.way
        made_for = (stage.place, way.tile_px, way.cache_content, steering.needs_targets(stage.used))
        if self._targets is None or self._targets[0] != made_for:
            self._targets = None
            if way.tile_px is not None:
                trim_heap(stage.plan.device)
            preparation = ScaleSetup(
                stage.given_as_used, self._network, stage.plan.device, self._reuse
            )
            self._targets = made_for, preparation.targets(stage.scale, way)
        objective = Objective(
            self._network,
            self._targets[1],
            stage.used,
            tile_px=way.tile_px,
            tiles_kept=way.tiles_kept,
            ranks=way.ranks,
            memory_bytes=stage.plan.memory_bytes,
        )
        if self._term_state:
            device = stage.plan.device
            try:
                objective.load_state_dict(
                    {name: tensor.to(device) for name, tensor in self._term_state.items()},
                    stage.scale.canvas_px,
                )
            except ValueError as error:
                raise misfit(error) from None
            self._term_state = {}
        return objective

    def _in_memory(self, act: Callable[[], None]) -> None:
        """Act; where memory runs out, act again from the same stage in a narrower way."""
        while True:
            try:
                return act()
            except (MemoryError, RuntimeError) as error:
                narrower = self._narrower() if is_out_of_memory(error) else None
                if narrower is None:
                    raise
            # Only here is free again what the failed try has held.
            self.fit(narrower, "memory ran out")

    def _narrower(self) -> int | None:
        """Return the budget that leads to a narrower way than this; None if there is none."""
        if self.stage.plan.ranks.count > 1:
            return None  # the others know nothing of it
        taken = self.stage.way.peak_bytes
        budget = round(BASE_BYTES + _NARROWER * (taken - BASE_BYTES))
        narrower = self.stage.within(budget, self.stage.decisions).way.peak_bytes
        return budget if narrower < taken else None
