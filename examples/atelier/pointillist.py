"""Pointillism: an autumn river in the afternoon, in dabs of pure colour."""

import numpy as np

from atelier.brush import Bristles, Canvas
from atelier.fields import Array, grid, hex_rgb, mix, noise, ramp, smoothstep

ASPECT = 1.25
_BANK = 0.60
# x, foot, crown's half width, crown's height, share of red in its leaves
_TREES = (
    (0.07, 0.625, 0.115, 0.50, 0.75),
    (0.25, 0.61, 0.085, 0.33, 0.25),
    (0.395, 0.60, 0.065, 0.22, 0.55),
    (0.80, 0.60, 0.07, 0.21, 0.1),
    (0.93, 0.61, 0.095, 0.36, 0.6),
    (1.12, 0.625, 0.14, 0.54, 0.35),
)
_COMPLEMENTS = (
    "#2f4fa0",
    "#e8832a",
    "#7a3f98",
    "#f2c230",
    "#2f8f6f",
    "#d84a3a",
    "#f3ead2",
    "#4fa6c8",
)


def paint(height: int, seed: int = 47) -> Array:
    """Paint the picture, RGB in [0, 1], (height, 1.25 * height, 3)."""
    rng = np.random.default_rng(seed)
    tall, wide = 2 * height, 2 * round(ASPECT * height)
    unit = tall / 1228
    x, y = grid(wide, tall)
    scene, form = _scene(rng, x, y)
    angle = (form + 0.5 * noise(rng, wide, tall, 10, 2)).astype(np.float32)

    canvas = Canvas(mix(scene * 0.8, hex_rgb("#d9c7a0"), np.full_like(x, 0.25)), rng)
    wash = Bristles(streak=0.08, dryness=0.5, ridge=0.2, taper=0.3)
    canvas.cover(scene * 0.92, angle, 17 * unit, 44 * unit, 28 * unit, jitter=0.04, bristles=wash)
    for spacing, size, jitter in ((8.5, 13, 0.07), (7.0, 10, 0.09), (5.6, 7.5, 0.10)):
        _dab(canvas, scene, angle, spacing * unit, size * unit, jitter)
    return canvas.finish(relief=0.26, gloss=0.10, weave=0.12)


