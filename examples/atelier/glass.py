"""Stained glass: a sunrise over hills and a river, in leaded panes with the light behind."""

import numpy as np

from atelier.brush import halve
from atelier.fields import Array, blur, borders, grid, hex_rgb, mix, noise, ramp, smoothstep

ASPECT = 0.8
_SUN = (0.43, 0.36)
_BORDER = 0.052
# x, y, radius, petals, shades of each flower
_FLOWERS = (
    (0.15, 0.86, 0.105, 9, "ruby"),
    (0.335, 0.925, 0.075, 7, "amber"),
    (0.655, 0.83, 0.115, 10, "rose"),
    (0.545, 0.95, 0.07, 7, "ruby"),
    (0.70, 0.955, 0.055, 6, "amber"),
    (0.075, 0.97, 0.06, 6, "rose"),
)
_GLASS = {
    "border": ("#3a0a12", "#8e1220", "#c9301f", "#e8752a"),
    "sky": ("#0a1a5e", "#1440a8", "#2a78d0", "#79c0e8"),
    "ray": ("#e07a12", "#f2a51e", "#f9cf4a", "#fdeea0"),
    "sun": ("#f39a1a", "#fac63a", "#fde88a", "#fffbe0"),
    "far": ("#2a1258", "#56269a", "#8a55c4", "#c7a0e0"),
    "middle": ("#0c4a4e", "#12807a", "#3ab59c", "#9be0b8"),
    "near": ("#0d3d16", "#1f7a26", "#5cab2e", "#b5d94a"),
    "river": ("#0a5a86", "#1a93b5", "#5fcad2", "#c8f2ea"),
    "ruby": ("#5e0612", "#b00d1e", "#e0332a", "#f7805a"),
    "rose": ("#6a0a4a", "#b21a70", "#e0559a", "#f5b0cc"),
    "amber": ("#b0500a", "#e8861a", "#f8b93a", "#fde59a"),
    "eye": ("#5a3206", "#a86a0c", "#e5b02a", "#fbe690"),
}
_NAMES = list(_GLASS)


def paint(height: int, seed: int = 23) -> Array:
    """Paint the picture, RGB in [0, 1], (height, 0.8 * height, 3)."""
    rng = np.random.default_rng(seed)
    tall, wide = 2 * height, 2 * round(ASPECT * height)
    unit = tall / 1536
    x, y = grid(wide, tall)
    kind, piece = _panes(rng, x, y)
    lead, thick = _leads(kind, piece, unit)
    colour = _glass(rng, x, y, kind, piece, unit)

    edge_shade = blur(lead, 16 * unit)
    colour = colour * (1.16 - 0.62 * np.clip(edge_shade * 1.6, 0, 1))[..., None]
    came = _came(rng, thick, unit)
    picture = mix(colour, came, smoothstep(0.35, 0.6, lead))
    bright = blur(picture, 14 * unit)
    return halve(np.clip(picture * 0.9 + 0.24 * bright**1.3, 0, 1))


