"""VGG in eight bits: forward to the named layers, and back to the pixels.

From conv1_2 on, features are unsigned codes, and so are the gradients on the way back, with 128
for 0. Bias, rectifier and rounding to the next layer's codes happen inside the convolution. The
first convolution and everything that the objective sees are bfloat16. A code stands for a multiple
of its layer's step; :class:`Ranges` says how large the steps are, and they are the same for every
tile and process.

Weights have a step per output channel: Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", CVPR 2018. Differs: the gradient on the
image is computed in eight bits, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.compute.distributed import Ranks
from impasto.models.codes import (
    MOST,
    MOST_SIGNED,
    ZERO,
    Codes,
    encode_features,
    encode_gradient,
    pool_backward,
    pool_codes,
    rectify_backward,
    to_wide,
)
from impasto.models.conv import Convolutions

if TYPE_CHECKING:
    from impasto.models.vgg import VGGFeatures

# How far beyond the largest gradient of the step before its codes reach. Features need none: within
# one size their largest values stayed between 0.55 and 1.14 of those at its first step, and to cut
# off the few beyond costs less than longer steps of all codes.
_GRADIENT_HEADROOM = 1.5
# How much larger than the largest code a gradient is taken to be where it reached that code.
_GROWTH = 4.0
_FIRST = "conv1_1"


@cache
def has_operator() -> bool:
    """Return whether this version of torch has the convolutions of eight bits.

    They are not part of torch's public interface: arguments have changed before. So a small one is
    computed, forward and back.
    """
    try:
        features = torch.full((1, 2, 3, 3), 3, dtype=torch.uint8)
        features = features.contiguous(memory_format=torch.channels_last)
        plus = torch.ones_like(features, dtype=torch.bfloat16)
        ones = torch.ones(2, 2, 3, 3)
        forward = _convolved(
            Codes(features, 0.5), _IntegerWeight(ones, 0), None, 1, torch.uint8, 1.0, "relu"
        )
        gradient = Codes(features + ZERO, 0.5)
        weight = _IntegerWeight(ones, ZERO)
        backward = _convolved(gradient, weight, None, 1, torch.int8, 1.0, "none")
        with_plus = _convolved_sum(gradient, weight, 1, plus)
    except (AttributeError, RuntimeError, TypeError):
        return False
    results = (forward, backward, with_plus)
    return [float(values[0, 0, 1, 1]) for values in results] == [27.0, 27.0, 28.0]


@dataclass
class Ranges:
    """The largest magnitude at each convolution, of its rectified output and of its gradient.

    Attributes:
        features: the largest rectified value that each convolution returns, by its name.
        gradients: the largest magnitude that reaches each convolution on the way back.
        limits: ranges of features that are checked while these are recorded; None for no check.
        beyond: the number of features beyond the largest code of ``limits``, and of all features,
            by convolution.
    """

    features: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    limits: Ranges | None = None
    beyond: dict[str, tuple[int, int]] = field(default_factory=dict)

    def feature_step(self, name: str) -> float:
        """Return what one code of a convolution's features stands for."""
        return _step(self.features[name], MOST)

    def gradient_step(self, name: str) -> float:
        """Return what one code of a convolution's gradient stands for."""
        return _step(self.gradients[name] * _GRADIENT_HEADROOM, MOST_SIGNED)

    def record_features(self, name: str, values: Tensor) -> float:
        """Raise a range to the largest of ``values``; return the step that suits them alone."""
        largest = _largest(values)
        self.features[name] = max(self.features.get(name, 0.0), largest)
        if self.limits is not None:
            beyond, of = self.beyond.get(name, (0, 0))
            beyond += int(torch.count_nonzero(values > MOST * self.limits.feature_step(name)))
            self.beyond[name] = beyond, of + values.numel()
        return _step(largest, MOST)

    def record_gradient(self, name: str, values: Tensor) -> float:
        """Raise a range to the largest magnitude of ``values``; return the step for them alone."""
        largest = _largest(values)
        self.gradients[name] = max(self.gradients.get(name, 0.0), largest)
        return _step(largest, MOST_SIGNED)

    def combine(self, names: Sequence[str], ranks: Ranks) -> None:
        """Replace ranges and counts by those over all ``ranks``; ``names`` are the convolutions."""
        if ranks.count == 1:
            return
        for by_name in (self.features, self.gradients):
            largest = torch.tensor([by_name.get(name, 0.0) for name in names], dtype=torch.float64)
            by_name.update(zip(names, ranks.most(largest).tolist(), strict=True))
        counts = torch.tensor([self.beyond.get(name, (0, 0)) for name in names])
        ranks.add_in_place(counts)
        for name, (beyond, of) in zip(names, counts.tolist(), strict=True):
            self.beyond[name] = beyond, of

    def most_beyond(self) -> float:
        """Return the largest share of a map's values that are beyond the limits."""
        return max((beyond / of for beyond, of in self.beyond.values() if of), default=0.0)


