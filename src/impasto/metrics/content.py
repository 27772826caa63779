"""Similarity of the result to the photograph: LPIPS and SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.models.alexnet import AlexNetFeatures
from impasto.models.vgg import VGGFeatures

# Wang et al. (2004): a Gaussian window of 11 pixels, and constants for a range of 1.
_WINDOW_PX, _WINDOW_SIGMA_PX = 11, 1.5
_SSIM_CONSTANTS = (0.01**2, 0.03**2)


def lpips(
    first: Tensor,
    second: Tensor,
    network: VGGFeatures | AlexNetFeatures,
    heads: dict[str, Tensor],
) -> float:
    """Return the learned perceptual distance between two pictures of one size.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018, eq. 1, version 0.1.

    Args:
        first: (1, 3, H, W), sRGB in [0, 1].
        second: the same shape.
        network: VGG-16 with zero padding in float32, or AlexNet.
        heads: the weight of each channel, (C,) by layer.
    """
    total = 0.0
    features = [network.features(picture, tuple(heads)) for picture in (first, second)]
    for layer, head in heads.items():
        ours, theirs = (
            maps[layer] / (maps[layer].square().sum(1, keepdim=True).sqrt() + 1e-10)
            for maps in features
        )
        weighted = (ours - theirs).square() * head.to(ours).view(1, -1, 1, 1)
        total += float(weighted.sum(1).mean())
    return total


def ssim(first: Tensor, second: Tensor) -> float:
    """Return the mean structural similarity of two pictures (1, 1, H, W) in [0, 1].

    Wang et al., "Image quality assessment: from error visibility to structural similarity",
    2004, eq. 13. Differs: the window shrinks to pictures smaller than it.
    """
    side_px = min(_WINDOW_PX, *first.shape[-2:])
    offsets = torch.arange(side_px, dtype=first.dtype) - (side_px - 1) / 2
    line = torch.exp(-0.5 * (offsets / _WINDOW_SIGMA_PX).square())
    window = torch.outer(line, line) / line.sum() ** 2

    def local_mean(picture: Tensor) -> Tensor:
        return F.conv2d(picture, window.view(1, 1, side_px, side_px))

    means = local_mean(first), local_mean(second)
    variances = [
        local_mean(picture.square()) - mean.square()
        for picture, mean in zip((first, second), means, strict=True)
    ]
    covariance = local_mean(first * second) - means[0] * means[1]
    c1, c2 = _SSIM_CONSTANTS
    similarity = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    similarity /= (means[0].square() + means[1].square() + c1) * (sum(variances) + c2)
    return float(similarity.mean())
