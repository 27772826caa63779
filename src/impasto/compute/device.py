"""Which device paints, and which dtypes are fast on it."""

from __future__ import annotations

import torch

from impasto.errors import SettingsError


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; for ``auto`` the fastest kind of this machine.

    Raises:
        SettingsError: there is no such device on this machine.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name != "auto" and name not in available:
        raise SettingsError(
            f"device: no {name!r} on this machine: expected one of auto, {', '.join(available)}"
        )
    return torch.device(available[0] if name == "auto" else name)


def has_native_int8(device: torch.device) -> bool:
    """Return whether ``device`` multiplies eight-bit integers in hardware.

    x86 needs AVX512-VNNI or AMX-INT8; without, sums of products would be cut off at 16 bits. GPUs
    and other processors were not measured, and have another operator.
    """
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_vnni") or capabilities.get("amx_int8"))


def has_native_bfloat16(device: torch.device) -> bool:
    """Return whether ``device`` has bfloat16 in hardware; without, it is slower than float32.

    x86 needs AVX512-BF16 or AMX, CUDA compute capability 8.0. Apple's GPUs and Arm use float32:
    bfloat16 was not measured on them.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
