r"""What is minimised: image -> the value of each term, and the gradient.

Every term is a function of additive statistics of the image: a Gram matrix, or a
pointwise sum such as the squared distance to the content's features. So the evaluation
has three parts: add up the sums; compute each term and its gradient on those (small) sums;
propagate these gradients to the pixels. Only the first and the last part read the image, and both
work tile by tile; an image without tiling is one tile. The gradient is exactly the same.

    total = alpha * L_content + beta * L_style + total_variation * L_tv
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.compute.allocator import trim_if_needed
from impasto.compute.cuda_graph import CudaGraph
from impasto.compute.distributed import ALONE, Ranks
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.job.loss_term import LossTerm
from impasto.losses.ranges import CHECKED_EVERY, MeasuredRanges
from impasto.losses.targets import Targets, add, check_whole, core_features, split
from impasto.losses.terms import Style, View, make_terms
from impasto.losses.tiling import Tile
from impasto.models.base import FeatureNetwork
from impasto.models.int8 import Int8Pass

# Prefix of the state of the ranges of eight bits.
_RANGES = "int8."


@dataclass(frozen=True)
class Evaluation:
    """The objective at one image: each weighted term, their sum, and the gradient.

    Terms and total are scalars whose computation on the device may not have ended.
    """

    terms: dict[str, Tensor]
    total: Tensor
    gradient: Tensor

    def values(self) -> dict[str, float]:
        """Fetch the terms and ``total`` as numbers."""
        names = [*self.terms, "total"]
        numbers = torch.stack([*self.terms.values(), self.total]).tolist()
        return dict(zip(names, numbers, strict=True))


class Objective:
    """The weighted sum of terms for one image size.

    Args:
        network: whose features are compared.
        targets: from ``content_targets`` and ``style_targets``; a term without a target or
            with weight 0 is left out.
        settings: alpha, beta, layer weights, total variation (None counts as 0), normalisation.
        tile_px: largest side of a tile, in pixels; None for no tiling.
        tiles_kept: how many tiles stay in memory between the two passes, at least one.
        ranks: the processes that share the tiles; there are at least as many tiles.
        memory_bytes: the memory budget of the process; None if it is not known.
        own: losses of the user's own, by name.
        int8: whether the image goes through the network in eight bits; targets do not.

    Raises:
        SettingsError: no term is left to minimise, or a term that is not additive would be
            computed in tiles or on several processes.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        targets: Targets,
        settings: Settings,
        *,
        tile_px: int | None = None,
        tiles_kept: int = 1,
        ranks: Ranks = ALONE,
        memory_bytes: int | None = None,
        own: Mapping[str, LossTerm] | None = None,
        int8: bool = False,
    ) -> None:
        self.network = network
        self.targets = targets
        self.settings = settings
        self.tile_px = tile_px
        self.tiles_kept = tiles_kept
        self.ranks = ranks
        self.memory_bytes = memory_bytes
        self._parts = make_terms(network, targets, settings, own)
        self.layers = tuple(dict.fromkeys(name for part in self._parts for name in part.layers))
        if not self.layers:
            raise SettingsError(
                "nothing to minimise: expected alpha or beta above 0 with at least one layer"
            )
        check_whole(network.spec.has_halos, f"network {network.name!r}", tile_px, ranks)
        for part in self._parts:
            is_style = isinstance(part, Style)
            label = f"statistic {settings.statistic!r}" if is_style else type(part).__name__
            check_whole(part.additive, label, tile_px, ranks)
        convolutions = [
            layer.name for layer in network.spec.upto(self.layers) if layer.kind == "conv"
        ]
        self._ranges = MeasuredRanges(convolutions) if int8 else None
        self._names: tuple[str, ...] = ()
        self._recording = CudaGraph()

    def evaluate(self, image: Tensor) -> Evaluation:
        """Return the terms and the gradient at ``image``, (1, 3, H, W) in [0, 1] or near it."""
        if not self._can_be_recorded(image):
            return self._evaluate(image)
        values, gradient = self._recording.play(self._evaluate_flat, image)
        *terms, total = values.unbind()
        return Evaluation(dict(zip(self._names, terms, strict=True)), total, gradient)

    def _can_be_recorded(self, image: Tensor) -> bool:
        on_device = all(part.stays_on_device for part in self._parts)
        return image.is_cuda and self.tile_px is None and self.ranks.count == 1 and on_device

    @property
    def renewed_every(self) -> int | None:
        """How many steps there are from one renewal to the next; None where none has a state."""
        periods = [part.renewed_every for part in self._parts if part.renewed_every]
        if self._ranges is not None:
            periods.append(CHECKED_EVERY)
        return min(periods, default=None)

    def refresh(self, image: Tensor, step: int) -> bool:
        """Let every term renew its state, after so many steps at this size.

        It comes before the first evaluation.

        Returns:
            Whether any state changed. If so, losses before and after cannot be compared.
        """
        views = _TileViews(self, image)
        changed = [part.refresh(image, step, views) for part in self._parts]
        if self._ranges is not None:
            # After the terms: their state decides the gradient.
            changed.append(self._ranges.refresh(lambda: self._evaluate(image), step, self.ranks))
        if any(changed):
            # The recorded graph reads the old state.
            self._recording = CudaGraph()
        return any(changed)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the states of the terms, whose names begin with their index, and the ranges."""
        state = {
            f"{index}.{name}": value
            for index, part in enumerate(self._parts)
            for name, value in part.state_dict().items()
        }
        if self._ranges is not None:
            own = self._ranges.state_dict()
            state |= {f"{_RANGES}{name}": value for name, value in own.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor], size_px: tuple[int, int]) -> None:
        """Restore a state that :meth:`state_dict` returned, for an image of this height and width.

        Raises:
            ValueError: the state does not belong to these terms.
        """
        unknown = set(state)
        for index, part in enumerate(self._parts):
            prefix = f"{index}."
            own = {name for name in state if name.startswith(prefix)}
            part.load_state_dict({name.removeprefix(prefix): state[name] for name in own}, size_px)
            unknown -= own
        if self._ranges is not None:
            own = {name for name in state if name.startswith(_RANGES)}
            self._ranges.load_state_dict({name.removeprefix(_RANGES): state[name] for name in own})
            unknown -= own
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: unknown to the objective's terms")

    def _evaluate_flat(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values of the terms and the total in one tensor, and the gradient."""
        evaluation = self._evaluate(image)
        self._names = tuple(evaluation.terms)
        values = torch.stack([*evaluation.terms.values(), evaluation.total])
        return values, evaluation.gradient

    def _evaluate(self, image: Tensor) -> Evaluation:
        tiles = self.ranks.share(split(self.network, self.layers, image, self.tile_px))
        twice, once = tiles[: -self.tiles_kept], tiles[-self.tiles_kept :]
        sums: dict[str, Tensor] = {}
        for tile in twice:
            with torch.no_grad():
                add(sums, self._sums(image, tile.window(image), tile))
            trim_if_needed(image.device, self.memory_bytes)
        # The last tiles are still in memory when these gradients are known, and are not computed
        # twice. An image without tiling is its own last tile.
        passes = [self._forward(image, tile) for tile in once]
        # By index: a variable for the last of them would keep its graph in memory.
        for index in range(len(passes)):
            add(sums, passes[index].sums)
        self.ranks.add(sums)
        terms, total, slopes = self._slopes(sums, image)
        gradient = torch.zeros_like(image)
        while passes:
            once.pop().add_window(gradient, passes.pop().gradient(slopes))
            if twice:
                trim_if_needed(image.device, self.memory_bytes)
        for tile in twice:
            tile.add_window(gradient, self._forward(image, tile).gradient(slopes))
            trim_if_needed(image.device, self.memory_bytes)
        self.ranks.add_in_place(gradient)
        if self._ranges is not None:
            self._ranges.advance(self.ranks)
        # A fused rectifier turns NaN into 0; this brings NaN and infinity of the image back.
        return Evaluation(terms, total + 0 * image.sum(), gradient)

    def _forward(self, image: Tensor, tile: Tile) -> _TilePass:
        pixels = tile.window(image).detach().requires_grad_()
        with torch.enable_grad():
            return _TilePass(pixels, self._sums(image, pixels, tile))

    def _sums(self, image: Tensor, pixels: Tensor, tile: Tile) -> dict[str, Tensor]:
        """Return the terms' sums over a tile's core, from the pixels of its window."""
        int8 = None if self._ranges is None else self._ranges.current
        if int8 is None:
            return self._sums_by(None, image, pixels, tile)
        with int8.packing():
            return self._sums_by(int8, image, pixels, tile)

    def _sums_by(
        self, int8: Int8Pass | None, image: Tensor, pixels: Tensor, tile: Tile
    ) -> dict[str, Tensor]:
        features = core_features(self.network, pixels, self.layers, tile, int8=int8)
        view = View(_size_px(image), tile, pixels, features)
        return {name: value for part in self._parts for name, value in part.sums(view).items()}

    def _slopes(
        self, sums: dict[str, Tensor], image: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """Return the weighted terms, their total, and its gradient on each sum."""
        size_px = _size_px(image)
        with torch.enable_grad():
            small = {name: value.detach().requires_grad_() for name, value in sums.items()}
            terms = {
                name: value
                for part in self._parts
                for name, value in part.values(small, size_px).items()
            }
            total = torch.stack(list(terms.values())).sum()
            slopes = torch.autograd.grad(total, list(small.values()))
        detached = {name: term.detach() for name, term in terms.items()}
        return detached, total.detach(), dict(zip(small, slopes, strict=True))


def _size_px(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


class _TileViews:
    """This process's tiles of an image, as the terms see them when they renew their state."""

    def __init__(self, objective: Objective, image: Tensor) -> None:
        self._objective, self._image = objective, image
        self._whole: View | None = None

    def __iter__(self) -> Iterator[View]:
        objective, image = self._objective, self._image
        if self._whole is not None:
            yield self._whole
            return
        tiles = split(objective.network, objective.layers, image, objective.tile_px)
        for tile in objective.ranks.share(tiles):
            with torch.no_grad():
                pixels = tile.window(image)
                features = core_features(objective.network, pixels, objective.layers, tile)
            view = View(_size_px(image), tile, pixels, features)
            if len(tiles) == 1:
                self._whole = view
            yield view
            del view, features
            if len(tiles) > 1:
                trim_if_needed(image.device, objective.memory_bytes)

    def add(self, sums: dict[str, Tensor]) -> None:
        self._objective.ranks.add(sums)


@dataclass(frozen=True)
class _TilePass:
    """A window's pixels and its sums, with the graph between them."""

    pixels: Tensor
    sums: dict[str, Tensor]

    def gradient(self, slopes: dict[str, Tensor]) -> Tensor:
        """Propagate the gradients on the sums back to the pixels."""
        # As the gradient of one scalar: with several output gradients, autograd imports a package
        # of symbolic shapes, which takes 0.6 s.
        with torch.enable_grad():
            products = [(value * slopes[name]).sum() for name, value in self.sums.items()]
            (gradient,) = torch.autograd.grad(torch.stack(products).sum(), self.pixels)
        return gradient
