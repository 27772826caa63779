"""Where a painting is computed, in which number type, and how it fits into memory.

Decided once, before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impasto.costs import step_flop
from impasto.errors import SettingsError
from impasto.memory import Demand, free_bytes, held_bytes
from impasto.settings import Runtime

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# How much of what is free a painting may take, if the user does not say.
_SHARE_OF_FREE = 0.8
# Sides of tiles to choose from.
_TILES_PX = (None, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256)
# Shorter histories to choose from, and how many more steps each takes to the same loss as one
# of twenty. Measured; so it was that float16 costs no step (docs/scale.md).
_MORE_STEPS = {10: 1.01, 5: 1.03, 3: 1.06, 2: 1.08, 1: 1.15}
_NARROW = torch.float16


@dataclass(frozen=True)
class Plan:
    """Where and how a painting is computed.

    Attributes:
        device: where image and network live.
        dtype: number type of features; the image itself is float32.
        memory_bytes: how much the process may take; None for no limit.
    """

    device: torch.device
    dtype: torch.dtype
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Way:
    """How one size is painted, so that it fits into memory.

    Attributes:
        tile_px: largest side of a tile; None for the image held whole.
        history: pairs of vectors that L-BFGS remembers.
        history_dtype: their number type; None for the image's own.
        keep_content: whether the content's features are kept, or computed for each tile.
        peak_bytes: the most memory that the process is expected to take.
    """

    tile_px: int | None
    history: int
    history_dtype: torch.dtype | None
    keep_content: bool
    peak_bytes: int


def make_plan(runtime: Runtime) -> Plan:
    """Decide what ``runtime`` leaves to us.

    Raises:
        SettingsError: the device asked for is not here.
    """
    device = choose_device(runtime.device)
    dtype = _DTYPES.get(runtime.precision)
    if dtype is None:
        dtype = torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    memory_bytes = runtime.memory
    if memory_bytes is None and (free := free_bytes(device)) is not None:
        memory_bytes = round(_SHARE_OF_FREE * (free + held_bytes(device)))
    return Plan(device, dtype, memory_bytes)


def choose_way(demand: Demand, history: int, memory_bytes: int | None) -> Way:
    """Return the fastest way that fits; if none does, the one that takes least.

    Tiles are exact, and cost halos and second looks; a history that is kept narrow costs
    nothing that was measured, a shorter one some steps more.
    """
    ways = [
        (_cost(demand, tile_px, keep_content) * more, _way(demand, tile_px, *held, keep_content))
        for held, more in _memories(demand, history)
        for tile_px in _TILES_PX
        for keep_content in (True, False)
    ]
    fitting = [
        (cost, way) for cost, way in ways if memory_bytes is None or way.peak_bytes <= memory_bytes
    ]
    if fitting:
        return min(fitting, key=lambda found: found[0])[1]
    return min(ways, key=lambda found: found[1].peak_bytes)[1]


def _memories(demand: Demand, history: int) -> list[tuple[tuple[int, torch.dtype | None], float]]:
    """List what L-BFGS may remember, and how many steps more that takes; the best first."""
    if demand.optimiser != "lbfgs":
        return [((history, None), 1.0)]
    shorter = {fewer: more for fewer, more in _MORE_STEPS.items() if fewer < history}
    known = _MORE_STEPS.get(history, 1.0)
    return [
        ((history, None), 1.0),
        ((history, _NARROW), 1.0),
        *(((fewer, _NARROW), more / known) for fewer, more in shorter.items()),
    ]


def _cost(demand: Demand, tile_px: int | None, keep_content: bool) -> float:
    return sum(step_flop(demand, tile_px, keep_content))


def _way(
    demand: Demand,
    tile_px: int | None,
    history: int,
    history_dtype: torch.dtype | None,
    keep_content: bool,
) -> Way:
    peak_bytes = demand.peak_bytes(tile_px, history, keep_content, history_dtype)
    return Way(tile_px, history, history_dtype, keep_content, peak_bytes)


def largest_fitting_px(demand: Demand, history: int, memory_bytes: int) -> int | None:
    """Return the longest side, in steps of a tenth, at which a way fits; None if none does."""
    share = 0.9
    while share > 0.01:  # of a length: a ten-thousandth of the pixels
        smaller = demand.shrunk(share)
        if choose_way(smaller, history, memory_bytes).peak_bytes <= memory_bytes:
            return max(smaller.height_px, smaller.width_px)
        share *= 0.9
    return None


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; for ``auto`` the fastest kind that is here.

    Raises:
        SettingsError: there is no such device on this machine.
    """
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = ["cuda", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))]
    if name != "auto" and name not in here:
        raise SettingsError(
            f"device: no {name!r} on this machine: expected one of auto, {', '.join(here)}"
        )
    return torch.device(here[0] if name == "auto" else name)


def has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether ``device`` multiplies bfloat16 in hardware; elsewhere it is slower than float32.

    x86 asks for AVX512-BF16 or AMX, CUDA for compute capability 8.0. On Apple's GPUs and on
    Arm float32 stays the choice: there it was not measured.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
