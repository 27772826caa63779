"""The ranges of features and gradients in eight bits, measured while painting.

They are the largest over all tiles and processes, so that one image is painted with the same codes
everywhere. Those of features belong to the objective: they are measured at a size's first
evaluation and checked every so many steps, and set again if too many values have left them.

A gradient shrinks while the painting converges, and not by the same factor in every layer: within
60 steps from the photograph that of conv1_2 fell to a sixtieth, and that of relu4_2, which begins
at 0, became 25 times as large. So each evaluation takes the gradient's ranges from the one before,
as Micikevicius et al., "FP8 formats for deep learning", 2022, do in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from impasto.compute.distributed import Ranks
from impasto.models.int8 import Int8Pass, Ranges

# How many steps there are from one check of the ranges to the next.
CHECKED_EVERY = 50
# New ranges are set if more than this share of any layer's values is beyond the largest code.
MOST_BEYOND = 1e-3
_STATE = "ranges"


class MeasuredRanges:
    """The ranges of one objective.

    Args:
        convolutions: the names of those in use, in their order.

    Attributes:
        current: the pass that the next evaluation takes.
    """

    def __init__(self, convolutions: Sequence[str]) -> None:
        self._names = tuple(convolutions)
        self._is_measured = False
        self.current = Int8Pass()

    def refresh(self, evaluate: Callable[[], object], step: int, ranks: Ranks) -> bool:
        """Measure the ranges if there are none yet; check them if that is due.

        Args:
            evaluate: evaluates the objective once, by ``current``.
            step: the number of steps so far at this size.
            ranks: the processes that share the image.

        Returns:
            Whether ranges changed that the last step was made by.
        """
        is_first = not self._is_measured
        if not is_first and step % CHECKED_EVERY:
            return False
        before = self.current
        recording = Ranges(limits=None if is_first else before.ranges)
        self.current = Int8Pass(recording=recording)
        try:
            evaluate()
            recording.combine(self._names, ranks)
        finally:
            self.current = before
        if not is_first and recording.most_beyond() <= MOST_BEYOND:
            return False
        self._is_measured = True
        self.current = Int8Pass(Ranges(recording.features, recording.gradients))
        return not is_first

    def advance(self, ranks: Ranks) -> None:
        """Set the ranges of the next gradient to those of the evaluation that has ended."""
        if self.current.recording is not None or not self.current.largest:
            return
        seen, before = self.current.largest, self.current.ranges
        values = [seen.get(name, before.gradients.get(name, 0.0)) for name in self._names]
        largest = ranks.most(torch.tensor(values, dtype=torch.float64)).tolist()
        gradients = dict(zip(self._names, largest, strict=True))
        self.current = Int8Pass(Ranges(before.features, gradients))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the ranges, (2, convolutions): of features, and of gradients; empty before any."""
        if not self._is_measured:
            return {}
        ranges = self.current.ranges
        rows = [
            [by_name.get(name, 0.0) for name in self._names]
            for by_name in (ranges.features, ranges.gradients)
        ]
        return {_STATE: torch.tensor(rows, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that :meth:`state_dict` returned.

        Raises:
            ValueError: it is not the state of these convolutions.
        """
        if not state:
            return
        values = state.get(_STATE)
        count = len(self._names)
        if values is None or len(state) != 1 or values.shape != (2, count):
            raise ValueError(f"expected ranges of {count} convolutions")
        if values.dtype != torch.float64 or not bool((values >= 0).all()):
            raise ValueError("expected ranges of at least 0, in float64")
        features, gradients = (dict(zip(self._names, row, strict=True)) for row in values.tolist())
        self._is_measured = True
        self.current = Int8Pass(Ranges(features, gradients))
