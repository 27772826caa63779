r"""Transfer the colours of a painting to a picture, by a map from colours to colours.

Sliced optimal transport (Pitié, Kokaram and Dahyot, "N-dimensional probability density function
transfer and its application to colour transfer", ICCV 2005): under one random rotation after
another, the three marginals of the picture's colours are moved onto those of the painting's.

Differs: the marginals move the nodes of a lookup table instead of pixels, and the slope of the
table is bounded after each rotation. So the map is continuous, amplifies grain by no more than
the bound, and needs only a histogram, which is a sum over pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from impasto.images import colour

Array = NDArray[np.float64]

# The largest slope of a map: the change of each channel for a unit step in one channel. Chosen by
# eye: with 3, flat areas get blotches; with 1.5, rare colours of a painting are lost.
MAX_SLOPE = 2.0
# Nodes of the lookup table along each channel.
NODES = 33
# Below this standard deviation of its colours, a painting looks like a single colour.
PLAIN_DEVIATION = 0.03

# Cells of a histogram along each channel.
_CELLS = 64
_HIGHEST_LEVEL = 65535
# A pixel's weight is a whole number of these parts.
_PARTS = 255
# Pixels that are counted at a time; their sums are exact in float64.
_PIECE_PX = 2**18
# Rows that are mapped at a time, to save memory.
_STRIP_PX = 64
_ROTATIONS = 24
_SEED = 0
# The bins of a marginal, and its range to either side of mid-grey: a little more than half the
# diagonal of the cube, 0.866.
_BINS = 1024
_REACH = 0.9
# Share of each marginal that is spread evenly, so that cumulative sums can be inverted.
_EVEN_SHARE = 1e-6
# The two axes of chroma in RGB, at right angles to the grey axis.
_CHROMA_AXES = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])


@dataclass(frozen=True, eq=False)
class ColourHistogram:
    """The frequency of each colour, in integers, so that the parts of a picture add up exactly.

    Attributes:
        counts: (cells,) int64, the weight of the pixels in each cell, in parts of 255.
        sums: (3, cells) int64, the sum over these pixels of weight times level, where 65535
            levels make 1.
    """

    counts: Tensor
    sums: Tensor

    def __add__(self, other: ColourHistogram) -> ColourHistogram:
        """Return the histogram of both pictures together."""
        return ColourHistogram(self.counts + other.counts, self.sums + other.sums)

    @cached_property
    def colours(self) -> Array:
        """The mean colour of each cell in use, (3, n), sRGB in [0, 1]."""
        used = self.counts > 0
        means = self.sums[:, used].double() / (self.counts[used].double() * _HIGHEST_LEVEL)
        return np.asarray(means.numpy())

    @cached_property
    def shares(self) -> Array:
        """The share of the whole weight in each cell in use, (n,)."""
        counts = self.counts[self.counts > 0].double()
        return np.asarray((counts / counts.sum()).numpy())


def histogram(image: Tensor, weights: Tensor | None = None) -> ColourHistogram:
    """Count the colours of a picture, or of a part of one.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        weights: (1, 1, H, W) in [0, 1], how much each pixel counts; by default all count fully.
    """
    total = ColourHistogram(
        torch.zeros(_CELLS**3, dtype=torch.int64), torch.zeros(3, _CELLS**3, dtype=torch.int64)
    )
    pixels = torch.split(image.detach()[0].flatten(1), _PIECE_PX, 1)
    if weights is None:
        return sum((_count(piece, None) for piece in pixels), total)
    parts = torch.split(weights.detach()[0].flatten(1), _PIECE_PX, 1)
    return sum((_count(*pieces) for pieces in zip(pixels, parts, strict=True)), total)


def _count(pixels: Tensor, weights: Tensor | None) -> ColourHistogram:
    """Count (3, n) pixels with (1, n) weights."""
    levels = (pixels.to("cpu", torch.float64).clamp(0, 1) * _HIGHEST_LEVEL).round()
    red, green, blue = levels.long() // ((_HIGHEST_LEVEL + 1) // _CELLS)
    cells = (red * _CELLS + green) * _CELLS + blue
    if weights is None:
        parts = torch.full_like(levels[:1], _PARTS)
    else:
        parts = (weights.to("cpu", torch.float64).clamp(0, 1) * _PARTS).round()
    counts, *sums = (
        torch.bincount(cells, values, minlength=_CELLS**3).long()
        for values in torch.cat([parts, parts * levels])
    )
    return ColourHistogram(counts, torch.stack(sums))


class Palette:
    """The target colours of a map: those of one painting, or of several by their shares.

    Args:
        histograms: one for each painting; those without any weight are left out.
        shares: the weight of each painting.
    """

    def __init__(self, histograms: Sequence[ColourHistogram], shares: Sequence[float]) -> None:
        counted = [
            (part, share)
            for part, share in zip(histograms, shares, strict=True)
            if share > 0 and len(part.shares)
        ]
        self._colours = np.concatenate([np.empty((3, 0)), *(h.colours for h, _ in counted)], 1)
        masses = np.concatenate([np.empty(0), *(h.shares * share for h, share in counted)])
        self._shares = masses / masses.sum() if counted else masses

    @property
    def is_empty(self) -> bool:
        """Whether no pixel counts at all."""
        return not len(self._shares)

    @cached_property
    def mean(self) -> Array:
        """The mean colour, (3,)."""
        return np.asarray(self._colours @ self._shares)

    @cached_property
    def is_plain(self) -> bool:
        """Whether the painting has nearly one colour, too little for a picture."""
        deviations = (self._colours - self.mean[:, None]) ** 2 @ self._shares
        return bool(np.sqrt(deviations.sum()) < PLAIN_DEVIATION)

    @cached_property
    def cumulatives(self) -> list[list[Array]]:
        """The cumulative marginals under each rotation, three each."""
        return [
            [_cumulative(line, self._shares) for line in _rotated(rotation, self._colours)]
            for rotation in _rotations()
        ]

    @cached_property
    def chroma_range(self) -> tuple[Array, Array]:
        """The least and the greatest chroma of a node on each of the two axes, (2, 1) each.

        The range is twice the painting's own, because the nodes surround the colours. For a grey
        painting it is zero.
        """
        chroma = _CHROMA_AXES @ self._colours
        least, greatest = chroma.min(1, keepdims=True), chroma.max(1, keepdims=True)
        margin = (greatest - least) / 2
        return least - margin, greatest + margin


@dataclass(frozen=True, eq=False)
class ColourMap:
    """A continuous map from colours to colours: a lookup table, linear between its nodes.

    Attributes:
        shifts: (3, NODES, NODES, NODES) float32, the change of each node's colour; the axes are
            red, green and blue.
    """

    shifts: Tensor

    def apply(self, image: Tensor, amount: float = 1.0) -> Tensor:
        """Map the colours of a picture, each pixel by itself.

        Args:
            image: (1, 3, H, W) float32 on the CPU, sRGB in [0, 1].
            amount: share of the shift that is applied, from 0 (no change) to 1.

        Returns:
            The same shape, in [0, 1].
        """
        # The last axis is the first coordinate of grid_sample.
        table = self.shifts[None]
        mapped = torch.empty_like(image)
        strips = (torch.split(part, _STRIP_PX, 2) for part in (image, mapped))
        for strip, out in zip(*strips, strict=True):
            corners = strip.movedim(1, -1).flip(-1)[:, None] * 2 - 1
            shift = functional.grid_sample(
                table, corners, mode="bilinear", padding_mode="border", align_corners=True
            )
            torch.clamp(strip + amount * shift[:, :, 0], 0, 1, out=out)
        return mapped


def find_map(picture: ColourHistogram, palette: Palette) -> ColourMap:
    """Compute the map from a picture's colours to those of a palette.

    If the palette has nearly one colour, the picture takes its chroma and keeps its own
    lightness. If either side is empty, no colour changes.

    Args:
        picture: the histogram of the picture, or of a part of it.
        palette: the target colours.
    """
    start = _identity()
    if palette.is_empty or not len(picture.shares):
        return ColourMap(torch.zeros(start.shape))
    nodes = _plain(palette) if palette.is_plain else _transported(picture, palette)
    return ColourMap(torch.from_numpy(nodes - start).float())


def _transported(picture: ColourHistogram, palette: Palette) -> Array:
    """Move the nodes of the table, so that the picture's colours become the palette's."""
    nodes = _identity()
    corners = list(_corners(picture.colours))
    for rotation, targets in zip(_rotations(), palette.cumulatives, strict=True):
        flat = nodes.reshape(3, -1)
        colours = np.zeros_like(picture.colours)
        for index, weights in corners:
            colours += weights * flat[:, index]
        shifts = np.stack(
            [
                _matching(_cumulative(line, picture.shares), target, node_line)
                for line, target, node_line in zip(
                    _rotated(rotation, colours), targets, _rotated(rotation, flat), strict=True
                )
            ]
        )
        moved = np.clip(flat + rotation.T @ shifts, 0, 1)
        nodes = _with_bounded_slope(moved.reshape(nodes.shape))
    return _with_bounded_slope(_in_chroma_range(nodes, palette))


def _plain(palette: Palette) -> Array:
    """Give each node the chroma of the palette's one colour, with its own lightness."""
    nodes = torch.from_numpy(_identity()).reshape(1, 3, 1, -1)
    paint = torch.from_numpy(palette.mean).view(1, 3, 1, 1).expand_as(nodes)
    tinted = colour.keep(nodes, paint).numpy().reshape(_identity().shape)
    return _with_bounded_slope(tinted)


