"""Time one step (loss and gradient), and compare it with the machine's peak speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.suite import machine, reference

from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets
from impasto.models.vgg import VGGFeatures
from impasto.planning.plan import ComputePlan
from impasto.planning.synthetic import fastest_s, seeded_network, seeded_parameters, seeded_picture

# The most layers that a painting has by default, and those of every earlier measurement: so times
# can be compared.
_MOTIFS = 1.0


@dataclass(frozen=True)
class StepTime:
    """A step with the layers of ``motifs`` 1, on a square picture.

    ``gflop`` counts the convolutions, forward and backward to the data. ``plain_s`` is the time of
    the same step with plain autograd in the same number type, or None.
    """

    precision: str
    size_px: int
    time_s: float
    gflop: float
    gflop_per_s: float
    peak_gflop_per_s: float
    share_of_peak: float
    plain_s: float | None


@dataclass(frozen=True)
class Growth:
    """A step's time at one size, and its time per megapixel."""

    precision: str
    size_px: int
    megapixels: float
    time_s: float
    s_per_megapixel: float


def measure_steps(
    plans: dict[str, ComputePlan], sizes_px: list[int], *, repeats: int = 3, plain: bool = True
) -> Iterator[StepTime]:
    """Time a step at each size with each plan, and plain autograd, against the matmul peak.

    Args:
        plans: plans by name of the precision.
        sizes_px: sides of square pictures.
        repeats: number of runs; the fastest counts.
        plain: whether to time plain autograd as well.
    """
    settings = Settings(motifs=_MOTIFS)
    layers = _layers(settings)
    for name, plan in plans.items():
        parameters = seeded_parameters(settings.network, layers)
        network = seeded_network(parameters, plan, settings)
        peak = machine.matmul_peak(plan)
        for size_px in sizes_px:
            gflop = step_gflop(settings.network, layers, size_px, size_px)
            time_s = _time_step(network, plan, settings, size_px, repeats)
            plain_s = None
            if plain:
                step = reference.PlainStep(parameters, plan, settings, size_px)
                plain_s = fastest_s(step.run, plan.device, min(2, repeats))
            yield StepTime(
                precision=name,
                size_px=size_px,
                time_s=time_s,
                gflop=gflop,
                gflop_per_s=gflop / time_s,
                peak_gflop_per_s=peak / 1e9,
                share_of_peak=gflop * 1e9 / time_s / peak,
                plain_s=plain_s,
            )


def measure_growth(
    plans: dict[str, ComputePlan], megapixels: list[float], *, repeats: int = 3
) -> Iterator[Growth]:
    """Time a step on square pictures with these numbers of megapixels, without tiles."""
    settings = Settings(motifs=_MOTIFS)
    parameters = seeded_parameters(settings.network, _layers(settings))
    for name, plan in plans.items():
        network = seeded_network(parameters, plan, settings)
        for wanted in megapixels:
            # Sides that are multiples of the coarsest stride lose no pixels at the border.
            size_px = max(16, round(math.sqrt(wanted * 1e6) / 16) * 16)
            time_s = _time_step(network, plan, settings, size_px, repeats)
            exact = size_px**2 / 1e6
            yield Growth(name, size_px, exact, time_s, time_s / exact)


def step_gflop(network: str, layers: list[str], height_px: int, width_px: int) -> float:
    """Return the GFLOP of one step's convolutions, forward and backward to the data.

    A multiplication and an addition count as two. Losses, pooling and rectifiers do not count.
    """
    spec = network_spec(network)
    operations = 0.0
    for name in spec.conv_shapes(layers):
        stride_px = spec.layer(name).stride_px
        positions = (height_px // stride_px) * (width_px // stride_px)
        operations += 2 * spec.conv_flops(name) * positions
    return operations / 1e9


def _time_step(
    network: VGGFeatures, plan: ComputePlan, settings: Settings, size_px: int, repeats: int
) -> float:
    content, style, image = (
        seeded_picture(size_px, size_px, seed).to(plan.device) for seed in range(3)
    )
    targets = Targets(
        content_targets(network, content, settings), style_targets(network, [style], settings)
    )
    objective = Objective(network, targets, settings)
    objective.refresh(image, 0)
    return fastest_s(lambda: objective.evaluate(image).values(), plan.device, repeats)


def _layers(settings: Settings) -> list[str]:
    return [*settings.content_layers, *settings.layers_of_style]
