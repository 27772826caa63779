"""A cubist portrait: facets, bold outlines, ochres and blues, hatching and combed grain."""

import numpy as np

from atelier.brush import Bristles, Canvas
from atelier.fields import Array, grid, hex_rgb, noise, ramp, sample, smoothstep
from atelier.shapes import curve, fill, split, turn

ASPECT = 0.8
_LINES = np.radians([-62, 28, 74, -18, 90, 4]).astype(np.float32)
_INK = hex_rgb("#17120f")

# Every plane of the motif: its shades from dark to light.
_SHADES = {
    "wall": ("#4b3a22", "#8a6a34", "#b98f4a", "#d8bd83"),
    "window": ("#16324a", "#2c5a78", "#5d8fa3", "#a9c2bd"),
    "curtain": ("#5a1f16", "#93331f", "#b9532f", "#d58a5a"),
    "table": ("#2a1a12", "#4f2f1c", "#7a4a28", "#a26c3c"),
    "torso": ("#13243a", "#1f3d5c", "#3c6584", "#7f9fa8"),
    "lapel": ("#3a1712", "#7c2a1c", "#a8452b", "#cc7b52"),
    "hair": ("#0e0d10", "#241a18", "#3f2a20", "#6a4a34"),
    "neck": ("#7a4a30", "#a8734a", "#c99a6a", "#e2c49a"),
    "front": ("#b0743f", "#d3a066", "#e6c492", "#f3e2c0"),
    "profile": ("#2f5672", "#567f92", "#8aa7a6", "#c9d2bd"),
    "guitar": ("#5c3413", "#96591d", "#c98a35", "#e6bb6c"),
    "echo": ("#3b2412", "#6e4520", "#a3713a", "#c79f68"),
    "neckboard": ("#120e0c", "#2b1d15", "#473022", "#6b4c34"),
    "hole": ("#0b0908", "#150f0c", "#221813", "#33241a"),
    "sheet": ("#a89a7c", "#cdbf9c", "#e5dbbd", "#f5efdb"),
    "bottle": ("#0f2a22", "#1e4a3b", "#3d7259", "#86a684"),
    "lips": ("#5a1512", "#8c2418", "#b23a24", "#cf6a48"),
    "fruit": ("#7a2a12", "#b4501b", "#d98a2b", "#eec25a"),
}


def paint(height: int, seed: int = 5) -> Array:
    """Paint the picture, RGB in [0, 1], (height, 0.8 * height, 3)."""
    rng = np.random.default_rng(seed)
    tall, wide = 2 * height, 2 * round(ASPECT * height)
    unit = tall / 1536
    motif = _motif()
    planes = fill(wide, tall, [outline for _, outline in motif], list(range(1, len(motif) + 1)))
    frame = np.array([(0, 0), (ASPECT, 0), (ASPECT, 1), (0, 1)], np.float32)
    facets = split(rng, frame, _LINES, 0.0085)
    facet = fill(wide, tall, facets, list(range(len(facets))))

    target, angle = _colours(rng, motif, planes, facets, facet)
    canvas = Canvas(target * 0.7, rng)
    flat = Bristles(streak=0.07, dryness=0.3, ridge=0.45, taper=0.15)
    canvas.cover(target, angle, 22 * unit, 90 * unit, 40 * unit, jitter=0.04, bristles=flat)
    canvas.cover(target, angle, 15 * unit, 52 * unit, 24 * unit, jitter=0.05, bristles=flat)
    canvas.cover(target, angle, 9 * unit, 26 * unit, 12 * unit, jitter=0.05, bristles=flat)
    _textures(canvas, rng, motif, planes, len(facets), facet, angle, unit)
    _outlines(canvas, rng, motif, planes, facets, unit)
    _details(canvas, rng, unit)
    return canvas.finish(relief=0.30, gloss=0.10, weave=0.25)


