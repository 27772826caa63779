"""Plans: the device and number type of a painting, and how each size fits into memory.

The device and the number type are chosen once, before the first step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from impasto.compute.allocator import free_bytes, held_bytes
from impasto.compute.device import choose_device, has_native_bfloat16, has_native_int8
from impasto.compute.distributed import ALONE, Ranks, current
from impasto.config.settings import Runtime, Settings
from impasto.errors import OutOfMemoryError
from impasto.job.recipe import Precision
from impasto.losses.targets import check_whole
from impasto.losses.tiling import geometry
from impasto.models.int8 import has_operator
from impasto.optim.registry import optimiser_class
from impasto.planning.flops import are_enough, step_flop
from impasto.planning.memory_model import ScaleWorkload

_PRECISIONS: dict[torch.dtype, Precision] = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}
_DTYPES: dict[str, torch.dtype] = {name: dtype for dtype, name in _PRECISIONS.items()}
# The statistics whose paintings in eight bits were compared with those in bfloat16.
_INT8_STATISTICS = ("gram",)
_INT8_NETWORKS = ("vgg16", "vgg19")
# The share of free memory that a painting may use by default.
_SHARE_OF_FREE = 0.8
# The numbers of tiles per side to choose from; smaller tiles would be mostly halo.
_PIECES = (*range(1, 13), 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256)
_SMALLEST_TILE_PX = 256
# Shorter histories to choose from, and how many more steps each takes to the same loss as one
# of twenty. Measured, like the fact that float16 costs no steps (docs/scale.md).
_MORE_STEPS = {10: 1.01, 5: 1.03, 3: 1.06, 2: 1.08, 1: 1.15}
_NARROW = torch.float16


@dataclass(frozen=True)
class ComputePlan:
    """Where and how a painting is computed.

    Attributes:
        device: the device of image and network.
        dtype: number type of features; the image itself is float32.
        int8: whether the image goes through the network in eight bits; the targets and what the
            objective sees are of ``dtype``.
        memory_bytes: the memory budget of the process; None for no limit.
        ranks: the processes that paint the image together.
        notes: messages for the user about the choice.
    """

    device: torch.device
    dtype: torch.dtype
    memory_bytes: int | None = None
    ranks: Ranks = ALONE
    int8: bool = False
    notes: tuple[str, ...] = ()

    @property
    def precision(self) -> Precision:
        """The name of the number type, as the option has it."""
        return "int8" if self.int8 else _PRECISIONS[self.dtype]


@dataclass(frozen=True)
class ScalePlan:
    """How one size is painted, so that it fits into memory.

    Attributes:
        tile_px: largest side of a tile; None for no tiling.
        history: pairs of vectors in the history of L-BFGS.
        history_dtype: their number type; None for the image's own.
        cache_content: whether the content's features are cached, or computed for each tile.
        peak_bytes: the expected peak memory of the process.
        tiles_kept: how many tiles stay in memory between the two passes, and are not computed
            twice.
        ranks: the processes that share the tiles; ALONE if each paints the whole image.
    """

    tile_px: int | None
    history: int
    history_dtype: torch.dtype | None
    cache_content: bool
    peak_bytes: int
    tiles_kept: int = 1
    ranks: Ranks = ALONE

    def shares_history_with(self, other: ScalePlan) -> bool:
        """Return whether the optimiser's history of one plan can be used with the other."""
        return (self.history, self.history_dtype) == (other.history, other.history_dtype)


