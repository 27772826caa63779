"""Networks as data: their layers, with strides, halos and shapes.

The built-in ones are Simonyan and Zisserman, "Very deep convolutional networks for large-scale
image recognition", 2015, configurations D (VGG-16) and E (VGG-19). A layer is named by its
kind, block and index: ``conv4_2`` is the second convolution of the fourth block before
its rectifier, ``relu4_2`` after it, ``pool4`` the pooling that ends the block.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from impasto.config.registry import NETWORKS
from impasto.errors import SettingsError

_COLOURS = 3
_KERNEL = (3, 3)


@dataclass(frozen=True)
class Layer:
    """One layer.

    ``stride_px`` is the distance in the image between neighbouring features. ``halo_px`` is the
    distance that a feature sees around its own position in the image.
    """

    name: str
    kind: str
    block: int
    channels: int
    stride_px: int
    halo_px: int

    @property
    def values_per_pixel(self) -> float:
        """The number of values in its feature maps for each pixel of the image."""
        return float(self.channels / self.stride_px**2)


@dataclass(frozen=True)
class NetworkSpec:
    """A chain of blocks: 3 x 3 convolutions with a rectifier each, then a pooling that halves.

    Attributes:
        name: the value of the option ``network``.
        convolutions_per_block: the number of convolutions in each block.
        channels_per_block: the number of output channels in each block.
    """

    name: str
    convolutions_per_block: tuple[int, ...]
    channels_per_block: tuple[int, ...] = (64, 128, 256, 512, 512)

    @property
    def has_halos(self) -> bool:
        """Whether it is known how far features see, so that tiles are exact."""
        return True

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, from the image to the deepest."""
        layers = []
        stride_px, halo_px = 1, 0
        for block, convolutions in enumerate(self.convolutions_per_block, start=1):
            channels = self.channels_per_block[block - 1]
            for index in range(1, convolutions + 1):
                halo_px += stride_px
                for kind in ("conv", "relu"):
                    name = f"{kind}{block}_{index}"
                    layers.append(Layer(name, kind, block, channels, stride_px, halo_px))
            # A pooled feature sees its own window, which its core contains: no halo of its own.
            stride_px *= 2
            layers.append(Layer(f"pool{block}", "pool", block, channels, stride_px, halo_px))
        return tuple(layers)

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``.

        Raises:
            SettingsError: the network has no such layer; the message names near ones.
        """
        if name in self.by_name:
            return self.by_name[name]
        near = difflib.get_close_matches(name, self.by_name, n=3, cutoff=0.6)
        names = [*self.by_name]
        run = f"names run {', '.join(names[:2])} ... {names[-1]}"
        hint = f"did you mean {', '.join(near)}?" if near else run
        elsewhere = [other for other in NETWORKS.builtin if name in network_spec(other).by_name]
        if elsewhere:
            hint = f"{elsewhere[0]} has it; {hint}"
        raise SettingsError(f"{self.name} has no layer {name!r}: {hint}")

    def deepest(self, names: Iterable[str]) -> Layer:
        """Return the deepest layer of ``names``.

        Raises:
            SettingsError: the network has no such layer.
        """
        return max((self.layer(name) for name in names), key=self.layers.index)

    def upto(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """Return the layers from the image to the deepest of ``names``.

        Raises:
            SettingsError: the network has no such layer.
        """
        return self.layers[: self.layers.index(self.deepest(names)) + 1]

    def between(self, first: Layer, last: Layer) -> tuple[Layer, ...]:
        """Return the layers of one kind from ``first`` to ``last``, or none if it is before."""
        inside = self.layers[self.layers.index(first) : self.layers.index(last) + 1]
        return tuple(layer for layer in inside if layer.kind == first.kind)

    def conv_shapes(self, names: Iterable[str] | None = None) -> dict[str, tuple[int, ...]]:
        """Return the shape of each convolution's weight, (out, in, 3, 3), by name.

        Args:
            names: only the convolutions up to the deepest of these layers; all if absent.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        channels_in = _COLOURS
        for layer in self.layers if names is None else self.upto(names):
            if layer.kind == "conv":
                shapes[layer.name] = (layer.channels, channels_in, *_KERNEL)
                channels_in = layer.channels
        return shapes

    def flops_per_pixel(self, names: Iterable[str]) -> float:
        """Return the operations per pixel of the convolutions up to the deepest of ``names``.

        A multiplication and an addition are two.
        """
        return sum(
            self.conv_flops(name) / self.layer(name).stride_px ** 2
            for name in self.conv_shapes(names)
        )

    def conv_flops(self, name: str) -> float:
        """Return the operations of one convolution, per position of its map."""
        channels_out, channels_in, height, width = self.conv_shapes()[name]
        return 2.0 * channels_out * channels_in * height * width

    def smallest_side_px(self, names: Iterable[str]) -> int:
        """Return the shortest image side at which every layer of ``names`` has a feature."""
        return max(self.layer(name).stride_px for name in names)

    def torchvision_names(self) -> dict[str, str]:
        """Return torchvision's name of each convolution; it counts layers of all kinds."""
        return {
            layer.name: f"features.{index}"
            for index, layer in enumerate(self.layers)
            if layer.kind == "conv"
        }


