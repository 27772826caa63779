"""From coarse to fine: which sizes are painted, and for how long.

At a coarse size the network's receptive fields span large parts of the picture, so motifs
and long strokes are laid out there, cheaply; each finer size only adds detail (Gatys et
al., "Controlling perceptual factors in neural style transfer", 2017, section 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from impasto.config.initialization import parse_start
from impasto.config.settings import Settings
from impasto.errors import ImageError
from impasto.images.picture import Picture
from impasto.images.resample import fit

# Iterations at the first size, by what factor they fall from size to size, and the fewest.
# Measured in docs/speed.md: coarse sizes are cheap and lay out the motifs, the last ones
# decide the loss.
_FIRST_ITERATIONS = 60
_FALL = 0.72
_FEWEST_ITERATIONS = 20
# Noise is further from a picture than a photograph is, and a lone size has no coarser one
# before it: there so many times as much.
_FROM_AFAR = 2.5


@dataclass(frozen=True)
class Scale:
    """One size to paint, and its iterations.

    The canvas is larger than the picture by ``margin_px`` on each side: near a border the
    network sees padding instead of paint, and what comes of it is cut off in the end. One that
    ``wraps`` goes on at its other side, and has no border.
    """

    height_px: int
    width_px: int
    margin_px: int
    iterations: int
    wraps: bool = False

    @property
    def canvas_px(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.height_px + 2 * self.margin_px, self.width_px + 2 * self.margin_px

    @property
    def step_work(self) -> int:
        """Pixels of the canvas: what an iteration costs, in proportion."""
        height_px, width_px = self.canvas_px
        return height_px * width_px

    @property
    def work(self) -> int:
        """What the size costs, in proportion."""
        return self.step_work * self.iterations

    @property
    def longest_px(self) -> int:
        """The longer side."""
        return max(self.height_px, self.width_px)


def scales(
    height_px: int, width_px: int, settings: Settings, *, smallest_px: int = 1
) -> tuple[Scale, ...]:
    """Lay out the sizes from the coarsest to ``height_px`` x ``width_px``.

    Args:
        height_px: of the result.
        width_px: of the result.
        settings: coarsest, size_ratio, margin, seamless, start and iterations are read.
        smallest_px: no side of any size is shorter than this; seamless, they are its multiples,
            as the result's must be.

    Raises:
        ImageError: the result itself has a shorter side.
    """
    longest_px, shortest_px = max(height_px, width_px), min(height_px, width_px)
    if shortest_px < smallest_px:
        raise ImageError(
            f"expected a result of at least {smallest_px} pixels on its shorter side for the "
            f"layers asked for, got {width_px} x {height_px}; raise size, or ask for "
            "shallower layers"
        )
    coarsest_px = max(settings.coarsest, math.ceil(smallest_px * longest_px / shortest_px))
    count = 1
    if coarsest_px < longest_px:
        # Just under a whole number of ratios is that number: 128 to 511 is as 128 to 512.
        exact = math.log(longest_px / coarsest_px) / math.log(settings.size_ratio)
        count += max(1, round(exact))
    # Rounded, two of a small picture's lengths may be one.
    lengths = sorted(
        {
            round(longest_px * (coarsest_px / longest_px) ** (place / max(1, count - 1)))
            for place in range(count)
        }
    )
    sizes = [fit(height_px, width_px, length) for length in lengths[:-1]]
    if settings.seamless:
        sizes = [
            (rounded_to(height, smallest_px), rounded_to(width, smallest_px))
            for height, width in sizes
        ]
    sizes.append((height_px, width_px))
    return tuple(
        Scale(
            height,
            width,
            0 if settings.seamless else _margin_px(height, width, settings.margin),
            iterations,
            settings.seamless,
        )
        for (height, width), iterations in zip(
            sizes, _iterations(len(sizes), settings), strict=True
        )
    )


def shown_px(style: Picture, scale: Scale, ratio: float, smallest_px: int) -> tuple[int, int]:
    """Return the height and width at which the network is shown a style picture.

    At ``ratio`` times the size being painted, strokes grow with both. It is never enlarged: blur
    would be taken for its style.

    Args:
        style: the picture.
        scale: the size being painted.
        ratio: its style scale.
        smallest_px: the shortest side that leaves every layer in use a feature.
    """
    longest_px = max(style.height_px, style.width_px)
    shortest_px = min(style.height_px, style.width_px)
    least_px = math.ceil(smallest_px * longest_px / shortest_px)
    wanted_px = max(round(ratio * scale.longest_px), least_px)
    return fit(style.height_px, style.width_px, min(longest_px, wanted_px))


def style_scales(count: int, settings: Settings) -> tuple[float, ...]:
    """Return at how many times the painting's size each of ``count`` style pictures is shown."""
    scales = settings.style_scale or (1.0,)
    return scales * count if len(scales) == 1 else scales


def rounded_to(length_px: int, grid_px: int) -> int:
    """Round a length to a multiple of ``grid_px``, at least one."""
    return grid_px * max(1, round(length_px / grid_px))


def _margin_px(height_px: int, width_px: int, share: float) -> int:
    # A reflection reaches no further than the picture it mirrors.
    return min(round(share * max(height_px, width_px)), height_px - 1, width_px - 1)


def _iterations(count: int, settings: Settings) -> list[int]:
    is_noisy = "noise" in (parse_start(settings.start or "") or {})
    more = _FROM_AFAR if count == 1 or is_noisy else 1.0
    wanted = [
        round(more * max(_FEWEST_ITERATIONS, _FIRST_ITERATIONS * _FALL**place))
        for place in range(count)
    ]
    total = settings.iterations
    if total is None:
        return wanted
    exact = [total * want / sum(wanted) for want in wanted]
    shared = [math.floor(share) for share in exact]
    by_remainder = sorted(range(count), key=lambda place: shared[place] - exact[place])
    for place in by_remainder[: total - sum(shared)]:
        shared[place] += 1
    return shared
