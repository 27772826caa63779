"""Cross-layer Gram matrices: each layer correlated with the one before it."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Sums = dict[str, Tensor]


class CrossLayer:
    """Compares the correlations between the channels of neighbouring style layers.

    Source: Yeh, Tang, Bhattad, Zou and Forsyth, "Improving style transfer with calibrated
    metrics", WACV 2020, which compares Gram matrices across layers with those within them.

    Differs: the shallower map is averaged over the cells of the deeper one, instead of the
    deeper one being enlarged. The sums over tiles then add up exactly. The shallowest layer is
    compared with itself, as in Gatys et al.
    """

    additive = True
    stays_on_device = True

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)

    def sum(self, features: Mapping[str, Tensor], roots: Mapping[str, Tensor | None]) -> Sums:
        """Sum over positions: (C of the layer, C of the layer before), by layer."""
        sums, before = {}, None
        for name in (name for name in self.layers if name in features):
            maps = _weighted(features[name], roots[name])
            other = maps
            if before is not None:
                finer = features[before]
                other = functional.avg_pool2d(finer, finer.shape[-1] // maps.shape[-1])
                other = _weighted(other, roots[name])
            wide = torch.promote_types(maps.dtype, torch.float32)
            one, two = (part[0].flatten(1).to(wide) for part in (maps, other))
            sums[name], before = one @ two.t(), name
        return sums

    def distance(self, target: Mapping[str, Tensor]) -> Callable[[Mapping[str, Tensor]], Sums]:
        """Return a function that compares sums per position: squared, per pair of channels."""

        def compare(sums: Mapping[str, Tensor]) -> Sums:
            return {
                name: (value - target[name]).square().sum() / (4 * value.numel())
                for name, value in sums.items()
            }

        return compare


def _weighted(maps: Tensor, roots: Tensor | None) -> Tensor:
    return maps if roots is None else maps * roots.to(maps.dtype)
