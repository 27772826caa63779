"""Style distances between result and painting, by Gram matrices.

The features are not the optimised ones: other layers of VGG-16, random filters, or AlexNet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.losses.functional import gram_matrix
from impasto.models.alexnet import AlexNetFeatures
from impasto.models.vgg import VGGFeatures

# Layers between those that the defaults optimise.
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_SCALES = 4
_FILTERS, _FILTER_PX = 64, 7


def style_distance(
    result: Tensor,
    style: Tensor,
    network: VGGFeatures | AlexNetFeatures,
    layers: tuple[str, ...] = STYLE_LAYERS,
) -> float:
    """Return the relative distance of the Gram matrices, averaged over layers.

    Args:
        result: (1, 3, H, W), sRGB in [0, 1].
        style: the painting, of any size.
        network: VGG-16 with zero padding in float32, or AlexNet.
        layers: layers of the network.
    """
    ours, theirs = (network.features(picture, layers) for picture in (result, style))
    return _gram_distance([(ours[layer], theirs[layer]) for layer in layers])


def random_style_distance(result: Tensor, style: Tensor) -> float:
    """Return the distance of Gram matrices of one layer of random filters, at several scales.

    Ustyuzhaninov et al., "What does it take to generate natural textures?", ICLR 2017: a
    single layer of random filters at several scales describes a texture well.

    Args:
        result: (1, 3, H, W), sRGB in [0, 1].
        style: the painting, of any size.
    """
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(_FILTERS, 3, _FILTER_PX, _FILTER_PX, generator=generator)
    # Filters without a response to flat colour, which the colour distance measures.
    filters = filters - filters.mean((1, 2, 3), keepdim=True)
    pairs = []
    for _ in range(_SCALES):
        if min(*result.shape[-2:], *style.shape[-2:]) < _FILTER_PX:
            break
        pairs.append((F.relu(F.conv2d(result, filters)), F.relu(F.conv2d(style, filters))))
        result, style = (F.avg_pool2d(picture, 2) for picture in (result, style))
    return _gram_distance(pairs)


def _gram_distance(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Return the relative distance of Gram matrices, averaged over pairs of feature maps."""
    total = 0.0
    for ours, theirs in pairs:
        gram, target = (gram_matrix(maps) / maps[0, 0].numel() for maps in (ours, theirs))
        total += float((gram - target).norm() / target.norm().clamp_min(1e-12))
    return total / len(pairs)
