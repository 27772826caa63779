"""What soaking needs: a network of seeded numbers, and pictures of seeded blots."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from impasto.weights import formats


def make_weights(path: Path, network: str = "vgg16") -> None:
    """Write a weights file of the network's shapes, scaled as He et al. (2015) do."""
    generator = torch.Generator().manual_seed(16)
    tensors = {
        name: torch.randn(shape, generator=generator) * math.sqrt(2 / (9 * shape[1]))
        if name.endswith("weight")
        else 0.1 * torch.randn(shape, generator=generator)
        for name, shape in formats.shapes(network).items()
    }
    path.write_bytes(formats.encode(tensors))


def make_pictures(folder: Path) -> None:
    """Write a photograph, two paintings and a mask of the photograph's shape."""
    for name, height, width, seed in (
        ("photograph", 144, 192, 1), ("painting", 160, 128, 2), ("other", 128, 128, 3)
    ):  # fmt: skip
        blots = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
        picture = Image.fromarray(blots, "RGB").resize((width, height), Image.Resampling.BICUBIC)
        picture.save(folder / f"{name}.png")
    ramp = np.linspace(0, 255, 192).round().astype(np.uint8)
    Image.fromarray(np.tile(ramp, (144, 1)), "L").save(folder / "mask.png")
