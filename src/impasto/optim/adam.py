"""Adam."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.optim.base import _number


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

    def retarget(self, settings: Settings) -> None:
        """Keep the moments: those of the objective before soon fade."""
        self._learning_rate = settings.learning_rate
        if self._image is not None:
            self._adam.param_groups[0]["lr"] = self._learning_rate * self._scale

    def state_dict(self) -> dict[str, Tensor]:
        """Return the moments, the number of steps and the scale."""
        found = {"scale": torch.tensor(self._scale, dtype=torch.float64)}
        if self._image is not None:
            found |= self._adam.state[self._image]
        return found

    def load_state_dict(self, found: Mapping[str, Tensor]) -> None:
        """Go by these moments, number of steps and scale."""
        self._scale, self._image = _number(found, "scale"), None
        state = {name: tensor for name, tensor in found.items() if name != "scale"}
        if state:
            if state.keys() != {"step", "exp_avg", "exp_avg_sq"}:
                raise ValueError(f"{', '.join(state)}: expected step, exp_avg and exp_avg_sq")
            self._image = torch.empty_like(state["exp_avg"])
            self._adam = torch.optim.Adam([self._image], lr=self._learning_rate * self._scale)
            self._adam.state[self._image] = state
