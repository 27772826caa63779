"""Any torch module as the network of a painting: its layers by name, its gradients by autograd.

The layers are the module's submodules whose output is a feature map, under the names of
``named_modules()``. What a map costs and where its positions lie is measured by a trial.
"""

from __future__ import annotations

import copy
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from impasto.config.networks import Layer, NetworkSpec
from impasto.errors import SettingsError, ShapeError, one_line
from impasto.models.base import FeatureNetwork

# The sides of the two trial images. A stride of at most 64 pixels shows in their maps.
_TRIAL_PX = (64, 128)
_BLOCKS = 5


@dataclass(frozen=True, eq=False)
class ModuleSpec(NetworkSpec):
    """The layers of a torch module.

    Attributes:
        module: a copy of the user's, in evaluation mode.
        named_layers: the layers, in the order in which they are computed.
        flops: operations per pixel up to each layer.
        halos_known: whether the module declares how far its features see.
        sha256: hash of its ``state_dict``: names, shapes, types and numbers.
    """

    module: nn.Module = nn.Identity()  # noqa: RUF009 - a default for the dataclass alone
    named_layers: tuple[Layer, ...] = ()
    flops: tuple[float, ...] = ()
    halos_known: bool = False
    sha256: str = ""

    @property
    def origin(self) -> nn.Module:
        """The module, whose package recipes name."""
        return self.module

    @property
    def has_halos(self) -> bool:
        """Whether the module declares how far its features see."""
        return self.halos_known

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, from the image to the deepest."""
        return self.named_layers

    def conv_shapes(self, names: Any = None) -> dict[str, tuple[int, ...]]:
        """Return nothing: its weights are the module's own."""
        return {}

    def flops_per_pixel(self, names: Any) -> float:
        """Return the operations per pixel of the convolutions up to the deepest of ``names``."""
        return self.flops[self.named_layers.index(self.deepest(names))]


class ModuleFeatures:
    """A torch module as a network; see :class:`impasto.models.base.FeatureNetwork`."""

    def __init__(self, spec: ModuleSpec, device: torch.device) -> None:
        self.name, self.spec, self.device = spec.name, spec, device
        self.notes: tuple[str, ...] = ()
        self.padding = "zeros"
        self._module = copy.deepcopy(spec.module).to(device)
        self.dtype = _dtype(self._module)

    def padded(self, padding: str) -> FeatureNetwork:
        """Return the network itself: a module has its own padding."""
        return self

    def check_weights(self, names: tuple[str, ...]) -> None:
        """Do nothing: a module has all its weights."""

    def features(
        self, image: Tensor, layers: list[str] | tuple[str, ...], *, keep_gradients: bool = True
    ) -> dict[str, Tensor]:
        """Return the feature maps of ``image`` at ``layers``; computes no further than these.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1].
            layers: names of submodules.
            keep_gradients: without effect: autograd keeps what it needs.

        Raises:
            SettingsError: the module does not have a layer.
            ShapeError: a map of this image has fewer positions than its stride says.
        """
        for name in layers:
            self.spec.layer(name)
        if not layers:
            return {}
        outputs = _run(self._module, image.to(self.dtype), set(layers))
        maps = {}
        for name in layers:
            stride_px = self.spec.layer(name).stride_px
            height, width = (side_px // stride_px for side_px in image.shape[-2:])
            if min(outputs[name].shape[-2] - height, outputs[name].shape[-1] - width) < 0:
                raise ShapeError(
                    f"expected a map of at least {height} x {width} positions at {name!r}, got "
                    f"{tuple(outputs[name].shape)}; ask for a layer before it"
                )
            maps[name] = outputs[name][..., :height, :width]
        return maps


def module_spec(module: nn.Module) -> ModuleSpec:
    """Find the layers of a module by a trial.

    Args:
        module: takes images (1, 3, H, W), sRGB in [0, 1], of any size; it normalises them itself.
            An attribute ``halo_px``, a mapping from layers to pixels, declares how far in the image
            a feature sees around its own position. Only these layers can be used then, and large
            pictures are painted in tiles, exactly. Without it, they are refused.

    Raises:
        SettingsError: the module fails in the trial, or has no feature maps.
    """
    own = copy.deepcopy(module).eval().requires_grad_(False)
    for part in own.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment] # it would overwrite the map before it
    label = type(module).__qualname__
    try:
        smaller, larger = (_trial(own, side_px) for side_px in _TRIAL_PX)
    except Exception as error:
        raise SettingsError(
            f"network: expected a module that takes images (1, 3, H, W) of any size, got "
            f"{label}, which fails at {' or '.join(map(str, _TRIAL_PX))} pixels: {one_line(error)}"
        ) from error
    halos = getattr(module, "halo_px", None)
    layers, flops, so_far = [], [], 0.0
    parts = dict(own.named_modules())
    for name, small in smaller.items():
        stride_px = _stride_px(small, larger[name])
        part = parts[name]
        if stride_px is not None and isinstance(part, nn.Conv2d):
            so_far += 2.0 * part.weight.numel() / stride_px**2
        if stride_px is None or (halos is not None and name not in halos):
            continue
        block = min(_BLOCKS, 1 + int(math.log2(stride_px)))
        halo_px = 0 if halos is None else int(halos[name])
        kind = type(part).__name__
        layers.append(Layer(name, kind, block, small.shape[1], stride_px, halo_px))
        flops.append(max(1.0, so_far))
    if not layers:
        raise SettingsError(
            f"network: expected a module with named layers whose output is a feature map "
            f"(1, C, H, W), got {label}, which has none"
        )
    sha256 = _sha256(own)
    word = re.sub(r"[^\w.]+", "", f"{type(module).__module__}.{label}")
    name = f"{word[-90:]}@{sha256[:8]}"
    return ModuleSpec(name, (), (), own, tuple(layers), tuple(flops), halos is not None, sha256)


