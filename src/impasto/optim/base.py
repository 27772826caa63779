"""The interface of optimisers: steps, the layout of their state, and their memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from impasto.config.settings import Settings

# A vector of an optimiser has the image's three channels, in float32 by default.
CHANNELS = 3
VECTOR_BYTES = CHANNELS * 4


@dataclass(frozen=True)
class StateTensor:
    """The shape and dtype of one tensor of a state.

    Attributes:
        shape: exactly this.
        dtypes: one of these number types.
        on_device: whether it belongs on the image's device, because it is computed with. A number
            that is only read stays on the CPU.
    """

    shape: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]
    on_device: bool = True

    def fault(self, shape: Sequence[int], dtype: torch.dtype) -> str | None:
        """Return how a tensor of this shape and dtype differs from the layout; None if it fits."""
        if tuple(shape) != self.shape:
            return f"expected the shape {self.shape}, got {tuple(shape)}"
        if dtype not in self.dtypes:
            return f"expected numbers of type {' or '.join(map(str, self.dtypes))}, got {dtype}"
        return None


# The factor by which steps are shortened.
SCALE_LAYOUT = StateTensor((), (torch.float64,), on_device=False)


class StepMemory(NamedTuple):
    """Bytes that an optimiser takes for each pixel of the image."""

    held: float  # between two steps, while the network runs
    moving: float  # in addition, during a step


class Optimiser(Protocol):
    """Takes steps: from an image and its gradient to the next image.

    A class of this kind can be registered as an entry point; see :mod:`impasto.config.registry`.

    Attributes:
        has_history: whether its memory grows with the setting ``history``. If so, the planner
            may choose a shorter history, or a narrower dtype for it, if memory is short.
    """

    has_history: ClassVar[bool]

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        history_dtype: torch.dtype | None = None,
        longest_px: int | None = None,
    ) -> Optimiser:
        """Build one.

        Args:
            settings: ``learning_rate`` and ``history`` are read.
            history_dtype: number type of a history; None for the image's own.
            longest_px: the longest wave that a first step should favour; None for no limit.
        """

    @classmethod
    def memory_per_pixel(
        cls, history: int, history_dtype: torch.dtype | None, steps: int
    ) -> StepMemory:
        """Return the bytes that it needs for each pixel.

        Args:
            history: the setting, perhaps shortened by the planner.
            history_dtype: as for :meth:`from_settings`.
            steps: the iterations; a history cannot be longer.
        """

    def step(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image, of the same shape.

        Args:
            image: the one returned last, unless there is no state; it is not changed.
            gradient: contiguous; it is overwritten, and may be returned.
        """

    def restart(self) -> None:
        """Discard the state, and take smaller steps from now on."""

    def retarget(self, settings: Settings) -> None:
        """Prepare for the gradient of another objective; the curvature so far still helps."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the whole state, by name; the tensors are not copied."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state that :meth:`state_dict` returned.

        The tensors have the names, shapes and types of :meth:`state_layout`; some may be absent.

        Raises:
            ValueError: the state is incomplete.
            KeyError: a tensor is absent.
        """

    def state_layout(self, shape: Sequence[int], dtype: torch.dtype) -> dict[str, StateTensor]:
        """Describe every tensor that the state of an image of this shape and type may have."""


def place_state(
    optimiser: Optimiser, state: Mapping[str, Tensor], image: Tensor
) -> dict[str, Tensor]:
    """Check a state against the optimiser's layout, and move it to the image's device.

    Raises:
        ValueError: a tensor that the optimiser does not know, or of another shape or type.
    """
    layout = optimiser.state_layout(image.shape, image.dtype)
    placed = {}
    for name, tensor in state.items():
        if name not in layout:
            raise ValueError(f"{name}: expected a tensor that the optimiser knows")
        if fault := layout[name].fault(tensor.shape, tensor.dtype):
            raise ValueError(f"{name}: {fault}")
        placed[name] = tensor.to(image.device) if layout[name].on_device else tensor
    return placed


def read_scale(state: Mapping[str, Tensor]) -> float:
    """Return the number called ``scale``, by which steps are shortened.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    value = float(state["scale"])
    if not 0 < value <= 1:
        raise ValueError(f"scale: expected a number above 0 and at most 1, got {value}")
    return value
