"""The pyramid: the sizes that are painted, from coarse to fine, and their iterations.

At a coarse size the network's receptive fields cover large parts of the picture. So motifs and
long strokes form there at low cost, and each finer size only adds detail (Gatys et al.,
"Controlling perceptual factors in neural style transfer", 2017, section 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from impasto.config.initialization import parse_start
from impasto.config.settings import Settings
from impasto.errors import ImageError
from impasto.images.picture import Picture
from impasto.images.resample import fit

# Iterations at the first size, their factor from one size to the next, and the fewest. Measured in
# docs/speed.md: coarse sizes are cheap and form the motifs, the last ones decide the loss.
_FIRST_ITERATIONS = 60
_FALL = 0.72
_FEWEST_ITERATIONS = 20
# A start from noise, and a single size without a coarser one before it, need more iterations, by
# this factor.
_MORE_ITERATIONS = 2.5


@dataclass(frozen=True)
class Scale:
    """One size to paint, and its iterations.

    The canvas is larger than the picture by ``margin_px`` on each side. Near a border the network
    sees padding instead of paint; the margin with these artefacts is cut off at the end. A canvas
    that ``wraps`` continues at its opposite side and has no border.
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
        """Pixels of the canvas; the cost of an iteration is proportional to them."""
        height_px, width_px = self.canvas_px
        return height_px * width_px

    @property
    def work(self) -> int:
        """Pixels times iterations; the cost of the size is proportional to it."""
        return self.step_work * self.iterations

    @property
    def longest_px(self) -> int:
        """The longer side."""
        return max(self.height_px, self.width_px)


def scales(
    height_px: int, width_px: int, settings: Settings, *, smallest_px: int = 1
) -> tuple[Scale, ...]:
    """List the sizes from the coarsest to ``height_px`` x ``width_px``.

    Args:
        height_px: of the result.
        width_px: of the result.
        settings: coarsest, size_ratio, margin, seamless, start and iterations are read.
        smallest_px: the shortest side that is allowed. With seamless, all sides are multiples of
            it, and the result's must be.

    Raises:
        ImageError: a side of the result is shorter.
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
        # Round the number of scales: 511 gets as many as 512.
        exact = math.log(longest_px / coarsest_px) / math.log(settings.size_ratio)
        count += max(1, round(exact))
    # Two lengths of a small picture may round to the same.
    lengths = sorted(
        {
            round(longest_px * (coarsest_px / longest_px) ** (index / max(1, count - 1)))
            for index in range(count)
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

    Its longest side is ``ratio`` times that of the painting, so strokes grow with both. A style
    picture is never enlarged: the network would take the blur for its style.

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
    """Return the style scale of each of ``count`` style pictures."""
    scales = settings.style_scale or (1.0,)
    return scales * count if len(scales) == 1 else scales


def rounded_to(length_px: int, grid_px: int) -> int:
    """Round a length to a multiple of ``grid_px``, at least one."""
    return grid_px * max(1, round(length_px / grid_px))


def _margin_px(height_px: int, width_px: int, share: float) -> int:
    # A reflection cannot be wider than the picture.
    return min(round(share * max(height_px, width_px)), height_px - 1, width_px - 1)


def _iterations(count: int, settings: Settings) -> list[int]:
    is_noisy = "noise" in (parse_start(settings.start or "") or {})
    more = _MORE_ITERATIONS if count == 1 or is_noisy else 1.0
    wanted = [
        round(more * max(_FEWEST_ITERATIONS, _FIRST_ITERATIONS * _FALL**index))
        for index in range(count)
    ]
    total = settings.iterations
    if total is None:
        return wanted
    exact = [total * want / sum(wanted) for want in wanted]
    shared = [math.floor(share) for share in exact]
    by_remainder = sorted(range(count), key=lambda index: shared[index] - exact[index])
    for index in by_remainder[: total - sum(shared)]:
        shared[index] += 1
    return shared
