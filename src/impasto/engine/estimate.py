"""What a painting will take, size by size, said before it is painted: memory and time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from impasto import images
from impasto.compute.torch_state import isolated
from impasto.engine import inputs, setup
from impasto.engine.pyramid import Scale
from impasto.job.job import Job
from impasto.planning import throughput
from impasto.planning.plan import ScalePlan, make_plan, plan_scale, shortage


@dataclass(frozen=True)
class ScaleEstimate:
    """How one size would be painted.

    Attributes:
        scale: the size, and its iterations.
        way: how it fits into memory.
        step_s: seconds that an iteration is expected to take.
        time_s: seconds that the size is expected to take in all.
        shortage: what to say where it does not fit; None where it does.
    """

    scale: Scale
    way: ScalePlan
    step_s: float
    time_s: float
    shortage: str | None


def estimate(job: Job) -> list[ScaleEstimate]:
    """Say how ``job`` would be painted, without painting it.

    What a step takes on this machine is measured on first need, in a few seconds.

    Raises:
        SettingsError: as ``iterate`` does.
        ImageError: as ``iterate`` does.
    """
    with isolated(job.runtime.threads):
        return _estimate(job)


def _estimate(job: Job) -> list[ScaleEstimate]:
    plan = make_plan(job.runtime)
    given = inputs.read(job)
    rates = throughput.rates(plan, given.settings)
    found = []
    history = given.settings.history
    for scale, demand in zip(given.scales, setup.demands(given, plan), strict=True):
        way = plan_scale(demand, history, plan.memory_bytes, plan.ranks)
        step_s = rates.step_s(demand, way)
        targets_s = rates.targets_s(
            demand,
            sum(
                math.prod(
                    images.fit(
                        style.height_px,
                        style.width_px,
                        min(scale.longest_px, max(style.height_px, style.width_px)),
                    )
                )
                for style in given.styles
            ),
        )
        time_s = scale.iterations * step_s + targets_s
        short = shortage(demand, way, history, plan.memory_bytes)
        found.append(ScaleEstimate(scale, way, step_s, time_s, short))
    return found
