r"""DISTS in two parts: structure against the photograph, texture against the painting.

Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020, on
VGG-16 with L2 pooling and the weights that its authors publish. Differs: the two terms
are compared with two pictures, and each is divided by its own sum of weights, so that each runs
from 0 to 1. The paper adds them up for one picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.models.vgg import VGGFeatures

# The image itself comes first.
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
SMALLEST_PX = 16
_STABILITY = 1e-6


def features(image: Tensor, network: VGGFeatures) -> list[Tensor]:
    """Return the image and its maps at LAYERS, pooled as DISTS does.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], float32.
        network: VGG-16 with zero padding, in float32.
    """
    collected, maps = [image], image
    for layer in network.spec.upto(LAYERS):
        if layer.kind == "conv":
            maps = network.convolutions.convolve(maps, layer.name, rectified=True)
        elif layer.kind == "pool":
            maps = _l2_pool(maps)
        elif layer.name in LAYERS:
            collected.append(maps)
    return collected


def structure_distance(
    result: Sequence[Tensor], content: Sequence[Tensor], weights: dict[str, Tensor]
) -> float:
    r"""Return one minus the structure term of DISTS: eq. 8, $s = (2\sigma_{xy} + c)/(...)$.

    Args:
        result: :func:`features` of the result.
        content: features of the photograph, of the same size.
        weights: ``beta`` (1, channels, 1, 1).
    """
    similarities = []
    for ours, theirs in zip(result, content, strict=True):
        means = ours.mean((2, 3), keepdim=True), theirs.mean((2, 3), keepdim=True)
        first, second = ours - means[0], theirs - means[1]
        shared = 2 * (first * second).mean((2, 3)) + _STABILITY
        own = first.square().mean((2, 3)) + second.square().mean((2, 3)) + _STABILITY
        similarities.append(shared / own)
    return _weighted(similarities, weights["beta"])


def texture_distance(
    result: Sequence[Tensor], style: Sequence[Tensor], weights: dict[str, Tensor]
) -> float:
    r"""Return one minus the texture term of DISTS: eq. 7, $l = (2\mu_x\mu_y + c)/(...)$.

    Args:
        result: :func:`features` of the result.
        style: features of the painting, of any size.
        weights: ``alpha`` (1, channels, 1, 1).
    """
    similarities = []
    for ours, theirs in zip(result, style, strict=True):
        first, second = ours.mean((2, 3)), theirs.mean((2, 3))
        own = first.square() + second.square() + _STABILITY
        similarities.append((2 * first * second + _STABILITY) / own)
    return _weighted(similarities, weights["alpha"])


def _weighted(similarities: list[Tensor], weights: Tensor) -> float:
    shares = weights.flatten() / weights.sum()
    return float(1 - (torch.cat(similarities, 1)[0] * shares).sum())


def _l2_pool(maps: Tensor) -> Tensor:
    """Take the root of the blurred square at every second position."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=maps.dtype)
    blur = torch.outer(line, line).expand(maps.shape[1], 1, 3, 3)
    pooled = F.conv2d(maps.square(), blur, stride=2, padding=1, groups=maps.shape[1])
    return (pooled + 1e-12).sqrt()
