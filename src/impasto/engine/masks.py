"""Masks: pictures that say where a region is.

A mask is a grey picture: white is inside, black outside, and grey in between. Label maps from
segmentation tools are accepted too. A map of two values needs nothing else; in a map of several,
the colour of a label picks the region. A mask may also be a shape of one colour on a transparent
background.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from impasto import images
from impasto.errors import ImageError, SettingsError
from impasto.images.picture import Picture
from impasto.job.job import ImageSource

_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_LEAST_GREY = 0.5 / 255
# JPEG adds some colour to a grey picture. A pixel counts as coloured if its channels differ by more
# than the first number, and a picture if more than the second, a share of its pixels, are coloured.
_CHROMA = 32 / 255
_COLOURED_SHARE = 0.005
# Labels are numbered from 0. A picture whose levels are all at most this is a map of labels.
_MOST_LABELS = 32
# Colours that differ by no more than this, in [0, 1], are the same.
_SAME = 2 / 255
_SAMPLE_PX = 256
_COMMONEST = 4


def split_colour(word: str) -> tuple[str, str | None]:
    """Split ``FILE#rrggbb`` into the file and the colour of a label; None if there is no colour."""
    file, mark, digits = word.rpartition("#")
    if file and _COLOUR.fullmatch(mark + digits):
        return file, check_colour(mark + digits)
    return word, None


def check_colour(colour: str) -> str:
    """Return a colour as ``#rrggbb``.

    Raises:
        SettingsError: not ``#rgb`` or ``#rrggbb``.
    """
    if not _COLOUR.fullmatch(colour):
        raise SettingsError(f"region: expected a colour such as #ff0000, got {colour!r}")
    digits = colour[1:].lower()
    return f"#{digits}" if len(digits) == 6 else "#" + "".join(2 * digit for digit in digits)


def load(source: ImageSource, label: str, colour: str | None = None) -> Picture:
    """Read a mask; masks of other kinds are converted to a grey picture without opacity.

    Args:
        source: a picture in any form, or a boolean array or tensor.
        label: the mask's name in messages.
        colour: the colour of the label that is inside, as ``#rrggbb``.

    Raises:
        ImageError: the file is unreadable, the mask is black everywhere, or it is a map of
            several labels and no colour picks one.
    """
    picture = images.load(_grey_levels(source))
    label = f"{label} ({picture.name!r})"
    mask = _as_mask(picture, label) if colour is None else _picked(picture, label, colour)
    if weights(mask).max() < _LEAST_GREY:
        raise ImageError(
            f"{label}: expected some white, got black everywhere; paint white where the region is, "
            "or leave the region out"
        )
    return mask


def weights(mask: Picture) -> Tensor:
    """Return the weight of each pixel of a mask: (1, 1, H, W) in [0, 1]."""
    pixels = mask.pixels.mean(1, keepdim=True)
    return pixels if mask.alpha is None else pixels * mask.alpha


def _grey_levels(source: ImageSource) -> ImageSource:
    """Convert a boolean array or tensor to grey levels."""
    if isinstance(source, np.ndarray) and source.dtype == bool:
        return source.astype(np.uint8) * 255
    if isinstance(source, Tensor) and source.dtype == torch.bool:
        return source.to(torch.uint8) * 255
    return source


def _as_mask(picture: Picture, label: str) -> Picture:
    if picture.alpha is not None and _is_a_shape(picture.pixels, picture.alpha):
        return _grey(picture, picture.alpha)
    is_coloured = _is_coloured(picture)
    if not is_coloured and not _holds_labels(picture.pixels):
        return picture
    inside = _brighter_of_two(picture.pixels, from_black=is_coloured)
    if inside is not None:
        return _grey(picture, inside if picture.alpha is None else inside * picture.alpha)
    raise ImageError(
        f"{label}: expected a mask, white where the region is and black outside, got a map of "
        f"several labels ({_listed(picture)}); pick one by its colour, as in "
        f"{picture.file_name or 'map.png'}#{_commonest(picture)[-1]}"
    )


def _picked(picture: Picture, label: str, colour: str) -> Picture:
    """Return a mask of the pixels of one colour."""
    levels = torch.tensor([int(colour[index : index + 2], 16) for index in (1, 3, 5)]).view(
        1, 3, 1, 1
    )
    inside = (_levels(picture.pixels) == levels).all(1, keepdim=True).float()
    if picture.alpha is not None:
        inside = inside * picture.alpha
    if not bool(inside.any()):
        raise ImageError(
            f"{label}: expected pixels of the colour {colour}, got none ({_listed(picture)}); pick "
            "one that is there, and save the map as PNG, because JPEG changes colours"
        )
    return _grey(picture, inside)


def _is_a_shape(pixels: Tensor, alpha: Tensor) -> bool:
    """Return whether all visible pixels have one colour, and only the opacity varies."""
    visible = pixels[0][:, alpha[0, 0] > 0]
    if not visible.numel() or float(alpha.min()) == float(alpha.max()):
        return False
    low, high = visible.aminmax(dim=1)
    return bool((high - low).max() <= _SAME)


def _is_coloured(picture: Picture) -> bool:
    low, high = picture.pixels.aminmax(dim=1, keepdim=True)
    coloured = high - low > _CHROMA
    if picture.alpha is not None:
        coloured &= picture.alpha > 0
    return float(coloured.float().mean()) > _COLOURED_SHARE


def _holds_labels(pixels: Tensor) -> bool:
    """Return whether the values are label numbers: small whole numbers of 8 or 16 bits."""
    highest = float(pixels.max())
    for white in (65535, 255):
        if 0 < highest * white <= _MOST_LABELS + 0.5:
            values = pixels * white
            return bool((values - values.round()).abs().max() < 1e-2)
    return False


def _brighter_of_two(pixels: Tensor, *, from_black: bool) -> Tensor | None:
    """Return a mask of the brighter of two colours, (1, 1, H, W); None if there are not two.

    Args:
        pixels: (1, 3, H, W).
        from_black: whether the darker colour must be black. Without that, it is not clear which of
            two colours is inside.
    """
    brightness = pixels.sum(1, keepdim=True)
    colours = [
        pixels.flatten(2)[..., extreme].view(1, 3, 1, 1)
        for extreme in (brightness.argmin(), brightness.argmax())
    ]
    dark, bright = ((pixels - colour).abs().amax(1, keepdim=True) == 0 for colour in colours)
    if not bool((dark | bright).all()) or bool((dark & bright).any()):
        return None
    if from_black and float(colours[0].max()) > 0:
        return None
    return bright.float()


def _grey(picture: Picture, mask: Tensor) -> Picture:
    return replace(picture, pixels=mask.expand(-1, 3, -1, -1), alpha=None)


def _levels(pixels: Tensor) -> Tensor:
    return (pixels * 255).round().to(torch.int64)


def _commonest(picture: Picture) -> list[str]:
    """Return the most common colours, as six digits each, the most common first."""
    steps = [math.ceil(side_px / _SAMPLE_PX) for side_px in picture.pixels.shape[-2:]]
    levels = _levels(picture.pixels[0, :, :: steps[0], :: steps[1]]).flatten(1)
    packed = (levels[0] * 256 + levels[1]) * 256 + levels[2]
    numbers, counts = np.unique(packed.numpy(), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return [f"{int(number):06x}" for number in numbers[order]]


def _listed(picture: Picture) -> str:
    return f"the commonest are {', '.join('#' + digits for digits in _commonest(picture))}"
