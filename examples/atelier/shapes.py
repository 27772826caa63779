"""Outlines on the canvas: smooth curves, and a plane cut into facets."""

import numpy as np
from PIL import Image, ImageDraw

from atelier.fields import Array


def curve(points: Array, per_span: int = 12, closed: bool = True) -> Array:
    """Draw a smooth curve (Catmull-Rom) through ``points`` (N, 2)."""
    points = np.asarray(points, np.float32)
    padded = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([points[:1], points, points[-1:]])
    )
    t = np.linspace(0, 1, per_span, endpoint=False, dtype=np.float32)[:, None]
    spans = []
    for before, start, end, after in zip(
        padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True
    ):
        bend = 2 * before - 5 * start + 4 * end - after
        twist = 3 * start - before - 3 * end + after
        spans.append(0.5 * (2 * start + (end - before) * t + bend * t**2 + twist * t**3))
    return np.concatenate(spans)


def turn(points: Array, angle: float, centre: tuple[float, float]) -> Array:
    """Turn ``points`` (N, 2) about ``centre`` by ``angle`` in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    moved = np.asarray(points, np.float32) - centre
    return (moved @ np.array([[cos, sin], [-sin, cos]]) + centre).astype(np.float32)


def fill(width: int, height: int, outlines: list[Array], values: list[int]) -> Array:
    """Fill outlines (in heights) one over the other with their values: an (H, W) label map."""
    image = Image.new("I", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for outline, value in zip(outlines, values, strict=True):
        draw.polygon([(float(x), float(y)) for x, y in outline * height], fill=value)
    return np.asarray(image, np.int32)


def split(
    rng: np.random.Generator, corners: Array, directions: Array, smallest: float
) -> list[Array]:
    """Cut a convex polygon into facets by straight lines, again and again.

    Args:
        rng: chooses the cuts.
        corners: of the polygon, (N, 2).
        directions: angles that the cuts prefer, in radians.
        smallest: area below which a facet may stay whole.
    """
    if _area(corners) < smallest * rng.uniform(0.7, 3.2):
        return [corners]
    weights = rng.dirichlet(np.ones(len(corners)) * 4)
    through = weights @ corners
    angle = rng.choice(directions) + rng.normal(0, 0.12)
    across = np.array([-np.sin(angle), np.cos(angle)])
    side = (corners - through) @ across
    halves = [_clip(corners, side), _clip(corners, -side)]
    if min(_area(half) for half in halves) < 0.12 * _area(corners):
        return split(rng, corners, directions, smallest)
    return [facet for half in halves for facet in split(rng, half, directions, smallest)]


def _clip(corners: Array, side: Array) -> Array:
    clipped = []
    for here, there, a, b in zip(
        corners, np.roll(corners, -1, axis=0), side, np.roll(side, -1), strict=True
    ):
        if a >= 0:
            clipped.append(here)
        if (a >= 0) != (b >= 0):
            clipped.append(here + (there - here) * (a / (a - b)))
    return np.array(clipped, np.float32)


def _area(corners: Array) -> float:
    if len(corners) < 3:
        return 0.0
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2)
