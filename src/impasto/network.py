"""VGG by hand: forward to the named layers, and back to the pixels.

Painting needs the gradient with respect to the image and nothing else, so the backward
pass is written out: the data gradient of a 3 x 3 convolution is a forward convolution
with flipped, transposed weights (the forward kernel is the fast one); there are no weight
gradients, and nothing from before a rectifier is kept. The pass stands behind one
``torch.autograd.Function`` (image -> named features), so any loss composes with it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import operations
from impasto import weights as weights_module
from impasto.errors import ShapeError, WeightsError
from impasto.layers import Layer, architecture, check_layer, deepest

# Mean and standard deviation of ImageNet's pixels, which torchvision's networks were
# trained on: RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_COLOURS = 3
# Fewer channels than this leave a GPU's tensor cores unused: at 2048 pixels conv1_1 took 3.0
# instead of 0.6 ms with eight, and its way back 0.8 with three as with sixteen.
_FEWEST_CHANNELS = 16


@dataclass(frozen=True)
class _Convolution:
    weight: Tensor
    bias: Tensor
    backward_weight: Tensor


class Network:
    """A VGG as torchvision defines it, evaluated up to the layers asked for.

    Differs: the image is sRGB in [0, 1]; the normalisation that the network was trained
    with is folded into the first convolution.

    Args:
        parameters: ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,), and so on.
        name: ``vgg16`` or ``vgg19``.
        dtype: type of features inside; the image may be wider.
        pooling: ``max``, or ``average`` as Gatys et al. recommend.
        padding: what lies beyond the image's border for the first convolution: ``zeros``
            after normalisation (torchvision) or the border's own pixels (``replicate``);
            deeper convolutions pad with zeros. ``circular``: all of them go on at the other
            side, as if the image were one of many laid edge to edge.
        device: where to compute.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        name: str = "vgg16",
        *,
        dtype: torch.dtype = torch.float32,
        pooling: str = "max",
        padding: str = "zeros",
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.pooling = pooling
        self.padding = padding
        self.device = torch.device(device)
        self._convolutions = {
            layer.name: self._prepare(parameters, layer.name)
            for layer in architecture(name)
            if layer.kind == "conv" and f"{layer.name}.weight" in parameters
        }

    def padded(self, padding: str) -> Network:
        """Return the same network with another padding; weights are shared."""
        other = copy.copy(self)
        other.padding = padding
        return other

    def features(self, image: Tensor, layers: list[str] | tuple[str, ...]) -> dict[str, Tensor]:
        """Return the feature maps of ``image`` at ``layers``.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1].
            layers: names such as ``relu4_2``.

        Returns:
            Maps (B, C, H', W') by name, in the network's dtype, differentiable once with
            respect to the image.

        Raises:
            SettingsError: a layer that this network has not.
            ShapeError: not (B, 3, H, W), not of floats, or too small for the deepest layer.
            WeightsError: the weights end before the deepest layer.
        """
        names = tuple(layers)
        for name in names:
            check_layer(name, self.name)
        if image.ndim != 4 or image.shape[1] != 3:
            raise ShapeError(
                f"expected an image (B, 3, H, W), got {tuple(image.shape)}; "
                "add the batch axis, and give three channels"
            )
        if not image.is_floating_point():
            raise ShapeError(
                f"expected an image of floats in [0, 1], got {image.dtype}; divide by 255"
            )
        if not names:
            return {}
        self._check_weights(names)
        side_px = max(check_layer(name, self.name).stride_px for name in names)
        if min(image.shape[-2:]) < side_px:
            raise ShapeError(
                f"expected an image of at least {side_px} x {side_px} pixels for the layers asked "
                f"for, got {image.shape[-1]} x {image.shape[-2]}; enlarge it, or ask for "
                "shallower layers"
            )
        if not torch.is_grad_enabled():
            # Inside a Function, an image that could have a gradient looks as if it wanted one.
            image = image.detach()
        maps = _Features.apply(image, self, names)  # type: ignore[no-untyped-call]
        return dict(zip(names, maps, strict=True))

    def layers_to(self, names: tuple[str, ...]) -> tuple[Layer, ...]:
        """List the layers from the image to the deepest of ``names``."""
        listed = architecture(self.name)
        return listed[: listed.index(deepest(list(names), self.name)) + 1]

    def _check_weights(self, names: tuple[str, ...]) -> None:
        for layer in self.layers_to(names):
            if layer.kind == "conv" and layer.name not in self._convolutions:
                raise WeightsError(
                    f"expected weights of {layer.name} for {', '.join(names)}, got none; "
                    "give weights that reach deeper, or ask for shallower layers"
                )

    def _prepare(self, parameters: dict[str, Tensor], name: str) -> _Convolution:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        if name == "conv1_1":
            weight, bias = _fold_normalisation(weight.to(torch.float64), bias.to(torch.float64))
        weight = self._place(weight)
        backward_weight = self._place(weight.flip(2, 3).transpose(0, 1))
        if name == "conv1_1" and self._splits_image:
            weight = weight.repeat(1, 2, 1, 1)
            if self._has_tensor_cores:
                # For fewer channels cuDNN takes kernels that know nothing of them.
                weight = F.pad(weight, (0, 0, 0, 0, 0, _FEWEST_CHANNELS - weight.shape[1]))
                more = _FEWEST_CHANNELS - _COLOURS
                backward_weight = F.pad(backward_weight, (0, 0, 0, 0, 0, 0, 0, more))
            weight, backward_weight = self._place(weight), self._place(backward_weight)
        return _Convolution(weight, bias.to(self.device, self.dtype), backward_weight)

    def _place(self, weight: Tensor) -> Tensor:
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
        """Make of the image what conv1_1 is applied to: border, normalisation and rounding."""
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

    def first_backward(self, gradient: Tensor) -> Tensor:
        """Take the gradient of conv1_1's output back to the pixels."""
        weight = self._convolutions["conv1_1"].backward_weight
        if self.padding == "circular":
            return _convolve_around(gradient, weight)[:, :_COLOURS]
        padded = F.conv2d(gradient, weight, padding=2)[:, :_COLOURS]
        image = padded[:, :, 1:-1, 1:-1]
        if self.padding != "replicate":
            return image
        # Beyond the border stand copies of its pixels: their gradients belong to it.
        rows = padded[:, :, 1:-1, :].clone()
        rows[:, :, 0] += padded[:, :, 0]
        rows[:, :, -1] += padded[:, :, -1]
        image = rows[:, :, :, 1:-1].clone()
        image[:, :, :, 0] += rows[:, :, :, 0]
        image[:, :, :, -1] += rows[:, :, :, -1]
        return image

    def convolve(self, features: Tensor, name: str, *, rectified: bool = False) -> Tensor:
        """Apply the convolution called ``name``, and if asked for the rectifier behind it."""
        convolution = self._convolutions[name]
        padding = 0
        if name == "conv1_1":
            features = self._shown(features)
        elif self.padding == "circular":
            features = _around(features)
        else:
            padding = 1
        if not rectified:
            return F.conv2d(features, convolution.weight, convolution.bias, padding=padding)
        if self._has_tensor_cores:
            # One pass over the maps instead of three.
            return torch.cudnn_convolution_relu(
                features, convolution.weight, convolution.bias, (1, 1), (padding,) * 2, (1, 1), 1
            )
        return F.conv2d(features, convolution.weight, convolution.bias, padding=padding).relu_()

    def convolve_backward(self, gradient: Tensor, name: str) -> Tensor:
        """Take a gradient back through the convolution called ``name``."""
        if name == "conv1_1":
            return self.first_backward(gradient)
        weight = self._convolutions[name].backward_weight
        if self.padding == "circular":
            return _convolve_around(gradient, weight)
        return F.conv2d(gradient, weight, padding=1)


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, network: Network, names: tuple[str, ...]) -> Any:
        keep = ctx.needs_input_grad[0]
        found: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}
        layers = network.layers_to(names)
        features = image
        for place, layer in enumerate(layers):
            if layer.kind == "conv":
                # Both at once, unless somebody wants the values before the rectifier.
                rectified = layer.name not in names
                features = network.convolve(features, layer.name, rectified=rectified)
            elif layer.kind == "relu":
                wanted = layers[place - 1].name in found
                features = kept[layer.name] = features.relu() if wanted else features
            else:
                features = kept[layer.name] = operations.pool(features, network.pooling)
            if layer.name in names:
                found[layer.name] = features
            if not keep:
                kept.clear()
        ctx.network, ctx.names, ctx.layers = network, names, layers
        ctx.kept_names = tuple(kept)
        ctx.image_dtype = image.dtype
        ctx.save_for_backward(*kept.values())
        return tuple(found[name] for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        network: Network = ctx.network
        kept = dict(zip(ctx.kept_names, ctx.saved_tensors, strict=True))
        given = dict(zip(ctx.names, gradients, strict=True))
        gradient: Tensor | None = None
        owned = False  # whether `gradient` is ours to overwrite
        rectified = False  # whether it has been through the rectifier before its turn
        for place in range(len(ctx.layers) - 1, -1, -1):
            layer = ctx.layers[place]
            own = given.get(layer.name)
            if own is not None:
                if gradient is None:
                    gradient = own.contiguous(memory_format=torch.channels_last)
                else:
                    gradient = gradient.add_(own)
            if gradient is None:
                continue
            if layer.kind == "relu":
                if not rectified:
                    gradient = operations.rectify_backward(gradient, kept[layer.name], owned)
                rectified = False
            elif layer.kind == "conv":
                gradient = network.convolve_backward(gradient, layer.name)
            else:
                before = ctx.layers[place - 1].name
                rectified = network.pooling == "max" and given.get(before) is None
                if rectified:
                    # A maximum passes the rectifier if and only if the pixel it came from
                    # does: a quarter of the work.
                    gradient = operations.rectify_backward(gradient, kept[layer.name], owned)
                gradient = operations.pool_backward(
                    gradient, kept[before], kept[layer.name], network.pooling
                )
            owned = True
        return (None if gradient is None else gradient.to(ctx.image_dtype)), None, None


def load(
    name: str = "vgg16",
    *,
    weights: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    pooling: str = "max",
    padding: str = "zeros",
    device: torch.device | str = "cpu",
    **fetching: Any,
) -> Network:
    """Load a network; by default exactly torchvision's.

    Args:
        name: ``vgg16`` or ``vgg19``.
        weights: a weights file; else the cache, else fetched.
        dtype: type of features inside.
        pooling: ``max`` or ``average``.
        padding: ``zeros``, ``replicate`` or ``circular``; see Network.
        device: where to compute.
        fetching: ``offline`` and ``progress``, as weights.load takes them.

    Raises:
        WeightsError: the weights are absent or damaged.
    """
    parameters = weights_module.load(name, file=weights, **fetching)
    return Network(parameters, name, dtype=dtype, pooling=pooling, padding=padding, device=device)


def _convolve_around(features: Tensor, weight: Tensor) -> Tensor:
    """Convolve a map that goes on at its other side."""
    return F.conv2d(_around(features), weight)


def _around(features: Tensor) -> Tensor:
    """Return a map with a border of one position that comes from its other side."""
    around = F.pad(features, (1, 1, 1, 1), mode="circular")
    return around.contiguous(memory_format=torch.channels_last)


def _fold_normalisation(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Let a first convolution take pixels of [0, 1] instead of normalised ones."""
    std = torch.tensor(STD, dtype=weight.dtype).view(1, 3, 1, 1)
    mean = torch.tensor(MEAN, dtype=weight.dtype).view(1, 3, 1, 1)
    weight = weight / std
    return weight, bias - (weight * mean).sum((1, 2, 3))