VGG16 = NetworkSpec("vgg16", (2, 2, 3, 3, 3))
VGG19 = NetworkSpec("vgg19", (2, 2, 4, 4, 4))


def network_spec(name: str) -> NetworkSpec:
    """Return the network called ``name``.

    Raises:
        SettingsError: there is no such network.
        MissingPackageError: the package that declares it does not bring it.
    """
    try:
        spec: NetworkSpec = NETWORKS.load(name)
    except ValueError as error:
        raise SettingsError(f"network: {error}") from None
    return spec


def check_layer(name: str, network: str) -> Layer:
    """Return the layer called ``name`` of the network called ``network``.

    Raises:
        SettingsError: the network has no such layer; the message names near ones.
    """
    return network_spec(network).layer(name)


def parse_layer_weights(value: object, network: str = "vgg16") -> dict[str, float]:
    """Parse layers and their weights, in any form that a front end passes.

    Accepts ``"relu4_2"``, ``"relu1_1=2,relu2_1=1"``, ranges such as ``"relu1_1..relu4_1=2"``
    with one weight for all, a list of such words, or a mapping from name to weight. A name
    without a weight weighs 1.

    Raises:
        SettingsError: a word that is not ``NAME`` or ``NAME=WEIGHT``, a name twice, or a
            range that is none.
    """
    weights: dict[str, float] = {}
    for word, weight in _pairs(value):
        for name in _names(word, network):
            if name in weights:
                raise SettingsError(
                    f"expected each layer once, got {name!r} twice; give it once, with one weight"
                )
            try:
                weights[name] = float(weight)
            except (TypeError, ValueError):
                raise _no_layer(f"{name}={weight}") from None
    return weights


def _names(word: str, network: str) -> list[str]:
    """Return the layers of a range: those of one kind from its first to its last."""
    begin, dots, end = (part.strip() for part in word.partition(".."))
    if not dots:
        return [word]
    spec = network_spec(network)
    first, last = spec.layer(begin), spec.layer(end)
    inside = spec.between(first, last)
    if first.kind != last.kind or not inside:
        raise SettingsError(
            f"expected a range from one layer to a deeper one of its kind, got {word!r}; such as "
            "relu1_1..relu4_1"
        )
    return [layer.name for layer in inside]


def _pairs(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(name), weight) for name, weight in value.items())
        return
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise _no_layer(value)
    for item in items:
        if not isinstance(item, str):
            raise _no_layer(item)
        for word in item.split(","):
            name, equals, weight = (part.strip() for part in word.partition("="))
            if not name or (equals and not weight):
                raise _no_layer(word.strip())
            yield name, weight if equals else 1.0


def _no_layer(got: object) -> SettingsError:
    return SettingsError(f"expected a layer as NAME or NAME=WEIGHT, got {got!r}; write relu4_2=0.5")
