"""What of a layer's features counts as style: the sums to take, and how they are compared.

A statistic is a sum over positions that tiles, regions and several paintings can share, and
a distance between two such sums, each divided by its own mass: the number of positions, or
the weight of a mask.

Each says whether comparing ``stays_on_device``, or has the processor find eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from impasto import losses
from impasto.losses.statistics import gram_sum, moment_sum

Sum = Callable[[Tensor, Tensor | None], Tensor]
# This much of a painting's mean variance is added to every direction of the clouds compared.
# Where a painting varies less than that, its gradient would be rounding noise magnified.
_FLOOR = 1e-3


class Distance(Protocol):
    """Compares a painting under way, per position, with the style that it was made for."""

    def __call__(self, found: Tensor) -> Tensor:
        """Return a scalar that is never negative, and 0 at the target."""


class Gram:
    """The distance of the paper: squared, between Gram matrices."""

    sum: Sum = staticmethod(gram_sum)
    stays_on_device = True

    def __init__(self, target: Tensor) -> None:
        self._target = target

    def __call__(self, found: Tensor) -> Tensor:
        """Return the style loss of Gatys et al. per position."""
        return losses.style_loss(found, self._target, len(found), 1)


class Moments:
    """The distance between two Gaussians, with means and covariances of the features.

    Differs: from crowsonkb's style-transfer-pytorch, by a floor under the variance that is
    relative to the painting's, and by eigenvalues instead of Newton and Schulz's iteration.
    """

    sum: Sum = staticmethod(moment_sum)
    stays_on_device = False

    def __init__(self, target: Tensor) -> None:
        self._mean, covariance = mean_and_covariance(target)
        self._lift = torch.eye(len(self._mean)).to(target) * _floor(covariance)
        values, vectors = losses.eigen(covariance + self._lift)
        self._root = (vectors * values.clamp_min(0).sqrt()) @ vectors.t()

    def __call__(self, found: Tensor) -> Tensor:
        """Return the squared distance, as a mean over channels."""
        mean, covariance = mean_and_covariance(found)
        loss = losses.wasserstein_loss(mean, covariance + self._lift, self._mean, self._root)
        return loss / len(mean)


class GramMeanStd:
    """The paper's distance, plus that of each channel's mean and standard deviation."""

    sum: Sum = staticmethod(moment_sum)
    stays_on_device = True

    def __init__(self, target: Tensor) -> None:
        self._gram = Gram(target[:-1])
        mean, covariance = mean_and_covariance(target)
        self._least = _floor(covariance)
        self._target = mean, _deviation(covariance, self._least)

    def __call__(self, found: Tensor) -> Tensor:
        """Return the sum of both."""
        mean, covariance = mean_and_covariance(found)
        deviation = _deviation(covariance, self._least)
        return self._gram(found[:-1]) + losses.deviation_loss(mean, deviation, self._target)


STATISTICS: dict[str, type[Gram] | type[Moments] | type[GramMeanStd]] = {
    "gram": Gram,
    "moments": Moments,
    "gram+mean+std": GramMeanStd,
}


def mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Split what ``moment_sum`` summed, divided by its mass: (C + 1, C) to (C,) and (C, C)."""
    mean = moments[-1]
    return mean, moments[:-1] - torch.outer(mean, mean)


def _floor(covariance: Tensor) -> Tensor:
    return _FLOOR * covariance.diag().clamp_min(0).mean()


def _deviation(covariance: Tensor, least: Tensor) -> Tensor:
    # A channel that is dark everywhere has no variance, and a root without slope.
    variance = covariance.diag().clamp_min(0)
    return (variance + least + torch.finfo(variance.dtype).tiny).sqrt()
