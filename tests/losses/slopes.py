"""The gradient of an objective beside its slope, by finite differences in float64."""

import pytest
import torch


def check_slope(objective, image, evaluation):
    """Compare the gradient of an evaluation at ``image`` with the slope in three directions."""
    step = 1e-6
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(image.shape, dtype=torch.float64, generator=generator)
        ahead = objective.evaluate(image + step * direction).total
        behind = objective.evaluate(image - step * direction).total
        slope = (evaluation.gradient * direction).sum()
        assert slope.item() == pytest.approx(((ahead - behind) / (2 * step)).item(), rel=1e-6)
