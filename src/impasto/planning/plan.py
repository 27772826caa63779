"""Where a painting is computed, in which number type, and how it fits into memory.

Decided once, before the first step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from impasto.compute.allocator import free_bytes, held_bytes
from impasto.compute.device import choose_device, has_native_bfloat16
from impasto.compute.distributed import ALONE, Ranks, current
from impasto.config.settings import Runtime
from impasto.errors import OutOfMemoryError
from impasto.losses.targets import check_whole
from impasto.losses.tiling import geometry
from impasto.optim.registry import optimiser_class
from impasto.planning.flops import are_enough, step_flop
from impasto.planning.memory_model import ScaleWorkload

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# How much of what is free a painting may take, if the user does not say.
_SHARE_OF_FREE = 0.8
# Into how many tiles a side is divided, to choose from; a smaller tile is mostly halo.
_PIECES = (*range(1, 13), 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256)
_SMALLEST_TILE_PX = 256
# Shorter histories to choose from, and how many more steps each takes to the same loss as one
# of twenty. Measured; so it was that float16 costs no step (docs/scale.md).
_MORE_STEPS = {10: 1.01, 5: 1.03, 3: 1.06, 2: 1.08, 1: 1.15}
_NARROW = torch.float16


@dataclass(frozen=True)
class ComputePlan:
    """Where and how a painting is computed.

    Attributes:
        device: where image and network live.
        dtype: number type of features; the image itself is float32.
        memory_bytes: how much the process may take; None for no limit.
        ranks: the processes that paint the image together.
    """

    device: torch.device
    dtype: torch.dtype
    memory_bytes: int | None = None
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class ScalePlan:
    """How one size is painted, so that it fits into memory.

    Attributes:
        tile_px: largest side of a tile; None for the image held whole.
        history: pairs of vectors that L-BFGS remembers.
        history_dtype: their number type; None for the image's own.
        cache_content: whether the content's features are kept, or computed for each tile.
        peak_bytes: the most memory that the process is expected to take.
        tiles_kept: how many tiles stay in memory between the two passes, and are not computed
            again.
        ranks: the processes that share the tiles; alone where every one paints for itself.
    """

    tile_px: int | None
    history: int
    history_dtype: torch.dtype | None
    cache_content: bool
    peak_bytes: int
    tiles_kept: int = 1
    ranks: Ranks = ALONE

    def remembers_as(self, other: ScalePlan) -> bool:
        """Tell whether what L-BFGS has remembered in one way serves in the other."""
        return (self.history, self.history_dtype) == (other.history, other.history_dtype)


def make_plan(runtime: Runtime) -> ComputePlan:
    """Decide what ``runtime`` leaves to us; where several processes paint, the same in all.

    Raises:
        SettingsError: the device asked for is not here.
        LostRankError: another process is gone.
    """
    ranks = current()
    device = choose_device(runtime.device)
    if ranks.count > 1 and device == torch.device("cuda"):
        device = torch.device("cuda", ranks.local)
    dtype = _DTYPES.get(runtime.precision)
    if dtype is None:
        native = int(has_native_bfloat16(device))
        dtype = torch.bfloat16 if ranks.least(native) else torch.float32
    memory_bytes = runtime.memory
    if memory_bytes is None and (free := free_bytes(device)) is not None:
        if device.type == "cpu":
            free //= ranks.local_count
        memory_bytes = ranks.least(round(_SHARE_OF_FREE * (free + held_bytes(device))))
    return ComputePlan(device, dtype, memory_bytes, ranks)


def plan_scale(
    demand: ScaleWorkload, history: int, memory_bytes: int | None, ranks: Ranks = ALONE
) -> ScalePlan:
    """Return the fastest way that fits; if none does, the one that takes least.

    Tiles are exact, and cost halos and second looks, or are shared by ``ranks``; a history
    that is kept narrow costs nothing that was measured, a shorter one some steps more.

    Raises:
        SettingsError: several processes would share a picture that must not be divided.
        OutOfMemoryError: such a picture would have to be divided to fit.
    """
    if demand.indivisible is not None:
        check_whole(False, demand.indivisible, None, ranks)
    way = _best(demand, history, memory_bytes, ranks)
    if demand.indivisible is not None and not _fits(way, memory_bytes):
        raise OutOfMemoryError(
            f"{demand.indivisible}: expected {demand.width_px} x {demand.height_px} pixels to fit "
            "into memory whole, because sums over parts of a picture do not add up; they take "
            f"{way.peak_bytes / 2**30:.1f} GiB, and {(memory_bytes or 0) / 2**30:.1f} GiB are "
            "allowed; ask for a smaller size, allow more memory, or do without it"
        )
    return way


def _best(demand: ScaleWorkload, history: int, memory_bytes: int | None, ranks: Ranks) -> ScalePlan:
    ways = [
        (more * cost, _way(demand, tile_px, tiles_kept, *held, cache_content, ranks))
        for tile_px in _tiles_px(demand)
        for tiles_kept in _tiles_kept(demand, tile_px, ranks)
        for cache_content in (True, False)
        if (
            cost := sum(
                step_flop(demand, tile_px, cache_content, tiles_kept=tiles_kept, ranks=ranks)
            )
        )
        for held, more in _memories(demand, history)
    ]
    fitting = [(cost, way) for cost, way in ways if _fits(way, memory_bytes)]
    if fitting:
        return min(fitting, key=lambda found: found[0])[1]
    return min(ways, key=lambda found: found[1].peak_bytes)[1]


def _fits(way: ScalePlan, memory_bytes: int | None) -> bool:
    return memory_bytes is None or way.peak_bytes <= memory_bytes


def _tiles_px(demand: ScaleWorkload) -> list[int | None]:
    """List the sides of tiles that divide the canvas evenly, the largest first."""
    if demand.indivisible is not None:
        return [None]
    # Cores begin on the pooling grid: a side that is no multiple of it makes one piece more.
    grid_px = geometry(demand.layers, demand.network).grid_px
    sides = {
        grid_px * math.ceil(side_px / pieces / grid_px)
        for side_px in (demand.height_px, demand.width_px)
        for pieces in _PIECES
        if side_px >= pieces * _SMALLEST_TILE_PX
    }
    return [None, *sorted(sides, reverse=True)]


def _tiles_kept(demand: ScaleWorkload, tile_px: int | None, ranks: Ranks) -> list[int]:
    """List how many tiles may stay in memory: all of a rank, half, or one."""
    count = len(demand.windows(tile_px))
    share = math.ceil(count / ranks.count) if are_enough(demand, tile_px, ranks) else count
    return sorted({1, max(1, share // 2), share}, reverse=True)


def _memories(
    demand: ScaleWorkload, history: int
) -> list[tuple[tuple[int, torch.dtype | None], float]]:
    """List histories that an optimiser may have, and how many steps more each takes."""
    if not optimiser_class(demand.optimiser).has_history:
        return [((history, None), 1.0)]
    shorter = {fewer: more for fewer, more in _MORE_STEPS.items() if fewer < history}
    known = _MORE_STEPS.get(history, 1.0)
    return [
        ((history, None), 1.0),
        ((history, _NARROW), 1.0),
        *(((fewer, _NARROW), more / known) for fewer, more in shorter.items()),
    ]


def _way(
    demand: ScaleWorkload,
    tile_px: int | None,
    tiles_kept: int,
    history: int,
    history_dtype: torch.dtype | None,
    cache_content: bool,
    ranks: Ranks,
) -> ScalePlan:
    peak_bytes = demand.peak_bytes(tile_px, history, cache_content, history_dtype, tiles_kept)
    together = ranks if are_enough(demand, tile_px, ranks) else ALONE
    return ScalePlan(
        tile_px, history, history_dtype, cache_content, peak_bytes, tiles_kept, together
    )


def shortage(
    demand: ScaleWorkload, way: ScalePlan, history: int, memory_bytes: int | None
) -> str | None:
    """Say that ``way`` does not fit, and what would; None where it does."""
    if memory_bytes is None or _fits(way, memory_bytes):
        return None
    told = (
        f"{demand.width_px} x {demand.height_px} pixels take {way.peak_bytes / 2**30:.1f} GiB at "
        f"least, and {memory_bytes / 2**30:.1f} GiB are allowed"
    )
    fitting_px = largest_fitting_px(demand, history, memory_bytes)
    if fitting_px is None:
        return f"{told}; free some memory"
    share = fitting_px / max(demand.height_px, demand.width_px)
    return f"{told}; {share:.0%} of the size would fit"


def largest_fitting_px(demand: ScaleWorkload, history: int, memory_bytes: int) -> int | None:
    """Return the longest side, in steps of a tenth, at which a way fits; None if none does."""
    share = 0.9
    while share > 0.01:  # of a length: a ten-thousandth of the pixels
        smaller = demand.shrunk(share)
        if _fits(_best(smaller, history, memory_bytes, ALONE), memory_bytes):
            return max(smaller.height_px, smaller.width_px)
        share *= 0.9
    return None
