"""VGG's convolutions, forward and backward to their input.

The data gradient of a 3 x 3 convolution is a forward convolution with flipped, transposed
weights: the forward kernel is the fast one. The first convolution takes pixels, and handles the
border, the normalisation and the rounding of the image.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import network_spec

# Mean and standard deviation of ImageNet's pixels, which torchvision's networks were
# trained on: RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_COLOURS = 3
# Fewer channels than this leave a GPU's tensor cores unused: at 2048 pixels conv1_1 took 3.0
# instead of 0.6 ms with eight, and its backward pass 0.8 with three as with sixteen.
_FEWEST_CHANNELS = 16


class _Weight:
    """A weight, and a copy in oneDNN's memory format for maps of the latest size.

    To reorder it at every step would take a third of the step at 128 pixels.
    """

    def __init__(self, plain: Tensor) -> None:
        self.plain = plain
        self._ordered = plain
        self._ordered_for: tuple[tuple[int, ...], int] | None = None

    def __getstate__(self) -> Tensor:
        """Leave out the copy in oneDNN's format, which cannot be pickled."""
        return self.plain

    def __setstate__(self, plain: Tensor) -> None:
        self.__init__(plain)  # type: ignore[misc]

    def ordered(self, size: tuple[int, ...], padding: int) -> Tensor:
        """Return the weight for maps of ``size``, (B, C, H, W)."""
        if self._ordered_for != (size, padding):
            self._ordered_for = size, padding
            self._ordered = torch.ops.mkldnn._reorder_convolution_weight.default(
                self.plain, [padding] * 2, [1, 1], [1, 1], 1, list(size)
            )
        return self._ordered


@dataclass(frozen=True)
class _Convolution:
    weight: _Weight
    bias: Tensor
    backward_weight: _Weight