def _trial(module: nn.Module, side_px: int) -> dict[str, Tensor]:
    image = torch.full((1, 3, side_px, side_px), 0.5, dtype=_dtype(module), device=_device(module))
    with torch.no_grad():
        return _run(module, image)


def _run(module: nn.Module, image: Tensor, wanted: set[str] | None = None) -> dict[str, Tensor]:
    """Return the outputs of submodules by name, in the order in which they are computed.

    Only tensors of four axes count, and only of submodules that are called once. With ``wanted``,
    the module is left as soon as it has computed all of these.
    """
    outputs: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def keep(name: str, output: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        if isinstance(output, Tensor) and output.ndim == 4 and (not wanted or name in wanted):
            outputs[name] = output
        if wanted is not None and len(outputs) == len(wanted):
            raise _Done

    with _hooked(module, keep):
        try:
            module(image)
        except _Done:
            return outputs
    return {name: output for name, output in outputs.items() if calls[name] == 1}


class _Done(Exception):  # noqa: N818 - no error
    """All wanted maps are there."""


@contextmanager
def _hooked(module: nn.Module, keep: Any) -> Iterator[None]:
    handles = [
        part.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name, part in module.named_modules()
        if name
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _stride_px(small: Tensor, large: Tensor) -> int | None:
    """Return the stride of a map from its sides in both trials; None if it has no constant one."""
    strides = set()
    for axis in (-2, -1):
        more = large.shape[axis] - small.shape[axis]
        stride_px, rest = divmod(_TRIAL_PX[1] - _TRIAL_PX[0], more) if more > 0 else (0, 1)
        # Tiles begin at multiples of every stride.
        if rest or stride_px & (stride_px - 1) or small.shape[axis] < _TRIAL_PX[0] // stride_px:
            return None
        strides.add(stride_px)
    return strides.pop() if len(strides) == 1 else None


def _dtype(module: nn.Module) -> torch.dtype:
    return next((part.dtype for part in module.parameters()), torch.float32)


def _device(module: nn.Module) -> torch.device:
    return next((part.device for part in module.parameters()), torch.device("cpu"))


def _sha256(module: nn.Module) -> str:
    state: Mapping[str, Any] = module.state_dict()
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if not isinstance(value, Tensor):
            continue
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        flat = value.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()
