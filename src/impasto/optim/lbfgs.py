"""L-BFGS without a line search, with a preconditioner and a history that can be compressed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.optim.base import (
    CHANNELS,
    SCALE_LAYOUT,
    VECTOR_BYTES,
    StateTensor,
    StepMemory,
    read_scale,
)
from impasto.optim.compressed import CompressedVector
from impasto.optim.preconditioner import Preconditioner

# The first step of L-BFGS has no curvature information: it moves the pixels by this much,
# root mean square, of their range [0, 1].
_FIRST_MOVE = 0.01
# No step moves them further than this: a quadratic model is not trusted that far.
_LONGEST_MOVE = 0.25
# During a step: half a channel's spectrum takes 4 bytes a pixel; measured, 5 to 10.
_SPECTRUM_BYTES = 9
_HISTORY_DTYPES = (torch.float16, torch.bfloat16)


class Lbfgs:
    r"""Limited-memory BFGS without a line search.

    Nocedal, "Updating quasi-Newton matrices with limited storage", 1980: the two-loop
    recursion over the last ``history`` pairs of moves s and gradient changes y.

    Differs: the initial inverse curvature of the recursion is a multiple of a preconditioner,
    not of the identity; a step of length 1 is taken as it is (a line search would pay for a second
    network pass and rarely change the step), cut to a longest move; pairs without positive
    curvature are dropped. There are no tolerances: the schedule decides when to stop. The
    history may be stored in a narrower type; the move taken is then the move stored.

    Args:
        history: the largest number of pairs.
        dtype: their number type; None for the image's own.
        longest_px: the longest wave that the preconditioner favours; None for no limit.
    """

    has_history = True

    def __init__(
        self, history: int, dtype: torch.dtype | None = None, longest_px: int | None = None
    ) -> None:
        self._history, self._dtype, self._longest_px = history, dtype, longest_px
        self._pairs: deque[tuple[CompressedVector, CompressedVector, Tensor]] = deque()
        self._last: tuple[CompressedVector, CompressedVector] | None = None
        self._scale = 1.0
        self._preconditioner: Preconditioner | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        history_dtype: torch.dtype | None = None,
        longest_px: int | None = None,
    ) -> Lbfgs:
        """Build one with the settings' history."""
        return cls(settings.history, history_dtype, longest_px)

    @classmethod
    def memory_per_pixel(
        cls, history: int, history_dtype: torch.dtype | None, steps: int
    ) -> StepMemory:
        """Return the bytes of the pairs, and of a step."""
        vector = VECTOR_BYTES if history_dtype is None else CHANNELS * history_dtype.itemsize
        # The newest pair, not complete yet, replaces the oldest one.
        pairs = min(history, max(0, steps - 1))
        # A single step needs no optimiser memory: its move is never taken.
        return StepMemory(2 * pairs * vector, vector + _SPECTRUM_BYTES if pairs else 0)

    def step(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, in the gradient's memory."""
        x, g = image.flatten(), gradient.view(-1)
        if self._last is not None:
            self._learn(*self._last, g)
        self._last = None
        before = self._compressed(g)
        if self._preconditioner is None or self._preconditioner.shape != image.shape:
            self._preconditioner = Preconditioner(image.shape, self._longest_px)
        self._two_loop(g, self._preconditioner)
        length = torch.linalg.vector_norm(g) / math.sqrt(len(g))
        if not self._pairs:
            g *= _FIRST_MOVE * self._scale / length.clamp_min(1e-30)
        else:
            g *= (self._scale * _LONGEST_MOVE / length.clamp_min(1e-30)).clamp_max(1.0)
        if len(self._pairs) == self._history:
            # Frees memory for the next pair before the network needs it.
            self._pairs.popleft()
        move = self._compressed(g)
        self._last = (move, before)
        g.copy_(x)
        move.add_to(g)
        return g.view_as(image)

    def restart(self) -> None:
        """Discard the curvature, and halve the steps."""
        self._pairs.clear()
        self._last = None
        self._scale /= 2

    def retarget(self, settings: Settings) -> None:
        """Keep the curvature; do not compare gradients of two objectives.

        Measured with beta times 1/4 to 4 in the middle of a painting: without the curvature
        three steps pass before the loss falls, and after sixty it is 1 % higher.
        """
        self._last = None

    def state_dict(self) -> dict[str, Tensor]:
        """Return the pairs, the last move with the gradient before it, and the scale."""
        state = {"scale": torch.tensor(self._scale, dtype=torch.float64)}
        for index, (s, y, rho) in enumerate(self._pairs):
            state |= s.parts(f"pairs.{index}.s") | y.parts(f"pairs.{index}.y")
            state[f"pairs.{index}.rho"] = rho
        if self._last is not None:
            state |= self._last[0].parts("last.move") | self._last[1].parts("last.gradient")
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the pairs, the last move and the scale."""
        count = sum(name.endswith(".rho") for name in state)
        if count > self._history:
            raise ValueError(f"{count} pairs: expected at most {self._history}")
        vectors = 2 * count + 2 * ("last.move" in state)
        if len(state) != 1 + count + 2 * vectors:
            raise ValueError(f"{len(state)} tensors: expected {1 + count + 2 * vectors}")
        self._scale = read_scale(state)
        self._pairs = deque(
            (
                self._vector(state, f"pairs.{index}.s"),
                self._vector(state, f"pairs.{index}.y"),
                state[f"pairs.{index}.rho"],
            )
            for index in range(count)
        )
        self._last = None
        if "last.move" in state:
            self._last = (
                self._vector(state, "last.move"),
                self._vector(state, "last.gradient"),
            )

    def state_layout(self, shape: Sequence[int], dtype: torch.dtype) -> dict[str, StateTensor]:
        """Describe as many pairs as the history allows, the last move and the scale."""
        vector = StateTensor((math.prod(shape),), (dtype, *_HISTORY_DTYPES))
        number = StateTensor((), (dtype,))
        layout = {"scale": SCALE_LAYOUT}
        layout |= {f"pairs.{index}.rho": number for index in range(self._history)}
        pairs = [f"pairs.{index}.{name}" for index in range(self._history) for name in "sy"]
        for name in (*pairs, "last.move", "last.gradient"):
            layout |= {name: vector, f"{name}.unit": number}
        return layout

    def _vector(self, state: Mapping[str, Tensor], name: str) -> CompressedVector:
        """Take one vector out of a state.

        Raises:
            ValueError: it is not in this optimiser's number type.
        """
        vector = CompressedVector.of_parts(state, name)
        if vector.dtype != (self._dtype or vector.wide_dtype):
            raise ValueError(f"{name}: {vector.dtype} is not the type planned for the history")
        return vector

    def _compressed(self, values: Tensor) -> CompressedVector:
        return CompressedVector(values, self._dtype or values.dtype)

    def _learn(self, s: CompressedVector, y: CompressedVector, g: Tensor) -> None:
        """Append a pair: the last move, and the change of the gradient to ``g`` over it."""
        y.become_change_to(g)
        curvature, square = s.dot(y), y.dot(y)
        if curvature > 1e-10 * square:
            self._pairs.append((s, y, 1 / curvature))

    def _two_loop(self, g: Tensor, preconditioner: Preconditioner) -> None:
        """In place: replace a gradient by the move from preconditioner and pairs."""
        g.neg_()
        along = []
        for s, y, rho in reversed(self._pairs):
            a = rho * s.dot(g)
            along.append(a)
            y.add_to(g, a, sign=-1)
        preconditioner.apply(g)
        if self._pairs:
            _, y, rho = self._pairs[-1]
            g /= rho * preconditioner.square(y)
        for (s, y, rho), a in zip(self._pairs, reversed(along), strict=True):
            s.add_to(g, torch.addcmul(a, rho, y.dot(g), value=-1))
