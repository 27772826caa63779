"""Check pictures in NumPy arrays or tensors, and split colour from opacity."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError, ShapeError
from impasto.images.icc import Floats, to_unit

# Rounding in float16 leaves [0, 1] by about this much; such values are clipped.
_ROUNDING = 1e-4


def split_array(array: NDArray[Any]) -> tuple[Floats, Floats | None]:
    """Split an array into sRGB (H, W, 3) and opacity (H, W), or None if all is opaque.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16 or floats in [0, 1].

    Raises:
        ShapeError: another shape.
        ImageError: another type, a value out of range, or NaN.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        advice = "use numpy.moveaxis(array, 0, -1)" if channels_first else "reshape it"
        raise ShapeError(
            "expected an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {array.shape}; {advice}"
        )
    if array.dtype.name not in ("uint8", "uint16") and array.dtype.kind != "f":
        raise ImageError(
            f"expected an array of uint8, uint16 or floats in [0, 1], got {array.dtype}; "
            "convert it with astype"
        )
    return _split(_check_range(torch.from_numpy(to_unit(array).transpose(2, 0, 1).copy())))


def split_tensor(tensor: Tensor) -> tuple[Floats, Floats | None]:
    """Split a tensor into sRGB (H, W, 3) and opacity (H, W), or None if all is opaque.

    Args:
        tensor: (C, H, W) or (1, C, H, W) with 1, 3 or 4 channels; uint8 or floats in [0, 1].

    Raises:
        ShapeError: another shape.
        ImageError: another type, a value out of range, or NaN.
    """
    shape = tuple(tensor.shape)
    planes = tensor[0] if tensor.ndim == 4 and shape[0] == 1 else tensor
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4) or not planes.numel():
        channels_last = planes.ndim == 3 and planes.shape[2] in (1, 3, 4)
        advice = "use tensor.permute(2, 0, 1)" if channels_last else "load one picture at a time"
        raise ShapeError(
            f"expected a tensor of shape (3, H, W) or (1, 3, H, W), got {shape}; {advice}"
        )
    planes = planes.detach().cpu()
    if planes.dtype == torch.uint8:
        return _split(planes.to(torch.float32) / 255)
    if not planes.is_floating_point():
        raise ImageError(
            f"expected a tensor of uint8 or floats in [0, 1], got {tensor.dtype}; convert it"
        )
    return _split(_check_range(planes.to(torch.float32, copy=True)))


def _check_range(values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise ImageError("expected numbers in [0, 1], got NaN or infinity; replace them first")
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(
            f"expected numbers in [0, 1], got {low:g} to {high:g}; "
            "divide by the value of white, or clip"
        )
    return values.clamp_(0, 1)


def _split(planes: Tensor) -> tuple[Floats, Floats | None]:
    alpha = planes[3].numpy() if planes.shape[0] == 4 else None
    opaque = alpha is None or float(alpha.min()) == 1.0
    rgb = planes[:3].expand(3, -1, -1).permute(1, 2, 0).numpy()
    return rgb, None if opaque else alpha
