"""What neighbours are chosen from: features of style pictures, centred and of length 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from impasto.losses.statistics import feature_sum, rows_of
from impasto.losses.targets import LayerWeights, StylePicture, tiled_features
from impasto.models.base import FeatureNetwork

# The most positions of the style pictures that a layer chooses from. More than this many are
# sampled, so that the search stays bounded; with 8192 the pictures were not better.
MOST_CANDIDATES = 4096
_SEED = 0
# A position of a style picture is a candidate where its mask is at least this, of [0, 1].
_INSIDE = 0.5
# Shorter features have no direction.
SHORTEST = 1e-12


def candidates_of(
    network: FeatureNetwork,
    pictures: Sequence[StylePicture],
    names: Sequence[str],
    *,
    tile_px: int | None = None,
) -> dict[str, Tensor]:
    """Return the candidates by layer, (S, C) float32 or wider; a layer without any is left out.

    Several pictures are centred together, so that each keeps what sets it apart from the others.
    Each gives as many candidates as its share asks for.

    Args:
        network: whose features count.
        pictures: the style pictures. Of one with a mask, what lies inside it counts.
        names: the layers.
        tile_px: largest side of a tile; the candidates are the same in tiles.
    """
    exemplars = [_Exemplar(network, names, picture) for picture in pictures if picture.share]
    for name in names:
        usable = [one for one in exemplars if len(one.positions[name])]
        available = [len(one.positions[name]) for one in usable]
        counts = _shared_out(available, [one.share for one in usable])
        for one, count in zip(usable, counts, strict=True):
            one.sample(name, count)
    for one in exemplars:
        one.look(tile_px)
    return {
        name: _centred([one for one in exemplars if name in one.rows], name)
        for name in names
        if any(name in one.rows for one in exemplars)
    }


def lengths_of(rows: Tensor) -> Tensor:
    """Return the lengths of rows (n, C), as (n, 1); never 0."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return lengths.clamp_min_(SHORTEST)


def _centred(exemplars: Sequence[_Exemplar], name: str) -> Tensor:
    total = sum(one.share for one in exemplars)
    mean = torch.stack([one.means[name] * (one.share / total) for one in exemplars]).sum(0)
    rows = torch.cat([one.rows[name] for one in exemplars])
    rows -= mean.to(rows)
    return rows.div_(lengths_of(rows))


class _Exemplar:
    """A style picture as a source of candidates.

    Attributes:
        share: of the whole style.
        positions: indices of what lies inside its mask, by layer.
        rows: features of the sampled positions, (S, C), by layer, in the order of the positions.
        means: over all positions, by their weights, (C,), by layer.
    """

    def __init__(
        self, network: FeatureNetwork, names: Sequence[str], picture: StylePicture
    ) -> None:
        self.share = picture.share
        self._network, self._image = network, picture.image
        self._size_px = (picture.image.shape[-2], picture.image.shape[-1])
        self._weights = LayerWeights(network, names, self._size_px, picture.mask)
        self.positions = {name: self._inside(name) for name in names}
        self._sampled: dict[str, Tensor] = {}
        self.rows: dict[str, Tensor] = {}
        self.means: dict[str, Tensor] = {}

    def sample(self, name: str, count: int) -> None:
        """Choose so many positions of a layer, the same in every painting."""
        positions = self.positions[name]
        generator = torch.Generator().manual_seed(_SEED)
        chosen = torch.randperm(len(positions), generator=generator)[:count]
        self._sampled[name] = positions[chosen].sort().values

    def look(self, tile_px: int | None) -> None:
        """Compute the features of the positions chosen, and the means."""
        names = tuple(self._sampled)
        if not names:
            return
        slots = {name: self._slots(name) for name in names}
        sums: dict[str, Tensor] = {}
        for tile, maps in tiled_features(self._network, self._image, names, tile_px):
            roots = self._weights.roots(tile)
            for name, features in maps.items():
                rows = rows_of(features)
                wide = torch.promote_types(rows.dtype, torch.float32)
                more = feature_sum(features, roots[name])
                sums[name] = sums[name] + more if name in sums else more
                own = tile.core_of_image(slots[name], self._stride_px(name)).flatten()
                own = own.to(rows.device)
                here = own >= 0
                if name not in self.rows:
                    shape = (len(self._sampled[name]), rows.shape[1])
                    self.rows[name] = rows.new_empty(shape, dtype=wide)
                self.rows[name][own[here]] = rows[here].to(wide)
        self.means = {name: total / self._weights.masses[name] for name, total in sums.items()}

    def _inside(self, name: str) -> Tensor:
        cells = self._weights.cells(name)
        if cells is None:
            height, width = self._size(name)
            return torch.arange(height * width)
        cells = cells.flatten().cpu()
        least = min(_INSIDE, float(cells.max()))
        return ((cells >= least) & (cells > 0)).nonzero()[:, 0]

    def _slots(self, name: str) -> Tensor:
        """Return which row a position gives, (H, W); -1 for none."""
        height, width = self._size(name)
        slots = torch.full((height * width,), -1)
        slots[self._sampled[name]] = torch.arange(len(self._sampled[name]))
        return slots.view(height, width)

    def _size(self, name: str) -> tuple[int, int]:
        stride_px = self._stride_px(name)
        return self._size_px[0] // stride_px, self._size_px[1] // stride_px

    def _stride_px(self, name: str) -> int:
        return self._network.spec.layer(name).stride_px


def _shared_out(available: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Return how many candidates each style picture gives: in proportion to its share."""
    total = sum(shares)
    parts = [share / total for share in shares]
    most = min(
        [MOST_CANDIDATES, *(count / part for count, part in zip(available, parts, strict=True))]
    )
    return [max(1, round(most * part)) for part in parts]
