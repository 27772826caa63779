"""The VGG networks as data: the names of their layers, and what each needs.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2015, configurations D (VGG-16) and E (VGG-19). A layer is named by its
kind, block and place: ``conv4_2`` is the second convolution of the fourth block before
its rectifier, ``relu4_2`` after it, ``pool4`` the pooling that ends the block.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from impasto.errors import SettingsError

CONVOLUTIONS_PER_BLOCK = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class Layer:
    """One named layer, and where it stands.

    ``stride_px`` is the distance in the image between neighbouring features; ``halo_px``
    how far from its own place in the image a feature looks.
    """

    name: str
    kind: str
    block: int
    channels: int
    stride_px: int
    halo_px: int


@cache
def architecture(network: str) -> tuple[Layer, ...]:
    """List the layers of ``network`` from the image inwards."""
    layers = []
    stride_px, halo_px = 1, 0
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[network], start=1):
        channels = CHANNELS_PER_BLOCK[block - 1]
        for place in range(1, convolutions + 1):
            halo_px += stride_px
            for kind in ("conv", "relu"):
                name = f"{kind}{block}_{place}"
                layers.append(Layer(name, kind, block, channels, stride_px, halo_px))
        # A pooled feature sees its own window, which its core contains: no halo of its own.
        stride_px *= 2
        layers.append(Layer(f"pool{block}", "pool", block, channels, stride_px, halo_px))
    return tuple(layers)


@cache
def layers_by_name(network: str) -> dict[str, Layer]:
    """Map each layer's name to the layer."""
    return {layer.name: layer for layer in architecture(network)}


def check_layer(name: str, network: str) -> Layer:
    """Return the layer called ``name``.

    Raises:
        SettingsError: the network has no such layer; the message names near ones.
    """
    known = layers_by_name(network)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else "names run conv1_1, relu1_1 ... pool5"
    elsewhere = [other for other in CONVOLUTIONS_PER_BLOCK if name in layers_by_name(other)]
    if elsewhere:
        hint = f"{elsewhere[0]} has it; {hint}"
    raise SettingsError(f"{network} has no layer {name!r}: {hint}")


def deepest(names: list[str], network: str) -> Layer:
    """Return the one of ``names`` that the image reaches last.

    Raises:
        SettingsError: the network has no such layer.
    """
    listed = architecture(network)
    return max((check_layer(name, network) for name in names), key=listed.index)


def smallest_side_px(names: list[str], network: str) -> int:
    """Return the shortest image side that still leaves every layer of ``names`` a feature."""
    return max(check_layer(name, network).stride_px for name in names)


def parse_layer_weights(value: object, network: str = "vgg16") -> dict[str, float]:
    """Read layers and their weights from whatever a front end passes.

    Accepts ``"relu4_2"``, ``"relu1_1=2,relu2_1=1"``, ranges such as ``"relu1_1..relu4_1=2"``
    with one weight for all, a list of such words, or a mapping from name to weight. A name
    without a weight weighs 1.

    Raises:
        SettingsError: a word that is not ``NAME`` or ``NAME=WEIGHT``, a name given twice, or a
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
    """List what a range names: the layers of one kind from its first to its last."""
    begin, dots, end = (part.strip() for part in word.partition(".."))
    if not dots:
        return [word]
    first, last = check_layer(begin, network), check_layer(end, network)
    listed = architecture(network)
    inside = listed[listed.index(first) : listed.index(last) + 1]
    if first.kind != last.kind or not inside:
        raise SettingsError(
            f"expected a range from one layer to a deeper one of its kind, got {word!r}; such as "
            "relu1_1..relu4_1"
        )
    return [layer.name for layer in inside if layer.kind == first.kind]


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
