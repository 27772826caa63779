"""Build the optimiser that the settings name."""

from __future__ import annotations

import torch

from impasto.config.settings import Settings
from impasto.optim.adam import Adam
from impasto.optim.base import Optimiser
from impasto.optim.lbfgs import Lbfgs


def make_optimiser(
    settings: Settings, history_dtype: torch.dtype | None = None, longest_px: int | None = None
) -> Optimiser:
    """Build the optimiser that ``settings`` name; the rest is for L-BFGS, as it says there."""
    if settings.optimiser == "adam":
        return Adam(settings.learning_rate)
    return Lbfgs(settings.history, history_dtype, longest_px)
