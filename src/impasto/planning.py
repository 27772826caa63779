"""Where a painting is computed, in which number type, and how it fits into memory.

Decided once, before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impasto.errors import SettingsError
from impasto.memory import Demand, free_bytes
from impasto.settings import Runtime

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# How much of what is free a painting may take, if the user does not say.
_SHARE_OF_FREE = 0.8
# Sides of tiles, from the fastest, and lengths of history, from the longest, to choose from.
_TILES_PX = (None, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256)
_HISTORIES = (10, 5, 3, 1)


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
        keep_content: whether the content's features are kept, or computed for each tile.
        peak_bytes: the most memory that the process is expected to take.
    """

    tile_px: int | None
    history: int
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
        memory_bytes = round(_SHARE_OF_FREE * free)
    return Plan(device, dtype, memory_bytes)


def choose_way(demand: Demand, history: int, memory_bytes: int | None) -> Way:
    """Return the fastest way that fits; if none does, the one that takes least.

    Tiles are exact, so they come first; then L-BFGS remembers less; at last the content's
    features are computed for each tile.
    """
    histories = [history, *(fewer for fewer in _HISTORIES if fewer < history)]
    if demand.optimiser != "lbfgs":
        histories = [history]
    ways = (
        Way(tile_px, pairs, keep_content, demand.peak_bytes(tile_px, pairs, keep_content))
        for keep_content in (True, False)
        for pairs in histories
        for tile_px in _TILES_PX
    )
    least = None
    for way in ways:
        if memory_bytes is None or way.peak_bytes <= memory_bytes:
            return way
        if least is None or way.peak_bytes < least.peak_bytes:
            least = way
    assert least is not None
    return least


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
