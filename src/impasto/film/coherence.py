"""What a frame of a film takes over from the frames before it.

Their paintings are moved along the optical flow. The painting of the new frame starts from there,
and is held to it where the flow can be trusted. What the frame directly before does not show, an
earlier one may (Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos", 2016,
equations 8 to 10: short-term and long-term consistency).

Differs: all terms share one target, because each pixel counts for one frame only. The weight of an
earlier frame is what the frames after it leave, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.film import flow

# How many frames back the earlier paintings lie that are kept, beside the one directly before: a
# frame is kept every so often, and so many of them.
KEPT_EVERY, KEPT = 8, 3
# What is new is painted over several frames: each makes it firmer by this much, until it is held
# like all else.
_FIRMER = 0.25
# The border of what is known is softened over this many pixels in the start.
_SOFT_PX = 4


@dataclass(frozen=True)
class PaintedFrame:
    """A frame and its painting.

    Attributes:
        index: of the frame in the film.
        pixels: the frame, (1, 3, H, W) in [0, 1] on the CPU.
        canvas: its painting with the margin, (1, 3, H + 2 m, W + 2 m).
        firmness: how finished each pixel of the canvas is, (1, 1, H + 2 m, W + 2 m) in [0, 1]:
            low where something came into view a moment ago.
    """

    index: int
    pixels: Tensor
    canvas: Tensor
    firmness: Tensor


@dataclass(frozen=True)
class Guide:
    """What a frame takes over.

    Attributes:
        image: the earlier paintings, moved to this frame, on the canvas.
        certainty: how far each pixel of the canvas is known, (1, 1, H, W) in [0, 1].
        firmness: how finished what is known is, (1, 1, H, W) in [0, 1]; 0 where nothing is.
        still: where the frame is equal to the one before it bit for bit, and stays as it was
            painted: 1 there, falling to 0 over a few pixels, on the canvas.
        new_share: the share of the frame that no earlier frame shows.
    """

    image: Tensor
    certainty: Tensor
    firmness: Tensor
    still: Tensor
    new_share: float

    @property
    def firmer(self) -> Tensor:
        """The firmness after the frame has been painted."""
        return (self.firmness + _FIRMER).clamp(max=1)

    def start(self, fresh: Tensor) -> Tensor:
        """Return the canvas to start from.

        Args:
            fresh: the canvas for what is new, (1, 3, H, W).
        """
        known = _softened(self.certainty)
        return torch.where(known == 1, self.image, fresh.lerp(self.image, known.to(fresh)))

    def keep_still(self, painted: Tensor) -> Tensor:
        """Return ``painted`` with the still parts as they were before."""
        still = self.still.to(painted)
        return torch.where(still == 1, self.image, painted.lerp(self.image, still))


def guide(pixels: Tensor, earlier: Sequence[PaintedFrame], margin_px: int) -> Guide:
    """Find out what a frame takes over from earlier ones.

    Args:
        pixels: the frame, (1, 3, H, W) in [0, 1] on the CPU.
        earlier: painted frames of the same shot, the latest first; at least one.
        margin_px: of the canvas around the frame.
    """
    latest = earlier[0]
    image, certainty, firmness, still = _moved(pixels, latest, margin_px)
    for frame in earlier[1:]:
        missing = 1 - certainty
        if not bool(missing.any()):
            break
        moved, known, firm, _ = _moved(pixels, frame, margin_px)
        added = torch.minimum(missing, known)
        image = torch.where((added > 0).to(image.device), moved, image)
        certainty = certainty + added
        firmness = torch.where(added > 0, firm, firmness)
    inside = _without_margin(certainty, margin_px)
    return Guide(
        image=image,
        certainty=certainty.to(image.device),
        firmness=firmness.to(image.device) * certainty.to(image.device),
        still=_extended(_areas(still.float()), margin_px).to(image.device),
        new_share=1 - float(inside.mean()),
    )


def _moved(
    pixels: Tensor, earlier: PaintedFrame, margin_px: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return an earlier painting, its certainty, its firmness, and where it is still.

    All are moved to this frame; the first three are on the canvas.
    """
    found = flow.between(pixels, earlier.pixels)
    vectors, certainty = (_extended(part, margin_px) for part in (found.vectors, found.certainty))
    # The margin mirrors the picture: there, things move otherwise than the flow says.
    is_margin = torch.ones_like(certainty)
    _without_margin(is_margin, margin_px).zero_()
    is_still = (vectors == 0).all(1, keepdim=True)
    certainty = certainty * (is_still | (is_margin == 0))
    firmness = flow.warp(earlier.firmness.cpu(), vectors)
    return flow.warp(earlier.canvas, vectors), certainty, firmness, found.still


def interpolate(
    pixels: Tensor,
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    share: float,
) -> Tensor:
    """Paint a frame between two painted ones, by moving these along the flow.

    Args:
        pixels: the frame, (1, 3, H, W).
        before: an earlier frame and its painting, both of the same shape.
        after: a later frame and its painting.
        share: where the frame lies between the two, in (0, 1).

    Returns:
        The painting, of the same shape.
    """
    if torch.equal(pixels, before[0]):
        return before[1]
    total, mass = torch.zeros_like(pixels), torch.zeros_like(pixels[:, :1])
    for (frame, painting), weight in ((before, 1 - share), (after, share)):
        found = flow.between(pixels, frame)
        # What neither shows is taken from both.
        weights = weight * (found.certainty + 1e-3)
        total += weights * flow.warp(painting, found.vectors)
        mass += weights
    return total / mass


def _areas(same: Tensor) -> Tensor:
    """Return 1 in larger areas that are the same, falling to 0 outside of them."""
    if bool(same.all()):
        return same
    # Single pixels that happen to be the same are not an area.
    area = 1 - F.max_pool2d(1 - same, 2 * _SOFT_PX + 1, 1, _SOFT_PX)
    area = F.max_pool2d(area, 2 * _SOFT_PX + 1, 1, _SOFT_PX) * same
    around = F.avg_pool2d(area, 2 * _SOFT_PX + 1, 1, _SOFT_PX, count_include_pad=False)
    return torch.maximum(area, around * (around < 1))


def _softened(certainty: Tensor) -> Tensor:
    """Let certainty rise gradually from the border of what is known."""
    known = 1 - F.max_pool2d(1 - certainty, 3, 1, 1)
    mean = F.avg_pool2d(known, 2 * _SOFT_PX + 1, 1, _SOFT_PX, count_include_pad=False)
    return torch.minimum(known, (2 * mean - 1).clamp(0, 1))


def _extended(values: Tensor, margin_px: int) -> Tensor:
    return F.pad(values, (margin_px,) * 4, mode="replicate")


def _without_margin(values: Tensor, margin_px: int) -> Tensor:
    height, width = values.shape[-2:]
    return values[..., margin_px : height - margin_px, margin_px : width - margin_px]