def make_plan(runtime: Runtime, settings: Settings | None = None) -> ComputePlan:
    """Choose the options that ``runtime`` does not set; all ranks make the same choice.

    Args:
        runtime: device, precision and memory are read.
        settings: the statistic decides whether eight bits are possible; None for the default.

    Raises:
        SettingsError: there is no such device on this machine.
        LostRankError: another process is gone.
    """
    ranks = current()
    device = choose_device(runtime.device)
    if ranks.count > 1 and device == torch.device("cuda"):
        device = torch.device("cuda", ranks.local)
    notes: tuple[str, ...] = ()
    int8 = runtime.precision == "int8"
    if int8 and (reason := _missing_for_int8(device, settings, ranks)):
        int8 = False
        notes = (f"--precision int8 is not possible here: {reason}; --precision auto is used",)
    dtype = torch.bfloat16 if int8 else _DTYPES.get(runtime.precision)
    if dtype is None:
        native = int(has_native_bfloat16(device))
        dtype = torch.bfloat16 if ranks.least(native) else torch.float32
    memory_bytes = runtime.memory
    if memory_bytes is None and (free := free_bytes(device)) is not None:
        if device.type == "cpu":
            free //= ranks.local_count
        memory_bytes = ranks.least(round(_SHARE_OF_FREE * (free + held_bytes(device))))
    return ComputePlan(device, dtype, memory_bytes, ranks, int8, notes)


def _missing_for_int8(device: torch.device, settings: Settings | None, ranks: Ranks) -> str | None:
    """Return why a picture cannot be painted in eight bits; None if it can."""
    if settings is not None and settings.statistic not in _INT8_STATISTICS:
        return f"statistic {settings.statistic!r} was not measured with it"
    if settings is not None and settings.network not in _INT8_NETWORKS:
        return f"network {settings.network!r} has no convolutions of eight bits"
    if not ranks.least(int(has_native_int8(device))):
        return "it needs a CPU with AVX512-VNNI or AMX"
    if not ranks.least(int(has_operator())):
        return "this version of torch lacks convolutions of eight bits"
    return None


def plan_scale(
    workload: ScaleWorkload, history: int, memory_bytes: int | None, ranks: Ranks = ALONE
) -> ScalePlan:
    """Return the fastest plan that fits; if none fits, the one with the least memory.

    Tiles are exact. They cost halos and second passes, which ``ranks`` share. A history in float16
    has no measured cost; a shorter history costs some more steps.

    Raises:
        SettingsError: several processes would share a picture that cannot be computed in tiles.
        OutOfMemoryError: such a picture would need tiles to fit.
    """
    if workload.indivisible is not None:
        check_whole(False, workload.indivisible, None, ranks)
    plan = _fastest(workload, history, ranks)
    if not _fits(plan, memory_bytes):
        plan = _best(workload, history, memory_bytes, ranks)
    if workload.indivisible is not None and not _fits(plan, memory_bytes):
        raise OutOfMemoryError(
            f"{workload.indivisible}: expected {workload.width_px} x {workload.height_px} pixels "
            "to fit into memory whole, because sums over parts of a picture do not add up; they "
            f"take {plan.peak_bytes / 2**30:.1f} GiB, and {(memory_bytes or 0) / 2**30:.1f} GiB "
            "are allowed; ask for a smaller size, allow more memory, or do without it"
        )
    return plan


@lru_cache(maxsize=256)
def _fastest(workload: ScaleWorkload, history: int, ranks: Ranks) -> ScalePlan:
    """Return the fastest plan, whatever it needs; if it fits, it is also the fastest that fits.

    A painting asks for the plan of a size several times, and so do paintings of one size.
    """
    return _best(workload, history, None, ranks)


def _best(
    workload: ScaleWorkload, history: int, memory_bytes: int | None, ranks: Ranks
) -> ScalePlan:
    candidates = [
        (more * cost, _scale_plan(workload, tile_px, tiles_kept, *held, cache_content, ranks))
        for tile_px in _tiles_px(workload)
        for tiles_kept in _tiles_kept(workload, tile_px, ranks)
        for cache_content in (True, False)
        if (
            cost := sum(
                step_flop(workload, tile_px, cache_content, tiles_kept=tiles_kept, ranks=ranks)
            )
        )
        for held, more in _memories(workload, history)
    ]
    fitting = [(cost, plan) for cost, plan in candidates if _fits(plan, memory_bytes)]
    if fitting:
        return min(fitting, key=lambda candidate: candidate[0])[1]
    return min(candidates, key=lambda candidate: candidate[1].peak_bytes)[1]


