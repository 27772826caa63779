"""Which device paints, and which number types it is fast at."""

from __future__ import annotations

import torch

from impasto.errors import SettingsError


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
