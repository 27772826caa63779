r"""Style as nearest neighbours: each position is drawn towards its match in the painting.

Kolkin, Kucera, Paris, Sykora, Shechtman and Shakhnarovich, "Neural Neighbor Style Transfer",
2022 (arXiv 2203.13215), section 3. Features are centred: from those of the image and of the style
picture the mean over their own positions is subtracted. The match of a position is the most
similar position of the style picture. Both the similarity and the loss are the cosine.

    L = 1/M sum_k (1 - cos(F_k - mean(F), c_m(k)))

with M positions k, and the centred features c of the style picture. Matches m and mean(F) are
renewed every few steps, in a pass over all tiles. In between the loss is a sum over positions.

Differs: layers are matched one by one, not as one long vector; the photograph is held by the
content term, not by mixing its features into the targets; the pyramid has more sizes; and the
colours come from the palette.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.losses.candidates import SHORTEST, candidates_of, lengths_of
from impasto.losses.statistics import feature_sum, rows_of
from impasto.losses.targets import LayerWeights, StylePicture, Targets
from impasto.losses.terms import StyleTerm, View, Views
from impasto.models.base import FeatureNetwork

# Steps from one renewal of the matches to the next.
EVERY = 8
# At the same beta, gradients are about as large as those of Gram matrices.
_FACTOR = 4.0
# So many similarities, or features, are in memory at a time.
_CHUNK_VALUES = 2**21


class Neighbours(StyleTerm):
    """Pulls each position towards its match: beta times the mean distance of each layer.

    Each region is matched within its own painting. Where several paintings count, a position
    chooses among the positions of all; each gives as many as its share asks for.
    """

    renewed_every = EVERY

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        super().__init__(network, targets, settings)
        self._matches: dict[str, Tensor] | None = None
        self._means: dict[str, Tensor] = {}

    @classmethod
    def memory_per_pixel(cls, settings: Settings) -> float:
        """Count the matches of one region; the candidates are bounded."""
        spec = network_spec(settings.network)
        layers = [spec.layer(name) for name, weight in settings.layers_of_style.items() if weight]
        return sum(torch.int32.itemsize / layer.stride_px**2 for layer in layers)

    @classmethod
    def style_targets(
        cls,
        network: FeatureNetwork,
        pictures: Sequence[StylePicture],
        settings: Settings,
        *,
        tile_px: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the candidates of each layer."""
        # Of layers without a weight, too: it may change while the painting is under way.
        return candidates_of(network, pictures, tuple(settings.layers_of_style), tile_px=tile_px)

    def sums(self, view: View) -> dict[str, Tensor]:
        """Add up the distances of a tile's positions to their matches."""
        sums = {}
        for name, ending, weights in self._compared(view.size_px):
            key = f"{name}{ending}"
            if self._matches is None:
                raise RuntimeError("expected matches: refresh the objective before it is evaluated")
            sums[f"style:{key}"] = cosine_distance(
                view.features[name],
                self._means[key],
                self.parts[ending].style[name],
                self._core(view, name, self._matches[key]),
                _squared(weights.roots(view.tile)[name]),
            )
        return sums

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weigh the mean distances."""
        values = {}
        for name, ending, weights in self._compared(size_px):
            weight = _FACTOR * self.weight(name, ending, size_px) / weights.masses[name]
            values[f"style:{name}{ending}"] = sums[f"style:{name}{ending}"] * weight
        return values

    def refresh(self, image: Tensor, step: int, views: Views) -> bool:
        """Renew the matches and the means, every few steps and where there are none."""
        if not self.layers or (self._matches is not None and step % EVERY):
            return False
        size_px = (image.shape[-2], image.shape[-1])
        means = self._mean_features(size_px, views)
        matches: dict[str, Tensor] = {}
        for view in views:
            for name, ending, weights in self._compared(size_px):
                key = f"{name}{ending}"
                if key not in matches:
                    shape = self._shape(name, size_px)
                    matches[key] = torch.zeros(shape, dtype=torch.int32, device=image.device)
                found = nearest(
                    view.features[name],
                    means[key],
                    self.parts[ending].style[name],
                    _squared(weights.roots(view.tile)[name]),
                )
                core = self._core(view, name, matches[key])
                core.copy_(found.view_as(core))
        # Those of other processes are 0 here.
        views.add(matches)
        self._matches, self._means = matches, means
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """Return the matches, (H, W) of each layer, and the means, (C,)."""
        matches = self._matches or {}
        return {f"matches:{key}": value for key, value in matches.items()} | {
            f"mean:{key}": value for key, value in self._means.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor], size_px: tuple[int, int]) -> None:
        """Go on with these matches.

        Raises:
            ValueError: they are not of these layers, these candidates or this size.
        """
        if not state:
            return
        matches, means = {}, {}
        expected: set[str] = set()
        for name, ending, _ in self._compared(size_px):
            key = f"{name}{ending}"
            expected |= {f"matches:{key}", f"mean:{key}"}
            if not expected <= state.keys():
                raise ValueError(f"{key}: expected matches and a mean")
            candidates = self.parts[ending].style[name]
            matches[key], means[key] = state[f"matches:{key}"], state[f"mean:{key}"]
            _check_matches(matches[key], self._shape(name, size_px), len(candidates))
            if means[key].shape != candidates.shape[1:] or means[key].dtype != candidates.dtype:
                raise ValueError(f"mean:{key}: expected {candidates.shape[1]} numbers")
        if unknown := state.keys() - expected:
            raise ValueError(f"{', '.join(sorted(unknown))}: unknown to {type(self).__name__}")
        self._matches, self._means = matches, means

    def _mean_features(self, size_px: tuple[int, int], views: Views) -> dict[str, Tensor]:
        """Return the mean over the image, or over a region of it, by layer and part."""
        sums: dict[str, Tensor] = {}
        for view in views:
            for name, ending, weights in self._compared(size_px):
                key, roots = f"{name}{ending}", weights.roots(view.tile)
                more = feature_sum(view.features[name], roots[name])
                sums[key] = sums[key] + more if key in sums else more
        views.add(sums)
        return {
            f"{name}{ending}": (sums[f"{name}{ending}"] / weights.masses[name]).to(
                self.parts[ending].style[name].dtype
            )
            for name, ending, weights in self._compared(size_px)
        }

    def _compared(self, size_px: tuple[int, int]) -> Iterator[tuple[str, str, LayerWeights]]:
        """Yield each layer of each part that is compared, with the weights of its positions."""
        for ending, weights in self.of_size(size_px).items():
            for name in self.layers_of(ending):
                yield name, ending, weights

    def _core(self, view: View, name: str, matches: Tensor) -> Tensor:
        """View a tile's part of the matches of the whole image."""
        return view.tile.core_of_image(matches, self._stride_px(name))

    def _shape(self, name: str, size_px: tuple[int, int]) -> tuple[int, int]:
        stride_px = self._stride_px(name)
        return size_px[0] // stride_px, size_px[1] // stride_px

    def _stride_px(self, name: str) -> int:
        return self._network.spec.layer(name).stride_px