def _in_chroma_range(nodes: Array, palette: Palette) -> Array:
    """Clamp the nodes to the palette's range of chroma, so that a grey painting gives grey."""
    flat = nodes.reshape(3, -1)
    chroma = _CHROMA_AXES @ flat
    moved = flat + _CHROMA_AXES.T @ (np.clip(chroma, *palette.chroma_range) - chroma)
    return np.clip(moved, 0, 1).reshape(nodes.shape)


@cache
def _identity() -> Array:
    """The table that moves no colour, (3, NODES, NODES, NODES)."""
    line = np.linspace(0, 1, NODES)
    return np.stack(np.meshgrid(line, line, line, indexing="ij"))


@cache
def _rotations() -> list[Array]:
    """Return the identity, then random rotations, (3, 3) each, from unit quaternions."""
    generator = np.random.default_rng(_SEED)
    rotations = [np.eye(3)]
    for _ in range(_ROTATIONS - 1):
        quaternion = generator.standard_normal(4)
        w, x, y, z = quaternion / np.sqrt((quaternion**2).sum())
        rotations.append(
            np.array(
                [
                    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
                ]
            )
        )
    return rotations


def _rotated(rotation: Array, colours: Array) -> Array:
    """Rotate (3, n) colours about mid-grey, which becomes 0."""
    return np.asarray(rotation @ (colours - 0.5))