def _step(largest: float, most: int) -> float:
    # A map of zeros has any step; the smallest float32 would overflow as a reciprocal.
    return max(largest, 1e-30) / most


def _largest(values: Tensor) -> float:
    """Return the largest magnitude."""
    if values.dtype != torch.bfloat16:
        return float(values.abs().amax())
    # As integers without their sign, magnitudes of bfloat16 have the same order.
    bits = values.view(torch.int16).bitwise_and(0x7FFF)
    return float(bits.amax().view(torch.bfloat16))


class _IntegerWeight:
    """A weight in eight bits, and a copy in oneDNN's memory format for maps of the latest size."""

    def __init__(self, plain: Tensor, zero: int) -> None:
        wide = plain.float()
        self.steps = wide.abs().amax((1, 2, 3)).clamp_min_(1e-30).div_(MOST_SIGNED)
        self.codes = wide.div(self.steps.view(-1, 1, 1, 1)).round_().to(torch.int8)
        self.zeros = torch.zeros(len(wide), dtype=torch.int32)
        self.zero = zero
        self._ordered = self.codes
        self._ordered_for: tuple[tuple[int, ...], int] | None = None

    def ordered(self, size: tuple[int, ...], padding: int) -> Tensor:
        """Return the weight for maps of ``size``, (B, C, H, W)."""
        if self._ordered_for != (size, padding):
            self._ordered_for = size, padding
            self._ordered = torch.ops.onednn.qconv_prepack(
                self.codes,
                self.steps,
                1.0,
                self.zero,
                [1, 1],
                [padding] * 2,
                [1, 1],
                1,
                list(size),
            )
        return self._ordered


class Int8Convolutions:
    """The convolutions of a network in eight bits; the first is that of ``wide``.

    Args:
        wide: the same convolutions in bfloat16.
    """

    def __init__(self, wide: Convolutions) -> None:
        self.padding = wide.padding
        names = [name for name in wide.names if name != _FIRST]
        self._forward = {name: _IntegerWeight(wide.weight(name), 0) for name in names}
        self._backward = {name: _IntegerWeight(wide.backward_weight(name), ZERO) for name in names}
        self._bias = {name: wide.bias(name).float() for name in names}

    def convolve(
        self, features: Codes, name: str, step: float | None, *, rectified: bool
    ) -> Tensor:
        """Convolve; return codes of ``step``, or bfloat16 if there is none."""
        values, padding = self._bordered(features.values)
        weight = self._forward[name]
        return _convolved(
            Codes(values, features.step),
            weight,
            self._bias[name],
            padding,
            torch.bfloat16 if step is None else torch.uint8,
            1.0 if step is None else step,
            "relu" if rectified else "none",
        )

    def convolve_backward(
        self, gradient: Codes, name: str, step: float | None, plus: Tensor | None = None
    ) -> Tensor:
        """Propagate a gradient, which is overwritten, back through a convolution.

        Return signed codes of ``step``, or bfloat16 if there is none; then ``plus`` is added.
        """
        unsigned = gradient.values.view(torch.uint8).bitwise_xor_(ZERO)
        values, padding = self._bordered(unsigned)
        weight, source = self._backward[name], Codes(values, gradient.step)
        if plus is not None:
            return _convolved_sum(source, weight, padding, plus)
        return _convolved(
            source,
            weight,
            None,
            padding,
            torch.bfloat16 if step is None else torch.int8,
            1.0 if step is None else step,
            "none",
        )

    def _bordered(self, codes: Tensor) -> tuple[Tensor, int]:
        if self.padding != "circular":
            return codes, 1
        around = F.pad(codes, (1, 1, 1, 1), mode="circular")
        return around.contiguous(memory_format=torch.channels_last), 0


def _convolved(
    source: Codes,
    weight: _IntegerWeight,
    bias: Tensor | None,
    padding: int,
    dtype: torch.dtype,
    step: float,
    then: str,
) -> Tensor:
    values: Tensor = torch.ops.onednn.qconv2d_pointwise(
        source.values,
        source.step,
        weight.zero,
        weight.ordered(tuple(source.values.shape), padding),
        weight.steps,
        weight.zeros,
        bias,
        [1, 1],
        [padding] * 2,
        [1, 1],
        1,
        step,
        0,
        dtype,
        then,
        [],
        "",
    )
    return values


