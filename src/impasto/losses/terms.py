"""The terms of the objective, each a function of sums that add up over the tiles of an image.

A term names the layers that it reads, computes sums over a tile's core, and computes its weighted
values from the sums over the whole image. Such a term works at every size and in tiles, and the
objective needs nothing else from it. Values that are not functions of sums, such as matches that
are renewed every few steps, are the term's own state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto import losses
from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.errors import ShapeError
from impasto.job.loss_term import LossTerm
from impasto.losses.style import is_additive, make_statistic, matching_term
from impasto.losses.targets import (
    LayerWeights,
    RegionTarget,
    StylePicture,
    Targets,
    core_features,
)
from impasto.losses.tiling import Tile
from impasto.models.base import FeatureNetwork


@dataclass(frozen=True)
class View:
    """A tile as the terms see it.

    Attributes:
        size_px: height and width of the image.
        tile: which part of it.
        pixels: of its window, (1, 3, h, w).
        features: of its core, by layer.
    """

    size_px: tuple[int, int]
    tile: Tile
    pixels: Tensor
    features: dict[str, Tensor]


class Views(Protocol):
    """The tiles of this process, without gradients, and the way to the other processes."""

    def __iter__(self) -> Iterator[View]:
        """Show one tile after another; each costs a pass through the network every time."""

    def add(self, sums: dict[str, Tensor]) -> None:
        """Add to each of ``sums`` those of all other processes, in place; they are of one type."""


class Term(Protocol):
    """A term of the objective.

    It is built with the network, the targets and the settings.

    Attributes:
        layers: whose features it needs.
        additive: whether its sums over tiles add up to the sum over the image. If not, a picture
            must be computed without tiling, by one process.
        stays_on_device: whether its values need no other device and no synchronisation.
        renewed_every: the number of steps from one renewal of its state to the next; None for a
            term without a state.
    """

    layers: tuple[str, ...]
    additive: bool
    stays_on_device: bool
    renewed_every: int | None

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        """Prepare for images that are compared with ``targets``."""

    @classmethod
    def memory_per_pixel(cls, settings: Settings) -> float:
        """Return the bytes of its state for each pixel of the image."""

    def sums(self, view: View) -> dict[str, Tensor]:
        """Return its sums over a tile's core, under names of its own."""

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Return the weighted values by name, from the sums over an image of this size."""

    def refresh(self, image: Tensor, step: int, views: Views) -> bool:
        """Renew its state, if it is due before this step.

        Args:
            image: (1, 3, H, W), the current image.
            step: the number of steps so far at this size.
            views: the tiles of this process. An image without tiling goes through the network
                once, however often it is asked for.

        Returns:
            Whether the objective changed: losses before and after cannot be compared, and the
            optimiser has to retarget.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return its state, by names of its own; it goes into the checkpoint."""

    def load_state_dict(self, state: Mapping[str, Tensor], size_px: tuple[int, int]) -> None:
        """Restore a state that :meth:`state_dict` returned, for an image of this height and width.

        Raises:
            ValueError: the state is not one of this term.
        """


class MatchingTerm(Term, Protocol):
    """A term that the option ``statistic`` names: it takes the place of :class:`Style`.

    It compares with more of a painting than sums over positions.
    """

    @classmethod
    def style_targets(
        cls,
        network: FeatureNetwork,
        pictures: Sequence[StylePicture],
        settings: Settings,
        *,
        tile_px: int | None = None,
    ) -> dict[str, Tensor]:
        """Return what the painting is compared with, by layer; a layer without any is left out.

        Args:
            network: whose features count.
            pictures: the style pictures, each with its share.
            settings: the layers.
            tile_px: largest side of a tile.
        """


class Stateless:
    """A term without a state: a function of sums only, as most terms are."""

    additive: bool = True
    stays_on_device: bool = True
    renewed_every: int | None = None

    @classmethod
    def memory_per_pixel(cls, settings: Settings) -> float:
        """Return 0: it has no state."""
        return 0.0

    def refresh(self, image: Tensor, step: int, views: Views) -> bool:
        """Return False: it has no state."""
        return False

    def state_dict(self) -> dict[str, Tensor]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor], size_px: tuple[int, int]) -> None:
        """Accept only an empty state.

        Raises:
            ValueError: the state is not empty.
        """
        if state:
            raise ValueError(f"{', '.join(state)}: unknown to {type(self).__name__}")


class Content(Stateless):
    """Pulls towards the photograph: alpha times the content loss of each layer, by its share."""

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        known = targets.content if targets.content_image is None else settings.content_layers
        alpha, _ = settings.weights
        shares = _shares(settings.content_layers) if alpha else {}
        self._weights = {name: alpha * share for name, share in shares.items() if name in known}
        self.layers = tuple(self._weights)
        self._network = network
        self._targets = targets
        self._per_position = settings.normalisation == "position"

    def sums(self, view: View) -> dict[str, Tensor]:
        """Compare features position by position."""
        wanted = self._wanted(view.tile)
        return {
            f"content:{name}": losses.content_loss(view.features[name], wanted[name])
            for name in self.layers
        }

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weight the losses, per position or as raw sums."""
        values = {}
        for name, weight in self._weights.items():
            positions = _positions(name, self._network, size_px) if self._per_position else 1
            values[f"content:{name}"] = sums[f"content:{name}"] * (weight / positions)
        return values

    def _wanted(self, tile: Tile) -> dict[str, Tensor]:
        """Return the content's features of a tile's core."""
        if self._targets.content_image is None:
            return {
                name: tile.core_of_image(
                    self._targets.content[name], _stride_px(name, self._network)
                )
                for name in self.layers
            }
        window = tile.window(self._targets.content_image)
        window = window.to(torch.promote_types(window.dtype, torch.float32))
        with torch.no_grad():
            return core_features(self._network, window, self.layers, tile)


