r"""The losses as pure functions of features and statistics: the paper's raw sums.

Gatys, Ecker and Bethge, "A neural algorithm of artistic style", 2015; "Image style
transfer using convolutional neural networks", CVPR 2016. F: features of the image being
painted; P: of the content image; G, A: Gram matrices of the painted and the style image;
$N_l$ channels, $M_l$ positions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from impasto.errors import ShapeError
from impasto.losses.statistics import gram_sum

# Self-similarity compares at most so many positions with each other.
_MOST_POSITIONS = 576


def content_loss(F: Tensor, P: Tensor) -> Tensor:
    r"""Compare features position by position.

    $L_{content} = \frac12 \sum_{ij} (F_{ij} - P_{ij})^2$, eq. 1 of Gatys et al. (2015).

    Args:
        F: (B, C, H, W), any float type.
        P: the same shape.

    Returns:
        A scalar, float32 or wider.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_same(F, P)
    return _half_square(F, P)


def gram_matrix(F: Tensor) -> Tensor:
    r"""Correlate channels over space: $G_{ij} = \sum_k F_{ik} F_{jk}$, the raw sum.

    Args:
        F: (C, H, W) or (B, C, H, W).

    Returns:
        (C, C) for one item, (B, C, C) for a batch of several: float32 or wider, symmetric and
        positive semi-definite.

    Raises:
        ShapeError: neither three nor four axes.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3)).tolist()
        [[9.0, 9.0], [9.0, 9.0]]
    """
    if F.ndim not in (3, 4):
        raise ShapeError(f"expected features (B, C, H, W) or (C, H, W), got {tuple(F.shape)}")
    if F.ndim == 3 or len(F) == 1:
        return gram_sum(F if F.ndim == 4 else F[None])
    return torch.stack([gram_sum(item[None]) for item in F])


def style_loss(G: Tensor, A: Tensor, channels: int, positions: int) -> Tensor:
    r"""Compare two Gram matrices.

    $L^l_{style} = \frac{1}{4 N_l^2 M_l^2} \sum_{ij} (G_{ij} - A_{ij})^2$, eq. 4 of Gatys
    et al. (2015). When the two images differ in size, bring A to G's number of positions
    first: $A M_l / M_{style}$.

    Args:
        G: (C, C), the painted image's.
        A: (C, C), the style image's.
        channels: $N_l$.
        positions: $M_l$.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_same(G, A)
    # Divided before squaring: the raw sums of a large image overflow float32 when squared.
    return _half_square(G, A, 1 / (math.sqrt(2) * channels * positions))


def wasserstein_loss(
    mean: Tensor, covariance: Tensor, target_mean: Tensor, target_root: Tensor
) -> Tensor:
    r"""Compare two feature distributions as Gaussians, by the squared Wasserstein-2 distance.

    $W_2^2 = |\mu - \nu|^2 + tr(\Sigma + T - 2 (T^{1/2} \Sigma T^{1/2})^{1/2})$: Olkin and
    Pukelsheim, "The distance between two random vectors with given dispersion matrices",
    1982; for styles Mroueh, "Wasserstein style transfer", 2019, and crowsonkb's
    style-transfer-pytorch, 2021.

    Args:
        mean: $\mu$, (C,).
        covariance: $\Sigma$, (C, C), positive definite.
        target_mean: $\nu$, (C,).
        target_root: $T^{1/2}$, the symmetric root of the target's covariance.

    Returns:
        A scalar, never negative.
    """
    cross = target_root @ covariance @ target_root
    root: Tensor = _RootTrace.apply(cross)  # type: ignore[no-untyped-call]
    moved = (mean - target_mean).square().sum()
    return (moved + covariance.trace() + target_root.square().sum() - 2 * root).clamp_min(0)


def deviation_loss(mean: Tensor, deviation: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    r"""Compare each channel's mean and standard deviation.

    $\frac{1}{N_l} \sum_i (\mu_i - \nu_i)^2 + (\sigma_i - \tau_i)^2$: Li et al., "Demystifying
    neural style transfer", 2017, eq. 12.

    Args:
        mean: (C,).
        deviation: (C,).
        target: mean and deviation of the style image.
    """
    channels = len(mean)
    return (_half_square(mean, target[0]) + _half_square(deviation, target[1])) * (2 / channels)


def total_variation(
    image: Tensor, height_px: int | None = None, width_px: int | None = None
) -> Tensor:
    r"""Sum the squared differences between each pixel and its eight neighbours.

    Each pair counts once, diagonals at half weight (they are sqrt 2 apart).

    Differs: Mahendran and Vedaldi (2015) use two neighbours; eight are less direction-dependent.

    Args:
        image: (B, C, H, W), sRGB in [0, 1].
        height_px: count only pairs whose upper row is above this row; all if absent.
        width_px: count only pairs whose left column is before this column.

    Returns:
        A scalar: a sum, so that tiles add up; each tile needs one more row and column.
    """
    rows, columns = image[..., :height_px, :], image[..., :width_px]
    return (
        (rows[..., :, 1:] - rows[..., :, :-1]).square().sum()
        + (columns[..., 1:, :] - columns[..., :-1, :]).square().sum()
        + 0.5 * (image[..., 1:, 1:] - image[..., :-1, :-1]).square().sum()
        + 0.5 * (image[..., 1:, :-1] - image[..., :-1, 1:]).square().sum()
    )


def _half_square(features: Tensor, target: Tensor, factor: float = 1.0) -> Tensor:
    half: Tensor = _HalfSquare.apply(features, target, factor)  # type: ignore[no-untyped-call]
    return half


class _HalfSquare(torch.autograd.Function):
    """Half the squared distance to a target, in few passes over memory; one pass backward."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor, factor: float) -> Tensor:
        difference = features - target
        if factor != 1:
            difference.mul_(factor)
        ctx.save_for_backward(difference)
        ctx.factor = factor
        ctx.dtype = features.dtype
        narrow = difference.dtype in (torch.bfloat16, torch.float16)
        wide = difference.float() if narrow else difference
        half: Tensor = wide.square().sum() / 2
        return half

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        (difference,) = ctx.saved_tensors
        gradient = difference * (slope * ctx.factor).to(difference.dtype)
        return gradient.to(ctx.dtype), None, None


