r"""One resolution: an image descends its objective, step by step.

Both optimisers answer one question, ``propose(image, gradient) -> next image``, and know
nothing of losses; ``descend`` asks it, watches the loss, and goes back to the best image
when a step has gone wrong.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto.errors import Diverged
from impasto.metric import Metric
from impasto.objective import Evaluation
from impasto.settings import Settings
from impasto.vectors import Vector

# The first step of L-BFGS has no curvature to go by: it moves the pixels by this much,
# root mean square, of their range [0, 1].
_FIRST_MOVE = 0.01
# No step moves them further than this: a quadratic model is not trusted that far.
_LONGEST_MOVE = 0.25
# A loss this many times the best so far has left the valley, unless it is this small beside
# the first: around a bottom of zero any wobble is many times the best.
_EXPLODED = 2.0
_SETTLED = 1e-4
# How often in a row the painting goes back to its best image without finding a better one.
_RESCUES = 5


class Optimiser(Protocol):
    """Proposes the next image from this one and its gradient."""

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, of the same shape.

        Args:
            image: the one proposed last, unless nothing is remembered; it is left alone.
            gradient: contiguous; it is overwritten, and may be returned.
        """

    def restart(self) -> None:
        """Forget what was learnt and take smaller steps from now on."""


class Lbfgs:
    r"""Limited-memory BFGS without a line search.

    Nocedal, "Updating quasi-Newton matrices with limited storage", 1980: the two-loop
    recursion over the last ``history`` pairs of moves s and gradient changes y.

    Differs: the inverse curvature that the recursion begins with is a multiple of a Metric, not
    of the identity; a step of length 1 is taken as it is (a line search would pay for a second
    network pass and rarely change the step), cut to a longest move; pairs without positive
    curvature are dropped. Tolerances are none: the schedule decides when to stop. What is
    remembered may be kept in a narrower type; the move taken is then the move remembered.

    Args:
        history: how many pairs are remembered.
        dtype: their number type; None for the image's own.
    """

    def __init__(self, history: int, dtype: torch.dtype | None = None) -> None:
        self._history, self._dtype = history, dtype
        self._pairs: deque[tuple[Vector, Vector, Tensor]] = deque()
        self._last: tuple[Vector, Vector] | None = None
        self._scale = 1.0

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, in the gradient's memory."""
        x, g = image.flatten(), gradient.view(-1)
        if self._last is not None:
            self._learn(*self._last, g)
        self._last = None
        before = self._keep(g)
        self._turn(g, Metric(image.shape))
        length = torch.linalg.vector_norm(g) / math.sqrt(len(g))
        if not self._pairs:
            g *= _FIRST_MOVE * self._scale / length.clamp_min(1e-30)
        else:
            g *= (self._scale * _LONGEST_MOVE / length.clamp_min(1e-30)).clamp_max(1.0)
        if len(self._pairs) == self._history:
            # It makes room for the pair that is on its way, before the network needs room.
            self._pairs.popleft()
        move = self._keep(g)
        self._last = (move, before)
        g.copy_(x)
        move.add_to(g)
        return g.view_as(image)

    def restart(self) -> None:
        """Forget the curvature, and take steps half as long."""
        self._pairs.clear()
        self._last = None
        self._scale /= 2

    def _keep(self, values: Tensor) -> Vector:
        return Vector(values, self._dtype or values.dtype)

    def _learn(self, s: Vector, y: Vector, g: Tensor) -> None:
        """Remember the last move, and how the gradient changed to ``g`` over it."""
        y.become_change_to(g)
        curvature, square = s.dot(y), y.dot(y)
        if curvature > 1e-10 * square:
            self._pairs.append((s, y, 1 / curvature))

    def _turn(self, g: Tensor, metric: Metric) -> None:
        """Turn a gradient into the move that metric and pairs suggest, in place."""
        g.neg_()
        along = []
        for s, y, rho in reversed(self._pairs):
            a = rho * s.dot(g)
            along.append(a)
            y.add_to(g, -a)
        metric.apply(g)
        if self._pairs:
            _, y, rho = self._pairs[-1]
            g /= rho * metric.square(y)
        for (s, y, rho), a in zip(self._pairs, reversed(along), strict=True):
            s.add_to(g, a - rho * y.dot(g))


class Adam:
    """Adam (Kingma and Ba, 2015), torch's own."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._image: Tensor | None = None

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, in the gradient's memory."""
        if self._image is None:
            self._image = image.clone()
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate)
        self._image.copy_(image)
        self._image.grad = gradient
        self._adam.step()
        self._image.grad = None
        return gradient.copy_(self._image)

    def restart(self) -> None:
        """Forget the moments, and take steps half as long."""
        self._learning_rate /= 2
        self._image = None


@dataclass(frozen=True)
class Iterate:
    """An image and the objective's terms there."""

    image: Tensor
    losses: dict[str, float]


def descend(
    evaluate: Callable[[Tensor], Evaluation],
    image: Tensor,
    iterations: int,
    settings: Settings,
    *,
    history_dtype: torch.dtype | None = None,
) -> Iterator[Iterate]:
    """Yield the best image so far after each of ``iterations`` evaluations.

    A loss or gradient that is not finite, or a loss far above the best so far, sends the
    painting back to its best image with its curvature forgotten and smaller steps. Its
    gradient is found anew: to keep it would cost memory at every step.

    Args:
        evaluate: the objective; its gradient is overwritten.
        image: (1, 3, H, W) float32 or wider, where to start.
        iterations: how many evaluations.
        settings: which optimiser, and its step and history.
        history_dtype: number type of what L-BFGS remembers; None for the image's own.

    Raises:
        Diverged: the very first loss or gradient is not finite, or going back did not
            help; the best image so far has been yielded before.
    """
    optimiser = make_optimiser(settings, history_dtype)
    best: Iterate | None = None
    settled = 0.0
    rescues = 0
    for left in range(iterations - 1, -1, -1):
        evaluation = evaluate(image)
        values = evaluation.values()
        total = values["total"]
        finite = math.isfinite(total) and _is_finite(evaluation.gradient)
        if best is None:
            _check_start(total, finite)
            settled = _SETTLED * total
        if best is None or (finite and total < best.losses["total"]):
            best, rescues = Iterate(image, values), 0
        if finite and total <= _EXPLODED * best.losses["total"] + settled:
            # Nobody asks where the last step would lead.
            image = optimiser.propose(image, evaluation.gradient) if left else image
        else:
            rescues += 1
            optimiser.restart()
            image = best.image
        yield best
        if rescues > _RESCUES:
            raise Diverged(
                f"the loss left its valley {rescues} times in a row, at last at {total:g} after "
                f"{best.losses['total']:g}; use --precision fp32, --optimiser adam, or smaller "
                "weights"
            )


def _is_finite(values: Tensor) -> bool:
    # The extremes tell without a second vector: NaN is both of them.
    return bool(torch.stack(values.aminmax()).isfinite().all())


def _check_start(total: float, finite: bool) -> None:
    if not finite:
        what = "gradient" if math.isfinite(total) else "loss"
        got = "infinite or undefined entries" if math.isfinite(total) else total
        raise Diverged(
            f"expected a finite {what} at the start, got {got}; use --precision fp32 or "
            "smaller weights"
        )


def make_optimiser(settings: Settings, history_dtype: torch.dtype | None = None) -> Optimiser:
    """Build the optimiser that ``settings`` name; L-BFGS remembers in ``history_dtype``."""
    if settings.optimiser == "adam":
        return Adam(settings.learning_rate)
    return Lbfgs(settings.history, history_dtype)
