"""Fields over the canvas: coordinates, smooth noise, ramps of colour."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Mostly float32; labels are whole numbers and masks are booleans.
Array = NDArray[Any]


def grid(width: int, height: int) -> tuple[Array, Array]:
    """Return x in [0, width / height] and y in [0, 1] of every pixel, as (height, width) maps."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + 0.5) / height, (y + 0.5) / height


def resize(field: Array, width: int, height: int) -> Array:
    """Enlarge a map smoothly (bicubic)."""
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def noise(
    rng: np.random.Generator,
    width: int,
    height: int,
    cells: float,
    octaves: int = 4,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Array:
    """Return fractal value noise of mean 0 and standard deviation 1.

    Args:
        rng: source of the lattice values.
        width: of the map, in pixels.
        height: of the map, in pixels.
        cells: lattice cells down the height, in the coarsest octave.
        octaves: how many times the lattice is halved, each at half the amplitude.
        stretch: how far features are drawn out along x and y.
    """
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        density = cells * 2.0**octave / height
        columns = min(width, max(2, round(width * density / stretch[0])) + 2)
        rows = min(height, max(2, round(height * density / stretch[1])) + 2)
        lattice = rng.standard_normal((rows, columns)).astype(np.float32)
        total += resize(lattice, width, height) * 0.5**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def sample(field: Array, x: Array, y: Array) -> Array:
    """Look up ``field`` at pixel positions, nearest pixel, clamped to the border."""
    height, width = field.shape[:2]
    columns = np.clip(x.astype(np.int32), 0, width - 1)
    rows = np.clip(y.astype(np.int32), 0, height - 1)
    return field[rows, columns]


def ramp(value: Array, *colours: str) -> Array:
    """Map values in [0, 1] through evenly spaced ``#rrggbb`` colours to RGB in [0, 1]."""
    stops = np.array([hex_rgb(colour) for colour in colours], np.float32)
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(value, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def hex_rgb(colour: str) -> Array:
    """Read ``#rrggbb`` as RGB in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def mix(first: Array, second: Array, share: Array) -> Array:
    """Blend two RGB maps (or colours) by a map of shares of the second."""
    return (first + (second - first) * share[..., None]).astype(np.float32)


def borders(labels: Array) -> Array:
    """Mark with 1 the pixels whose label differs from the one above or to the left."""
    edge = np.zeros(labels.shape, np.float32)
    edge[:, 1:] += labels[:, 1:] != labels[:, :-1]
    edge[1:] += labels[1:] != labels[:-1]
    return np.clip(edge, 0, 1)


def blur(field: Array, radius_px: float) -> Array:
    """Smooth a map (H, W) or (H, W, C) with three box passes, near enough a Gaussian."""
    radius = max(1, round(radius_px))
    for _ in range(3):
        for axis in (0, 1):
            field = _box(field, radius, axis)
    return field


def _box(field: Array, radius: int, axis: int) -> Array:
    pad = [(0, 0)] * field.ndim
    pad[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float64)
    span = field.shape[axis]
    window = 2 * radius + 1
    high = np.take(sums, np.arange(window, window + span), axis=axis)
    low = np.take(sums, np.arange(span), axis=axis)
    return ((high - low) / window).astype(np.float32)
