"""Where a painting stands, and what it shows of itself there: a Step, and a Result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from impasto.config.settings import Settings
from impasto.engine import setup
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.job.recipe import Decisions
from impasto.optim.minimizer import Iterate, Minimizer, State
from impasto.planning.plan import ComputePlan, ScalePlan

# Where a coarser size was painted before, longer waves are settled, and steps that favoured them
# would tint whole corners. Measured in docs/speed.md.
_LONGEST_PX = 32


@dataclass(frozen=True)
class Snapshot:
    """One moment of a painting, between two steps.

    Attributes:
        given: its pictures, and its settings as they have been steered so far.
        used: these settings with alpha and beta in the place of strength.
        plan: how it is computed, with the memory that it may take by now.
        decisions: what has been decided so far.
        place: index of the size being painted.
        point: the best image so far at this size.
    """

    given: Inputs
    used: Settings
    plan: ComputePlan
    decisions: Decisions
    place: int
    point: Iterate

    @property
    def scale(self) -> Scale:
        """The size being painted."""
        return self.given.scales[self.place]

    @property
    def way(self) -> ScalePlan:
        """How this size is painted, so that it fits into memory."""
        return setup.plan_scale(self.given, self.plan, self.scale)

    @property
    def given_as_used(self) -> Inputs:
        """What is given, with the settings used."""
        return replace(self.given, settings=self.used)

    @property
    def opacity(self) -> float | None:
        """How far the painting covers the photograph; None for wholly."""
        latest = self.decisions.changes[-1] if self.decisions.changes else self.decisions
        return latest.opacity

    def within(self, memory_bytes: int, decisions: Decisions) -> Snapshot:
        """Return the same stage with other memory."""
        plan = replace(self.plan, memory_bytes=memory_bytes)
        return replace(self, plan=plan, decisions=decisions)

    def descent(self, state: State) -> Minimizer:
        """Return a descent that stands at ``state``.

        Raises:
            ValueError: it cannot stand there.
        """
        way = self.way
        settings = self.used.model_copy(update={"history": way.history})
        return Minimizer(state, settings, way.history_dtype, _LONGEST_PX if self.place else None)

    @property
    def done(self) -> int:
        """Iterations so far, over all sizes."""
        before = self.given.scales[: self.place]
        return sum(scale.iterations for scale in before) + self.point.steps

    @property
    def progress(self) -> float:
        """Share of the whole work that is done."""
        scales = self.given.scales
        done = sum(scale.work for scale in scales[: self.place])
        done += self.scale.step_work * self.point.steps
        return done / sum(scale.work for scale in scales)
