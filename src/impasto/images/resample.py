"""Change the size of a picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def fit(height_px: int, width_px: int, longest_px: int) -> tuple[int, int]:
    """Scale a size to the longest side ``longest_px``, with the same aspect ratio.

    Returns:
        Height and width in pixels; the shorter side is rounded, and at least 1.
    """
    longest = max(height_px, width_px)

    def scale(side_px: int) -> int:
        return max(1, (2 * side_px * longest_px + longest) // (2 * longest))

    return scale(height_px), scale(width_px)


def resize(pixels: Tensor, height_px: int, width_px: int) -> Tensor:
    """Resample to another size: bicubic, with antialiasing.

    Args:
        pixels: of shape (B, C, H, W), in [0, 1].
        height_px: new height in pixels.
        width_px: new width in pixels.

    Returns:
        (B, C, height_px, width_px) in [0, 1]; ``pixels`` itself if it has that size.
    """
    if pixels.shape[-2:] == (height_px, width_px):
        return pixels
    resized = functional.interpolate(
        pixels, size=(height_px, width_px), mode="bicubic", align_corners=False, antialias=True
    )
    return resized.clamp_(0, 1)


def cover(pixels: Tensor, height_px: int, width_px: int) -> Tensor:
    """Crop a picture at its centre and resize it, with its own aspect ratio, to fill a size.

    Args:
        pixels: of shape (B, C, H, W), in [0, 1].
        height_px: new height in pixels.
        width_px: new width in pixels.

    Returns:
        (B, C, height_px, width_px) in [0, 1].
    """
    rows, columns = middle(pixels.shape[-2], pixels.shape[-1], height_px, width_px)
    return resize(pixels[..., rows, columns], height_px, width_px)


def middle(height: int, width: int, height_px: int, width_px: int) -> tuple[slice, slice]:
    """Return the largest centre crop of a picture with the aspect ratio of another size.

    Args:
        height: the picture's height, in pixels.
        width: the picture's width, in pixels.
        height_px: the other height, in pixels.
        width_px: the other width, in pixels.

    Returns:
        The rows and columns of the crop.
    """
    share = min(height / height_px, width / width_px)
    crop_height = min(height, max(1, round(share * height_px)))
    crop_width = min(width, max(1, round(share * width_px)))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return slice(top, top + crop_height), slice(left, left + crop_width)


def fill_hidden(pixels: Tensor, alpha: Tensor) -> Tensor:
    """Replace the colours under transparent pixels by those of the pixels around them.

    Editors leave arbitrary colours there, which must not change the result. The new colours come
    from smaller and smaller copies of the picture, averaged by opacity ("push-pull": Gortler et
    al., "The lumigraph", 1996, section 3.4).

    Args:
        pixels: (1, 3, H, W).
        alpha: opacity, (1, 1, H, W) in [0, 1].

    Returns:
        The same shape; ``pixels`` where ``alpha`` is above 0, or everywhere if it is 0 everywhere.
    """
    if not bool((alpha == 0).any()) or not bool(alpha.any()):
        return pixels
    return torch.where(alpha > 0, pixels, _spread(pixels * alpha, alpha))


def _spread(premultiplied: Tensor, alpha: Tensor) -> Tensor:
    """Return colours for all pixels, from those that have any opacity."""
    own = premultiplied / alpha.clamp_min(torch.finfo(alpha.dtype).tiny)
    if bool((alpha > 0).all()):
        return own
    half = [
        functional.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)
        for values in (premultiplied, alpha)
    ]
    # Normalised, so that rounding does not lose a single pixel in smaller copies.
    most = half[1].amax()
    around = _spread(half[0] / most, half[1] / most)
    around = functional.interpolate(around, size=alpha.shape[-2:], mode="bilinear")
    return torch.where(alpha > 0, own, around)
