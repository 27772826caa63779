"""VGG by hand: forward to the named layers, and back to the pixels.

Painting needs only the gradient with respect to the image. So the backward pass is written by hand:
there are no weight gradients, and no maps from before a rectifier are stored. The pass is one
``torch.autograd.Function`` (image -> named features), so any loss composes with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from impasto import weights as weights_module
from impasto.config.networks import network_spec
from impasto.errors import ImpastoError, ShapeError, WeightsError
from impasto.models.conv import Convolutions
from impasto.models.int8 import Int8Convolutions, Int8Features, Int8Pass
from impasto.models.pooling import pool, pool_backward, rectify_backward


class VGGFeatures(nn.Module):
    """A VGG as torchvision defines it, evaluated up to the requested layers.

    As a module it has no trainable parameters. ``to``, ``state_dict``, ``load_state_dict``, pickle
    and deepcopy work; the weights are torchvision's, under the names ``conv1_1.weight`` ...
    Features are differentiable once with respect to the image. A second derivative raises torch's
    error, and transforms of ``torch.func`` raise ImpastoError.

    Differs: the image is sRGB in [0, 1]; the normalisation that the network was trained
    with is folded into the first convolution.

    Args:
        parameters: ``conv1_1.weight`` (out, in, 3, 3), ``conv1_1.bias`` (out,), and so on.
        name: ``vgg16`` or ``vgg19``.
        dtype: type of features inside; the image may be wider.
        pooling: ``max``, or ``average`` as Gatys et al. recommend.
        padding: the padding of the first convolution: ``zeros`` after normalisation, as
            torchvision's; or the border's own pixels (``replicate``), which is the default of a
            painting. Deeper convolutions pad with zeros. With ``circular``, all convolutions
            continue at the opposite side, as if the image were a tile of an endless pattern.
        device: the device of the network.
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
        super().__init__()
        self.name = name
        self.spec = network_spec(name)
        # Messages for the user about the weights.
        self.notes: tuple[str, ...] = ()
        self.dtype = dtype
        self.pooling = pooling
        self.padding = padding
        self.device = torch.device(device)
        self._int8_convolutions: Int8Convolutions | None = None
        self.convolutions = Convolutions(
            parameters, name, dtype=dtype, padding=padding, device=self.device
        )

    def padded(self, padding: str) -> VGGFeatures:
        """Return the same network with another padding; weights are shared."""
        other = copy.copy(self)
        other.padding, other.convolutions = padding, self.convolutions.padded(padding)
        other._int8_convolutions = None
        return other

    @overload
    def forward(self, image: Tensor, layers: str) -> Tensor: ...

    @overload
    def forward(self, image: Tensor, layers: list[str] | tuple[str, ...]) -> dict[str, Tensor]: ...

    def forward(
        self, image: Tensor, layers: str | list[str] | tuple[str, ...]
    ) -> Tensor | dict[str, Tensor]:
        """Return what :meth:`features` does."""
        return self.features(image, layers)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        options = f"pooling={self.pooling!r}, padding={self.padding!r}"
        return f"{self.name!r}, dtype={self.dtype}, {options}, device={str(self.device)!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VGGFeatures:
        """Convert the weights, for ``to``, ``half``, ``cuda`` and the like."""
        converted = {name: fn(value) for name, value in self.convolutions.parameters().items()}
        example = next(iter(converted.values()), torch.empty(0, dtype=self.dtype))
        self.dtype, self.device = example.dtype, example.device
        # Rounded only once.
        self._prepare(converted | self.convolutions.first)
        return self

    def _prepare(self, parameters: dict[str, Tensor]) -> None:
        self._int8_convolutions = None
        self.convolutions = Convolutions(
            parameters, self.name, dtype=self.dtype, padding=self.padding, device=self.device
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, value in self.convolutions.parameters().items():
            destination[f"{prefix}{name}"] = value

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = self.convolutions.parameters()
        parameters = {}
        for name, before in own.items():
            value = state_dict.get(f"{prefix}{name}")
            if value is None:
                missing_keys.append(f"{prefix}{name}")
            elif value.shape != before.shape:
                error_msgs.append(
                    f"{prefix}{name}: expected the shape {tuple(before.shape)}, got "
                    f"{tuple(value.shape)}"
                )
            else:
                parameters[name] = value.to(before)
        unexpected_keys += [
            name
            for name in state_dict
            if name.startswith(prefix) and name.removeprefix(prefix) not in own
        ]
        if not error_msgs:
            self._prepare(own | parameters)

    @property
    def int8_convolutions(self) -> Int8Convolutions:
        """The convolutions in eight bits, prepared on first use."""
        if self._int8_convolutions is None:
            self._int8_convolutions = Int8Convolutions(self.convolutions)
        return self._int8_convolutions

    @overload
    def features(self, image: Tensor, layers: str, *, keep_gradients: bool = True) -> Tensor: ...

    @overload
    def features(
        self,
        image: Tensor,
        layers: list[str] | tuple[str, ...],
        *,
        keep_gradients: bool = True,
        int8: Int8Pass | None = None,
    ) -> dict[str, Tensor]: ...

    def features(
        self,
        image: Tensor,
        layers: str | list[str] | tuple[str, ...],
        *,
        keep_gradients: bool = True,
        int8: Int8Pass | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Return the feature maps of ``image`` at ``layers``.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1].
            layers: names such as ``relu4_2``; or one name, for its map alone.
            keep_gradients: False if nothing else holds the gradients of the maps: the backward pass
                then overwrites them, which saves a pass over each.
            int8: the ranges for a pass in eight bits; None for one in the network's dtype.

        Returns:
            Maps (B, C, H', W') by name, in the network's dtype, differentiable once with
            respect to the image.

        Raises:
            SettingsError: this network does not have a layer.
            ShapeError: not (B, 3, H, W), not of floats, or too small for the deepest layer.
            WeightsError: the weights end before the deepest layer.
            ImpastoError: inside a transform of ``torch.func``.
        """
        if isinstance(layers, str):
            return self.features(image, [layers], keep_gradients=keep_gradients)[layers]
        if torch._C._are_functorch_transforms_active():
            raise ImpastoError(
                "expected autograd, got a transform of torch.func, which the hand-written backward "
                "pass does not support; use torch.autograd.grad"
            )
        names = tuple(layers)
        for name in names:
            self.spec.layer(name)
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
        self.check_weights(names)
        side_px = self.spec.smallest_side_px(names)
        if min(image.shape[-2:]) < side_px:
            raise ShapeError(
                f"expected an image of at least {side_px} x {side_px} pixels for the layers asked "
                f"for, got {image.shape[-1]} x {image.shape[-2]}; enlarge it, or ask for "
                "shallower layers"
            )
        if not torch.is_grad_enabled():
            # Inside a Function, requires_grad is set for every image that could have a gradient.
            image = image.detach()
        if int8 is None:
            maps = _Features.apply(image, self, names, keep_gradients)  # type: ignore[no-untyped-call]
        else:
            maps = Int8Features.apply(image, self, names, keep_gradients, int8)  # type: ignore[no-untyped-call]
        return dict(zip(names, maps, strict=True))

    def check_weights(self, names: tuple[str, ...]) -> None:
        """Make sure that the weights reach all layers of ``names``.

        Raises:
            WeightsError: they end before the deepest.
        """
        for name in self.spec.conv_shapes(names):
            if name not in self.convolutions:
                raise WeightsError(
                    f"expected weights of {name} for {', '.join(names)}, got none; "
                    "give weights that reach deeper, or ask for shallower layers"
                )


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, network: VGGFeatures, names: tuple[str, ...], keep_gradients: bool
    ) -> Any:
        keep = ctx.needs_input_grad[0]
        maps: dict[str, Tensor] = {}
        saved: dict[str, Tensor] = {}
        layers = network.spec.upto(names)
        features = image
        for index, layer in enumerate(layers):
            if layer.kind == "conv":
                # Both at once, unless the values before the rectifier are requested.
                rectified = layer.name not in names
                features = network.convolutions.convolve(features, layer.name, rectified=rectified)
            elif layer.kind == "relu":
                wanted = layers[index - 1].name in maps
                features = saved[layer.name] = features.relu() if wanted else features
            else:
                features = saved[layer.name] = pool(features, network.pooling)
            if layer.name in names:
                maps[layer.name] = features
            if not keep:
                saved.clear()
        ctx.network, ctx.names, ctx.layers = network, names, layers
        ctx.saved_names, ctx.keep_gradients = tuple(saved), keep_gradients
        ctx.image_dtype = image.dtype
        ctx.save_for_backward(*saved.values())
        return tuple(maps[name] for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        network: VGGFeatures = ctx.network
        saved = dict(zip(ctx.saved_names, ctx.saved_tensors, strict=True))
        slopes = dict(zip(ctx.names, gradients, strict=True))
        gradient: Tensor | None = None
        owned = False  # whether `gradient` may be overwritten
        rectified = False  # whether it has already passed the rectifier
        for index in range(len(ctx.layers) - 1, -1, -1):
            layer = ctx.layers[index]
            own = slopes.pop(layer.name, None)
            if own is not None:
                if gradient is None:
                    gradient = own.contiguous(memory_format=torch.channels_last)
                else:
                    gradient = gradient.add_(own)
            if gradient is None:
                continue
            if layer.kind == "relu":
                if not rectified:
                    gradient = rectify_backward(gradient, saved[layer.name], owned)
                rectified = False
            elif layer.kind == "conv":
                # The gradient of the layer before is added in the same pass.
                plus = slopes.pop(ctx.layers[index - 1].name, None) if index else None
                if plus is not None and ctx.keep_gradients:
                    plus = plus.clone(memory_format=torch.channels_last)
                gradient = network.convolutions.convolve_backward(gradient, layer.name, plus=plus)
            else:
                before = ctx.layers[index - 1].name
                rectified = network.pooling == "max" and slopes.get(before) is None
                if rectified:
                    # A maximum passes the rectifier if and only if the pixel it came from
                    # does: a quarter of the work.
                    gradient = rectify_backward(gradient, saved[layer.name], owned)
                gradient = pool_backward(
                    gradient, saved[before], saved[layer.name], network.pooling
                )
            owned = True
        return (None if gradient is None else gradient.to(ctx.image_dtype)), None, None, None


def load(
    name: str = "vgg16",
    *,
    weights: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    pooling: str = "max",
    padding: str = "zeros",
    device: torch.device | str = "cpu",
    **fetching: Any,
) -> VGGFeatures:
    """Load a network; by default exactly torchvision's.

    Args:
        name: ``vgg16`` or ``vgg19``.
        weights: a weights file; by default from the cache, or downloaded.
        dtype: type of features inside.
        pooling: ``max`` or ``average``.
        padding: ``zeros``, as torchvision's; ``replicate``, as a painting's by default; or
            ``circular``. See VGGFeatures.
        device: where to compute.
        fetching: ``offline`` and ``progress``, as weights.load takes them.

    Raises:
        WeightsError: the weights are absent or damaged.
    """
    notes: list[str] = []
    parameters = weights_module.load(name, file=weights, notify=notes.append, **fetching)
    network = VGGFeatures(
        parameters, name, dtype=dtype, pooling=pooling, padding=padding, device=device
    )
    network.notes = tuple(notes)
    return network