def _motif() -> list[tuple[str, Array]]:
    """Name and outline of each plane, in heights, the farthest first."""

    def shape(*points: tuple[float, float]) -> Array:
        return np.array(points, np.float32)

    body = curve(
        shape(
            (0.30, 0.62), (0.37, 0.575), (0.45, 0.60), (0.49, 0.66), (0.55, 0.655), (0.62, 0.63),
            (0.70, 0.67), (0.715, 0.76), (0.66, 0.84), (0.57, 0.845), (0.50, 0.81), (0.45, 0.80),
            (0.38, 0.81), (0.31, 0.77), (0.28, 0.69),
        )
    )  # fmt: skip
    right = body.copy()
    right[:, 0] = np.maximum(right[:, 0], 0.50)
    right = _slant(right + np.array((0.010, -0.028), np.float32))
    body = _slant(body)
    hole = _slant(curve(_circle(0.465, 0.712, 0.046, 10)))
    board = _slant(shape((0.45, 0.684), (0.45, 0.740), (-0.02, 0.728), (-0.02, 0.696)))
    face = curve(
        shape(
            (0.33, 0.11), (0.42, 0.085), (0.50, 0.13), (0.52, 0.22), (0.50, 0.33), (0.44, 0.405),
            (0.385, 0.41), (0.32, 0.35), (0.285, 0.25), (0.29, 0.16),
        )
    )  # fmt: skip
    profile = shape(
        (0.415, 0.085), (0.47, 0.10), (0.515, 0.16), (0.525, 0.24), (0.505, 0.33), (0.45, 0.40),
        (0.405, 0.415), (0.42, 0.375), (0.395, 0.36), (0.415, 0.345), (0.39, 0.325), (0.405, 0.305),
        (0.345, 0.295), (0.395, 0.20), (0.385, 0.15),
    )  # fmt: skip
    lips = curve(
        shape(
            (0.352, 0.362), (0.378, 0.349), (0.402, 0.356), (0.428, 0.346), (0.468, 0.357),
            (0.440, 0.373), (0.400, 0.381),
        )
    )  # fmt: skip
    hair = curve(
        shape(
            (0.27, 0.33), (0.235, 0.22), (0.26, 0.09), (0.36, 0.03), (0.48, 0.045), (0.565, 0.12),
            (0.585, 0.24), (0.575, 0.37), (0.52, 0.40), (0.51, 0.20), (0.42, 0.12), (0.31, 0.15),
        )
    )  # fmt: skip
    return [
        ("window", shape((0.0, 0.0), (0.235, 0.0), (0.20, 0.46), (0.0, 0.50))),
        ("curtain", shape((0.64, 0.0), (0.80, 0.0), (0.80, 0.62), (0.66, 0.60), (0.70, 0.30))),
        ("table", shape((0.0, 0.86), (0.36, 0.80), (0.80, 0.83), (0.80, 1.0), (0.0, 1.0))),
        ("torso", shape((0.33, 0.43), (0.50, 0.42), (0.66, 0.49), (0.75, 0.90), (0.62, 1.0),
                        (0.20, 1.0), (0.06, 0.88), (0.17, 0.50))),
        ("neck", shape((0.34, 0.34), (0.48, 0.34), (0.505, 0.46), (0.42, 0.56), (0.335, 0.45))),
        ("lapel", shape((0.33, 0.43), (0.42, 0.57), (0.36, 0.66), (0.25, 0.47))),
        ("hair", hair), ("front", face), ("profile", profile), ("lips", lips),
        ("bottle", curve(shape((0.685, 0.42), (0.72, 0.42), (0.725, 0.53), (0.765, 0.60),
                               (0.77, 0.88), (0.64, 0.88), (0.64, 0.60), (0.68, 0.53)), 6)),
        ("sheet", shape((0.03, 0.80), (0.25, 0.75), (0.31, 0.94), (0.08, 0.985))),
        ("guitar", body), ("echo", right), ("hole", hole), ("neckboard", board),
        ("fruit", curve(_circle(0.60, 0.925, 0.052, 9))),
        ("fruit", curve(_circle(0.68, 0.94, 0.042, 9))),
    ]  # fmt: skip


def _slant(points: Array) -> Array:
    """Turn and shift the guitar's own coordinates to how she holds it."""
    return turn(points, 0.42, (0.46, 0.71)) + np.array((-0.03, 0.035), np.float32)


def _circle(x: float, y: float, radius: float, points: int) -> Array:
    theta = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + radius * np.cos(theta), y + radius * np.sin(theta)], -1).astype(np.float32)


