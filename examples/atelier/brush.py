"""A loaded brush: curved strokes with bristle marks, ridges of paint, and raking light.

A stroke is a mesh of points along and across its path, finer than a pixel, written over
what lies below: paint covers, it does not blend. The picture is painted at twice its size
and halved at the end, which smooths the edges.
"""

from dataclasses import dataclass

import numpy as np

from atelier.fields import Array, blur, noise, sample

_NODES = 14  # points where a path asks the flow for its direction
_MESH_PX = 0.7  # finer than a pixel, so that a stroke has no holes
_BATCH_POINTS = 1_500_000


@dataclass(frozen=True)
class Bristles:
    """How a brush marks.

    Attributes:
        streak: how much lightness differs from bristle to bristle.
        dryness: share of bristles that run out of paint before the stroke ends.
        ridge: height of the paint pushed to the stroke's edges.
        taper: 0 for a square-ended brush, 1 for a pointed one.
    """

    streak: float = 0.10
    dryness: float = 0.35
    ridge: float = 0.5
    taper: float = 0.35


class Canvas:
    """Wet paint: colour and thickness at every pixel."""

    def __init__(self, ground: Array, rng: np.random.Generator) -> None:
        height, width = ground.shape[:2]
        self.width, self.height = width, height
        self.rng = rng
        thickness = np.zeros((height, width, 1), np.float32)
        self.paint = np.concatenate([ground.astype(np.float32), thickness], axis=-1)

    def stroke(
        self,
        start: Array,
        length_px: Array,
        width_px: Array,
        colour: Array,
        angle: Array,
        bristles: Bristles | None = None,
    ) -> None:
        """Lay K strokes, the first lowest.

        Args:
            start: middle of each stroke, (K, 2) as x and y in pixels.
            length_px: (K,).
            width_px: (K,).
            colour: (K, 3), RGB in [0, 1].
            angle: direction to follow, in radians: a map (H, W) of the canvas, or (K,) for
                straight strokes.
            bristles: the brush.
        """
        longest, widest = float(length_px.max()), float(width_px.max())
        along = max(4, int(longest / _MESH_PX))
        across = max(4, int(widest / _MESH_PX))
        batch = max(1, _BATCH_POINTS // (along * across))
        for first in range(0, len(start), batch):
            part = slice(first, first + batch)
            straight = angle.ndim == 1
            path = self._trace(start[part], length_px[part], angle[part] if straight else angle)
            self._lay(path, width_px[part], colour[part], along, across, bristles or Bristles())

    def draw(
        self, path: Array, width_px: Array, colour: Array, bristles: Bristles | None = None
    ) -> None:
        """Paint K strokes along paths (K, nodes, 2), in pixels; later ones cover earlier ones."""
        longest = float(np.linalg.norm(np.diff(path, axis=1), axis=-1).sum(axis=1).max())
        along = max(4, int(longest / _MESH_PX))
        across = max(4, int(float(width_px.max()) / _MESH_PX))
        self._lay(path, width_px, colour, along, across, bristles or Bristles())

    def cover(
        self,
        target: Array,
        angle: Array,
        spacing_px: float,
        length_px: float,
        width_px: float,
        *,
        where: Array | None = None,
        jitter: float = 0.05,
        bristles: Bristles | None = None,
    ) -> None:
        """Cover the canvas with strokes that take their colour from ``target``.

        Args:
            target: RGB of the motif, (H, W, 3).
            angle: direction of the strokes, (H, W).
            spacing_px: distance between neighbouring strokes.
            length_px: typical length; each stroke varies by a third.
            width_px: typical width.
            where: chance of a stroke, in [0, 1], (H, W).
            jitter: how far a stroke's colour strays.
            bristles: the brush.
        """
        rng = self.rng
        start = scatter(rng, self.width, self.height, spacing_px)
        if where is not None:
            start = start[rng.random(len(start)) < sample(where, start[:, 0], start[:, 1])]
        if not len(start):
            return
        count = len(start)
        colour = sample(target, start[:, 0], start[:, 1])
        colour = colour * (1 + jitter * rng.standard_normal((count, 1)))
        colour = colour + jitter * 0.45 * rng.standard_normal((count, 3))
        self.stroke(
            start,
            (length_px * rng.uniform(0.6, 1.35, count)).astype(np.float32),
            (width_px * rng.uniform(0.65, 1.3, count)).astype(np.float32),
            np.clip(colour, 0, 1).astype(np.float32),
            angle,
            bristles,
        )

    def _trace(self, start: Array, length_px: Array, angle: Array) -> Array:
        """Follow the flow both ways from the middle: paths (K, nodes, 2)."""
        step = (length_px / (_NODES - 1))[:, None]
        middle = _NODES // 2
        path = np.empty((len(start), _NODES, 2), np.float32)
        path[:, middle] = start
        for towards, nodes in ((1, range(middle + 1, _NODES)), (-1, range(middle - 1, -1, -1))):
            position = start
            for node in nodes:
                theta = angle if angle.ndim == 1 else sample(angle, position[:, 0], position[:, 1])
                heading = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
                position = position + towards * step * heading
                path[:, node] = position
        return path

    def _lay(
        self,
        path: Array,
        width_px: Array,
        colour: Array,
        along: int,
        across: int,
        bristles: Bristles,
    ) -> None:
        count, rng = len(path), self.rng
        s = np.linspace(0, 1, along, dtype=np.float32)
        t = np.linspace(-1, 1, across, dtype=np.float32)
        centre = _interpolate(path, s)
        tangent = np.gradient(centre, axis=1)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
        pressure = _pressure(s, bristles.taper, rng.uniform(0.3, 0.7, count).astype(np.float32))
        reach = (0.5 * width_px[:, None] * pressure)[:, :, None] * t
        x = centre[:, :, None, 0] + normal[:, :, None, 0] * reach
        y = centre[:, :, None, 1] + normal[:, :, None, 1] * reach

        # Each bristle carries its own shade and its own load of paint along the whole stroke.
        hairs = max(3, across // 3)
        shade = _interpolate(rng.standard_normal((count, hairs, 1)).astype(np.float32), t)[:, :, 0]
        load = _interpolate(rng.random((count, hairs, 1)).astype(np.float32), t)[:, :, 0]
        ends = 1 - 0.5 * np.clip(bristles.dryness - load, 0, 1) / max(bristles.dryness, 1e-6)
        begins = 0.10 * t * t * rng.random((count, 1), dtype=np.float32)
        covered = (s[:, None] <= ends[:, None, :]) & (s[:, None] >= begins[:, None, :])
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height) & covered

        bank = np.exp(-(((np.abs(t) - 0.85) / 0.15) ** 2))
        heap = np.exp(-(((s - 0.93) / 0.07) ** 2))
        thick = 0.6 + 0.22 * shade[:, None, :] + bristles.ridge * (bank + 0.5 * heap[:, None])
        thick = thick * np.minimum(1, 1.6 - 0.9 * s[:, None])
        thick = thick * (0.8 + 0.4 * rng.random((count, 1, 1), dtype=np.float32))

        tone = 1 + bristles.streak * shade
        position = y.astype(np.int32) * self.width + x.astype(np.int32)
        stroke_of, _, hair_of = np.nonzero(inside)
        wet = np.empty((len(stroke_of), 4), np.float32)
        wet[:, :3] = colour[stroke_of] * tone[stroke_of, hair_of][:, None]
        wet[:, 3] = thick[inside] * np.sqrt(width_px[stroke_of])
        self.paint.reshape(-1, 4)[position[inside]] = wet

    def finish(self, relief: float = 0.35, gloss: float = 0.12, weave: float = 0.0) -> Array:
        """Light the paint from the upper left and halve the size.

        Returns:
            RGB in [0, 1], (H / 2, W / 2, 3).
        """
        colour, thickness = self.paint[..., :3], self.paint[..., 3]
        thickness = blur(thickness, 1)
        if weave:
            thickness = thickness + weave * _weave(self.width, self.height)
        slope_y, slope_x = np.gradient(thickness)
        facing = slope_x * 0.6 + slope_y * 0.8
        light = 1 + relief * np.tanh(facing * 1.4)
        shine = gloss * np.clip(facing - 0.35, 0, 1) ** 2
        dust = 1 + 0.012 * noise(self.rng, self.width, self.height, 200, 2)
        lit = np.clip(colour * (light * dust)[..., None] + shine[..., None], 0, 1)
        return halve(lit)


def scatter(rng: np.random.Generator, width: int, height: int, spacing_px: float) -> Array:
    """Scatter points one to a cell of a jittered lattice, in random order: (K, 2)."""
    columns = np.arange(-0.5, width / spacing_px + 0.5)
    rows = np.arange(-0.5, height / spacing_px + 0.5)
    x, y = np.meshgrid(columns, rows)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    points = (points + rng.random(points.shape)) * spacing_px
    return rng.permutation(points).astype(np.float32)


def halve(image: Array) -> Array:
    """Average each 2 x 2 pixels of an image with even sides."""
    height, width = image.shape[:2]
    return image.reshape(height // 2, 2, width // 2, 2, -1).mean(axis=(1, 3))


def _pressure(s: Array, taper: float, peak: Array) -> Array:
    """Width along the stroke, in [0, 1], as the hand presses and lifts: (K, S)."""
    rise = np.minimum(1, s[None] / (0.02 + taper * peak[:, None]))
    fall = np.minimum(1, (1 - s[None]) / (0.02 + taper * (1 - peak[:, None])))
    return np.sqrt(np.clip(rise * fall, 0, 1)) * 0.85 + 0.15


def _interpolate(values: Array, at: Array) -> Array:
    """Interpolate (K, N, C) linearly at shares ``at`` of its second axis: (K, len(at), C)."""
    position = at * 0.5 + 0.5 if at[0] < 0 else at
    position = position * (values.shape[1] - 1)
    low = np.minimum(position.astype(np.int32), values.shape[1] - 2)
    share = (position - low)[None, :, None].astype(np.float32)
    return values[:, low] * (1 - share) + values[:, low + 1] * share


def _weave(width: int, height: int) -> Array:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.maximum(np.sin(x * 1.1) * np.cos(y * 0.55), np.sin(y * 1.1) * np.cos(x * 0.55))
