"""A description of the machine, and its peak speed of matrix products."""

from __future__ import annotations

import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch

import impasto
from impasto.planning.plan import ComputePlan
from impasto.planning.synthetic import fastest_s

# Sides of square products, of which the fastest is the peak: small ones suit the caches, large
# ones the cores.
_PRODUCTS = (1024, 2048, 4096)


def describe(device: torch.device) -> dict[str, Any]:
    """Return machine, device, versions and threads."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "system": platform.platform(),
        "device": str(device),
        "device_name": _device_name(device),
        "capabilities": _capabilities(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "impasto": impasto.__version__,
    }


def matmul_peak(plan: ComputePlan, *, repeats: int = 3) -> float:
    """Return the peak FLOP/s of square products in the plan's type and device.

    Float32 products have precision ``highest``, torch's default.
    """
    best = 0.0
    for side in _PRODUCTS:
        a, b = (torch.randn(side, side, device=plan.device).to(plan.dtype) for _ in range(2))
        time_s = fastest_s(partial(torch.mm, a, b), plan.device, repeats)
        best = max(best, 2 * side**3 / time_s)
    return best


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def _capabilities() -> list[str]:
    """Return the processor's capabilities, as torch reports them."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return []
    return sorted(name for name, has in torch.cpu.get_capabilities().items() if has is True)