def _panes(rng: np.random.Generator, x: Array, y: Array) -> tuple[Array, Array]:
    """Return what each pixel shows (index into _NAMES) and which piece of glass it lies in."""
    kind = np.full(x.shape, _NAMES.index("sky"), np.int32)
    distance, theta = np.hypot(x - _SUN[0], y - _SUN[1]), np.arctan2(y - _SUN[1], x - _SUN[0])
    sector = theta / (2 * np.pi) * 32
    beam = np.floor(sector) % 2 == 0
    flare = 0.34 + 0.10 * np.sin(np.floor(sector) * 2.4)
    kind[beam & (distance < flare)] = _NAMES.index("ray")
    kind[distance < 0.105] = _NAMES.index("sun")
    ridge = 0.50 - 0.075 * _peaks(2.7 * x + 0.45) - 0.045 * _peaks(5.9 * x + 0.2)
    kind[y > ridge] = _NAMES.index("far")
    kind[y > 0.575 + 0.045 * np.sin(5.5 * x + 0.6)] = _NAMES.index("middle")
    kind[y > 0.68 - 0.05 * np.sin(6.0 * x - 0.2)] = _NAMES.index("near")
    course = 0.44 + 0.13 * np.sin(9.5 * (y - 0.55)) * smoothstep(0.55, 0.75, y)
    banks = 0.012 + 0.26 * np.clip(y - 0.575, 0, 1) ** 1.15
    kind[(np.abs(x - course) < banks) & (y > 0.585)] = _NAMES.index("river")

    piece = np.where(kind == _NAMES.index("ray"), _polar(sector, distance, 0.085, 0.0), 0)
    piece = np.where(kind == _NAMES.index("sky"), _polar(sector, distance, 0.082, 0.4), piece)
    for name, count, stretch in (
        ("sun", 9, (1, 1)), ("far", 42, (0.7, 1.5)), ("middle", 34, (1.9, 0.7)),
        ("near", 60, (1.5, 0.8)), ("river", 26, (1.7, 0.7)),
    ):  # fmt: skip
        here = kind == _NAMES.index(name)
        piece[here] = 10_000 + _nearest(rng, x[here], y[here], count, stretch)
    for index, flower in enumerate(_FLOWERS):
        _flower(kind, piece, x, y, index, flower)
    _border(kind, piece, x, y)
    return kind, piece


def _peaks(x: Array) -> Array:
    """Zigzag between 0 and 1, once up and down in each 2."""
    return np.abs(x % 2 - 1)


def _polar(sector: Array, distance: Array, ring: float, skew: float) -> Array:
    """Number the pieces of rays cut across at distances that differ from ray to ray."""
    spoke = np.floor(sector)
    shift = 0.5 + 0.5 * np.sin(spoke * 12.9898 + skew)
    rank = np.floor((distance / ring) ** 0.92 + shift)
    return (spoke + 20) * 50 + rank


def _nearest(
    rng: np.random.Generator, x: Array, y: Array, count: int, stretch: tuple[float, float]
) -> Array:
    """Number the Voronoi cell of each pixel, after some rounds that even the cells out."""
    across, down = x / stretch[0], y / stretch[1]
    chosen = rng.choice(len(x), min(len(x), 3000), replace=False)
    trial_x, trial_y = across[chosen], down[chosen]
    first = rng.choice(len(chosen), min(len(chosen), count), replace=False)
    seed_x, seed_y = trial_x[first].copy(), trial_y[first].copy()
    for _ in range(4):
        owner = ((trial_x[:, None] - seed_x) ** 2 + (trial_y[:, None] - seed_y) ** 2).argmin(axis=1)
        for cell in range(len(seed_x)):
            mine = owner == cell
            if mine.any():
                seed_x[cell], seed_y[cell] = trial_x[mine].mean(), trial_y[mine].mean()
    closest = np.full(x.shape, np.inf, np.float32)
    owner = np.zeros(x.shape, np.int32)
    for cell, (at_x, at_y) in enumerate(zip(seed_x, seed_y, strict=True)):
        distance = (across - at_x) ** 2 + (down - at_y) ** 2
        nearer = distance < closest
        closest[nearer], owner[nearer] = distance[nearer], cell
    return owner


def _flower(
    kind: Array,
    piece: Array,
    x: Array,
    y: Array,
    index: int,
    flower: tuple[float, float, float, int, str],
) -> None:
    at_x, at_y, radius, petals, shades = flower
    dx, dy = x - at_x, y - at_y
    distance = np.hypot(dx, dy) / radius
    turns = (np.arctan2(dy, dx) / (2 * np.pi) + 0.07 * index) * petals
    lobe = 0.74 + 0.26 * np.abs(np.sin(np.pi * turns)) ** 0.6
    inside = distance < lobe
    heart = distance < 0.27
    kind[inside] = _NAMES.index(shades)
    kind[heart] = _NAMES.index("eye")
    # Every other petal is cut once across.
    cut = (distance > 0.62) & (np.floor(turns) % 2 == 0)
    piece[inside] = (20_000 + 100 * index + 2 * (np.floor(turns) % petals) + cut)[inside]
    piece[heart] = 20_000 + 100 * index + 99


