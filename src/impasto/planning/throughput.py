"""The time that a painting will take, from the measured speed of this machine, which is cached.

A few small steps on noise give the speed of this machine in this number type; the sizes of a
painting then give its time. The weights are random: time does not depend on them.

The processor time of these steps is compared with their wall time. If it is much less, other
programs used the processor, and the rates are too low. Such a measurement is used, marked as busy,
and soon replaced.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import impasto
from impasto import files
from impasto.compute.host import physical_cores
from impasto.config.affects import Aspect, values_without_weights
from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets
from impasto.models.vgg import VGGFeatures
from impasto.optim.lbfgs import Lbfgs
from impasto.optim.registry import optimiser_class
from impasto.planning.flops import are_enough, step_flop
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import ComputePlan, ScalePlan
from impasto.planning.synthetic import fastest_s, seeded_network, seeded_parameters, seeded_picture

# The two sizes that are timed: one that is nearly all overhead, and one of about this time.
_SMALL_PX, _LARGE_S = 96, 0.5
_LEAST_PX, _MOST_PX = 192, 768
_REPEATS = 3
_PAIRS = 5
# Longer than counted, in tiles on a processor: memory returned to the system between them must
# be allocated again. Measured at 512 to 8192 pixels: 1.1 to 1.4 times, and 1.9 with
# AMX where the budget is tight.
_IN_TILES = 1.4
# Below this share of the processor time that its threads could have had, a measurement was
# disturbed. Steps of one process alone get 0.9 and more.
_BUSY_SHARE = 0.7
# A disturbed measurement is used for this long.
_BUSY_VALID_S = 300.0
# The options that affect a step's time, apart from the sizes of the pictures.
_TIMED: tuple[Aspect, ...] = ("network", "style_target", "content_target")


@dataclass(frozen=True)
class Rates:
    """The speed of this machine.

    Attributes:
        forward_flop: convolution operations a second in the forward pass, other layers included.
        backward_flop: the same in the backward pass.
        overhead_s: seconds for a tile of any size, in addition.
        vector_s: seconds that L-BFGS needs for a pixel and a pair of its history.
        in_tiles: the factor by which operations take longer if there are several tiles.
    """

    forward_flop: float
    backward_flop: float
    overhead_s: float
    vector_s: float
    in_tiles: float

    def step_s(self, workload: ScaleWorkload, scale_plan: ScalePlan) -> float:
        """Predict the seconds of a step."""
        forward, backward = step_flop(
            workload,
            scale_plan.tile_px,
            scale_plan.cache_content,
            tiles_kept=scale_plan.tiles_kept,
            ranks=scale_plan.ranks,
        )
        tiles = len(workload.windows(scale_plan.tile_px))
        longer = self.in_tiles if tiles > 1 else 1.0
        if are_enough(workload, scale_plan.tile_px, scale_plan.ranks):
            tiles = math.ceil(tiles / scale_plan.ranks.count)
        has_history = optimiser_class(workload.optimiser).has_history
        pairs = min(scale_plan.history, workload.steps) if has_history else 1
        return (
            longer * (forward / self.forward_flop + backward / self.backward_flop)
            + tiles * self.overhead_s
            + pairs * workload.height_px * workload.width_px * self.vector_s
        )

    def targets_s(self, workload: ScaleWorkload, scale_plan: ScalePlan) -> float:
        """Predict the seconds until the targets of a size are known."""
        spec, photograph = network_spec(workload.network), 0.0
        if workload.content_layers:
            photograph = spec.flops_per_pixel(workload.content_layers)
        photograph *= sum(workload.windows(scale_plan.tile_px)) if scale_plan.cache_content else 0
        styles = 0.0
        if workload.styles_px:
            windows = workload.style_windows(scale_plan.tile_px)
            styles = spec.flops_per_pixel(workload.style_layers) * sum(map(sum, windows))
        return (photograph + styles) / self.forward_flop


@dataclass(frozen=True)
class Measurement:
    """Rates, and how reliable they are.

    Attributes:
        rates: the measured rates.
        measured_at: the time of the measurement, in seconds since 1970.
        processor_share: the processor time of the measured steps, as a share of the time that
            their threads could have had; None on a GPU.
    """

    rates: Rates
    measured_at: float
    processor_share: float | None

    @property
    def age_s(self) -> float:
        """Seconds since it was measured."""
        return max(0.0, time.time() - self.measured_at)

    @property
    def is_busy(self) -> bool:
        """Whether other programs used the processor meanwhile."""
        return self.processor_share is not None and self.processor_share < _BUSY_SHARE

    @property
    def is_valid(self) -> bool:
        """Whether it can still be used."""
        return not self.is_busy or self.age_s < _BUSY_VALID_S


def measured(plan: ComputePlan, settings: Settings, *, again: bool = False) -> Measurement:
    """Return the cached measurement of this machine, or measure it now, in a few seconds.

    Args:
        plan: device and number type.
        settings: network, layers, pooling and padding are read.
        again: measure now, even if a measurement is cached.
    """
    path, key = _path(), _key(plan, settings)
    cached = _read(path)
    known = _parse(cached.get(key))
    if known is not None and known.is_valid and not again:
        return known
    measurement = measure(plan, settings)
    # Without a writable cache, each call measures again.
    with suppress(OSError, AttributeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = {**cached, key: asdict(measurement)}
        files.replace(path, json.dumps(entries, indent=1).encode())
    return measurement


def measure(plan: ComputePlan, settings: Settings) -> Measurement:
    """Time a few small steps."""
    settings = _timed(settings)
    layers = _layers(settings)
    network = seeded_network(seeded_parameters(settings.network, layers), plan, settings)
    small_s, _ = _times_s(network, plan, settings, _SMALL_PX)
    guess_s, _ = _times_s(network, plan, settings, _LEAST_PX, repeats=1)
    wanted_px = _LEAST_PX * math.sqrt(_LARGE_S / guess_s)
    side_px = round(min(_MOST_PX, max(_LEAST_PX, wanted_px)) / 32) * 32
    began_s, began_processor_s = time.perf_counter(), time.process_time()
    step_s, forward_s = _times_s(network, plan, settings, side_px)
    processor_s = time.process_time() - began_processor_s
    share = _processor_share(plan, processor_s, time.perf_counter() - began_s)
    flop = network_spec(settings.network).flops_per_pixel(layers)
    # A straight line through both sizes: its value at 0 pixels is the overhead.
    slope_s = max(step_s - small_s, 0.5 * step_s) / (side_px**2 - _SMALL_PX**2)
    overhead_s = max(0.0, step_s - slope_s * side_px**2)
    forward_s = min(max(forward_s - overhead_s / 2, 0.1 * step_s), 0.9 * step_s)
    rates = Rates(
        forward_flop=flop * side_px**2 / forward_s,
        backward_flop=flop * side_px**2 / max(step_s - overhead_s - forward_s, 0.1 * step_s),
        overhead_s=overhead_s,
        vector_s=_vector_s(plan, side_px),
        in_tiles=_IN_TILES if plan.device.type == "cpu" else 1.0,
    )
    return Measurement(rates, time.time(), share)


def _processor_share(plan: ComputePlan, processor_s: float, wall_s: float) -> float | None:
    """Return the processor time as a share of the time that all threads could have had."""
    if plan.device.type != "cpu":
        return None
    threads = torch.get_num_threads()
    # More threads than cores wait for one another on an idle machine too.
    threads = min(threads, physical_cores() or threads)
    return processor_s / (threads * wall_s)


def _times_s(
    network: VGGFeatures,
    plan: ComputePlan,
    settings: Settings,
    side_px: int,
    repeats: int = _REPEATS,
) -> tuple[float, float]:
    """Time a step, with its part of what is renewed every few steps, and its forward pass alone."""
    photograph, painting, image = (
        seeded_picture(side_px, side_px, seed).to(plan.device) for seed in range(3)
    )
    style = partial(style_targets, network, [painting], settings)
    targets = Targets(content_targets(network, photograph, settings), style())
    objective = Objective(network, targets, settings, int8=plan.int8)
    objective.refresh(image, 0)
    step = partial(objective.evaluate, image)
    step_s = fastest_s(lambda: step().values(), plan.device, repeats)
    if every := objective.renewed_every:
        step_s += fastest_s(lambda: objective.refresh(image, 0), plan.device, repeats) / every
    return step_s, fastest_s(style, plan.device, repeats)


def _vector_s(plan: ComputePlan, side_px: int) -> float:
    lbfgs, image = Lbfgs(_PAIRS), seeded_picture(side_px, side_px, 0).to(plan.device)
    for _ in range(_PAIRS + 1):
        image = lbfgs.step(image, image - 0.5)
    move_s = fastest_s(lambda: lbfgs.step(image, image - 0.5), plan.device, _REPEATS)
    return move_s / (_PAIRS * side_px**2)


def _timed(settings: Settings) -> Settings:
    """Return settings with both terms and one style picture, for the timed steps."""
    one = {"strength": None, "alpha": 1.0, "beta": 1.0, "style_weights": None}
    return settings.model_copy(update=one)


def _layers(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*settings.content_layers, *settings.layers_of_style]))


def _path() -> Path:
    return files.cache_folder() / "throughput.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        cached = json.loads(files.read_regular(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return cached if isinstance(cached, dict) else {}


def _parse(entry: Any) -> Measurement | None:
    """Read one measurement from the cache; None if it is invalid."""
    try:
        rates = Rates(**{name: float(value) for name, value in entry["rates"].items()})
        share = entry["processor_share"]
        return Measurement(
            rates, float(entry["measured_at"]), None if share is None else float(share)
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _key(plan: ComputePlan, settings: Settings) -> str:
    """Return the cache key of the rates: machine, versions and layers."""
    device_name = torch.cuda.get_device_name(plan.device) if plan.device.type == "cuda" else ""
    parts = [
        platform.node(),
        platform.machine(),
        str(plan.device),
        device_name,
        str(torch.get_num_threads()),
        torch.__version__,
        impasto.__version__,
        plan.precision,
        json.dumps(values_without_weights(_timed(settings), *_TIMED)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
