"""Shift-tolerant AlexNet: a network that only measures pictures.

Ghildyal and Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022, the variant of the
package stlpips_pytorch: the first convolution has stride 1, and blurred subsampling replaces
AlexNet's strides. It only measures pictures, so it has no backward pass of its own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import weights
from impasto.errors import ShapeError
from impasto.models.conv import MEAN, STD

LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
# The shortest side that leaves each layer enough positions to be blurred.
SMALLEST_PX = 21
_FIRST_PADDING_PX, _BLUR_PADDING_PX = 2, 2


class AlexNetFeatures:
    """The shift-tolerant AlexNet, evaluated at its five rectifiers.

    Args:
        parameters: ``conv1.weight`` (out, in, side, side), ``conv1.bias`` (out,) ...
            ``conv5.bias``, and ``head1.weight`` (1, channels, 1, 1) ... ``head5.weight``.
    """

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self._parameters = parameters

    @property
    def heads(self) -> dict[str, Tensor]:
        """The weight (channels,) of each channel in the perceptual distance, by layer."""
        return {
            layer: self._parameters[f"head{number}.weight"].flatten()
            for number, layer in enumerate(LAYERS, start=1)
        }

    def features(self, image: Tensor, layers: tuple[str, ...] = LAYERS) -> dict[str, Tensor]:
        """Return the feature maps of ``image`` at ``layers``.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1], float32.
            layers: some of LAYERS.

        Raises:
            ShapeError: smaller than SMALLEST_PX.
        """
        if min(image.shape[-2:]) < SMALLEST_PX:
            raise ShapeError(
                f"expected an image of at least {SMALLEST_PX} x {SMALLEST_PX} pixels for AlexNet, "
                f"got {image.shape[-1]} x {image.shape[-2]}; enlarge it"
            )
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        maps = self._convolve((image - mean.to(image)) / std.to(image), 1, _FIRST_PADDING_PX)
        maps = _subsample(maps).relu()
        rectified = [maps]
        maps = self._convolve(_subsample(F.max_pool2d(maps, 3, 1)), 2, 2).relu()
        rectified.append(maps)
        maps = self._convolve(_subsample(F.max_pool2d(maps, 3, 1)), 3, 1).relu()
        rectified.append(maps)
        for number in (4, 5):
            maps = self._convolve(maps, number, 1).relu()
            rectified.append(maps)
        by_name = dict(zip(LAYERS, rectified, strict=True))
        return {layer: by_name[layer] for layer in layers}

    def _convolve(self, maps: Tensor, number: int, padding: int) -> Tensor:
        weight, bias = (self._parameters[f"conv{number}.{kind}"] for kind in ("weight", "bias"))
        return F.conv2d(maps, weight.to(maps), bias.to(maps), padding=padding)


def _subsample(maps: Tensor) -> Tensor:
    """Blur with a binomial filter of 3 x 3 and keep every second position."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=maps.dtype)
    blur = torch.outer(line, line).expand(maps.shape[1], 1, 3, 3)
    padded = F.pad(maps, (_BLUR_PADDING_PX,) * 4, mode="reflect")
    return F.conv2d(padded, blur, stride=2, groups=maps.shape[1])


def load(**fetching: Any) -> AlexNetFeatures:
    """Load the network.

    Args:
        fetching: ``offline`` and ``progress``, as weights.load takes them.

    Raises:
        WeightsError: the weights are absent or damaged.
    """
    return AlexNetFeatures(weights.load("alexnet", **fetching))
