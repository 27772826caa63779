r"""The losses as pure functions of features and statistics: the paper's raw sums.

Gatys, Ecker and Bethge, "A neural algorithm of artistic style", 2015; "Image style
transfer using convolutional neural networks", CVPR 2016. F: features of the image being
painted; P: of the content image; G, A: Gram matrices of the painted and the style image;
$N_l$ channels, $M_l$ positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.errors import ShapeError
from impasto.statistics import gram_sum


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
    difference = _widen(F) - _widen(P)
    return 0.5 * difference.square().sum()


def gram_matrix(F: Tensor) -> Tensor:
    r"""Correlate channels over space: $G_{ij} = \sum_k F_{ik} F_{jk}$, the raw sum.

    Args:
        F: (B, C, H, W) or (C, H, W); a batch is summed over.

    Returns:
        (C, C), float32 or wider, symmetric and positive semi-definite.

    Raises:
        ShapeError: neither three nor four axes.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3)).tolist()
        [[9.0, 9.0], [9.0, 9.0]]
    """
    if F.ndim not in (3, 4):
        raise ShapeError(f"expected features (B, C, H, W) or (C, H, W), got {tuple(F.shape)}")
    return gram_sum(F if F.ndim == 4 else F[None])


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
    difference = (G - A) / (2 * channels * positions)
    return difference.square().sum()


def total_variation(
    image: Tensor, height_px: int | None = None, width_px: int | None = None
) -> Tensor:
    r"""Sum the squared differences between each pixel and its eight neighbours.

    Each pair counts once, diagonals at half weight (they are sqrt 2 apart).

    Differs: Mahendran and Vedaldi (2015) take two neighbours; nine points are rounder.

    Args:
        image: (B, C, H, W), sRGB in [0, 1].
        height_px: count only pairs whose upper row is one of the first so many; all if absent.
        width_px: count only pairs whose left column is one of the first so many.

    Returns:
        A scalar: a sum, so that tiles add up, each shown with one row and column more.
    """
    rows, columns = image[..., :height_px, :], image[..., :width_px]
    return (
        (rows[..., :, 1:] - rows[..., :, :-1]).square().sum()
        + (columns[..., 1:, :] - columns[..., :-1, :]).square().sum()
        + 0.5 * (image[..., 1:, 1:] - image[..., :-1, :-1]).square().sum()
        + 0.5 * (image[..., 1:, :-1] - image[..., :-1, 1:]).square().sum()
    )


def _widen(features: Tensor) -> Tensor:
    narrow = features.dtype in (torch.bfloat16, torch.float16)
    return features.float() if narrow else features


def _check_same(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise ShapeError(
            f"expected two tensors of one shape, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}; resize the images to match"
        )
