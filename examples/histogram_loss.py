"""A statistic of one's own, registered by a script: Gram matrices with histograms of channels.

python examples/histogram_loss.py photograph.jpg painting.jpg out.png
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import impasto
from impasto.losses import LayerStatistic

QUANTILES = 64
# How much the histograms count beside the Gram matrices.
SHARE = 1.0


class Histograms(LayerStatistic):
    """Compares Gram matrices and, for each channel, the histogram of its values.

    Source: Risser, Wilmot and Barnes, "Stable and controllable neural texture synthesis and style
    transfer using histogram losses", 2017.

    Differs: the distance between two histograms is that between their quantiles, the squared
    Wasserstein-2 distance in one dimension. It has a gradient of its own, so the features need not
    be matched to the histogram anew at every step.
    """

    additive = False  # quantiles of tiles do not add up
    stays_on_device = True

    @staticmethod
    def layer_sum(features: Tensor, roots: Tensor | None) -> Tensor:
        """Return the Gram matrix and the quantiles times the mass: (C, C + QUANTILES)."""
        maps = features[0].flatten(1).float()
        weights = torch.ones_like(maps[0])
        if roots is not None:
            weights = roots.flatten().square().to(maps)
        gram = (maps * weights) @ maps.t()
        ordered, order = maps.sort(dim=1)
        reached = weights[order].cumsum(1) / weights.sum()
        wanted = (torch.arange(QUANTILES).to(maps) + 0.5) / QUANTILES
        index = torch.searchsorted(reached.detach(), wanted.expand(len(maps), -1).contiguous())
        quantiles = ordered.gather(1, index.clamp_max(maps.shape[1] - 1))
        return torch.cat([gram, quantiles * weights.sum()], dim=1)

    @staticmethod
    def layer_distance(target: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the sum of both distances, per pair of channels and per quantile."""
        channels = len(target)

        def compare(sums: Tensor) -> Tensor:
            difference = sums - target
            gram, quantiles = difference[:, :channels], difference[:, channels:]
            own = gram.square().sum() / (4 * channels**2)
            return own + SHARE * quantiles.square().mean()

        return compare


HISTOGRAMS = impasto.register_statistic("histograms", Histograms)


def main(content: Any, style: Any, output: str, **options: Any) -> impasto.Result:
    """Paint with the statistic, and save the picture."""
    result = impasto.style_transfer(content, style, statistic=HISTOGRAMS, **options)
    result.save(output)
    return result


if __name__ == "__main__":
    main(*sys.argv[1:4], progress=True)
