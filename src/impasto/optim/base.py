"""What every optimiser can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from impasto.config.settings import Settings


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

    def retarget(self, settings: Settings) -> None:
        """Make ready for the gradient of another objective; what was learnt helps there too."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that is remembered, by name; the tensors are its own."""

    def load_state_dict(self, found: Mapping[str, Tensor]) -> None:
        """Go by what :meth:`state_dict` has returned, of tensors of the same kind.

        Raises:
            ValueError: it is not that.
        """


def _number(found: Mapping[str, Tensor], name: str) -> float:
    value = float(found[name])
    if not 0 < value <= 1:
        raise ValueError(f"{name}: expected a number above 0 and at most 1, got {value}")
    return value
