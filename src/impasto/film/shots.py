"""Shots: the parts of a film between two cuts. Each is painted anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import images
from impasto.film import flow
from impasto.output.film_file import FilmFrame

# Frames are compared at this size. It is also that at which strength is measured.
COMPARED_PX = 128
# Two frames belong together if one, moved along the flow, explains this much of the other: the
# correlation of their lightness. A flash or a fade changes lightness and not what correlates.
# Or if this share of the flow can be trusted. Over 28 pairs of photographs the two were at most
# 0.56 and 0.04; over 60 pairs of frames with motion they were at least 0.89 and 0.80.
_CORRELATED, _CERTAIN = 0.85, 0.25
# A frame of nearly one colour, such as black, is part of a fade.
_PLAIN = 0.01
# So many frames of each shot are kept, to judge how it should look.
_SAMPLES = 3


@dataclass(frozen=True)
class Shot:
    """A part of a film between two cuts.

    Attributes:
        first: index of its first frame.
        stop: index after its last frame.
        samples: frames of it, spread over it, (1, 3, h, w) at COMPARED_PX.
    """

    first: int
    stop: int
    samples: tuple[Tensor, ...]


def find_shots(frames: Iterable[FilmFrame]) -> Iterator[Shot]:
    """Divide a film at its cuts.

    Args:
        frames: in order; their indices may begin anywhere.
    """
    before: Tensor | None = None
    samples: list[tuple[int, Tensor]] = []
    first = stop = 0
    for frame in frames:
        small = _small(frame.pixels)
        if before is not None and is_cut(before, small):
            yield Shot(first, stop, _spread(samples, first, stop))
            before, samples = None, []
        if before is None:
            first = frame.index
        stop, before = frame.index + 1, small
        samples.append((frame.index, small))
        if len(samples) > 4 * _SAMPLES:
            samples = samples[::2]
    if before is not None:
        yield Shot(first, stop, _spread(samples, first, stop))


def is_cut(before: Tensor, after: Tensor) -> bool:
    """Return whether two frames that follow each other belong to different shots.

    Args:
        before: (1, 3, h, w) in [0, 1].
        after: the same shape.
    """
    here, there = flow.luminance(after), flow.luminance(before)
    if min(float(here.std()), float(there.std())) < _PLAIN:
        return False
    found = flow.between(after, before)
    if float(found.certainty.mean()) >= _CERTAIN:
        return False
    moved = flow.warp(there, found.vectors)
    return float(torch.corrcoef(torch.stack([here.flatten(), moved.flatten()]))[0, 1]) < _CORRELATED


def _small(pixels: Tensor) -> Tensor:
    height_px, width_px = pixels.shape[-2:]
    height, width = images.fit(height_px, width_px, min(COMPARED_PX, max(height_px, width_px)))
    return images.resize(pixels, max(height, flow.LEAST_SIDE_PX), max(width, flow.LEAST_SIDE_PX))


def _spread(samples: list[tuple[int, Tensor]], first: int, stop: int) -> tuple[Tensor, ...]:
    """Pick the frames nearest to a sixth, a half and five sixths of the shot."""
    wanted = [first + (stop - first) * (2 * part + 1) / (2 * _SAMPLES) for part in range(_SAMPLES)]
    nearest = {min(samples, key=lambda one: abs(one[0] - place))[0] for place in wanted}
    return tuple(small for index, small in samples if index in nearest)
