"""The memory and time that a painting is expected to take, size by size."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.compute.torch_state import isolated
from impasto.engine import setup
from impasto.engine.inputs import read as read_inputs
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
        scale_plan: how it fits into memory.
        step_s: seconds that an iteration is expected to take.
        targets_s: seconds for the targets: photograph and style pictures pass the network once.
        targets_bytes: peak memory of the process while it makes the targets; it is included in
            ``scale_plan.peak_bytes``.
        time_s: seconds that the size is expected to take in all.
        shortage: a message if the size does not fit into memory; None if it does.
    """

    scale: Scale
    scale_plan: ScalePlan
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
        measurement: the speed of this machine, from which the times are derived.
        notes: messages for the user about the choice of the machine.
    """

    scales: list[ScaleEstimate]
    measurement: Measurement
    notes: tuple[str, ...] = ()

    @property
    def time_s(self) -> float:
        """Seconds that all sizes are expected to take."""
        return sum(scale.time_s for scale in self.scales)

    @property
    def peak_bytes(self) -> int:
        """The expected peak memory of the process."""
        return max(scale.scale_plan.peak_bytes for scale in self.scales)

    @property
    def shortage(self) -> str | None:
        """A message if the result's size does not fit into memory; None if it does."""
        return self.scales[-1].shortage


def estimate(job: Job, *, measure_again: bool = False) -> Estimate:
    """Estimate how ``job`` would be painted, without painting it.

    The time of a step on this machine is measured when it is first needed, in a few seconds.

    Args:
        job: what to paint.
        measure_again: measure the speed even if an earlier measurement is stored.

    Raises:
        SettingsError: as ``iterate`` does.
        ImageError: as ``iterate`` does.
        OutOfMemoryError: the picture needs tiles, and an option cannot be computed in tiles.
    """
    with isolated(job.runtime.threads):
        return _estimate(job, measure_again)


def _estimate(job: Job, measure_again: bool) -> Estimate:
    plan = make_plan(job.runtime, job.settings)
    inputs = read_inputs(job)
    history = inputs.settings.history
    workloads = setup.workloads(inputs, plan)
    scale_plans = [
        plan_scale(workload, history, plan.memory_bytes, plan.ranks) for workload in workloads
    ]
    measurement = throughput.measured(plan, inputs.settings, again=measure_again)
    rates, scales = measurement.rates, []
    for scale, workload, scale_plan in zip(inputs.scales, workloads, scale_plans, strict=True):
        step_s, targets_s = (
            rates.step_s(workload, scale_plan),
            rates.targets_s(workload, scale_plan),
        )
        scales.append(
            ScaleEstimate(
                scale,
                scale_plan,
                step_s,
                targets_s,
                workload.targets_bytes(scale_plan.tile_px, scale_plan.cache_content),
                scale.iterations * step_s + targets_s,
                shortage(workload, scale_plan, history, plan.memory_bytes),
            )
        )
    return Estimate(scales, measurement, plan.notes)