def _convolved_sum(source: Codes, weight: _IntegerWeight, padding: int, plus: Tensor) -> Tensor:
    values: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
        source.values,
        source.step,
        weight.zero,
        weight.ordered(tuple(source.values.shape), padding),
        weight.steps,
        weight.zeros,
        plus.contiguous(memory_format=torch.channels_last),
        None,
        [1, 1],
        [padding] * 2,
        [1, 1],
        1,
        1.0,
        0,
        torch.bfloat16,
        1.0,
        0,
        "sum",
        1.0,
        None,
        [],
        None,
    )
    return values


def _unpack(saved: Tensor | Codes) -> Tensor:
    return saved.wide() if isinstance(saved, Codes) else saved


@dataclass
class Int8Pass:
    """How a pass in eight bits chooses its steps.

    Attributes:
        ranges: they set the codes' steps; not read if the pass is recorded.
        recording: with it, each map's own largest value sets its step, and raises these ranges.
        largest: the largest magnitude of the gradient so far, by convolution, in a pass that is
            not recorded; four times the largest code, if a gradient was cut off there.
    """

    ranges: Ranges = field(default_factory=Ranges)
    recording: Ranges | None = None
    largest: dict[str, float] = field(default_factory=dict)
    _codes: dict[int, Codes] | None = None

    @contextmanager
    def packing(self) -> Iterator[None]:
        """Save the requested maps, and parts of them, for the backward pass as their codes.

        The caller keeps the maps of a pass in memory until the block ends.
        """
        self._codes = {}
        with torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack):
            try:
                yield
            finally:
                self._codes = None

    def hand_out(self, features: Codes) -> Tensor:
        """Return a requested map in bfloat16."""
        wide = features.wide()
        if self._codes is not None:
            self._codes[wide.untyped_storage().data_ptr()] = features
        return wide

    def _pack(self, saved: Tensor) -> Tensor | Codes:
        codes = (self._codes or {}).get(saved.untyped_storage().data_ptr())
        if codes is None or saved.dtype != torch.bfloat16:
            return saved
        # A map and its codes have the same strides.
        values = codes.values.as_strided(saved.shape, saved.stride(), saved.storage_offset())
        return Codes(values, codes.step)

    def observe(self, name: str, gradient: Codes) -> None:
        """Raise the largest magnitude of a convolution's gradient in ``largest``."""
        low, high = int(gradient.values.amin()), int(gradient.values.amax())
        code = max(high, -low)
        seen = gradient.step * (_GROWTH * code if code >= MOST_SIGNED else max(code, 1))
        self.largest[name] = max(self.largest.get(name, 0.0), seen)


