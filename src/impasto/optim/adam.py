"""Adam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.optim.base import SCALE_LAYOUT, VECTOR_BYTES, StateTensor, StepMemory, read_scale

_MOMENTS = ("exp_avg", "exp_avg_sq")
# It stores a copy of the image and two moments; during a step, a square root as well.
_VECTORS_HELD, _VECTORS_MOVING = 3, 1


class Adam:
    """Adam (Kingma and Ba, 2015), torch's own."""

    has_history = False

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate, self._scale = learning_rate, 1.0
        self._image: Tensor | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        history_dtype: torch.dtype | None = None,
        longest_px: int | None = None,
    ) -> Adam:
        """Build one with the settings' learning rate."""
        return cls(settings.learning_rate)

    @classmethod
    def memory_per_pixel(
        cls, history: int, history_dtype: torch.dtype | None, steps: int
    ) -> StepMemory:
        """Return the bytes of the moments and the image; both stay in a wide dtype."""
        return StepMemory(_VECTORS_HELD * VECTOR_BYTES, _VECTORS_MOVING * VECTOR_BYTES)

    def step(self, image: Tensor, gradient: Tensor) -> Tensor:
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
        """Discard the moments, and halve the steps."""
        self._scale /= 2
        self._image = None

    def retarget(self, settings: Settings) -> None:
        """Keep the moments: those of the earlier objective decay soon."""
        self._learning_rate = settings.learning_rate
        if self._image is not None:
            self._adam.param_groups[0]["lr"] = self._learning_rate * self._scale

    def state_dict(self) -> dict[str, Tensor]:
        """Return the moments, the number of steps and the scale."""
        state = {"scale": torch.tensor(self._scale, dtype=torch.float64)}
        if self._image is not None:
            state |= self._adam.state[self._image]
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the moments, the number of steps and the scale."""
        self._scale, self._image = read_scale(state), None
        moments = {name: tensor for name, tensor in state.items() if name != "scale"}
        if moments:
            if moments.keys() != {"step", *_MOMENTS}:
                raise ValueError(f"{', '.join(moments)}: expected step, exp_avg and exp_avg_sq")
            if not float(moments["step"]) >= 1:
                raise ValueError(f"step: expected at least 1, got {float(moments['step'])}")
            self._image = torch.empty_like(moments["exp_avg"])
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate * self._scale)
            self._adam.state[self._image] = moments

    def state_layout(self, shape: Sequence[int], dtype: torch.dtype) -> dict[str, StateTensor]:
        """Describe the moments, which have the image's shape, and two numbers."""
        # Torch stores its number of steps in the default dtype.
        step = StateTensor((), (torch.float32, torch.float64), on_device=False)
        moment = StateTensor(tuple(shape), (dtype,))
        return {"scale": SCALE_LAYOUT, "step": step, **dict.fromkeys(_MOMENTS, moment)}
