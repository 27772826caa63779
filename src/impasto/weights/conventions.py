"""The pixel convention of a weights file, recognised by its first convolution.

torchvision's networks take RGB in [0, 1], normalised by mean and standard deviation. The networks
that Simonyan and Zisserman published ("Very deep convolutional networks for large-scale image
recognition", 2015) were trained with Caffe on BGR in 0..255 minus the mean; MatConvNet's files
have the same in RGB. Gatys et al. scaled their filters to a mean activation of 1. Names and shapes
are the same, and with the wrong pixels the result is useless, without an error. So such a file is
recognised, and its first convolution is converted to torchvision's pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# The mean that was subtracted from pixels in 0..255, as red, green and blue.
_MEAN_255 = (123.68, 116.779, 103.939)
# The corner of the first filter of the published networks, as blue, green and red. Its direction
# stays the same when filters are scaled.
_CORNERS = {
    "vgg16": (0.42947057, 0.55037946, 0.4800154),
    "vgg19": (0.34119523, 0.46418372, 0.39416704),
}
_SAME_DIRECTION = 1e-3
# The standard deviation of the first convolution's weights: 0.25 for torchvision's VGG-16, and
# 57 times smaller if it takes pixels in 0..255 and returns features of the same size.
_SMALL_WEIGHTS = 0.04
# Filters weight blue less than red: torchvision's VGG-16 by 17 %. A smaller difference than this
# is not conclusive.
_SAME_WEIGHT = 0.05
_RGB, _BGR = "RGB", "BGR"


def to_torchvision(
    tensors: dict[str, Tensor], network: str, label: str
) -> tuple[dict[str, Tensor], str | None]:
    """Convert a network's tensors to the pixels that torchvision's networks take.

    Args:
        tensors: as :func:`impasto.weights.formats.shapes` names them.
        network: ``vgg16`` or ``vgg19``; tensors of other networks are returned unchanged.
        label: the file's name in messages.

    Returns:
        The tensors, and a note that names their convention; None if they are torchvision's.

    Raises:
        WeightsError: it takes pixels in 0..255, and the order of their channels is unknown.
    """
    if network not in _CORNERS:
        return tensors, None
    weight = tensors["conv1_1.weight"]
    order = _published_order(weight, network)
    is_small = 0 < float(weight.std()) < _SMALL_WEIGHTS
    if order is None and not is_small:
        return tensors, None
    order = order or _order_by_weight(weight)
    if order is None:
        raise WeightsError(
            f"{label}: expected weights for RGB pixels normalised as torchvision does, got some "
            "for pixels in 0..255 in an unknown order (RGB or BGR); convert conv1_1, or "
            "use torchvision's file"
        )
    converted = _converted(tensors, order, scale=1.0 if is_small else 1 / (255 * sum(_STD) / 3))
    name = "the Caffe convention" if order == _BGR else "MatConvNet's convention"
    note = f"{label} has weights of {name} ({order} in 0..255 minus the mean): converted"
    return converted, note


def _published_order(weight: Tensor, network: str) -> str | None:
    """Return the order of channels if these are the published weights of the network."""
    import torch

    expected = torch.tensor(_CORNERS[network])
    expected = expected / expected.norm()
    for row, column in ((0, 0), (-1, -1)):
        corner = weight[0, :, row, column]
        corner = corner / corner.norm().clamp_min(torch.finfo(corner.dtype).tiny)
        for order, bgr in ((_BGR, corner), (_RGB, corner.flip(0))):
            if float((bgr - expected).norm()) < _SAME_DIRECTION:
                return order
    return None


def _order_by_weight(weight: Tensor) -> str | None:
    """Return the order of channels, from the weights of the first and the last channel."""
    first, _, last = weight.abs().sum((0, 2, 3)).tolist()
    if abs(first - last) < _SAME_WEIGHT * max(first, last):
        return None
    return _RGB if first > last else _BGR


def _converted(tensors: dict[str, Tensor], order: str, scale: float) -> dict[str, Tensor]:
    """Convert the first convolution to torchvision's pixels, and scale all features by ``scale``.

    Rectifiers and pooling commute with a positive scale. So it is enough to scale the first
    convolution and every bias.
    """
    import torch

    weight = tensors["conv1_1.weight"]
    weight = weight.flip(1) if order == _BGR else weight
    mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
    # W (255 x - mean_255) + b, with x = std z + mean, z the input of torchvision's networks.
    offset = weight.sum((2, 3)) @ (255 * mean - torch.tensor(_MEAN_255))
    converted = {
        name: tensor * scale if name.endswith(".bias") else tensor
        for name, tensor in tensors.items()
    }
    converted["conv1_1.weight"] = (weight * (255 * std * scale).view(1, 3, 1, 1)).contiguous()
    converted["conv1_1.bias"] = (tensors["conv1_1.bias"] + offset) * scale
    return converted