class Int8Features(torch.autograd.Function):
    """The pass through a network: image -> the maps of ``names`` in bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        network: VGGFeatures,
        names: tuple[str, ...],
        keep_gradients: bool,
        int8: Int8Pass,
    ) -> Any:
        """Compute the maps of ``names``, and save codes for the way back."""
        ranges, recording = int8.ranges, int8.recording
        keep = ctx.needs_input_grad[0]
        layers = network.spec.upto(names)
        maps: dict[str, Tensor] = {}
        saved: dict[str, Tensor] = {}
        features: Codes | None = None
        convolutions = network.int8_convolutions
        for index, layer in enumerate(layers):
            if layer.kind == "relu":
                assert features is not None
                saved[layer.name] = features.values
            elif layer.kind == "pool":
                assert features is not None
                features = Codes(pool_codes(features.values, network.pooling), features.step)
                saved[layer.name] = features.values
            else:
                wanted = layer.name in names
                to = None if wanted or recording else ranges.feature_step(layer.name)
                if features is None:
                    wide = network.convolutions.convolve(image, _FIRST, rectified=not wanted)
                elif to is None:
                    wide = convolutions.convolve(features, layer.name, None, rectified=not wanted)
                else:
                    values = convolutions.convolve(features, layer.name, to, rectified=True)
                    features = Codes(values, to)
                    continue
                if wanted:
                    maps[layer.name] = wide
                    if index + 1 == len(layers):
                        break
                    wide = wide.relu()
                if recording is None:
                    step = ranges.feature_step(layer.name)
                else:
                    step = recording.record_features(layer.name, wide)
                features = encode_features(wide, step)
                continue
            if layer.name in names:
                maps[layer.name] = int8.hand_out(features)
            if not keep:
                saved.clear()
        ctx.network, ctx.names, ctx.layers = network, names, layers
        ctx.int8 = int8
        ctx.saved_names, ctx.keep_gradients = tuple(saved), keep_gradients
        ctx.image_dtype = image.dtype
        ctx.save_for_backward(*saved.values())
        return tuple(maps[name] for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        """Propagate the gradients on the maps back to the image."""
        saved = dict(zip(ctx.saved_names, ctx.saved_tensors, strict=True))
        slopes = {
            name: own for name, own in zip(ctx.names, gradients, strict=True) if own is not None
        }
        back = _Backward(ctx.network, ctx.layers, ctx.int8)
        gradient = back.run(slopes, saved, overwrite=not ctx.keep_gradients)
        image_gradient = None if gradient is None else gradient.to(ctx.image_dtype)
        return image_gradient, None, None, None, None


class _Backward:
    """The way back through the layers, with the gradient in bfloat16 or in codes."""

    def __init__(
        self,
        network: VGGFeatures,
        layers: Sequence[Any],
        int8: Int8Pass,
    ) -> None:
        self._network, self._layers = network, layers
        self._int8 = int8
        self._ranges, self._recording = int8.ranges, int8.recording

    def run(
        self, slopes: dict[str, Tensor], saved: Mapping[str, Tensor], *, overwrite: bool
    ) -> Tensor | None:
        """Return the gradient on the image; ``slopes`` are those on the requested maps."""
        layers, pooling = self._layers, self._network.pooling
        gradient: Tensor | Codes | None = None
        rectified = False
        for index in range(len(layers) - 1, -1, -1):
            layer = layers[index]
            own = slopes.pop(layer.name, None)
            if own is not None:
                own = own.contiguous(memory_format=torch.channels_last)
                if not overwrite:
                    own = own.clone()
                gradient = own if gradient is None else own.add_(to_wide(gradient))
            if gradient is None:
                continue
            if layer.kind == "relu":
                if not rectified:
                    before = layers[index - 1].name
                    if self._may_encode(gradient, before, slopes):
                        # As codes it is masked with half the memory.
                        gradient = self._encode(gradient, before)
                    gradient = rectify_backward(gradient, saved[layer.name])
                rectified = False
            elif layer.kind == "pool":
                before = layers[index - 1].name
                rectified = pooling == "max" and before not in slopes
                if rectified:
                    gradient = rectify_backward(gradient, saved[layer.name])
                gradient = pool_backward(gradient, saved[before], saved[layer.name], pooling)
            elif layer.name == _FIRST:
                return self._network.convolutions.convolve_backward(to_wide(gradient), _FIRST)
            else:
                plus = slopes.pop(layers[index - 1].name, None)
                if plus is not None and not overwrite:
                    plus = plus.clone(memory_format=torch.channels_last)
                gradient = self._convolve(index, gradient, plus, slopes)
        return None if gradient is None else to_wide(gradient)

    def _convolve(
        self,
        index: int,
        gradient: Tensor | Codes,
        plus: Tensor | None,
        slopes: Mapping[str, Tensor],
    ) -> Tensor | Codes:
        name = self._layers[index].name
        if isinstance(gradient, Tensor):
            gradient = self._encode(gradient, name)
        if self._recording is None:
            self._int8.observe(name, gradient)
        convolutions = self._network.int8_convolutions
        step = None if plus is not None else self._step_after(index, slopes)
        values = convolutions.convolve_backward(gradient, name, step, plus)
        return values if step is None else Codes(values, step)

    def _may_encode(
        self, gradient: Tensor | Codes, before: str, slopes: Mapping[str, Tensor]
    ) -> TypeGuard[Tensor]:
        """Return whether the gradient behind a rectifier is next needed as codes."""
        # A recorded range is that of the gradient before the rectifier.
        is_wide = isinstance(gradient, Tensor) and self._recording is None
        return is_wide and before != _FIRST and before not in slopes

    def _encode(self, gradient: Tensor, name: str) -> Codes:
        if self._recording is None:
            step = self._ranges.gradient_step(name)
        else:
            step = self._recording.record_gradient(name, gradient)
        return encode_gradient(gradient, step)

    def _step_after(self, index: int, slopes: Mapping[str, Tensor]) -> float | None:
        """Return the step of the codes behind a convolution; None where it must stay wide."""
        if self._recording is not None:
            return None
        share = 1.0
        for layer in reversed(self._layers[:index]):
            if layer.name in slopes or layer.name == _FIRST:
                return None
            if layer.kind == "pool" and self._network.pooling == "average":
                share = 4.0  # each of four takes a quarter, by a smaller step of the same codes
            if layer.kind == "conv":
                return self._ranges.gradient_step(layer.name) * share
        return None
