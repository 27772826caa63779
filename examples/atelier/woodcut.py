"""A colour woodcut: carved, tapered lines that follow a mountain lake's contours.

A key block in black is cut away by gouge marks: lenses of white along numbered lines. Tone
is the width of what the gouge leaves. Three colour blocks with the wood's grain lie beneath.
"""

from dataclasses import dataclass

import numpy as np

from atelier.brush import halve
from atelier.fields import Array, blur, borders, grid, hex_rgb, mix, noise, ramp, smoothstep

ASPECT = 1.25
_SUN = (0.80, 0.25)
_HORIZON = 0.60
# x, underside, half length, height
_CLOUDS = (
    (0.22, 0.165, 0.27, 0.075),
    (0.99, 0.405, 0.22, 0.042),
    (0.53, 0.345, 0.16, 0.035),
    (0.56, 0.075, 0.11, 0.03),
)
# For each range: its foot; its peaks as x, height, half width; shades; lines to the height
_RANGES = (
    (
        0.50,
        ((0.18, 0.20, 0.30), (0.52, 0.16, 0.26), (1.10, 0.15, 0.32)),
        ("#6f8fa0", "#c9cfbf"),
        92,
    ),
    (
        0.60,
        ((0.02, 0.25, 0.36), (0.42, 0.235, 0.30), (0.93, 0.12, 0.34), (1.25, 0.16, 0.26)),
        ("#2f5570", "#8fb0ac"),
        74,
    ),
)
_INK = hex_rgb("#16130f")
_PAPER = hex_rgb("#f0e4c8")


@dataclass(frozen=True)
class Relief:
    """One part of the picture, as it is carved.

    Attributes:
        mask: where it is, (H, W).
        line: number of the line that a pixel lies on, its fraction the position across the line.
        along: position along the line, in lengths of one gouge mark.
        tone: share of ink left, in [0, 1].
        colour: of the blocks below, (H, W, 3).
        outline: whether a black line goes round it.
    """

    mask: Array
    line: Array
    along: Array
    tone: Array
    colour: Array
    outline: bool = True


def paint(height: int, seed: int = 31) -> Array:
    """Paint the picture, RGB in [0, 1], (height, 1.25 * height, 3)."""
    rng = np.random.default_rng(seed)
    tall, wide = 2 * height, 2 * round(ASPECT * height)
    unit = tall / 1228
    x, y = grid(wide, tall)
    wobble = noise(rng, wide, tall, 9, 3)
    parts = [_sky(x, y, wobble), *_clouds(x, y, wobble)]
    parts += _mountains(rng, x, y, wobble)
    parts += [_lake(rng, x, y, wobble), _shore(rng, x, y, wobble), *_pine(rng, x, y, wobble)]

    ink = np.zeros_like(x)
    colour = np.zeros((tall, wide, 3), np.float32)
    for part in parts:
        cut = _gouge(part)
        here = part.mask > 0.5
        edge = blur(borders(here), 2 * unit) * 2 * unit if part.outline else np.zeros_like(x)
        ink = np.where(here, 1 - cut, ink)
        ink = np.maximum(ink, smoothstep(0.22, 0.36, edge))
        colour[here] = part.colour[here]
    return halve(_print(rng, ink, colour, x, y, unit))


def _gouge(part: Relief) -> Array:
    """Cut away wood: 1 in the marks, which are lenses along each line."""
    number = np.floor(part.line)
    offset = _hash(number, 1.7)
    position = part.along * (0.75 + 0.5 * _hash(number, 9.1)) + 17 * offset
    mark = np.floor(position)
    within = position - mark
    taper = np.clip(np.sin(np.pi * within), 0, 1) ** 0.45
    strength = 0.82 + 0.36 * (_hash(number * 31 + mark, 4.3) - 0.5)
    across = 2 * np.abs(part.line - number - 0.5)
    open_share = np.clip(1 - part.tone, 0, 1) * taper * strength
    return smoothstep(-0.06, 0.06, open_share - across)


