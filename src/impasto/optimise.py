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
from impasto.objective import Evaluation
from impasto.settings import Settings

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
        """Return the next image, of the same shape."""

    def restart(self) -> None:
        """Forget what was learnt and take smaller steps from now on."""


class Lbfgs:
    r"""Limited-memory BFGS without a line search.

    Nocedal, "Updating quasi-Newton matrices with limited storage", 1980: the two-loop
    recursion over the last ``history`` pairs of moves s and gradient changes y.

    Differs: a step of length 1 is taken as it is (a line search would pay for a second
    network pass and rarely change the step), cut to a longest move; pairs without positive
    curvature are dropped. Tolerances are none: the schedule decides when to stop.
    """

    def __init__(self, history: int) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)
        self._last: tuple[Tensor, Tensor] | None = None
        self._scale = 1.0

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image."""
        x, g = image.flatten(), gradient.flatten()
        if self._last is not None:
            self._learn(x - self._last[0], g - self._last[1])
        self._last = (x, g)
        move = self._direction(g)
        length = move.square().mean().sqrt()
        if not self._pairs:
            move = move * (_FIRST_MOVE * self._scale / length.clamp_min(1e-30))
        else:
            move = move * (self._scale * _LONGEST_MOVE / length.clamp_min(1e-30)).clamp_max(1.0)
        return (x + move).view_as(image)

    def restart(self) -> None:
        """Forget the curvature, and take steps half as long."""
        self._pairs.clear()
        self._last = None
        self._scale /= 2

    def _learn(self, s: Tensor, y: Tensor) -> None:
        curvature = s @ y
        if curvature > 1e-10 * (y @ y):
            self._pairs.append((s, y, 1 / curvature))

    def _direction(self, g: Tensor) -> Tensor:
        q = -g
        if not self._pairs:
            return q
        along = []
        for s, y, rho in reversed(self._pairs):
            a = rho * (s @ q)
            along.append(a)
            q.addcmul_(a, y, value=-1)
        s, y, rho = self._pairs[-1]
        q /= rho * (y @ y)
        for (s, y, rho), a in zip(self._pairs, reversed(along), strict=True):
            q.addcmul_(a - rho * (y @ q), s)
        return q


class Adam:
    """Adam (Kingma and Ba, 2015), torch's own."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._image: Tensor | None = None

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image."""
        if self._image is None:
            self._image = image.clone()
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate)
        self._image.copy_(image)
        self._image.grad = gradient
        self._adam.step()
        return self._image.clone()

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
    evaluate: Callable[[Tensor], Evaluation], image: Tensor, iterations: int, settings: Settings
) -> Iterator[Iterate]:
    """Yield the best image so far after each of ``iterations`` evaluations.

    A loss or gradient that is not finite, or a loss far above the best so far, sends the
    painting back to its best image with its curvature forgotten and smaller steps.

    Args:
        evaluate: the objective.
        image: (1, 3, H, W) float32 or wider, where to start.
        iterations: how many evaluations.
        settings: which optimiser, and its step and history.

    Raises:
        Diverged: the very first loss or gradient is not finite, or going back did not
            help; the best image so far has been yielded before.
    """
    optimiser = make_optimiser(settings)
    best: Iterate | None = None
    best_gradient = image
    settled = 0.0
    rescues = 0
    for _ in range(iterations):
        evaluation = evaluate(image)
        values = evaluation.values()
        total = values["total"]
        finite = math.isfinite(total) and bool(evaluation.gradient.isfinite().all())
        if best is None:
            _check_start(total, finite)
            settled = _SETTLED * total
        if best is None or (finite and total < best.losses["total"]):
            best, best_gradient, rescues = Iterate(image, values), evaluation.gradient, 0
        if finite and total <= _EXPLODED * best.losses["total"] + settled:
            image = optimiser.propose(image, evaluation.gradient)
        else:
            rescues += 1
            optimiser.restart()
            image = optimiser.propose(best.image, best_gradient)
        yield best
        if rescues > _RESCUES:
            raise Diverged(
                f"the loss left its valley {rescues} times in a row, at last at {total:g} after "
                f"{best.losses['total']:g}; use --precision fp32, --optimiser adam, or smaller "
                "weights"
            )


def _check_start(total: float, finite: bool) -> None:
    if not finite:
        what = "gradient" if math.isfinite(total) else "loss"
        got = "infinite or undefined entries" if math.isfinite(total) else total
        raise Diverged(
            f"expected a finite {what} at the start, got {got}; use --precision fp32 or "
            "smaller weights"
        )


def make_optimiser(settings: Settings) -> Optimiser:
    """Build the optimiser that ``settings`` name."""
    if settings.optimiser == "adam":
        return Adam(settings.learning_rate)
    return Lbfgs(settings.history)