class _RootTrace(torch.autograd.Function):
    """The trace of a symmetric matrix's square root, with half its inverse root for a gradient.

    By eigenvalues: those that are 0, or below 0 by rounding, are ignored. An iteration would fail
    on such a matrix.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = eigen(matrix)
        ctx.save_for_backward(values, vectors)
        return values.clamp_min(0).sqrt().sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        least = values[-1].clamp_min(1e-30) * torch.finfo(values.dtype).eps * len(values)
        halves = torch.where(values > least, 0.5 * values.clamp_min(least).rsqrt(), 0.0)
        gradient: Tensor = (vectors * (slope * halves)) @ vectors.t()
        return gradient


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return ascending eigenvalues, and eigenvectors, of a symmetric matrix, on its device."""
    values, vectors = torch.linalg.eigh(matrix.to("cpu", torch.float64))
    return values.to(matrix), vectors.to(matrix)


def _check_same(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise ShapeError(
            f"expected two tensors of one shape, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}; resize the images to match"
        )


def structure_distance(F: Tensor, P: Tensor) -> float:
    r"""Compare how alike the parts of one picture are to each other with another picture's.

    $\frac1{n^2} \sum_{ij} |D_{ij} / \bar D_i - \bar D'_{ij} / \bar D'_i|$, where $D_{ij}$ is the
    cosine distance between the features at positions i and j, and $\bar D_i$ its mean over j:
    the content loss of Kolkin, Salavon and Shakhnarovich, "Style transfer by relaxed optimal
    transport and self-similarity", CVPR 2019, eq. 9. Colours and strokes that are the same
    everywhere do not count.

    Differs: positions are averaged to at most 576, and all are compared instead of a sample.

    Args:
        F: features of the picture, (1, C, H, W).
        P: those of the other, of the same shape.

    Returns:
        0 for the same structure; about 0.2 for the layer relu4_2 of unlike pictures.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_same(F, P)
    return float((_self_distances(F) - _self_distances(P)).abs().mean())


def _self_distances(features: Tensor) -> Tensor:
    """Return cosine distances between positions, each row divided by its mean."""
    height, width = features.shape[-2:]
    shrink = min(1.0, (_MOST_POSITIONS / (height * width)) ** 0.5)
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    rows = nn.functional.adaptive_avg_pool2d(features.float(), size)[0].flatten(1).t()
    rows = nn.functional.normalize(rows, dim=1)
    distances: Tensor = (1 - rows @ rows.t()).clamp_min(0)
    return distances / distances.mean(1, keepdim=True).clamp_min(1e-12)
