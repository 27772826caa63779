"""Flowing brush strokes: a night sky in whorls above golden fields."""

import numpy as np

from atelier.brush import Bristles, Canvas
from atelier.fields import Array, grid, hex_rgb, mix, noise, ramp, smoothstep

ASPECT = 1.25
# x, y in heights; reach of the whorl; turn (sign: clockwise or not); 1 for a light, 0 for wind
_WHORLS = (
    (1.02, 0.20, 0.20, 1.0, 1.0),
    (0.30, 0.16, 0.11, -1.0, 1.0),
    (0.56, 0.38, 0.21, 1.0, 0.0),
    (0.66, 0.11, 0.075, 1.0, 1.0),
    (0.10, 0.42, 0.085, 1.0, 1.0),
    (0.86, 0.47, 0.09, -1.0, 0.0),
    (1.19, 0.49, 0.055, -1.0, 1.0),
    (0.46, 0.03, 0.05, 1.0, 1.0),
    (0.13, 0.04, 0.06, -1.0, 0.0),
)


def paint(height: int, seed: int = 11) -> Array:
    """Paint the picture, RGB in [0, 1], (height, 1.25 * height, 3)."""
    rng = np.random.default_rng(seed)
    tall = 2 * height
    wide = 2 * round(ASPECT * height)
    x, y = grid(wide, tall)
    sky_angle, swirl = _winds(x, y)
    sky_angle = sky_angle + 0.16 * noise(rng, wide, tall, 5, 3)
    far, near = _hills(x, rng, wide, tall)
    land_angle = _lie_of_the_land(x, y) + 0.12 * noise(rng, wide, tall, 7, 2)

    target = _sky(x, y, swirl, noise(rng, wide, tall, 3, 4), noise(rng, wide, tall, 16, 2))
    target = _land(target, x, y, far, near, rng)
    on_land = (y > far).astype(np.float32)
    angle = np.where(on_land > 0, land_angle, sky_angle).astype(np.float32)

    unit = tall / 1200
    canvas = Canvas(target * 0.55 + np.float32(0.06), rng)
    canvas.cover(target * 0.9, angle, 20 * unit, 130 * unit, 34 * unit, jitter=0.05)
    canvas.cover(target, angle, 15 * unit, 95 * unit, 19 * unit, jitter=0.08)
    canvas.cover(target, angle, 11 * unit, 66 * unit, 12 * unit, jitter=0.11)
    _accents(canvas, target, angle, x, y, on_land, unit)
    return canvas.finish(relief=0.36, gloss=0.25)


def _winds(x: Array, y: Array) -> tuple[Array, Array]:
    """Direction of the wind and how strongly it turns."""
    u = np.full_like(x, 0.9)
    v = 0.45 * np.cos(4.2 * x + 2.5 * y) - 0.1
    swirl = np.zeros_like(x)
    for centre_x, centre_y, reach, turn, _ in _WHORLS:
        dx, dy = x - centre_x, y - centre_y
        distance = np.hypot(dx, dy) + 1e-4
        pull = 3.2 * np.exp(-((distance / reach) ** 2) * 0.8)
        # A little inward drift winds the strokes into spirals instead of plain rings.
        u += turn * pull * (-dy / distance) - 0.18 * pull * dx / distance
        v += turn * pull * (dx / distance) - 0.18 * pull * dy / distance
        swirl += np.exp(-((distance / reach) ** 2))
    return np.arctan2(v, u).astype(np.float32), swirl