def nearest(features: Tensor, mean: Tensor, candidates: Tensor, weights: Tensor | None) -> Tensor:
    """Return which candidate is the most similar to each position, by the cosine.

    Args:
        features: (1, C, H, W).
        mean: what is subtracted from them, (C,).
        candidates: of length 1, (S, C).
        weights: of the positions, (H W,); where they are 0, nothing is searched for. None for 1.

    Returns:
        (H W,) int32; 0 where nothing was searched for.
    """
    rows = rows_of(features)
    found = torch.zeros(len(rows), dtype=torch.int32, device=rows.device)
    places = torch.arange(len(rows), device=rows.device) if weights is None else weights.nonzero()
    columns = candidates.t().contiguous()
    # The length of a position's own features does not change which one is the most similar.
    each = max(1, _CHUNK_VALUES // len(candidates))
    for some in torch.split(places.flatten(), each):
        centred = rows[some].to(mean.dtype) - mean
        found[some] = (centred @ columns).argmax(1).to(torch.int32)
    return found


def cosine_distance(
    features: Tensor,
    mean: Tensor,
    candidates: Tensor,
    matches: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Sum $w_k (1 - \cos(F_k - \mu, c_{m(k)}))$ over positions.

    Args:
        features: F, (1, C, H, W), of any float type.
        mean: (C,), float32 or wider.
        candidates: c, of length 1, (S, C), of the mean's type.
        matches: m, (H, W), int32, below S.
        weights: w, (H W,); None for all 1.

    Returns:
        A scalar of the mean's type, differentiable once with respect to the features.
    """
    distance: Tensor = _CosineDistance.apply(  # type: ignore[no-untyped-call]
        features, mean, candidates, matches.flatten(), weights
    )
    return distance


class _CosineDistance(torch.autograd.Function):
    """The distance in chunks of positions, forward and back: nothing of their size is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        mean: Tensor,
        candidates: Tensor,
        matches: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(features, mean, candidates, matches, weights)
        total = torch.zeros((), dtype=mean.dtype, device=mean.device)
        for span, directions, _, wanted in _compared_rows(features, mean, candidates, matches):
            distances = 1 - (directions * wanted).sum(1)
            total += distances.sum() if weights is None else distances @ weights[span].to(mean)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        features, mean, candidates, matches, weights = ctx.saved_tensors
        batch, channels, height, width = features.shape
        back = features.new_empty(batch * height * width, channels)
        for span, directions, lengths, wanted in _compared_rows(
            features, mean, candidates, matches
        ):
            cosines = (directions * wanted).sum(1, keepdim=True)
            # A position that is like the mean has no direction that it could turn.
            factor = torch.where(lengths > SHORTEST, slope / lengths, 0.0)
            if weights is not None:
                factor = factor * weights[span, None].to(mean)
            back[span] = (directions.mul_(cosines).sub_(wanted)).mul_(factor)
        return back.view(batch, height, width, channels).permute(0, 3, 1, 2), *(None,) * 4


def _compared_rows(
    features: Tensor, mean: Tensor, candidates: Tensor, matches: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Yield some positions at a time: which, their directions, lengths (n, 1), and matches."""
    rows = rows_of(features)
    each = max(1, _CHUNK_VALUES // rows.shape[1])
    for begin in range(0, len(rows), each):
        span = slice(begin, begin + each)
        centred = rows[span].to(mean.dtype) - mean
        lengths = lengths_of(centred)
        yield span, centred.div_(lengths), lengths, candidates[matches[span]]


def _check_matches(matches: Tensor, shape: tuple[int, int], candidates: int) -> None:
    if matches.dtype != torch.int32 or matches.shape != shape:
        raise ValueError(f"expected matches {shape} of int32, got {tuple(matches.shape)}")
    low, high = matches.aminmax()
    if low < 0 or high >= candidates:
        raise ValueError(f"expected matches below {candidates}, got {int(low)} to {int(high)}")


def _squared(roots: Tensor | None) -> Tensor | None:
    """Turn roots of weights, (1, 1, H, W), into weights (H W,)."""
    return None if roots is None else roots.flatten().square()