class Convolutions:
    """The convolutions of a network, by name.

    Takes what ``VGGFeatures`` does.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        network: str,
        *,
        dtype: torch.dtype,
        padding: str,
        device: torch.device,
    ) -> None:
        self.dtype, self.padding, self.device = dtype, padding, device
        self._fuses = device.type == "cpu" and _onednn_has(dtype)
        # As it came, because the normalisation is folded into what is prepared of it.
        self.first = {
            name: parameters[name].to(self.device)
            for name in ("conv1_1.weight", "conv1_1.bias")
            if name in parameters
        }
        self._prepared = {
            name: self._prepare(parameters, name)
            for name in network_spec(network).conv_shapes()
            if f"{name}.weight" in parameters
        }

    def __contains__(self, name: str) -> bool:
        """Return whether there are weights of the convolution called ``name``."""
        return name in self._prepared

    def parameters(self) -> dict[str, Tensor]:
        """Return the weights, in the network's dtype, by name."""
        weights = {
            f"{name}.{kind}": value
            for name, convolution in self._prepared.items()
            for kind, value in (
                ("weight", convolution.weight.plain),
                ("bias", convolution.bias),
            )
        }
        return weights | {name: value.to(self.dtype) for name, value in self.first.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The convolutions that there are weights of."""
        return tuple(self._prepared)

    def weight(self, name: str) -> Tensor:
        """Return the weight of a convolution behind the first, (out, in, 3, 3)."""
        return self._prepared[name].weight.plain

    def backward_weight(self, name: str) -> Tensor:
        """Return the weight of the way back, (in, out, 3, 3): flipped and transposed."""
        return self._prepared[name].backward_weight.plain

    def bias(self, name: str) -> Tensor:
        """Return the bias of a convolution, (out,)."""
        return self._prepared[name].bias

    def padded(self, padding: str) -> Convolutions:
        """Return the same convolutions with another padding; weights are shared."""
        other = copy.copy(self)
        other.padding = padding
        return other

    def convolve(self, features: Tensor, name: str, *, rectified: bool = False) -> Tensor:
        """Apply the convolution called ``name``, and if asked for the rectifier behind it.

        One pass over the maps instead of three, where the hardware's library has it.
        """
        convolution = self._prepared[name]
        padding = 0
        if name == "conv1_1":
            features = self._shown(features)
        elif self.padding == "circular":
            features = _around(features)
        else:
            padding = 1
        bias = convolution.bias
        if self._fuses:
            then = "relu" if rectified else "none"
            return _fused(features, convolution.weight, bias, padding, then)
        weight = convolution.weight.plain
        if not rectified:
            return F.conv2d(features, weight, bias, padding=padding)
        if self._has_tensor_cores:
            return torch.cudnn_convolution_relu(
                features, weight, bias, (1, 1), (padding,) * 2, (1, 1), 1
            )
        return F.conv2d(features, weight, bias, padding=padding).relu_()

    def convolve_backward(
        self, gradient: Tensor, name: str, *, plus: Tensor | None = None
    ) -> Tensor:
        """Propagate a gradient back through the convolution called ``name``.

        ``plus`` is added to the result, and may be overwritten.
        """
        if name == "conv1_1":
            return self._first_backward(gradient)
        weight, padding = self._prepared[name].backward_weight, 1
        if self.padding == "circular":
            gradient, padding = _around(gradient), 0
        if self._fuses:
            if plus is None:
                return _fused(gradient, weight, None, padding, "none")
            return _fused_sum(gradient, weight, padding, plus)
        back = F.conv2d(gradient, weight.plain, padding=padding)
        return back if plus is None else back.add_(plus)

    def _prepare(self, parameters: dict[str, Tensor], name: str) -> _Convolution:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        if name == "conv1_1":
            weight, bias = _fold_normalisation(weight.to(torch.float64), bias.to(torch.float64))
        weight = self._on_device(weight)
        backward_weight = self._on_device(weight.flip(2, 3).transpose(0, 1))
        if name == "conv1_1" and self._splits_image:
            weight = weight.repeat(1, 2, 1, 1)
            if self._has_tensor_cores:
                # For fewer channels cuDNN chooses kernels that do not use tensor cores.
                weight = F.pad(weight, (0, 0, 0, 0, 0, _FEWEST_CHANNELS - weight.shape[1]))
                more = _FEWEST_CHANNELS - _COLOURS
                backward_weight = F.pad(backward_weight, (0, 0, 0, 0, 0, 0, 0, more))
            weight, backward_weight = self._on_device(weight), self._on_device(backward_weight)
        bias = bias.to(self.device, self.dtype)
        return _Convolution(_Weight(weight), bias, _Weight(backward_weight))

    def _on_device(self, weight: Tensor) -> Tensor:
        return weight.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    @property
    def _splits_image(self) -> bool:
        # Eight bits of a bfloat16 pixel are coarser than the steps of the optimiser, so a
        # narrow network is shown the image as a rounded part plus the rest.
        return self.dtype in (torch.bfloat16, torch.float16)

    @property
    def _has_tensor_cores(self) -> bool:
        return self.device.type == "cuda" and torch.version.hip is None and self._splits_image

    def _shown(self, image: Tensor) -> Tensor:
        """Return the input of conv1_1: the image with border, normalisation and rounding."""
        if self.padding != "zeros":
            padded = F.pad(image, (1, 1, 1, 1), mode=self.padding)
        else:
            # Zero after normalisation is the mean before it.
            batch, channels, height, width = image.shape
            padded = image.new_empty(batch, channels, height + 2, width + 2)
            for channel, mean in enumerate(MEAN):
                padded[:, channel].fill_(mean)
            padded[:, :, 1:-1, 1:-1] = image
        narrow = padded.to(self.dtype)
        if self._splits_image:
            batch, _, *size_px = narrow.shape
            parts = [narrow, (padded - narrow).to(self.dtype)]
            if self._has_tensor_cores:
                parts.append(
                    narrow.new_zeros(()).expand(batch, _FEWEST_CHANNELS - 2 * _COLOURS, *size_px)
                )
            narrow = torch.cat(parts, dim=1)
        return narrow.contiguous(memory_format=torch.channels_last)

    def _first_backward(self, gradient: Tensor) -> Tensor:
        """Propagate the gradient of conv1_1's output back to the pixels."""
        weight = self._prepared["conv1_1"].backward_weight.plain
        if self.padding == "circular":
            return _convolve_around(gradient, weight)[:, :_COLOURS]
        padded = F.conv2d(gradient, weight, padding=2)[:, :_COLOURS]
        image = padded[:, :, 1:-1, 1:-1]
        if self.padding != "replicate":
            return image
        # The padding has copies of the border's pixels: their gradients are added to the border.
        rows = padded[:, :, 1:-1, :].clone()
        rows[:, :, 0] += padded[:, :, 0]
        rows[:, :, -1] += padded[:, :, -1]
        image = rows[:, :, :, 1:-1].clone()
        image[:, :, :, 0] += rows[:, :, :, 0]
        image[:, :, :, -1] += rows[:, :, :, -1]
        return image


def _onednn_has(dtype: torch.dtype) -> bool:
    """Return whether torch's oneDNN fuses a convolution of this dtype with the next operation."""
    if not torch._C._has_mkldnn:
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _fused(
    features: Tensor, weight: _Weight, bias: Tensor | None, padding: int, then: str
) -> Tensor:
    """Convolve, and apply ``then``: ``relu`` or ``none``."""
    ordered = weight.ordered(features.shape, padding)
    convolved: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
        features, ordered, bias, [padding] * 2, [1, 1], [1, 1], 1, then, [], ""
    )
    return convolved


def _fused_sum(features: Tensor, weight: _Weight, padding: int, plus: Tensor) -> Tensor:
    """Convolve, and add to ``plus``, in place: that costs nothing."""
    plus = plus.contiguous(memory_format=torch.channels_last)
    ordered = weight.ordered(features.shape, padding)
    convolved: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
        plus, features, ordered, None, [padding] * 2, [1, 1], [1, 1], 1, "add", 1.0, None, [], None
    )
    return convolved


def _convolve_around(features: Tensor, weight: Tensor) -> Tensor:
    """Convolve a map with circular padding."""
    return F.conv2d(_around(features), weight)


def _around(features: Tensor) -> Tensor:
    """Return a map with a circular padding of one position."""
    around = F.pad(features, (1, 1, 1, 1), mode="circular")
    return around.contiguous(memory_format=torch.channels_last)


def _fold_normalisation(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Convert a first convolution to pixels in [0, 1] instead of normalised ones."""
    std = torch.tensor(STD, dtype=weight.dtype).view(1, 3, 1, 1)
    mean = torch.tensor(MEAN, dtype=weight.dtype).view(1, 3, 1, 1)
    weight = weight / std
    return weight, bias - (weight * mean).sum((1, 2, 3))
