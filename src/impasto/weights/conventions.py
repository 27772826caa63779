"""Which pixels a weights file's network was trained on, told from its first convolution.

torchvision's networks take RGB in [0, 1], normalised by mean and standard deviation. The networks
that Simonyan and Zisserman published ("Very deep convolutional networks for large-scale image
recognition", 2015) were trained with Caffe on BGR in 0..255 less the mean; MatConvNet's files hold
the same in RGB. Gatys et al. scaled their filters to a mean activation of 1. Names and shapes are
the same, and the wrong pixels give mush without an error. So such a file is recognised, and its
first convolution converted to torchvision's pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# What was subtracted from pixels of 0..255, as red, green and blue.
_MEAN_255 = (123.68, 116.779, 103.939)
# The corner of the first filter of the published networks, as blue, green and red. Its direction
# stays the same when filters are scaled.
_CORNERS = {
    "vgg16": (0.42947057, 0.55037946, 0.4800154),
    "vgg19": (0.34119523, 0.46418372, 0.39416704),
}
_SAME_DIRECTION = 1e-3
# The standard deviation of the first convolution's weights: 0.25 for torchvision's VGG-16, and
# 57 times smaller if it takes pixels of 0..255 and gives features of the same size.
_SMALL_WEIGHTS = 0.04
# Filters weigh blue less than red: torchvision's VGG-16 by 17 %. Less than this says nothing.
_SAME_WEIGHT = 0.05
_RGB, _BGR = "RGB", "BGR"


def to_torchvision(
    tensors: dict[str, Tensor], network: str, label: str
) -> tuple[dict[str, Tensor], str | None]:
    """Convert a network's tensors to the pixels that torchvision's networks take.

    Args:
        tensors: as :func:`impasto.weights.formats.shapes` names them.
        network: ``vgg16`` or ``vgg19``; of others nothing is known, and they are left as they are.
        label: the file's name in messages.

    Returns:
        The tensors, and a note that names their convention; None if they are torchvision's.

    Raises:
        WeightsError: it takes pixels of 0..255, and nothing tells the order of their channels.
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
            "for pixels of 0..255 whose order (RGB or BGR) cannot be told; convert conv1_1, or "
            "use torchvision's file"
        )
    converted = _converted(tensors, order, scale=1.0 if is_small else 1 / (255 * sum(_STD) / 3))
    name = "the Caffe convention" if order == _BGR else "MatConvNet's convention"
    note = f"{label} has weights of {name} ({order} of 0..255 less the mean): converted"
    return converted, note


def _published_order(weight: Tensor, network: str) -> str | None:
    """Return the order of channels if these are the published weights of the network."""
    import torch

    expected = torch.tensor(_CORNERS[network])
    expected = expected / expected.norm()
    for row, column in ((0, 0), (-1, -1)):
        seen = weight[0, :, row, column]
        seen = seen / seen.norm().clamp_min(torch.finfo(seen.dtype).tiny)
        for order, directed in ((_BGR, seen), (_RGB, seen.flip(0))):
            if float((directed - expected).norm()) < _SAME_DIRECTION:
                return order
    return None


def _order_by_weight(weight: Tensor) -> str | None:
    """Return the order of channels from how much the first and the last of them count."""
    first, _, last = weight.abs().sum((0, 2, 3)).tolist()
    if abs(first - last) < _SAME_WEIGHT * max(first, last):
        return None
    return _RGB if first > last else _BGR


def _converted(tensors: dict[str, Tensor], order: str, scale: float) -> dict[str, Tensor]:
    """Let the first convolution take torchvision's pixels, and scale all features alike.

    Rectifiers and poolings commute with a positive scale: with every bias scaled as the first
    convolution is, the features are the same times ``scale``.
    """
    import torch

    weight = tensors["conv1_1.weight"]
    weight = weight.flip(1) if order == _BGR else weight
    mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
    # W (255 x - mean_255) + b, with x = std z + mean, and z what torchvision's networks take.
    offset = weight.sum((2, 3)) @ (255 * mean - torch.tensor(_MEAN_255))
    converted = {
        name: tensor * scale if name.endswith(".bias") else tensor
        for name, tensor in tensors.items()
    }
    converted["conv1_1.weight"] = (weight * (255 * std * scale).view(1, 3, 1, 1)).contiguous()
    converted["conv1_1.bias"] = (tensors["conv1_1.bias"] + offset) * scale
    return converted