def _border(kind: Array, piece: Array, x: Array, y: Array) -> None:
    frame = np.minimum(np.minimum(x, ASPECT - x), np.minimum(y, 1 - y))
    upright = np.minimum(x, ASPECT - x) < np.minimum(y, 1 - y)
    run = np.where(upright, y * 13, x / ASPECT * 10)
    step = np.floor(run)
    side = np.where(upright, x > ASPECT / 2, 2 + (y > 0.5))
    inside = frame < _BORDER
    tone = np.where(step % 3 == 1, _NAMES.index("amber"), _NAMES.index("border"))
    kind[inside] = tone[inside]
    piece[inside] = (30_000 + 100 * side + step)[inside]


def _leads(kind: Array, piece: Array, unit: float) -> tuple[Array, Array]:
    """Return where lead lies (about 1 in its middle) and how thick it stands."""
    pieces = kind * 100_000 + piece
    fine = blur(borders(pieces), 2.4 * unit) * 2.4 * unit * 2.1
    bold = blur(borders(kind), 4.2 * unit) * 4.2 * unit * 1.9
    total = np.maximum(fine, bold)
    return np.clip(total, 0, 1), np.clip(total, 0, 2)


def _glass(
    rng: np.random.Generator, x: Array, y: Array, kind: Array, piece: Array, unit: float
) -> Array:
    """Colour the panes: each its own shade, streaked, rippled, with bubbles and the sun behind."""
    tall, wide = x.shape
    _, pane = np.unique(kind * 100_000 + piece, return_inverse=True)
    pane = pane.reshape(x.shape)
    count = int(pane.max()) + 1
    shade = np.clip(rng.normal(0.5, 0.17, count), 0.12, 0.9)[pane]
    lean = rng.uniform(0, 2 * np.pi, count)[pane]
    size = np.bincount(pane.ravel(), minlength=count)
    middle_x = (np.bincount(pane.ravel(), x.ravel(), count) / size)[pane]
    middle_y = (np.bincount(pane.ravel(), y.ravel(), count) / size)[pane]
    fade = ((x - middle_x) * np.cos(lean) + (y - middle_y) * np.sin(lean)) * 2.6

    streak = noise(rng, wide, tall, 9, 4, (0.5, 2.4))
    other = noise(rng, wide, tall, 9, 4, (2.4, 0.5))
    streak = np.where(rng.random(count)[pane] < 0.5, streak, other)
    sun = np.exp(-np.hypot(x - _SUN[0], y - _SUN[1]) * 2.0)
    value = np.clip(shade + fade + 0.10 * streak + 0.22 * (sun - 0.35), 0, 1)
    colour = np.zeros((tall, wide, 3), np.float32)
    for index, name in enumerate(_NAMES):
        here = kind == index
        colour[here] = ramp(value[here], *_GLASS[name])

    ripple = noise(rng, wide, tall, 70, 2)
    slope = np.gradient(blur(ripple, 2 * unit), axis=0) + np.gradient(
        blur(ripple, 2 * unit), axis=1
    )
    lit = 1 + np.clip(slope * 0.55 * unit, -0.22, 0.3)
    seeds = smoothstep(2.5, 3.1, noise(rng, wide, tall, 130, 1)) * 0.35
    dirt = 1 - 0.10 * smoothstep(0.8, 2.2, noise(rng, wide, tall, 26, 3))
    return np.clip(colour * (lit * dirt)[..., None] + seeds[..., None], 0, 1)


def _came(rng: np.random.Generator, thick: Array, unit: float) -> Array:
    """Shade the lead: dark, rounded, dull, with a glint on the upper left."""
    tall, wide = thick.shape
    soft = blur(thick, 1.5 * unit)
    slope_y, slope_x = np.gradient(soft)
    glint = np.clip((slope_x + slope_y) * 3.0 * unit, -1, 1)
    grey = 0.085 + 0.07 * glint + 0.02 * noise(rng, wide, tall, 120, 2)
    tint = hex_rgb("#e8ecf5")
    return (np.clip(grey, 0.01, 1)[..., None] * tint).astype(np.float32)