def _fits(plan: ScalePlan, memory_bytes: int | None) -> bool:
    return memory_bytes is None or plan.peak_bytes <= memory_bytes


def _tiles_px(workload: ScaleWorkload) -> list[int | None]:
    """List the sides of tiles that divide the canvas evenly, the largest first."""
    if workload.indivisible is not None:
        return [None]
    # Cores begin on the pooling grid: a side that is no multiple of it makes one piece more.
    grid_px = geometry(workload.layers, workload.network).grid_px
    sides = {
        grid_px * math.ceil(side_px / pieces / grid_px)
        for side_px in (workload.height_px, workload.width_px)
        for pieces in _PIECES
        if side_px >= pieces * _SMALLEST_TILE_PX
    }
    return [None, *sorted(sides, reverse=True)]


def _tiles_kept(workload: ScaleWorkload, tile_px: int | None, ranks: Ranks) -> list[int]:
    """List the numbers of tiles that may stay in memory: all of a rank, half, or one."""
    count = len(workload.windows(tile_px))
    share = math.ceil(count / ranks.count) if are_enough(workload, tile_px, ranks) else count
    return sorted({1, max(1, share // 2), share}, reverse=True)


def _memories(
    workload: ScaleWorkload, history: int
) -> list[tuple[tuple[int, torch.dtype | None], float]]:
    """List the histories that an optimiser may have, and how many more steps each needs."""
    if not optimiser_class(workload.optimiser).has_history:
        return [((history, None), 1.0)]
    shorter = {fewer: more for fewer, more in _MORE_STEPS.items() if fewer < history}
    known = _MORE_STEPS.get(history, 1.0)
    return [
        ((history, None), 1.0),
        ((history, _NARROW), 1.0),
        *(((fewer, _NARROW), more / known) for fewer, more in shorter.items()),
    ]


def _scale_plan(
    workload: ScaleWorkload,
    tile_px: int | None,
    tiles_kept: int,
    history: int,
    history_dtype: torch.dtype | None,
    cache_content: bool,
    ranks: Ranks,
) -> ScalePlan:
    peak_bytes = workload.peak_bytes(tile_px, history, cache_content, history_dtype, tiles_kept)
    together = ranks if are_enough(workload, tile_px, ranks) else ALONE
    return ScalePlan(
        tile_px, history, history_dtype, cache_content, peak_bytes, tiles_kept, together
    )


def shortage(
    workload: ScaleWorkload, plan: ScalePlan, history: int, memory_bytes: int | None
) -> str | None:
    """Return a message that a plan does not fit, with a size that does; None if it fits."""
    if memory_bytes is None or _fits(plan, memory_bytes):
        return None
    message = (
        f"{workload.width_px} x {workload.height_px} pixels take {plan.peak_bytes / 2**30:.1f} GiB "
        f"at least, and {memory_bytes / 2**30:.1f} GiB are allowed"
    )
    fitting_px = largest_fitting_px(workload, history, memory_bytes)
    if fitting_px is None:
        return f"{message}; free some memory"
    share = fitting_px / max(workload.height_px, workload.width_px)
    return f"{message}; {share:.0%} of the size would fit"


def largest_fitting_px(workload: ScaleWorkload, history: int, memory_bytes: int) -> int | None:
    """Return the longest side, in steps of a tenth, that fits; None if none does."""
    share = 0.9
    while share > 0.01:  # of a length: a ten-thousandth of the pixels
        smaller = workload.shrunk(share)
        if _fits(_best(smaller, history, memory_bytes, ALONE), memory_bytes):
            return max(smaller.height_px, smaller.width_px)
        share *= 0.9
    return None
