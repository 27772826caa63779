"""One resolution: minimise the objective of one image, step by step.

A Minimizer lets its optimiser take steps, watches the loss, and returns to the best image after a
bad step. Its state can be saved between two steps and restored later; the results are then
bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from impasto import signals
from impasto.config.settings import Settings
from impasto.errors import Diverged
from impasto.losses.objective import Evaluation
from impasto.optim.base import place_state
from impasto.optim.registry import make_optimiser

# A loss this many times the best so far has diverged, unless it is below this share of the first:
# near a minimum of zero, small fluctuations are many times the best loss.
_EXPLODED = 2.0
_SETTLED = 1e-4
# How often in a row it may return to the best image without finding a better one.
_RESCUES = 5


@dataclass(frozen=True)
class Iterate:
    """An image, the objective's terms there, and the number of evaluations."""

    image: Tensor
    losses: dict[str, float]
    steps: int = 0


@dataclass(frozen=True)
class State:
    """The state of a Minimizer between two steps.

    Attributes:
        image: the one to evaluate next.
        best: the best so far; None before there is one.
        steps: evaluations so far.
        settled: a loss below which fluctuations are harmless.
        rescues: how often in a row it returned to the best image without finding a better one.
        optimiser_state: the state of the optimiser.
        term_state: the states of the objective's terms.
    """

    image: Tensor
    best: Iterate | None = None
    steps: int = 0
    settled: float = 0.0
    rescues: int = 0
    optimiser_state: Mapping[str, Tensor] = field(default_factory=dict)
    term_state: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def point(self) -> Iterate:
        """The best image so far; before the first step, the one to begin with."""
        if self.best is None:
            return Iterate(self.image, {}, self.steps)
        return Iterate(self.best.image, self.best.losses, self.steps)

    def to(self, device: torch.device) -> State:
        """Return the same on a device; a Minimizer moves what its optimiser needs there."""
        image, best = self.image.to(device), self.best
        if best is not None:
            at_best = image if best.image is self.image else best.image.to(device)
            best = replace(best, image=at_best)
        return replace(self, image=image, best=best)


class Minimizer:
    """Moves an image towards a minimum of its objective.

    If a loss or gradient is not finite, or a loss is far above the best so far, the painting
    returns to its best image, without its curvature and with smaller steps. The
    gradient there is computed again: storing it would cost memory at every step.

    Attributes:
        is_whole: whether the state is consistent; False after an exception in the middle of a step.

    Args:
        state: the state to continue from; ``State(image)`` to begin, with an image (1, 3, H, W)
            in float32 or wider.
        settings: the optimiser, its step size and history.
        history_dtype: number type of the optimiser's history; None for the image's own.
        longest_px: the longest wave that the first steps favour; None for no limit.

    Raises:
        ValueError: the state is not one of this optimiser.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        history_dtype: torch.dtype | None = None,
        longest_px: int | None = None,
    ) -> None:
        self._image, self._best, self._steps = state.image, state.best, state.steps
        self._settled, self._rescues = state.settled, state.rescues
        self._optimiser = make_optimiser(settings, history_dtype, longest_px)
        if state.optimiser_state:
            try:
                self._optimiser.load_state_dict(
                    place_state(self._optimiser, state.optimiser_state, state.image)
                )
            except KeyError as error:
                raise ValueError(f"no tensor {error}") from None
        self.is_whole = True

    @property
    def state(self) -> State:
        """The state; consistent only between two steps. Its tensors are not copied."""
        return State(
            image=self._image,
            best=self._best,
            steps=self._steps,
            settled=self._settled,
            rescues=self._rescues,
            optimiser_state=self._optimiser.state_dict(),
        )

    @property
    def point(self) -> Iterate:
        """The best image so far; before the first step, the one to begin with."""
        if self._best is None:
            return Iterate(self._image, {}, self._steps)
        return Iterate(self._best.image, self._best.losses, self._steps)

    def step(self, evaluate: Callable[[Tensor], Evaluation], *, is_last: bool = False) -> Iterate:
        """Evaluate once more, and return the best image so far.

        Args:
            evaluate: the objective; its gradient is overwritten.
            is_last: no step follows, so that the optimiser need not take one.

        Raises:
            Diverged: the very first loss or gradient is not finite, or returning to the best image
                did not help.
        """
        evaluation = evaluate(self._image)
        values = evaluation.values()
        total = values["total"]
        finite = math.isfinite(total) and _is_finite(evaluation.gradient)
        if self._best is None:
            _check_start(total, finite)
        with self.moving():
            self._move(evaluation.gradient, values, finite, is_last)
        if self._rescues > _RESCUES:
            best = self.point.losses["total"]
            raise Diverged(
                f"the loss left its valley {self._rescues} times in a row, at last at {total:g} "
                f"after {best:g}; use --precision fp32, --optimiser adam, or smaller weights"
            )
        return self.point

    def retarget(self, settings: Settings) -> None:
        """Continue from the best image with another objective; earlier losses are not compared."""
        with self.moving():
            self._image, self._best, self._rescues = self.point.image, None, 0
            self._optimiser.retarget(settings)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Defer signals until the block, and with it a whole step, is done."""
        with signals.deferred():
            self.is_whole = False
            yield
            self.is_whole = True

    def _move(
        self, gradient: Tensor, values: dict[str, float], finite: bool, is_last: bool
    ) -> None:
        total = values["total"]
        if self._best is None:
            self._settled = _SETTLED * total
        if self._best is None or (finite and total < self._best.losses["total"]):
            self._best, self._rescues = Iterate(self._image, values), 0
        if not finite or total > _EXPLODED * self._best.losses["total"] + self._settled:
            self._rescues += 1
            self._optimiser.restart()
            self._image = self._best.image
        elif not is_last:
            self._image = self._optimiser.step(self._image, gradient)
        self._steps += 1


def _is_finite(values: Tensor) -> bool:
    # Minimum and maximum need no second vector, and both are NaN if any entry is.
    return bool(torch.stack(values.aminmax()).isfinite().all())


def _check_start(total: float, finite: bool) -> None:
    if not finite:
        what = "gradient" if math.isfinite(total) else "loss"
        got = "infinite or undefined entries" if math.isfinite(total) else total
        raise Diverged(
            f"expected a finite {what} at the start, got {got}; use --precision fp32 or "
            "smaller weights"
        )