def _colours(
    rng: np.random.Generator,
    motif: list[tuple[str, Array]],
    planes: Array,
    facets: list[Array],
    facet: Array,
) -> tuple[Array, Array]:
    """Give each cell (plane and facet) a shade that fades across it, and a direction."""
    tall, wide = planes.shape
    x, y = grid(wide, tall)
    middle = np.array([corners.mean(axis=0) for corners in facets])[facet]
    reach = np.array([np.ptp(corners, axis=0).max() for corners in facets])[facet]
    fade = rng.choice(_LINES, len(facets))[facet]
    across = ((x - middle[..., 0]) * np.cos(fade) + (y - middle[..., 1]) * np.sin(fade)) / reach
    level = rng.choice([0.22, 0.42, 0.58, 0.80], len(facets), p=[0.2, 0.3, 0.3, 0.2])[facet]
    shift = rng.normal(0, 0.07, (len(facets), len(motif) + 1))[facet, planes]
    value = np.clip(level + shift + 0.55 * across, 0, 1)
    value += 0.03 * noise(rng, wide, tall, 9, 4)
    target = ramp(value, *_SHADES["wall"])
    for index, (name, _) in enumerate(motif, start=1):
        here = planes == index
        target[here] = ramp(value[here], *_SHADES[name])
    turned = rng.choice(_LINES, (len(facets), len(motif) + 1))[facet, planes]
    return target, turned.astype(np.float32)


def _textures(
    canvas: Canvas,
    rng: np.random.Generator,
    motif: list[tuple[str, Array]],
    planes: Array,
    facets: int,
    facet: Array,
    angle: Array,
    unit: float,
) -> None:
    """Hatch, dot or comb some of the cells, in paint a little raised."""
    tall, wide = planes.shape
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32) / unit
    wobble = 2.2 * noise(rng, wide, tall, 10, 3)
    names = ["wall", *(name for name, _ in motif)]
    kind = rng.random((facets, len(names)))[facet, planes]
    wooden = np.isin(
        planes, [i for i, name in enumerate(names) if name in ("guitar", "echo", "table")]
    )
    rows = -x * np.sin(angle) + y * np.cos(angle) + wobble
    columns = x * np.cos(angle) + y * np.sin(angle) + wobble
    quiet = np.isin(planes, [names.index("hole"), names.index("neckboard"), names.index("sheet")])
    hatch = (np.sin(rows * 0.55) > 0.55) & (kind < 0.20) & ~wooden & ~quiet
    dots = (np.sin(rows * 0.36) * np.sin(columns * 0.36) > 0.55) & (kind > 0.89) & ~quiet
    grain = noise(rng, wide, tall, 7, 2, (2.5, 1))
    comb = (np.sin((0.2 * x + 0.98 * y) * 0.30 + 2.6 * grain) > 0.70) & wooden & (kind < 0.75)
    wear = noise(rng, wide, tall, 60, 2) > -1.0
    for mark, shade, depth in ((hatch, 0.42, 1.2), (dots, 0.45, 1.6), (comb, 0.58, 0.8)):
        mark &= wear
        canvas.paint[mark, :3] *= np.float32(shade)
        canvas.paint[mark, 3] += np.float32(depth)


def _outlines(
    canvas: Canvas,
    rng: np.random.Generator,
    motif: list[tuple[str, Array]],
    planes: Array,
    facets: list[Array],
    unit: float,
) -> None:
    """Draw the facets' edges thin and broken, the planes' edges bold where they show."""
    tall = canvas.height
    ink = Bristles(streak=0.25, dryness=0.25, ridge=0.25, taper=0.5)
    edges = np.concatenate([np.stack([f, np.roll(f, -1, axis=0)], axis=1) for f in facets]) * tall
    edges = edges[rng.random(len(edges)) < 0.62]
    t = np.linspace(-0.02, 1.02, 8, dtype=np.float32)[None, :, None]
    path = edges[:, :1] * (1 - t) + edges[:, 1:] * t + rng.normal(0, 0.8 * unit, (len(edges), 8, 2))
    shades = np.stack([_INK, hex_rgb("#3a2415"), hex_rgb("#1b2a3a")])
    colour = shades[rng.integers(0, 3, len(edges))]
    width = rng.uniform(2.5, 7.5, len(edges)).astype(np.float32) * unit
    _in_batches(canvas, path.astype(np.float32), width, colour, ink)
    for index, (name, outline) in enumerate(motif, start=1):
        thick = 7.0 if name in ("sheet", "window", "table", "curtain", "lips") else 13.0
        for visible in _visible(np.concatenate([outline, outline[:1]]), planes, index):
            _ink_line(canvas, rng, visible, thick * unit, unit)


def _visible(line: Array, planes: Array, index: int) -> list[Array]:
    """Cut from a plane's outline (N, 2) what nearer planes hide."""
    share = np.linspace(0, 1, 40, endpoint=False, dtype=np.float32)[None, :, None]
    fine = (line[:-1, None] * (1 - share) + line[1:, None] * share).reshape(-1, 2)
    shown = sample(planes, *(fine * planes.shape[0]).T) <= index
    runs = np.split(np.arange(len(fine)), np.flatnonzero(np.diff(shown)) + 1)
    return [fine[run] for run in runs if shown[run[0]] and len(run) > 8]


