r"""The colours of a picture as a cloud of points, and one map from cloud to cloud.

A cloud is known by its mean and covariance. Both come from sums over pixels, so several
pictures pool into one cloud by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A grey picture has no variance in the colours, and its noise would be stretched to them. This
# much in every direction (two levels of 255) keeps that below sight.
_LEAST_VARIANCE = (2 / 255) ** 2


@dataclass(frozen=True)
class Colours:
    """Where a picture's colours lie: mean (3,) and covariance (3, 3), float64, sRGB."""

    mean: Tensor
    covariance: Tensor


def colours(images: Sequence[Tensor], shares: Sequence[float]) -> Colours:
    """Pool the colours of ``images``.

    Args:
        images: (1, 3, H, W) each, sRGB in [0, 1].
        shares: how much each counts; they sum to 1.
    """
    mean = torch.zeros(3, dtype=torch.float64)
    moment = torch.zeros(3, 3, dtype=torch.float64)
    for image, share in zip(images, shares, strict=True):
        rows = image.detach()[0].flatten(1).t().to("cpu", torch.float64)
        mean += share * rows.mean(0)
        moment += share * (rows.t() @ rows) / len(rows)
    return Colours(mean, moment - torch.outer(mean, mean))


def match(image: Tensor, target: Colours) -> Tensor:
    r"""Give ``image`` the mean and covariance of ``target``, by one linear map.

    $T = \Sigma_c^{-1/2} (\Sigma_c^{1/2} \Sigma_s \Sigma_c^{1/2})^{1/2} \Sigma_c^{-1/2}$: of
    all linear maps that do so, the one that moves the colours least (Pitié and Kokaram,
    "The linear Monge-Kantorovitch linear colour mapping", 2007, eq. 7).

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        target: the colours to take.

    Returns:
        The same shape, clamped to [0, 1].
    """
    own = colours([image], [1.0])
    root = _power(own.covariance, 0.5, least=_LEAST_VARIANCE)
    back = _power(own.covariance, -0.5, least=_LEAST_VARIANCE)
    linear = back @ _power(root @ target.covariance @ root, 0.5) @ back
    linear, offset = linear.to(image), (target.mean - linear @ own.mean).to(image)
    mapped = torch.einsum("ij,bjhw->bihw", linear, image) + offset.view(1, 3, 1, 1)
    return mapped.clamp(0, 1)


def _power(matrix: Tensor, exponent: float, least: float = 0.0) -> Tensor:
    """Raise a symmetric matrix to a power, its eigenvalues lifted to ``least``."""
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = vectors @ torch.diag(values.clamp_min(least).pow(exponent)) @ vectors.t()
    return powered
