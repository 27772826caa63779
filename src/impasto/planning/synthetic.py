"""Synthetic inputs for timing a step: seeded noise instead of weights and pictures.

Time does not depend on their values, so nothing has to be downloaded or read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.models.vgg import VGGFeatures
from impasto.planning.plan import ComputePlan


def seeded_parameters(network: str, layers: Sequence[str]) -> dict[str, Tensor]:
    """Draw weights as deep as ``layers``, scaled as He et al. (2015) do."""
    generator = torch.Generator().manual_seed(0)
    parameters = {}
    for name, shape in network_spec(network).conv_shapes(layers).items():
        weight = torch.randn(shape, generator=generator)
        parameters[f"{name}.weight"] = weight * math.sqrt(2 / math.prod(shape[1:]))
        parameters[f"{name}.bias"] = torch.zeros(shape[0])
    return parameters


def seeded_network(
    parameters: dict[str, Tensor], plan: ComputePlan, settings: Settings
) -> VGGFeatures:
    """Build the network of ``settings`` on the device of ``plan``."""
    return VGGFeatures(
        parameters,
        settings.network,
        dtype=plan.dtype,
        pooling=settings.pooling,
        padding=settings.padding,
        device=plan.device,
    )


def seeded_picture(height_px: int, width_px: int, seed: int) -> Tensor:
    """Draw a picture of noise, (1, 3, H, W) in [0, 1]."""
    return torch.rand(1, 3, height_px, width_px, generator=torch.Generator().manual_seed(seed))


def fastest_s(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the time of the fastest of ``repeats`` runs in seconds, after a warm-up run."""
    work()
    times_s = []
    for _ in range(repeats):
        _synchronise(device)
        began_s = time.perf_counter()
        work()
        _synchronise(device)
        times_s.append(time.perf_counter() - began_s)
    return min(times_s)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
