"""Where to go from an image and its gradient: L-BFGS and Adam.

Both answer one question, ``propose(image, gradient) -> next image``, and know nothing of
losses. What they remember can be taken out between two steps, and put back later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.metric import Metric
from impasto.vectors import Vector

# The first step of L-BFGS has no curvature to go by: it moves the pixels by this much,
# root mean square, of their range [0, 1].
_FIRST_MOVE = 0.01
# No step moves them further than this: a quadratic model is not trusted that far.
_LONGEST_MOVE = 0.25


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

    def turn(self, settings: Settings) -> None:
        """Make ready for the gradient of another objective; what was learnt helps there too."""

    def remembered(self) -> dict[str, Tensor]:
        """Return all that is remembered, by name; the tensors are its own."""

    def remember(self, found: Mapping[str, Tensor]) -> None:
        """Go by what :meth:`remembered` has returned, of tensors of the same kind.

        Raises:
            ValueError: it is not that.
        """


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
        longest_px: the longest wave that the metric favours; None for no limit.
    """

    def __init__(
        self, history: int, dtype: torch.dtype | None = None, longest_px: int | None = None
    ) -> None:
        self._history, self._dtype, self._longest_px = history, dtype, longest_px
        self._pairs: deque[tuple[Vector, Vector, Tensor]] = deque()
        self._last: tuple[Vector, Vector] | None = None
        self._scale = 1.0
        self._metric: Metric | None = None

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, in the gradient's memory."""
        x, g = image.flatten(), gradient.view(-1)
        if self._last is not None:
            self._learn(*self._last, g)
        self._last = None
        before = self._keep(g)
        if self._metric is None or self._metric.shape != image.shape:
            self._metric = Metric(image.shape, self._longest_px)
        self._turn(g, self._metric)
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

    def turn(self, settings: Settings) -> None:
        """Keep the curvature, and compare no gradients of two objectives.

        Measured with beta times 1/4 to 4 in the middle of a painting: without the curvature
        three steps pass before the loss falls, and after sixty it is 1 % higher.
        """
        self._last = None

    def remembered(self) -> dict[str, Tensor]:
        """Return the pairs, the last move with the gradient before it, and the scale."""
        found = {"scale": torch.tensor(self._scale, dtype=torch.float64)}
        for place, (s, y, rho) in enumerate(self._pairs):
            found |= s.parts(f"pairs.{place}.s") | y.parts(f"pairs.{place}.y")
            found[f"pairs.{place}.rho"] = rho
        if self._last is not None:
            found |= self._last[0].parts("last.move") | self._last[1].parts("last.gradient")
        return found

    def remember(self, found: Mapping[str, Tensor]) -> None:
        """Go by these pairs, last move and scale."""
        count = sum(name.endswith(".rho") for name in found)
        if count > self._history:
            raise ValueError(f"{count} pairs: expected at most {self._history}")
        vectors = 2 * count + 2 * ("last.move" in found)
        if len(found) != 1 + count + 2 * vectors:
            raise ValueError(f"{len(found)} tensors: expected {1 + count + 2 * vectors}")
        self._scale = _number(found, "scale")
        self._pairs = deque(
            (
                Vector.of_parts(found, f"pairs.{place}.s"),
                Vector.of_parts(found, f"pairs.{place}.y"),
                found[f"pairs.{place}.rho"].view(()),
            )
            for place in range(count)
        )
        self._last = None
        if "last.move" in found:
            self._last = (
                Vector.of_parts(found, "last.move"),
                Vector.of_parts(found, "last.gradient"),
            )

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
            y.add_to(g, a, sign=-1)
        metric.apply(g)
        if self._pairs:
            _, y, rho = self._pairs[-1]
            g /= rho * metric.square(y)
        for (s, y, rho), a in zip(self._pairs, reversed(along), strict=True):
            s.add_to(g, torch.addcmul(a, rho, y.dot(g), value=-1))


class Adam:
    """Adam (Kingma and Ba, 2015), torch's own."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate, self._scale = learning_rate, 1.0
        self._image: Tensor | None = None

    def propose(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, in the gradient's memory."""
        if self._image is None:
            self._image = image.clone()
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate * self._scale)
        self._image.copy_(image)
        self._image.grad = gradient
        self._adam.step()
        self._image.grad = None
        return gradient.copy_(self._image)

    def restart(self) -> None:
        """Forget the moments, and take steps half as long."""
        self._scale /= 2
        self._image = None

    def turn(self, settings: Settings) -> None:
        """Keep the moments: those of the objective before soon fade."""
        self._learning_rate = settings.learning_rate
        if self._image is not None:
            self._adam.param_groups[0]["lr"] = self._learning_rate * self._scale

    def remembered(self) -> dict[str, Tensor]:
        """Return the moments, the number of steps and the scale."""
        found = {"scale": torch.tensor(self._scale, dtype=torch.float64)}
        if self._image is not None:
            found |= self._adam.state[self._image]
        return found

    def remember(self, found: Mapping[str, Tensor]) -> None:
        """Go by these moments, number of steps and scale."""
        self._scale, self._image = _number(found, "scale"), None
        state = {name: tensor for name, tensor in found.items() if name != "scale"}
        if state:
            if state.keys() != {"step", "exp_avg", "exp_avg_sq"}:
                raise ValueError(f"{', '.join(state)}: expected step, exp_avg and exp_avg_sq")
            self._image = torch.empty_like(state["exp_avg"])
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate * self._scale)
            self._adam.state[self._image] = state


def _number(found: Mapping[str, Tensor], name: str) -> float:
    value = float(found[name])
    if not 0 < value <= 1:
        raise ValueError(f"{name}: expected a number above 0 and at most 1, got {value}")
    return value


def make_optimiser(
    settings: Settings, history_dtype: torch.dtype | None = None, longest_px: int | None = None
) -> Optimiser:
    """Build the optimiser that ``settings`` name; the rest is for L-BFGS, as it says there."""
    if settings.optimiser == "adam":
        return Adam(settings.learning_rate)
    return Lbfgs(settings.history, history_dtype, longest_px)