def _hash(number: Array, salt: float) -> Array:
    """Return a fixed but arbitrary value in [0, 1) for each whole number."""
    value = np.sin(number.astype(np.float64) * 12.9898 + salt * 78.233) * 43758.5453
    return (value - np.floor(value)).astype(np.float32)


def _sky(x: Array, y: Array, wobble: Array) -> Relief:
    dx, dy = x - _SUN[0], y - _SUN[1]
    distance, theta = np.hypot(dx, dy), np.arctan2(dy, dx)
    # Lines double as they spread, so that they stay about as far apart.
    ray = theta / (2 * np.pi) * 72 + 0.05 * wobble
    fork = distance * (0.7 + 0.6 * _hash(np.floor(ray), 3.1))
    line = ray * 2 ** np.clip(np.floor(np.log2(fork / 0.17 + 1e-3)), 0, 3)
    tone = 0.20 + 0.62 * smoothstep(0.1, 0.95, distance) + 0.10 * smoothstep(0.35, 0.0, y)
    disc = distance < 0.105
    tone = np.where(disc, 0.0, tone)
    tone = np.where((distance > 0.105) & (distance < 0.113), 1.0, tone)
    colour = ramp(
        np.clip(1.15 - distance * 1.0 - 0.35 * smoothstep(0.45, 0.0, y), 0, 1),
        "#27466b", "#3f6f8f", "#86a79f", "#e3bd7c", "#ec9a4b", "#e2702f",
    )  # fmt: skip
    colour[disc] = hex_rgb("#d8412a")
    line = np.where(disc, 0.5, line)
    return Relief(np.ones_like(x), line, distance * 7.5, tone, colour, outline=False)


def _clouds(x: Array, y: Array, wobble: Array) -> list[Relief]:
    clouds = []
    for at_x, base, length, puff in _CLOUDS:
        u = (x - at_x) / length
        dome = np.sqrt(np.clip(1 - u**2, 0, 1))
        lobes = 0.55 + 0.45 * np.abs(np.sin(u * 5.3 + at_x * 9)) ** 0.8
        top = base - puff * dome * lobes * 1.25
        bottom = base + 0.22 * puff * dome * (1 + 0.4 * np.sin(11 * u))
        mask = (np.abs(u) < 1) & (y > top) & (y < bottom)
        depth = (y - top) / (bottom - top + 1e-4)
        tone = 0.04 + 0.72 * smoothstep(0.35, 1.1, depth)
        line = (y - 0.35 * top) * 78 + 0.22 * wobble
        colour = mix(hex_rgb("#f6ead0"), hex_rgb("#c9b7a0"), smoothstep(0.3, 1.0, depth))
        clouds.append(Relief(mask.astype(np.float32), line, x * 9, tone, colour))
    return clouds


