r"""Distances between the colours of the result and of the painting, without regard to position."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from impasto.images import colour

_DIRECTIONS = 64
# Number of quantiles at which sorted colours are compared, for pictures of any size.
_QUANTILES = 4096
# The quantile of the painting's chroma above which chroma counts as foreign.
_OWN_CHROMA = 0.99


def colour_distance(result: Tensor, style: Tensor) -> float:
    r"""Return the Wasserstein-2 distance between the Gaussians of the two pictures' colours.

    In OKLab, where lightness runs from 0 to 1: the square root of $|\mu_1 - \mu_2|^2 +
    tr(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2})$.
    """
    ours, theirs = (
        colour.colours([colour.to_oklab(picture)], [1.0]) for picture in (result, style)
    )
    values, vectors = torch.linalg.eigh(ours.covariance)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.t()
    cross = torch.linalg.eigvalsh(root @ theirs.covariance @ root).clamp_min(0).sqrt().sum()
    spread = ours.covariance.trace() + theirs.covariance.trace() - 2 * cross
    squared = (ours.mean - theirs.mean).square().sum() + spread.clamp_min(0)
    return float(squared.sqrt())


def palette_distance(result: Tensor, style: Tensor) -> float:
    r"""Return the sliced Wasserstein-1 distance between the two pictures' colours.

    The mean over directions $\theta$ of $W_1$ between the projections on $\theta$: Rabin et al.,
    "Wasserstein barycenter and its application to texture mixing", SSVM 2011. Differs: $W_1$, and
    64 fixed directions, spread evenly over the sphere.

    Args:
        result: (1, 3, H, W) in any colour space.
        style: the painting in the same space, of any size.

    Returns:
        A distance in the unit of the space; 0 for the same colours.
    """
    ours, theirs = (_quantiles(_directions() @ _pixels(picture)) for picture in (result, style))
    return float((ours - theirs).abs().mean())


def foreign_chroma(result: Tensor, style: Tensor) -> float:
    """Return the mean chroma by which the result exceeds the painting's 99th percentile.

    Args:
        result: (1, 3, H, W), OKLab.
        style: the painting, OKLab, of any size.
    """
    ours, theirs = (_pixels(picture)[1:].norm(dim=0) for picture in (result, style))
    own = theirs.sort().values[math.ceil(_OWN_CHROMA * len(theirs)) - 1]
    return float((ours - own).clamp_min(0).mean())


def _pixels(picture: Tensor) -> Tensor:
    return picture[0].flatten(1).double()


def _directions() -> Tensor:
    """Return directions over half the sphere, (64, 3): a Fibonacci lattice."""
    numbers = torch.arange(_DIRECTIONS, dtype=torch.float64) + 0.5
    height = numbers / _DIRECTIONS
    angle = math.pi * (1 + 5**0.5) * numbers
    radius = (1 - height.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], 1)


def _quantiles(lines: Tensor) -> Tensor:
    """Return each row's quantiles in the middle of as many equal shares, interpolated."""
    ordered = lines.sort(1).values
    count = ordered.shape[1]
    shares = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    at = (shares * count - 0.5).clamp(0, count - 1)
    below = at.floor().long()
    above = (below + 1).clamp_max(count - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], at - below)
