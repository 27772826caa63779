"""Convert colours with an ICC profile to sRGB; and the ICC profile of sRGB.

libvips, which uses LittleCMS, converts to 16 bits per sample. Pillow converts to 8, which loses
tones of pictures in a wide gamut.
"""

from __future__ import annotations

from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

Floats = NDArray[np.float32]
Space = Literal["grey", "rgb", "cmyk"]

_INTERPRETATIONS = {
    ("grey", "uint8"): "b-w",
    ("grey", "uint16"): "grey16",
    ("rgb", "uint8"): "srgb",
    ("rgb", "uint16"): "rgb16",
    ("cmyk", "uint8"): "cmyk",
    ("cmyk", "uint16"): "cmyk",
}


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB, always the same bytes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # LittleCMS writes the date into the profile; replace it, so that the bytes are always the same.
    return profile[:24] + bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0)) + profile[36:]


def to_unit(samples: NDArray[Any]) -> Floats:
    """Scale unsigned integers by their largest value to [0, 1]; floats stay as they are."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    white = np.float32(np.iinfo(samples.dtype).max)
    # One plane for each channel, as in torch, so that a large picture is not copied again.
    planes = np.empty((*samples.shape[2:], *samples.shape[:2]), np.float32)
    unit: Floats = np.moveaxis(planes, 0, -1) if samples.ndim == 3 else planes
    np.divide(samples, white, out=unit)
    return unit


def from_linear(light: Floats) -> Floats:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    encoded: Floats = np.where(
        light <= 0.0031308,
        12.92 * light,
        1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055,
    ).astype(np.float32)
    return encoded


def _to_16_bits(unit: Floats) -> NDArray[np.uint16]:
    return np.rint(np.clip(unit, 0, 1) * 65535).astype(np.uint16)


def to_srgb(colour: NDArray[Any], space: Space, profile: Any) -> Floats:
    """Convert (H, W, channels) to sRGB (H, W, 3); a profile that cannot be used is ignored."""
    if profile and not _is_srgb(bytes(profile), space):
        samples = _to_16_bits(colour) if colour.dtype.kind == "f" else colour
        converted = _apply_profile(samples, space, bytes(profile))
        if converted is not None:
            return converted
    unit = to_unit(colour)
    if space == "cmyk":
        return (1 - unit[..., :3]) * (1 - unit[..., 3:])
    return unit if space == "rgb" else np.repeat(unit, 3, axis=2)


@lru_cache(maxsize=16)
def _is_srgb(profile: bytes, space: Space) -> bool:
    """Return whether the profile leaves sRGB colours unchanged, up to rounding."""
    if space == "cmyk":
        return False
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    axes = np.meshgrid(*[levels] * (1 if space == "grey" else 3), indexing="ij")
    probe = np.stack(axes, axis=-1).reshape(1, -1, len(axes))
    converted = _apply_profile(probe, space, profile)
    return converted is not None and bool(np.abs(converted - to_unit(probe)).max() < 0.75 / 255)


def _apply_profile(colour: NDArray[Any], space: Space, profile: bytes) -> Floats | None:
    """Relative colorimetric with black point compensation; None if the profile cannot be used."""
    import pyvips

    if not _describes(profile, space):
        return None
    interpretation = _INTERPRETATIONS[space, colour.dtype.name]
    image = pyvips.Image.new_from_array(np.ascontiguousarray(colour))
    image = image.copy(interpretation=interpretation)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    options = {"intent": "relative", "black_point_compensation": True}
    try:
        if colour.dtype == np.uint8:
            converted = image.icc_transform("srgb", embedded=True, depth=16, **options)
        else:
            # In a single transform, LittleCMS uses a coarse table for 16 bits: errors up to 0.08.
            lab = image.icc_import(embedded=True, **options)
            converted = lab.icc_export(output_profile="srgb", depth=16, **options)
        samples = np.asarray(converted.numpy())
    except pyvips.Error:
        return None
    return to_unit(samples) if samples.shape[2:] == (3,) else None


def _describes(profile: bytes, space: Space) -> bool:
    """Return whether the profile can be parsed and describes this colour space."""
    try:
        parsed = ImageCms.ImageCmsProfile(BytesIO(profile)).profile
    except Exception:  # LittleCMS raises for invalid profiles.
        return False
    return parsed.xcolor_space == {"grey": "GRAY", "rgb": "RGB ", "cmyk": "CMYK"}[space]
