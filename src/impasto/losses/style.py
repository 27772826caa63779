"""Statistics: the representations of style, and how two of them are compared.

A statistic takes sums over positions, which tiles, regions and several paintings can share, and
compares two such sums, each divided by its own mass: the number of positions, or the weight of
a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from impasto import losses
from impasto.config.registry import STATISTICS
from impasto.config.settings import Settings
from impasto.errors import SettingsError, short_repr
from impasto.losses.statistics import gram_sum, moment_sum

if TYPE_CHECKING:
    from impasto.config.values import StatisticName
    from impasto.losses.terms import MatchingTerm

# This share of a painting's mean variance is added to every direction of both covariances.
# Where a painting varies less than that, its gradient would be amplified rounding noise.
_FLOOR = 1e-3

Sums = dict[str, Tensor]
# Compares sums per position with the target's: a scalar by layer, never negative, 0 at the target.
Distance = Callable[[Mapping[str, Tensor]], Sums]
LayerDistance = Callable[[Tensor], Tensor]


class Statistic(Protocol):
    """A representation of style.

    A class of this kind can be registered as an entry point; see :mod:`impasto.config.registry`.
    It is built with the names of the style layers.

    Attributes:
        layers: the style layers that it reads.
        additive: whether the sums of two tiles add up to the sum of both. If not, a picture must
            be computed without tiling, by one process.
        stays_on_device: whether the comparison needs no other device and no synchronisation.
    """

    layers: tuple[str, ...]
    additive: bool
    stays_on_device: bool

    def __init__(self, layers: Sequence[str]) -> None:
        """Look at these layers."""

    def sum(self, features: Mapping[str, Tensor], roots: Mapping[str, Tensor | None]) -> Sums:
        """Sum over the positions of some feature maps.

        Args:
            features: (1, C, H, W) by layer: those of :attr:`layers` that have any position.
            roots: of each position's weight, (1, 1, H, W), by layer; None where all are 1.

        Returns:
            A tensor of one fixed shape for each of these layers, or for some of them.
        """

    def distance(self, target: Mapping[str, Tensor]) -> Distance:
        """Return a function that compares a painting with its style.

        Args:
            target: the style's sums, divided by the mass of their layer.
        """


class LayerStatistic(ABC):
    """A statistic of each layer by itself."""

    additive: bool = True
    stays_on_device: bool = False

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)

    def sum(self, features: Mapping[str, Tensor], roots: Mapping[str, Tensor | None]) -> Sums:
        """Sum over the positions of each layer."""
        return {name: self.layer_sum(maps, roots[name]) for name, maps in features.items()}

    def distance(self, target: Mapping[str, Tensor]) -> Distance:
        """Return a function that compares layer by layer."""
        distances = {name: self.layer_distance(value) for name, value in target.items()}
        return lambda sums: {name: distances[name](value) for name, value in sums.items()}

    @staticmethod
    @abstractmethod
    def layer_sum(features: Tensor, roots: Tensor | None) -> Tensor:
        """Sum over the positions of one layer, (1, C, H, W)."""

    @staticmethod
    @abstractmethod
    def layer_distance(target: Tensor) -> LayerDistance:
        """Return a function that compares one layer's sum per position with ``target``."""


class Gram(LayerStatistic):
    """The distance of the paper: squared, between Gram matrices."""

    stays_on_device = True
    layer_sum = staticmethod(gram_sum)

    @staticmethod
    def layer_distance(target: Tensor) -> LayerDistance:
        """Return the style loss of Gatys et al. per position."""
        return lambda gram: losses.style_loss(gram, target, len(gram), 1)


