"""What the losses need of a network."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from impasto.config.networks import NetworkSpec


class FeatureNetwork(Protocol):
    """A network that is evaluated at named layers.

    Attributes:
        name: the value of the option ``network``.
        dtype: type of the features; the image may be wider.
        device: where it computes.
        notes: messages for the user about its weights.
        padding: of the image's border; ``circular`` continues at the opposite side.
    """

    name: str
    dtype: torch.dtype
    device: torch.device
    notes: tuple[str, ...]
    padding: str

    @property
    def spec(self) -> NetworkSpec:
        """Its layers."""

    def padded(self, padding: str) -> FeatureNetwork:
        """Return the same network with another padding; weights are shared."""

    def features(
        self, image: Tensor, layers: list[str] | tuple[str, ...], *, keep_gradients: bool = True
    ) -> dict[str, Tensor]:
        """Return the feature maps (B, C, H', W') of ``image``, (B, 3, H, W), at ``layers``.

        They are differentiable with respect to the image. With ``keep_gradients`` False nothing
        else holds the gradients of the maps, and the backward pass may overwrite them.
        """

    def check_weights(self, names: tuple[str, ...]) -> None:
        """Make sure that there are weights for all layers of ``names``.

        Raises:
            WeightsError: there are none for the deepest.
        """