@cache
def _edges() -> Array:
    """Return the edges of a marginal's bins."""
    return np.linspace(-_REACH, _REACH, _BINS + 1)


def _cumulative(line: Array, shares: Array) -> Array:
    """Return the share of (n,) values below each edge, strictly rising from 0 to 1."""
    position = (line + _REACH) * (_BINS / (2 * _REACH)) - 0.5
    below = np.floor(position).astype(np.int64)
    above = position - below
    masses = np.bincount(below, shares * (1 - above), _BINS)
    masses += np.bincount(below + 1, shares * above, _BINS)
    summed = np.concatenate([[0.0], np.cumsum(masses)])
    even = np.linspace(0, 1, _BINS + 1)
    return np.asarray((1 - _EVEN_SHARE) * summed / summed[-1] + _EVEN_SHARE * even)


def _matching(own: Array, target: Array, line: Array) -> Array:
    """Return the shift of each value under the monotone map from one marginal to another."""
    moved_edges = np.interp(own, target, _edges())
    return np.asarray(np.interp(line, _edges(), moved_edges) - line)


def _corners(colours: Array) -> Iterator[tuple[NDArray[np.int64], Array]]:
    """Yield each of the eight nodes around (3, n) colours: its index, and its weight."""
    position = np.clip(colours, 0, 1) * (NODES - 1)
    below = np.minimum(np.floor(position).astype(np.int64), NODES - 2)
    weights = np.stack([1 - (position - below), position - below])
    for corner in np.ndindex(2, 2, 2):
        red, green, blue = below + np.reshape(corner, (3, 1))
        index = (red * NODES + green) * NODES + blue
        yield index, np.prod([weights[side, axis] for axis, side in enumerate(corner)], axis=0)


def _with_bounded_slope(nodes: Array) -> Array:
    """Limit the slope of each channel between nodes to MAX_SLOPE.

    The result is the mean of two functions of bounded slope: the largest one below the table and
    the smallest one above it. If the table is within the bound, all three are equal.
    """
    below, above = nodes, nodes
    for axis in (1, 2, 3):
        below = _lowered(below, axis)
        above = -_lowered(-above, axis)
    return np.asarray((below + above) / 2)


def _lowered(nodes: Array, axis: int) -> Array:
    """Lower nodes until no slope along an axis exceeds MAX_SLOPE."""
    planes = np.ascontiguousarray(np.moveaxis(nodes, axis, 0))
    ramp = (np.arange(NODES) * (MAX_SLOPE / (NODES - 1)))[:, None, None, None]
    rising = _running_minimum(planes - ramp) + ramp
    falling = _running_minimum((planes + ramp)[::-1])[::-1] - ramp
    return np.moveaxis(np.minimum(rising, falling), 0, axis)


def _running_minimum(planes: Array) -> Array:
    """Return the minimum of each plane and all before it, in place."""
    # minimum.accumulate takes five times as long.
    for before, plane in itertools.pairwise(planes):
        np.minimum(before, plane, out=plane)
    return planes
