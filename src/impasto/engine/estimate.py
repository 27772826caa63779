"""What a painting will take, size by size, said before it is painted: memory and time."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.compute.torch_state import isolated
from impasto.engine import inputs, setup
from impasto.engine.pyramid import Scale
from impasto.job.job import Job
from impasto.planning import throughput
from impasto.planning.plan import ScalePlan, make_plan, plan_scale, shortage
from impasto.planning.throughput import Measurement


@dataclass(frozen=True)
class ScaleEstimate:
    """How one size would be painted.

    Attributes:
        scale: the size, and its iterations.
        way: how it fits into memory.
        step_s: seconds that an iteration is expected to take.
        targets_s: seconds until photograph and style pictures have been through the network.
        targets_bytes: the most memory that the process is expected to take until then; it is
            part of ``way.peak_bytes``.
        time_s: seconds that the size is expected to take in all.
        shortage: what to say where it does not fit; None where it does.
    """

    scale: Scale
    way: ScalePlan
    step_s: float
    targets_s: float
    targets_bytes: int
    time_s: float
    shortage: str | None


@dataclass(frozen=True)
class Estimate:
    """How a job would be painted.

    Attributes:
        scales: each size, from coarse to fine.
        measurement: what the seconds come from.
    """

    scales: list[ScaleEstimate]
    measurement: Measurement

    @property
    def time_s(self) -> float:
        """Seconds that all sizes are expected to take."""
        return sum(scale.time_s for scale in self.scales)

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process is expected to take."""
        return max(scale.way.peak_bytes for scale in self.scales)

    @property
    def shortage(self) -> str | None:
        """What to say where the result's size does not fit; None where it does."""
        return self.scales[-1].shortage


def estimate(job: Job, *, measure_again: bool = False) -> Estimate:
    """Say how ``job`` would be painted, without painting it.

    What a step takes on this machine is measured on first need, in a few seconds.

    Args:
        job: what to paint.
        measure_again: measure it now, even if an earlier measurement is known.

    Raises:
        SettingsError: as ``iterate`` does.
        ImageError: as ``iterate`` does.
        OutOfMemoryError: the picture would have to be divided, and what is asked for forbids it.
    """
    with isolated(job.runtime.threads):
        return _estimate(job, measure_again)


def _estimate(job: Job, measure_again: bool) -> Estimate:
    plan = make_plan(job.runtime)
    given = inputs.read(job)
    history = given.settings.history
    demands = setup.demands(given, plan)
    ways = [plan_scale(demand, history, plan.memory_bytes, plan.ranks) for demand in demands]
    measurement = throughput.measured(plan, given.settings, again=measure_again)
    rates, scales = measurement.rates, []
    for scale, demand, way in zip(given.scales, demands, ways, strict=True):
        step_s, targets_s = rates.step_s(demand, way), rates.targets_s(demand, way)
        scales.append(
            ScaleEstimate(
                scale,
                way,
                step_s,
                targets_s,
                demand.targets_bytes(way.tile_px, way.cache_content),
                scale.iterations * step_s + targets_s,
                shortage(demand, way, history, plan.memory_bytes),
            )
        )
    return Estimate(scales, measurement)
