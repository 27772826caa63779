r"""Colour statistics of pictures, colour transfer by a linear map, and colour preservation.

The statistics are mean and covariance. Both are computed from sums over pixels, so those of several
pictures can be averaged by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Number of pixels that are summed at a time, in float64.
_PIECE_PX = 2**20
# A grey picture has almost no variance in chroma, and matching would amplify its noise. This
# minimum variance in every direction (two levels of 255) keeps the noise invisible.
_LEAST_VARIANCE = (2 / 255) ** 2
# Rows of a large picture that are converted at a time, to save memory.
_STRIP_PX = 256
# Linear RGB that exceeds [0, 1] by less counts as inside.
_ROUNDING = 1e-4
_RGB_TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_CONES_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True)
class Colours:
    """The statistics of a picture's colours: mean (3,) and covariance (3, 3), float64, sRGB."""

    mean: Tensor
    covariance: Tensor


def colours(
    images: Sequence[Tensor],
    shares: Sequence[float],
    alphas: Sequence[Tensor | None] | None = None,
) -> Colours:
    """Compute the weighted colour statistics of ``images``.

    Args:
        images: (1, 3, H, W) each, sRGB in [0, 1].
        shares: the weight of each image; they sum to 1.
        alphas: the weight of each pixel of each image, (1, 1, H, W), such as its opacity; None
            for equal weights. A tensor that is 0 everywhere counts as None.
    """
    mean = torch.zeros(3, dtype=torch.float64)
    moment = torch.zeros(3, 3, dtype=torch.float64)
    for image, share, alpha in zip(images, shares, alphas or [None] * len(images), strict=True):
        pixels = image.detach()[0].flatten(1)
        mass, weights = _weights(alpha, pixels.shape[1])
        for start, piece in enumerate(torch.split(pixels, _PIECE_PX, dim=1)):
            columns = piece.to("cpu", torch.float64)
            weighed = columns
            if weights is not None:
                weighed = columns * weights[start * _PIECE_PX :][: columns.shape[1]]
            mean += weighed.sum(1) * (share / mass)
            moment += (weighed @ columns.t()) * (share / mass)
    return Colours(mean, moment - torch.outer(mean, mean))


def _weights(alpha: Tensor | None, count: int) -> tuple[float, Tensor | None]:
    """Return the sum of an image's weights, and the weights, or None if all are 1."""
    if alpha is None or not bool(alpha.any()):
        return count, None
    weights = alpha.detach().flatten().to("cpu", torch.float64)
    return float(weights.sum()), weights


def match(image: Tensor, target: Colours, alpha: Tensor | None = None) -> Tensor:
    r"""Match the mean and covariance of ``image`` to ``target``, by one linear map.

    $T = \Sigma_c^{-1/2} (\Sigma_c^{1/2} \Sigma_s \Sigma_c^{1/2})^{1/2} \Sigma_c^{-1/2}$. Of
    all such linear maps, this one moves the colours least (Pitié and Kokaram,
    "The linear Monge-Kantorovitch linear colour mapping", 2007, eq. 7).

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        target: the target statistics.
        alpha: the weight of each pixel in the image's own statistics, (1, 1, H, W), such as its
            opacity; None for equal weights.

    Returns:
        The same shape, clamped to [0, 1].
    """
    own = colours([image], [1.0], [alpha])
    root = _power(own.covariance, 0.5, least=_LEAST_VARIANCE)
    back = _power(own.covariance, -0.5, least=_LEAST_VARIANCE)
    linear = back @ _power(root @ target.covariance @ root, 0.5) @ back
    linear, offset = linear.to(image), (target.mean - linear @ own.mean).to(image)
    mapped = torch.einsum("ij,bjhw->bihw", linear, image) + offset.view(1, 3, 1, 1)
    return mapped.clamp(0, 1)


def keep(painting: Tensor, photograph: Tensor) -> Tensor:
    r"""Combine the painting's lightness with the photograph's chroma, in OKLab.

    Gatys et al., "Preserving color in neural artistic style transfer", 2016, section 3, do so
    in YIQ. Differs: OKLab (Ottosson, 2020), whose lightness is closer to perception. Where no sRGB
    colour has both, the chroma is reduced and the hue stays.

    Args:
        painting: (1, 3, H, W), sRGB in [0, 1].
        photograph: the same shape.

    Returns:
        The same shape, in [0, 1].
    """
    strips = zip(*(torch.split(p, _STRIP_PX, 2) for p in (painting, photograph)), strict=True)
    return torch.cat([_keep(*strip) for strip in strips], 2)


def _keep(painting: Tensor, photograph: Tensor) -> Tensor:
    lightness = to_oklab(painting)[:, :1]
    chroma = to_oklab(photograph)[:, 1:]
    share = torch.zeros_like(lightness)
    # Bisection finds the greatest share of chroma inside sRGB, to within 1/1024.
    for halving in range(1, 11):
        more = share + 0.5**halving
        candidate = _from_oklab(torch.cat([lightness, more * chroma], 1))
        inside = ((candidate > -_ROUNDING) & (candidate < 1 + _ROUNDING)).all(1, keepdim=True)
        share = torch.where(inside, more, share)
    share = torch.where(share > 1 - 0.5**9, 1.0, share)
    return _to_srgb(_from_oklab(torch.cat([lightness, share * chroma], 1)).clamp(0, 1))


def to_oklab(image: Tensor) -> Tensor:
    """Convert (B, 3, H, W) from sRGB in [0, 1] to OKLab: lightness in [0, 1], then a and b.

    Ottosson, "A perceptual color space for image processing", 2020.
    """
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    cones = _mix(_RGB_TO_CONES, linear)
    return _mix(_CONES_TO_LAB, cones.clamp_min(0) ** (1 / 3))


def _from_oklab(lab: Tensor) -> Tensor:
    """Convert to linear RGB, which may lie outside [0, 1]."""
    cones = _mix(torch.linalg.inv(_CONES_TO_LAB), lab) ** 3
    return _mix(torch.linalg.inv(_RGB_TO_CONES), cones)


def _to_srgb(linear: Tensor) -> Tensor:
    return torch.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055
    )


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(channels), channels)


def _power(matrix: Tensor, exponent: float, least: float = 0.0) -> Tensor:
    """Raise a symmetric matrix to a power, with its eigenvalues clamped to ``least``."""
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = vectors @ torch.diag(values.clamp_min(least).pow(exponent)) @ vectors.t()
    return powered
