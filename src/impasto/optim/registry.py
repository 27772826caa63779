"""Build the optimiser that the settings name."""

from __future__ import annotations

import torch

from impasto.config.registry import OPTIMISERS
from impasto.config.settings import Settings
from impasto.optim.base import Optimiser


def optimiser_class(name: str) -> type[Optimiser]:
    """Return the class of the optimiser called ``name``.

    Raises:
        ValueError: there is no such optimiser.
        MissingPackageError: the package that declares it does not contain it.
    """
    optimiser: type[Optimiser] = OPTIMISERS.load(name)
    return optimiser


def make_optimiser(
    settings: Settings, history_dtype: torch.dtype | None = None, longest_px: int | None = None
) -> Optimiser:
    """Build the optimiser that ``settings`` name; see :meth:`Optimiser.from_settings`."""
    make = optimiser_class(settings.optimiser).from_settings
    return make(settings, history_dtype=history_dtype, longest_px=longest_px)