def _ink_line(
    canvas: Canvas, rng: np.random.Generator, line: Array, width_px: float, unit: float
) -> None:
    """Draw a line (N, 2), in heights, as overlapping strokes that swell and thin."""
    line = line * canvas.height
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    piece = 150 * unit
    starts = np.arange(0, max(travelled[-1] - 0.3 * piece, 1), 0.72 * piece)
    at = starts[:, None] + np.linspace(0, piece, 14)[None]
    path = np.stack([np.interp(at, travelled, line[:, axis]) for axis in (0, 1)], axis=-1)
    path += rng.normal(0, 0.6 * unit, path.shape)
    width = width_px * rng.uniform(0.6, 1.25, len(path))
    ink = Bristles(streak=0.3, dryness=0.15, ridge=0.35, taper=0.45)
    colour = np.tile(_INK, (len(path), 1))
    canvas.draw(path.astype(np.float32), width.astype(np.float32), colour, ink)


def _in_batches(canvas: Canvas, path: Array, width: Array, colour: Array, ink: Bristles) -> None:
    for first in range(0, len(path), 40):
        part = slice(first, first + 40)
        canvas.draw(path[part], width[part], colour[part], ink)


def _details(canvas: Canvas, rng: np.random.Generator, unit: float) -> None:
    """Draw what makes the planes a woman with a guitar: eyes, mouth, strings, staves."""

    def line(*points: tuple[float, float], width: float = 8, smooth: bool = True) -> None:
        drawn = np.array(points, np.float32)
        drawn = curve(drawn, closed=False) if smooth and len(points) > 2 else drawn
        _ink_line(canvas, rng, drawn, width * unit, unit)

    for x, y, tilt, size in ((0.335, 0.225, 0.15, 1.0), (0.462, 0.235, -0.1, 1.15)):
        corners = np.array([(-0.042, 0), (0, -0.021), (0.042, 0), (0, 0.019)], np.float32)
        lid = turn(curve(corners * size + (x, y)), tilt, (x, y))
        _disc(canvas, x, y, 0.024 * size, hex_rgb("#efe6cf"), unit, flat=0.55)
        _disc(canvas, x + 0.004, y, 0.0125 * size, _INK, unit)
        _disc(canvas, x, y - 0.005, 0.0035 * size, hex_rgb("#fbf6e6"), unit)
        _ink_line(canvas, rng, np.concatenate([lid, lid[:1]]), 8 * unit, unit)
    line((0.285, 0.195), (0.325, 0.168), (0.378, 0.188), width=14)
    line((0.425, 0.192), (0.470, 0.168), (0.515, 0.20), width=14)
    line((0.350, 0.362), (0.385, 0.364), (0.420, 0.362), (0.468, 0.357), width=6)
    for offset in np.linspace(-0.019, 0.019, 6):
        strung = np.array([(-0.02, 0.712 + offset * 0.55), (0.60, 0.712 + offset)], np.float32)
        _ink_line(canvas, rng, _slant(strung), 3.2 * unit, unit)
    bridge = _slant(np.array([(0.60, 0.672), (0.60, 0.752)], np.float32))
    _ink_line(canvas, rng, bridge, 16 * unit, unit)
    for row in range(3):
        for stave in range(4):
            y = 0.825 + 0.043 * row + 0.008 * stave
            line((0.065 + 0.012 * row, y + 0.012), (0.245 + 0.012 * row, y - 0.033), width=2.4)
        for note in range(4):
            x = 0.085 + 0.012 * row + 0.042 * note + rng.uniform(-0.008, 0.008)
            y = 0.838 + 0.043 * row - 0.25 * (x - 0.065) + rng.uniform(-0.012, 0.012)
            _disc(canvas, x, y, 0.006, _INK, unit)
            line((x + 0.006, y), (x + 0.007, y - 0.030), width=3)


def _disc(
    canvas: Canvas, x: float, y: float, radius: float, colour: Array, unit: float, flat: float = 1.0
) -> None:
    tall, wide = canvas.paint.shape[:2]
    map_x, map_y = grid(wide, tall)
    distance = np.hypot(map_x - x, (map_y - y) / flat) / radius
    inside = distance < 1
    canvas.paint[inside, :3] = colour
    canvas.paint[inside, 3] = (2.5 + 2.5 * smoothstep(1.0, 0.4, distance))[inside]
