"""One moment of a painting, between two steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from impasto.config.settings import Settings
from impasto.engine import setup
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.job.recipe import Decisions
from impasto.optim.minimizer import Iterate, Minimizer, State
from impasto.planning.plan import ComputePlan, ScalePlan

# After a coarser size, longer waves have converged, and a preconditioner that favours them would
# tint whole corners. Measured in docs/speed.md.
_LONGEST_PX = 32


@dataclass(frozen=True)
class Snapshot:
    """One moment of a painting, between two steps.

    Attributes:
        inputs: pictures, and the settings after all changes so far.
        resolved: these settings with alpha and beta in place of strength.
        plan: device, number type and ranks, with the current memory budget.
        decisions: all decisions so far.
        scale_index: index of the size being painted.
        point: the best image so far at this size.
    """

    inputs: Inputs
    resolved: Settings
    plan: ComputePlan
    decisions: Decisions
    scale_index: int
    point: Iterate

    @property
    def scale(self) -> Scale:
        """The size being painted."""
        return self.inputs.scales[self.scale_index]

    @property
    def scale_plan(self) -> ScalePlan:
        """How this size is painted, so that it fits into memory."""
        return setup.plan_scale(self.inputs, self.plan, self.scale)

    @property
    def resolved_inputs(self) -> Inputs:
        """The inputs with the resolved settings."""
        return replace(self.inputs, settings=self.resolved)

    @property
    def opacity(self) -> float | None:
        """The opacity of the painting over the photograph; None if it is opaque."""
        latest = self.decisions.changes[-1] if self.decisions.changes else self.decisions
        return latest.opacity

    def with_memory(self, memory_bytes: int, decisions: Decisions) -> Snapshot:
        """Return the same snapshot with another memory budget."""
        plan = replace(self.plan, memory_bytes=memory_bytes)
        return replace(self, plan=plan, decisions=decisions)

    def minimizer(self, state: State) -> Minimizer:
        """Return a Minimizer that continues from ``state``.

        Raises:
            ValueError: the state does not fit the settings.
        """
        scale_plan = self.scale_plan
        settings = self.resolved.model_copy(update={"history": scale_plan.history})
        return Minimizer(
            state, settings, scale_plan.history_dtype, _LONGEST_PX if self.scale_index else None
        )

    @property
    def done(self) -> int:
        """Iterations so far, over all sizes."""
        before = self.inputs.scales[: self.scale_index]
        return sum(scale.iterations for scale in before) + self.point.steps

    @property
    def iterations(self) -> int:
        """Iterations planned, over all sizes."""
        return sum(scale.iterations for scale in self.inputs.scales)

    @property
    def progress(self) -> float:
        """Share of the whole work that is done."""
        scales = self.inputs.scales
        done = sum(scale.work for scale in scales[: self.scale_index])
        done += self.scale.step_work * self.point.steps
        return done / sum(scale.work for scale in scales)