def _mountains(rng: np.random.Generator, x: Array, y: Array, wobble: Array) -> list[Relief]:
    tall, wide = x.shape
    ranges = []
    for base, peaks, (deep, pale), density in _RANGES:
        rough = noise(rng, wide, tall, 9, 5)[tall // 2][None]
        height = np.max([rise * np.clip(1 - np.abs(x - at) / reach, 0, 1) ** 1.15
                         for at, rise, reach in peaks], axis=0)  # fmt: skip
        ridge = base - height - 0.011 * rough * (0.4 + 4 * height)
        fold = 0.021 * noise(rng, wide, tall, 7, 4, (0.6, 1.8))
        depth = y - ridge
        leaning = np.gradient(blur(ridge + fold, 5), axis=1) * tall
        shadow = smoothstep(-0.15, 0.6, leaning)
        snow = smoothstep(0.02, -0.02, depth - 0.34 * height + 1.2 * fold) * (height > 0.1)
        tone = 0.24 + 0.40 * shadow + 0.14 * smoothstep(0.0, 0.25, depth) - 0.34 * snow
        line = (depth * (1 - 0.35 * shadow) + fold * 1.4) * density + 0.15 * wobble
        colour = mix(hex_rgb(deep), hex_rgb(pale), np.clip(0.95 - shadow - 1.3 * depth, 0, 1))
        colour = mix(colour, hex_rgb("#f5ecd8"), snow * (1 - 0.55 * shadow))
        mask = (depth > 0) & (y < _HORIZON + 0.01)
        ranges.append(
            Relief(
                mask.astype(np.float32), line, x * 15 + 4 * depth, np.clip(tone, 0.05, 0.9), colour
            )
        )
    return ranges


def _lake(rng: np.random.Generator, x: Array, y: Array, wobble: Array) -> Relief:
    tall, wide = x.shape
    depth = np.clip(y - _HORIZON, 1e-4, None)
    near = np.sqrt(depth / 0.4)
    swell = 0.010 * np.sin(x * (30 - 18 * near) + 9 * wobble * 0.12) * near
    line = 44 * np.clip(depth + swell, 0, None) ** 0.62 + 0.10 * wobble
    ripple = noise(rng, wide, tall, 11, 3, (4, 0.8))
    path = np.exp(-(((x - _SUN[0]) / (0.045 + 0.30 * depth)) ** 2))
    mirrored = smoothstep(0.16, 0.02, depth)
    tone = 0.38 + 0.15 * ripple + 0.20 * mirrored - 0.46 * path
    colour = ramp(
        np.clip(depth * 2.6 + 0.08 * ripple, 0, 1), "#2c5a72", "#4e8a98", "#7db3ae", "#3f7f8c"
    )
    colour = mix(colour, hex_rgb("#ee9a4c"), np.clip(path * 1.1, 0, 1))
    mask = (y > _HORIZON).astype(np.float32)
    return Relief(mask, line, x * (10 - 5 * near), np.clip(tone, 0.06, 0.92), colour)


def _shore(rng: np.random.Generator, x: Array, y: Array, wobble: Array) -> Relief:
    tall, wide = x.shape
    rough = noise(rng, wide, tall, 8, 4)[tall // 3][None]
    top = 0.985 - 0.20 * np.exp(-((x / 0.42) ** 2)) - 0.10 * np.exp(-(((x - 1.28) / 0.3) ** 2))
    top = top + 0.006 * rough
    depth = y - top
    tone = 0.45 + 0.25 * smoothstep(0.02, 0.2, depth) + 0.10 * wobble
    blades = 0.5 * x + 0.35 * depth * np.sin(x * 9 + 1.5)
    line = (blades + 0.012 * wobble) * 170
    colour = mix(hex_rgb("#9a9a45"), hex_rgb("#3f5a34"), smoothstep(0.0, 0.16, depth))
    mask = (depth > 0).astype(np.float32)
    return Relief(mask, line, depth * 16 + 0.2 * wobble, np.clip(tone, 0.1, 0.9), colour)


def _pine(rng: np.random.Generator, x: Array, y: Array, wobble: Array) -> list[Relief]:
    """Carve the crooked pine on the left: a trunk, then its cushions of needles."""
    trunk_x = 0.155 + 0.045 * np.sin((0.86 - y) * 7.5) + 0.05 * (0.86 - y)
    girth = 0.013 + 0.030 * np.clip(y - 0.2, 0, 1) ** 1.4
    bark = (x - trunk_x) / girth
    mask = (np.abs(bark) < 1.3) & (y > 0.27) & (y < 0.875)
    tone = 0.30 + 0.42 * smoothstep(-0.6, 0.9, bark)
    brown = mix(hex_rgb("#a8623a"), hex_rgb("#5a3324"), smoothstep(-0.5, 0.8, bark))
    parts = [_rimmed(mask, np.abs(bark) > 1, bark * 4.5 + 0.7 * wobble, y * 19, tone, brown)]
    cushions = (
        (0.30, 0.60, 0.105, 0.038), (0.05, 0.55, 0.115, 0.042), (0.36, 0.49, 0.10, 0.036),
        (0.10, 0.43, 0.10, 0.038), (0.29, 0.395, 0.115, 0.040), (0.13, 0.335, 0.085, 0.034),
        (0.25, 0.285, 0.105, 0.040), (0.185, 0.225, 0.075, 0.034),
    )  # fmt: skip
    for at_x, at_y, wide, high in cushions:
        branch = (
            at_y + 0.5 * high + (0.035 - 0.25 * np.abs(x - 0.17)) * (np.abs(at_x - 0.18) > 0.04)
        )
        limb = (np.abs(y - branch) < 0.006) & (x > min(at_x, 0.19)) & (x < max(at_x, 0.19))
        ones = np.full_like(x, 0.95)
        parts.append(Relief(limb.astype(np.float32), x * 9, y * 9, ones, brown, outline=False))
        parts.append(_cushion(rng, x, y, (at_x, at_y, wide, high)))
    return parts


def _cushion(
    rng: np.random.Generator, x: Array, y: Array, box: tuple[float, float, float, float]
) -> Relief:
    at_x, at_y, wide, high = box
    dx, dy = (x - at_x) / wide, (y - at_y) / high
    theta = np.arctan2(dy - 0.9, dx * 1.6)
    phase = rng.uniform(0, 6)
    edge = 1 + 0.13 * np.sin(np.arctan2(dy, dx) * 9 + phase) + 0.06 * np.sin(theta * 41 + phase)
    reach = np.hypot(dx, np.where(dy > 0, dy * 2.1, dy))
    mask = reach < edge + 0.11
    tone = 0.34 + 0.44 * smoothstep(-0.7, 0.6, dy) + 0.10 * dx
    line = theta * 22
    along = np.hypot(dx * 1.6, dy - 0.9) * 1.5
    green = mix(hex_rgb("#a3b552"), hex_rgb("#3f6a3f"), smoothstep(-0.8, 0.4, dy))
    return _rimmed(mask, reach > edge, line, along, np.clip(tone, 0.12, 0.85), green)


def _rimmed(
    mask: Array, rim: Array, line: Array, along: Array, tone: Array, colour: Array
) -> Relief:
    """Clear a pale rim round a dark shape, so that it stands out from what lies behind."""
    tone, line = np.where(rim, 0.0, tone), np.where(rim, 0.5, line)
    along, colour = np.where(rim, 0.5, along), colour.copy()
    colour[rim] = hex_rgb("#efd9a6")
    return Relief(mask.astype(np.float32), line, along, tone, colour, outline=False)


def _print(
    rng: np.random.Generator, ink: Array, colour: Array, x: Array, y: Array, unit: float
) -> Array:
    """Pull the print: colour blocks a little out of register, then the key block, on paper."""
    tall, wide = ink.shape
    fibres = noise(rng, wide, tall, 90, 3, (2.5, 1)) * 0.5 + noise(rng, wide, tall, 220, 1) * 0.5
    paper = _PAPER * (1 + 0.022 * fibres)[..., None]
    rings = np.sin(150 * (y + 0.05 * np.sin(2.2 * x)) + 2.4 * noise(rng, wide, tall, 3, 3, (6, 1)))
    grain = 0.5 * rings + 0.6 * noise(rng, wide, tall, 60, 2, (9, 0.6))
    shift = max(1, round(2 * unit))
    blocks = np.roll(blur(colour, 1.2 * unit), (shift, -shift), axis=(0, 1))
    press = np.clip(0.86 + 0.075 * grain + 0.05 * noise(rng, wide, tall, 40, 3), 0, 1)
    sheet = mix(paper, blocks * paper / _PAPER.max(), press)
    # Ink squeezes out at the edges of a line and misses the wood's pores inside.
    ink = smoothstep(0.38, 0.62, blur(ink, 1.1 * unit) + 0.035 * noise(rng, wide, tall, 150, 2))
    cover = np.clip(0.955 + 0.035 * grain - 0.5 * smoothstep(2.0, 3.0, fibres * 1.3), 0, 1)
    printed = mix(sheet, _INK, ink * cover)
    margin = np.minimum(np.minimum(x, ASPECT - x), np.minimum(y, 1 - y))
    frame = smoothstep(0.017, 0.019, margin + 0.0012 * noise(rng, wide, tall, 50, 3))
    return np.clip(mix(paper, printed, frame), 0, 1)