class StyleTerm(Stateless):
    """What all that compares with paintings has in common: parts, layers and their weights.

    Each region with a style of its own has a loss of its own, weighted by its area.

    Attributes:
        parts: what is compared with what, by the ending of its names: everywhere, or regions.
    """

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        _, self._beta = settings.weights
        self._shares = _shares(settings.layers_of_style) if self._beta else {}
        self._network = network
        whole = RegionTarget(targets.rest, targets.style)
        self.parts = {"": whole} | {
            f":region{number}": region for number, region in enumerate(targets.regions, start=1)
        }
        self.layers = tuple(
            name for name in self._shares if any(name in part.style for part in self.parts.values())
        )
        self._weights: dict[str, LayerWeights] = {}
        self._size_px: tuple[int, int] | None = None

    def of_size(self, size_px: tuple[int, int]) -> dict[str, LayerWeights]:
        """Return the weights of each part, for an image of this size."""
        if size_px != self._size_px:
            self._size_px = size_px
            self._weights = {
                ending: LayerWeights(self._network, self.layers, size_px, part.mask)
                for ending, part in self.parts.items()
            }
        return self._weights

    def layers_of(self, ending: str) -> tuple[str, ...]:
        """List the layers where a part has a style, and the image positions for it."""
        style, masses = self.parts[ending].style, self._weights[ending].masses
        return tuple(name for name in self.layers if name in style and masses[name] > 0)

    def weight(self, name: str, ending: str, size_px: tuple[int, int]) -> float:
        """Return how much a layer of a part counts: beta, by the layer's share and the area."""
        area = self._weights[ending].masses[name] / _positions(name, self._network, size_px)
        return self._beta * self._shares[name] * area


class Style(StyleTerm):
    """Pulls towards the painting: beta times the style loss of each layer, by its share."""

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        super().__init__(network, targets, settings)
        self._statistic = make_statistic(settings)
        self.additive = self._statistic.additive or not self._beta
        self.stays_on_device = self._statistic.stays_on_device
        self._distances = {
            ending: self._statistic.distance(
                {name: part.style[name] for name in self._shares if name in part.style}
            )
            for ending, part in self.parts.items()
        }
        self.layers = tuple(name for name in self.layers if name in self._statistic.layers)

    def sums(self, view: View) -> dict[str, Tensor]:
        """Add up each layer's statistic, under each mask."""
        sums: dict[str, Tensor] = {}
        for ending, weights in self.of_size(view.size_px).items():
            features = {name: view.features[name] for name in self.layers_of(ending)}
            by_layer = self._statistic.sum(features, weights.roots(view.tile))
            sums |= {f"style:{name}{ending}": value for name, value in by_layer.items()}
        return sums

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Compare with the style's statistics; both are per position, as the sizes differ."""
        values = {}
        for ending, weights in self.of_size(size_px).items():
            per_position = {
                name: sums[f"style:{name}{ending}"] / weights.masses[name]
                for name in self.layers_of(ending)
                if f"style:{name}{ending}" in sums
            }
            for name, loss in self._distances[ending](per_position).items():
                values[f"style:{name}{ending}"] = loss * self.weight(name, ending, size_px)
        return values