def _dab(
    canvas: Canvas, scene: Array, angle: Array, spacing_px: float, size_px: float, jitter: float
) -> None:
    """Set dabs whose colours scatter round the scene's, some of them towards a pure pigment."""
    rng, unit_colours = canvas.rng, np.stack([hex_rgb(colour) for colour in _COMPLEMENTS])
    tall, wide = scene.shape[:2]
    chosen = unit_colours[rng.integers(0, len(unit_colours), (tall // 4, wide // 4))]
    pure = chosen.repeat(4, axis=0).repeat(4, axis=1)[:tall, :wide]
    pure = np.pad(pure, ((0, tall - len(pure)), (0, wide - pure.shape[1]), (0, 0)), mode="edge")
    share = np.where(rng.random((tall, wide)) < 0.24, 0.42, 0.08).astype(np.float32)
    lightness = scene.mean(axis=-1, keepdims=True) / (pure.mean(axis=-1, keepdims=True) + 0.05)
    broken = mix(scene, np.clip(pure * np.clip(lightness, 0.5, 1.5), 0, 1), share)
    dab = Bristles(streak=0.05, dryness=0.2, ridge=0.8, taper=1.0)
    canvas.cover(
        broken, angle, spacing_px, 1.45 * size_px, 1.15 * size_px, jitter=jitter, bristles=dab
    )


def _scene(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the motif's colours and the direction of its forms."""
    tall, wide = x.shape
    shore = _BANK + 0.012 * np.sin(5 * x) + 0.004 * noise(rng, wide, tall, 6, 3)[tall // 2][None]
    picture, form = _above(rng, x, y)
    # The river holds the upper half turned over, drawn out and broken by ripples.
    depth = np.clip(y - shore, 0, None)
    ripple = 0.010 * np.sin(95 * depth**0.75 + 1.5 * noise(rng, wide, tall, 5, 3, (3, 0.6)))
    source_y = np.clip((shore - 1.35 * depth) * tall, 0, tall - 1).astype(np.int32)
    source_x = np.clip((x + ripple) * tall, 0, wide - 1).astype(np.int32)
    mirrored = picture[source_y, source_x]
    water = mix(mirrored * 0.86, hex_rgb("#4f8fb8"), 0.20 + 0.5 * smoothstep(0.15, 0.42, depth))
    glitter = np.clip(noise(rng, wide, tall, 26, 2, (3.5, 0.5)) - 0.9, 0, 1)
    water = mix(water, hex_rgb("#fdeec0"), glitter * 0.7)
    below = (y > shore).astype(np.float32)
    picture = mix(picture, water, below)
    rim = np.exp(-(((y - shore) / 0.010) ** 2))
    picture = mix(picture, hex_rgb("#3c4a3a"), 0.7 * rim)
    form = np.where(below > 0, 0.05 * np.sin(20 * y), form)
    picture, form = _meadow(rng, x, y, picture, form)
    return _boat(x, y, picture), form


def _above(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array]:
    tall, wide = x.shape
    drift = noise(rng, wide, tall, 3, 4, (2.6, 0.8))
    sky = ramp(
        np.clip(y / _BANK + 0.05 * drift, 0, 1),
        "#5f9fd4",
        "#92c1dd",
        "#cfdcd2",
        "#f8e3b0",
        "#fbd08a",
    )
    cloud = smoothstep(0.5, 1.5, drift + 0.3 * noise(rng, wide, tall, 12, 3)) * smoothstep(
        0.5, 0.2, y
    )
    sky = mix(sky, hex_rgb("#fdf3e0"), cloud * 0.85)
    sun = np.hypot(x - 0.61, y - 0.40)
    sky = mix(sky, hex_rgb("#fff2b0"), np.clip(np.exp(-((sun / 0.13) ** 2)) * 0.9, 0, 1))
    sky = mix(sky, hex_rgb("#fffbe6"), smoothstep(0.045, 0.035, sun))
    form = np.arctan2(y - 0.40, x - 0.61) + np.pi / 2
    hills = 0.535 - 0.045 * np.sin(3.4 * x + 0.4) - 0.012 * np.sin(9 * x)
    hill = ramp(np.clip((y - hills) * 9 + 0.1 * drift, 0, 1), "#7b86bd", "#8f8fb0", "#a9a17c")
    picture = mix(sky, hill, (y > hills).astype(np.float32))
    bank = smoothstep(0.562, 0.572, y + 0.006 * np.sin(14 * x))
    picture = mix(picture, ramp(np.clip((y - 0.56) * 20, 0, 1), "#d8b74a", "#7f9a3c"), bank)
    leaves = noise(rng, wide, tall, 15, 4)
    for tree in _TREES:
        picture = _tree(x, y, picture, leaves, tree)
    return picture, form


def _tree(x: Array, y: Array, picture: Array, leaves: Array, tree: tuple[float, ...]) -> Array:
    at_x, foot, half, tall, red = tree
    trunk = (np.abs(x - at_x - 0.01 * np.sin(9 * y)) < 0.06 * half + 0.02 * (y - foot + 0.2)) & (
        (y < foot) & (y > foot - 0.6 * tall)
    )
    picture = mix(picture, hex_rgb("#4a3348"), trunk * np.float32(0.92))
    dx, dy = (x - at_x) / half, (y - (foot - 0.57 * tall)) / (0.46 * tall)
    reach = np.hypot(dx, dy) + 0.14 * leaves + 0.07 * np.sin(7 * np.arctan2(dy, dx) + 9 * at_x)
    crown = smoothstep(1.02, 0.92, reach)
    towards_sun = np.sign(0.61 - at_x)
    light = np.clip(0.5 + 0.34 * dx * towards_sun - 0.22 * dy + 0.16 * leaves, 0, 1)
    gold = ramp(light, "#4a3a5e", "#8a5a2a", "#d08a22", "#f2bb2e", "#fbe27a")
    fire = ramp(light, "#43284f", "#8a2a32", "#cf4a26", "#ee7f2c", "#f9bf5a")
    return mix(picture, mix(gold, fire, np.full_like(x, red)), crown)


def _meadow(
    rng: np.random.Generator, x: Array, y: Array, picture: Array, form: Array
) -> tuple[Array, Array]:
    tall, wide = x.shape
    top = 1.0 - 0.23 * np.exp(-((x / 0.40) ** 2)) - 0.10 * np.exp(-(((x - 1.25) / 0.28) ** 2))
    top = top + 0.006 * np.sin(31 * x)
    grass = noise(rng, wide, tall, 12, 4, (0.6, 1.8))
    green = ramp(
        np.clip(0.45 + 0.22 * grass - 1.2 * (y - top), 0, 1),
        "#243f58",
        "#3a6a3f",
        "#7fa23a",
        "#cfc24a",
        "#f3dc7a",
    )
    blossom = smoothstep(1.3, 1.6, noise(rng, wide, tall, 34, 2))
    green = mix(
        green, ramp(np.clip(0.5 + 0.4 * grass, 0, 1), "#c8406a", "#f0e6e0", "#e86a3a"), blossom
    )
    inside = y > top
    upright = np.float32(np.pi / 2) + 0.4 * np.sin(9 * x)
    return mix(picture, green, inside.astype(np.float32)), np.where(inside, upright, form)


def _boat(x: Array, y: Array, picture: Array) -> Array:
    """Put a small boat with a sail on the water, and its reflection."""
    at_x, water = 0.545, 0.715
    for flip, share in ((1, 0.95), (-1, 0.55)):
        up = (water - y) * flip
        hull = (np.abs(x - at_x) < 0.062 + 0.7 * up) & (up > -0.004) & (up < 0.020)
        sail = (
            (x - at_x > -0.046 + 0.25 * up)
            & (x - at_x < 0.052 - 0.335 * up)
            & (up > 0.026)
            & (up < 0.165)
        )
        mast = (np.abs(x - at_x + 0.004) < 0.0025) & (up > 0.015) & (up < 0.175)
        shade = ramp(np.clip((x - at_x) * 9 + 0.5, 0, 1), "#c8402a", "#f3a45c")
        picture = mix(picture, shade, sail * np.float32(share))
        picture = mix(picture, hex_rgb("#5a2f3a"), (hull | mast) * np.float32(share))
    return picture