class MeanCovariance(LayerStatistic):
    """The distance between two Gaussians, with means and covariances of the features.

    Differs: from crowsonkb's style-transfer-pytorch, by a floor under the variance that is
    relative to the painting's, and by eigenvalues instead of Newton and Schulz's iteration.
    """

    layer_sum = staticmethod(moment_sum)

    @staticmethod
    def layer_distance(target: Tensor) -> LayerDistance:
        """Return the squared distance, as a mean over channels."""
        target_mean, target_covariance = mean_and_covariance(target)
        lift = torch.eye(len(target_mean)).to(target) * _floor(target_covariance)
        values, vectors = losses.eigen(target_covariance + lift)
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.t()

        def compare(moments: Tensor) -> Tensor:
            mean, covariance = mean_and_covariance(moments)
            loss = losses.wasserstein_loss(mean, covariance + lift, target_mean, root)
            return loss / len(mean)

        return compare


class GramMeanStd(LayerStatistic):
    """The paper's distance, plus that of each channel's mean and standard deviation."""

    stays_on_device = True
    layer_sum = staticmethod(moment_sum)

    @staticmethod
    def layer_distance(target: Tensor) -> LayerDistance:
        """Return the sum of both."""
        compare_grams = Gram.layer_distance(target[:-1])
        target_mean, target_covariance = mean_and_covariance(target)
        least = _floor(target_covariance)
        target_deviation = _deviation(target_covariance, least)

        def compare(moments: Tensor) -> Tensor:
            mean, covariance = mean_and_covariance(moments)
            deviation = _deviation(covariance, least)
            return compare_grams(moments[:-1]) + losses.deviation_loss(
                mean, deviation, (target_mean, target_deviation)
            )

        return compare


def make_statistic(settings: Settings) -> Statistic:
    """Build the statistic that ``settings`` name, for their style layers.

    Raises:
        MissingPackageError: the package that declares it does not contain it.
    """
    make: type[Statistic] = STATISTICS.load(settings.statistic)
    return make(tuple(settings.layers_of_style))


def register_statistic(name: str, statistic: type[Statistic] | type[MatchingTerm]) -> StatisticName:
    """Let the option ``statistic`` name a class of this program.

    Another class under the same name replaces it. In other processes, such as those of a batch,
    it is unknown: a package declares it for all as an entry point ``impasto.statistics``.

    Args:
        name: a new name.
        statistic: a class with the methods of Statistic, such as a subclass of LayerStatistic.

    Returns:
        The name, as the option takes it.

    Raises:
        SettingsError: no class with these methods, or a name that impasto has itself.
    """
    is_term = hasattr(statistic, "refresh")
    needed = ("sums", "values", "style_targets") if is_term else ("sum", "distance")
    missing = [method for method in needed if not callable(getattr(statistic, method, None))]
    if not isinstance(statistic, type) or missing:
        raise SettingsError(
            f"statistic: expected a class with the methods {', '.join(needed)}, got "
            f"{short_repr(statistic)}; derive it from impasto.losses.LayerStatistic"
        )
    return cast("StatisticName", STATISTICS.register(name, statistic))


def matching_term(settings: Settings) -> type[MatchingTerm] | None:
    """Return the term that the statistic's name stands for; None where it is a statistic.

    Raises:
        MissingPackageError: the package that declares it does not bring it.
    """
    part: Any = STATISTICS.load(settings.statistic)
    return part if hasattr(part, "refresh") else None


def is_additive(settings: Settings) -> bool:
    """Tell whether what ``settings`` compare as style adds up over the tiles of a picture."""
    own = matching_term(settings)
    return (make_statistic(settings) if own is None else own).additive


def mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Split a result of ``moment_sum``, divided by its mass: (C + 1, C) to (C,) and (C, C)."""
    mean = moments[-1]
    return mean, moments[:-1] - torch.outer(mean, mean)


def _floor(covariance: Tensor) -> Tensor:
    return _FLOOR * covariance.diag().clamp_min(0).mean()


def _deviation(covariance: Tensor, least: Tensor) -> Tensor:
    # A channel that is 0 everywhere has no variance, and the root has no gradient there.
    variance = covariance.diag().clamp_min(0)
    return (variance + least + torch.finfo(variance.dtype).tiny).sqrt()