class Smoothness(Stateless):
    """Smooths the pixels: total variation, as a mean over them."""

    layers: tuple[str, ...] = ()

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        self._weight = settings.total_variation or 0.0

    def sums(self, view: View) -> dict[str, Tensor]:
        """Compare each pixel with its neighbours."""
        if not self._weight:
            return {}
        near = view.tile.core_and_next(view.pixels)
        return {"total_variation": losses.total_variation(near, *view.tile.core_px)}

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weight the mean."""
        height_px, width_px = size_px
        factor = self._weight / (height_px * width_px)
        return {name: sums[name] * factor for name in ("total_variation",) if name in sums}


class OwnTerm(Stateless):
    """A loss of the user's own; see :class:`impasto.job.loss_term.LossTerm`."""

    # A user's function may do anything, and a graph would record it once.
    stays_on_device = False

    def __init__(self, name: str, term: LossTerm) -> None:
        self._name, self._term = name, term
        self.layers, self.additive = term.layers, term.additive

    def sums(self, view: View) -> dict[str, Tensor]:
        """Call the function with a tile's core, which is the whole image if it is not additive.

        Raises:
            ShapeError: it returns no scalar.
        """
        rows, columns = view.tile.core_px
        pixels = view.tile.core_and_next(view.pixels)[..., :rows, :columns]
        value = self._term.function(pixels, {name: view.features[name] for name in self.layers})
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"terms: expected {self._name} to return a scalar tensor of floats, got {got}; "
                "end it with .mean() or .sum()"
            )
        return {f"own:{self._name}": value.to(pixels.dtype)}

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weight the value."""
        pixels = size_px[0] * size_px[1] if self.additive else 1
        name = f"own:{self._name}"
        return {name: sums[name] * (self._term.weight / pixels)}


class Temporal(Stateless):
    """Holds a frame of a film to the frames before it, moved along the optical flow.

    The mean over pixels and channels of ``certainty * (x - image)**2``, times the weight (Ruder,
    Dosovitskiy and Brox, "Artistic style transfer for videos", 2016, equation 7).
    """

    layers: tuple[str, ...] = ()

    def __init__(self, network: FeatureNetwork, targets: Targets, settings: Settings) -> None:
        self._held = targets.held

    def sums(self, view: View) -> dict[str, Tensor]:
        """Compare pixel by pixel."""
        if self._held is None:
            return {}
        tile = view.tile
        wanted, certainty = (
            tile.core_of_image(whole, 1) for whole in (self._held.image, self._held.certainty)
        )
        difference = tile.core(view.pixels, 1) - wanted
        return {"temporal": (certainty * difference.square()).sum()}

    def values(self, sums: dict[str, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Weight the mean."""
        if self._held is None:
            return {}
        height_px, width_px = size_px
        return {"temporal": sums["temporal"] * (self._held.weight / (3 * height_px * width_px))}


TERMS: list[type[Term]] = [Content, Style, Smoothness, Temporal]


def make_terms(
    network: FeatureNetwork,
    targets: Targets,
    settings: Settings,
    own: Mapping[str, LossTerm] | None = None,
) -> list[Term | OwnTerm]:
    """Make every term; one without a target or with weight 0 has no layers and no sums."""
    parts: list[Term | OwnTerm] = [make(network, targets, settings) for make in _terms(settings)]
    return parts + [OwnTerm(name, term) for name, term in (own or {}).items() if term.weight]


def layers_of(own: Mapping[str, LossTerm]) -> tuple[str, ...]:
    """List the layers that losses of the user's own need."""
    return tuple(dict.fromkeys(name for term in own.values() for name in term.layers))


def memory_per_pixel(settings: Settings) -> float:
    """Return the bytes of all terms' states for each pixel of the image."""
    return sum(term.memory_per_pixel(settings) for term in _terms(settings))


def indivisible(
    settings: Settings, own: Mapping[str, LossTerm] | None = None, *, has_style: bool
) -> str | None:
    """Return the part that needs one process and no tiling; None if all parts are additive.

    Args:
        settings: network and statistic are read.
        own: losses of the user's own.
        has_style: whether styles are compared at all.
    """
    if has_style and not is_additive(settings):
        return f"statistic {settings.statistic!r}"
    if not network_spec(settings.network).has_halos:
        return f"network {settings.network!r}"
    parts = {term.__name__: term.additive for term in _terms(settings)}
    parts |= {f"loss term {name!r}": term.additive for name, term in (own or {}).items()}
    return next((label for label, additive in parts.items() if not additive), None)


def _terms(settings: Settings) -> list[type[Term]]:
    """List the terms; what the statistic's name stands for may be a term in the place of Style."""
    own = matching_term(settings)
    return [own if own is not None and term is Style else term for term in TERMS]


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _positions(name: str, network: FeatureNetwork, size_px: tuple[int, int]) -> int:
    stride_px = _stride_px(name, network)
    return (size_px[0] // stride_px) * (size_px[1] // stride_px)


def _stride_px(name: str, network: FeatureNetwork) -> int:
    return network.spec.layer(name).stride_px