def _sky(x: Array, y: Array, swirl: Array, clouds: Array, streaks: Array) -> Array:
    value = 0.36 + 0.13 * clouds + 0.07 * streaks + 0.30 * smoothstep(0.15, 0.62, y)
    sky = ramp(
        np.clip(value, 0, 1), "#0b1338", "#142a6b", "#1f4a9c", "#2f74b5", "#64a7c4", "#b9d3c0"
    )
    for centre_x, centre_y, reach, turn, lit in _WHORLS:
        dx, dy = x - centre_x, y - centre_y
        distance = np.hypot(dx, dy) / reach
        spiral = 0.5 + 0.5 * np.sin(distance * 9 - 2 * turn * np.arctan2(dy, dx))
        if lit:
            glow = np.exp(-(distance**2) * 1.1) * (0.55 + 0.45 * spiral)
            halo = ramp(
                np.clip(1 - distance * 0.75, 0, 1), "#5d9fb0", "#c9c66a", "#f0b429", "#f9d75c"
            )
            sky = mix(sky, halo, np.clip(glow * 1.25, 0, 1))
            sky = mix(sky, hex_rgb("#fff3b8"), smoothstep(0.34, 0.2, distance))
        else:
            crest = np.exp(-(distance**2) * 0.9) * spiral
            sky = mix(sky, hex_rgb("#cfe2d6"), np.clip(crest * 0.85, 0, 1))
            sky = mix(sky, hex_rgb("#101c52"), np.exp(-(distance**2)) * (1 - spiral) * 0.6)
    return sky


def _hills(x: Array, rng: np.random.Generator, wide: int, tall: int) -> tuple[Array, Array]:
    wander = noise(rng, wide, tall, 2, 2)[tall // 2][None]
    far = 0.655 - 0.055 * np.sin(3.1 * x + 0.6) - 0.02 * np.sin(8 * x) + 0.008 * wander
    near = 0.745 + 0.03 * np.sin(2.6 * x + 2.2) + 0.008 * wander
    return far, near


def _lie_of_the_land(x: Array, y: Array) -> Array:
    rows = 0.35 * np.sin(3.0 * x + 5 * y) + 0.9 * (x - 0.62) * smoothstep(0.72, 1.0, y)
    return rows.astype(np.float32)


def _land(
    sky: Array, x: Array, y: Array, far: Array, near: Array, rng: np.random.Generator
) -> Array:
    tall, wide = y.shape
    clumps, rows = noise(rng, wide, tall, 8, 4), noise(rng, wide, tall, 10, 3, (5, 1))
    blue_hill = ramp(
        np.clip(0.45 + 0.2 * clumps + 2.2 * (y - far), 0, 1),
        "#101a45",
        "#1d3f6e",
        "#2f6b6e",
        "#7a9a62",
    )
    furrows = 0.5 + 0.5 * np.sin(46 * (y - 0.3 * x * (y - 0.5)) + 1.2 * rows)
    wheat = ramp(
        np.clip(0.28 + 0.30 * furrows + 0.14 * rows + 0.5 * (y - near), 0, 1),
        "#4a2f16", "#8f5a17", "#c98a1e", "#e9b93a", "#f6df86",
    )  # fmt: skip
    picture = mix(sky, blue_hill, (y > far).astype(np.float32))
    return mix(picture, wheat, (y > near).astype(np.float32))


def _accents(
    canvas: Canvas, target: Array, angle: Array, x: Array, y: Array, on_land: Array, unit: float
) -> None:
    """Add the last, loaded touches: light on the crests, dark in the hollows."""
    bright = np.clip(target * 1.16 + 0.07, 0, 1)
    dark = target * np.array([0.62, 0.62, 0.78], np.float32)
    thick = Bristles(streak=0.08, dryness=0.25, ridge=0.9, taper=0.5)
    sparse = np.full_like(x, 0.30)
    canvas.cover(dark, angle, 15 * unit, 58 * unit, 7 * unit, where=sparse, bristles=thick)
    canvas.cover(bright, angle, 13 * unit, 48 * unit, 8 * unit, where=sparse, bristles=thick)
    lights = np.zeros_like(x)
    for centre_x, centre_y, reach, _, lit in _WHORLS:
        distance = np.hypot(x - centre_x, y - centre_y) / reach
        lights += lit * np.exp(-(distance**2) * 1.5)
    golden = np.clip(target * np.array([1.12, 1.05, 0.85], np.float32) + 0.06, 0, 1)
    canvas.cover(
        golden, angle, 9 * unit, 40 * unit, 9 * unit, where=0.8 * lights * (1 - on_land),
        jitter=0.09, bristles=thick,
    )  # fmt: skip
