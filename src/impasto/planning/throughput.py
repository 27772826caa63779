"""How long a painting will take: what a step costs here, measured once, kept in the cache.

A few small steps on noise give the speed of this machine in this number type; the sizes of a
painting then give its time. Weights are drawn, not loaded: time does not depend on them.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import impasto
from impasto import files
from impasto.config.affects import Aspect, values_without_weights
from impasto.config.settings import Settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets
from impasto.models.vgg import VGGFeatures
from impasto.optim.lbfgs import Lbfgs
from impasto.planning.flops import are_enough, forward_flop, step_flop
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import ComputePlan, ScalePlan
from impasto.planning.synthetic import fastest_s, seeded_network, seeded_parameters, seeded_picture

# The two sizes that are timed: one that is nearly all overhead, and one of about this time.
_SMALL_PX, _LARGE_S = 96, 0.5
_LEAST_PX, _MOST_PX = 192, 768
_REPEATS = 3
_PAIRS = 5
# Longer than counted, in tiles on a processor: what is given back between them must be had again.
# Measured at 512 to 8192 pixels: 1.1 to 1.4 times, and 1.9 with AMX where the budget is tight.
_IN_TILES = 1.4
# What a step's time depends on; the sizes of the pictures are counted.
_TIMED: tuple[Aspect, ...] = ("network", "style_target", "content_target")


@dataclass(frozen=True)
class Rates:
    """What this machine does in a second.

    Attributes:
        forward_flop: operations of convolutions on the way forward, with all that goes with them.
        backward_flop: and on the way back to the pixels.
        overhead_s: what a tile takes at any size.
        vector_s: what L-BFGS takes for a pixel and a pair that it remembers.
        in_tiles: how much longer operations take where there are several tiles.
    """

    forward_flop: float
    backward_flop: float
    overhead_s: float
    vector_s: float
    in_tiles: float

    def step_s(self, demand: ScaleWorkload, way: ScalePlan) -> float:
        """Predict the seconds of a step."""
        forward, backward = step_flop(
            demand, way.tile_px, way.cache_content, tiles_kept=way.tiles_kept, ranks=way.ranks
        )
        tiles = len(demand.windows(way.tile_px))
        longer = self.in_tiles if tiles > 1 else 1.0
        if are_enough(demand, way.tile_px, way.ranks):
            tiles = math.ceil(tiles / way.ranks.count)
        pairs = min(way.history, demand.steps) if demand.optimiser == "lbfgs" else 1
        return (
            longer * (forward / self.forward_flop + backward / self.backward_flop)
            + tiles * self.overhead_s
            + pairs * demand.height_px * demand.width_px * self.vector_s
        )

    def targets_s(self, demand: ScaleWorkload, style_pixels: int) -> float:
        """Predict the seconds until the targets of a size are known."""
        photograph = 0.0
        if demand.content_layers:
            photograph = forward_flop(demand.network, demand.content_layers)
        photograph *= demand.height_px * demand.width_px
        styles = forward_flop(demand.network, demand.layers) * style_pixels
        return (photograph + styles) / self.forward_flop


def rates(plan: ComputePlan, settings: Settings) -> Rates:
    """Return what the cache knows of this machine, or measure it now, in a few seconds.

    Args:
        plan: device and number type.
        settings: network, layers, pooling and padding are read.
    """
    path, key = _path(), _key(plan, settings)
    kept = _read(path)
    if key in kept:
        with suppress(TypeError):
            return Rates(**kept[key])
    found = measure(plan, settings)
    # A cache that cannot be written is measured anew each time.
    with suppress(OSError, AttributeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, json.dumps({**kept, key: asdict(found)}, indent=1).encode())
    return found


def measure(plan: ComputePlan, settings: Settings) -> Rates:
    """Time a few small steps."""
    settings = _timed(settings)
    layers = _layers(settings)
    network = seeded_network(seeded_parameters(settings.network, layers), plan, settings)
    small_s, _ = _times_s(network, plan, settings, _SMALL_PX)
    guess_s, _ = _times_s(network, plan, settings, _LEAST_PX, repeats=1)
    wanted_px = _LEAST_PX * math.sqrt(_LARGE_S / guess_s)
    side_px = round(min(_MOST_PX, max(_LEAST_PX, wanted_px)) / 32) * 32
    step_s, forward_s = _times_s(network, plan, settings, side_px)
    flop = forward_flop(settings.network, layers)
    # A straight line through both sizes: what is left of it at no pixels is overhead.
    slope_s = max(step_s - small_s, 0.5 * step_s) / (side_px**2 - _SMALL_PX**2)
    overhead_s = max(0.0, step_s - slope_s * side_px**2)
    forward_s = min(max(forward_s - overhead_s / 2, 0.1 * step_s), 0.9 * step_s)
    return Rates(
        forward_flop=flop * side_px**2 / forward_s,
        backward_flop=flop * side_px**2 / max(step_s - overhead_s - forward_s, 0.1 * step_s),
        overhead_s=overhead_s,
        vector_s=_vector_s(plan, side_px),
        in_tiles=_IN_TILES if plan.device.type == "cpu" else 1.0,
    )


def _times_s(
    network: VGGFeatures,
    plan: ComputePlan,
    settings: Settings,
    side_px: int,
    repeats: int = _REPEATS,
) -> tuple[float, float]:
    """Time a step, and its way forward alone."""
    photograph, painting, image = (
        seeded_picture(side_px, side_px, seed).to(plan.device) for seed in range(3)
    )
    style = partial(style_targets, network, [painting], settings)
    targets = Targets(content_targets(network, photograph, settings), style())
    objective = Objective(network, targets, settings)
    step = partial(objective.evaluate, image)
    return fastest_s(lambda: step().values(), plan.device, repeats), fastest_s(
        style, plan.device, repeats
    )


def _vector_s(plan: ComputePlan, side_px: int) -> float:
    lbfgs, image = Lbfgs(_PAIRS), seeded_picture(side_px, side_px, 0).to(plan.device)
    for _ in range(_PAIRS + 1):
        image = lbfgs.propose(image, image - 0.5)
    move_s = fastest_s(lambda: lbfgs.propose(image, image - 0.5), plan.device, _REPEATS)
    return move_s / (_PAIRS * side_px**2)


def _timed(settings: Settings) -> Settings:
    """Let both terms count, and one painting, which is what is timed."""
    one = {"strength": None, "alpha": 1.0, "beta": 1.0, "style_weights": None}
    return settings.model_copy(update=one)


def _layers(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*settings.content_layers, *settings.style_layers]))


def _path() -> Path:
    return files.cache_folder() / "calibration.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(files.read_regular(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _key(plan: ComputePlan, settings: Settings) -> str:
    """Name what the rates depend on: this machine, these versions, these layers."""
    device_name = torch.cuda.get_device_name(plan.device) if plan.device.type == "cuda" else ""
    parts = [
        platform.node(),
        platform.machine(),
        str(plan.device),
        device_name,
        str(torch.get_num_threads()),
        torch.__version__,
        impasto.__version__,
        str(plan.dtype),
        json.dumps(values_without_weights(_timed(settings), *_TIMED)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
