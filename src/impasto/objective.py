r"""What is minimised: targets frozen once, then image -> the value of each term, and the gradient.

Every term is a function of additive statistics of the image: a Gram matrix, or a
pointwise sum such as the squared distance to the content's features. So the evaluation
has three parts: add up the sums; find each term and its slope on those (small) sums; take
the slopes back to the pixels. Only the first and the last touch the image.

    total = alpha * L_content + beta * L_style + total_variation * L_tv
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import losses
from impasto.errors import SettingsError
from impasto.layers import check_layer
from impasto.network import Network
from impasto.settings import Settings
from impasto.statistics import gram_sum


@dataclass(frozen=True)
class Evaluation:
    """The objective at one image: each weighted term, their sum, and the gradient.

    Terms and total are scalars that may still be under way on the device.
    """

    terms: dict[str, Tensor]
    total: Tensor
    gradient: Tensor

    def values(self) -> dict[str, float]:
        """Fetch the terms and ``total`` as numbers."""
        names = [*self.terms, "total"]
        numbers = torch.stack([*self.terms.values(), self.total]).tolist()
        return dict(zip(names, numbers, strict=True))


@dataclass(frozen=True)
class Targets:
    """What the painting should come to.

    Attributes:
        content: features by layer, (1, C, H, W).
        style: Gram matrices divided by their own number of positions, by layer, (C, C).
    """

    content: dict[str, Tensor]
    style: dict[str, Tensor]


class Objective:
    """The weighted sum of terms for one image size.

    Args:
        network: whose features are compared.
        targets: from ``content_targets`` and ``style_targets``; a term without a target or
            with weight 0 is left out.
        settings: alpha, beta, layer weights, total variation (None counts as 0), normalisation.
    """

    def __init__(self, network: Network, targets: Targets, settings: Settings) -> None:
        self.network = network
        self.targets = targets
        self.settings = settings
        self._content = _shares(settings.content_layers) if settings.alpha else {}
        self._style = _shares(settings.style_layers) if settings.beta else {}
        self._content = {name: w for name, w in self._content.items() if name in targets.content}
        self._style = {name: w for name, w in self._style.items() if name in targets.style}
        if not self._content and not self._style:
            raise SettingsError(
                "nothing to minimise: expected alpha or beta above 0 with at least one layer"
            )
        self._layers = tuple(dict.fromkeys([*self._content, *self._style]))

    def evaluate(self, image: Tensor) -> Evaluation:
        """Return the terms and the gradient at ``image``, (1, 3, H, W) in [0, 1] or near it."""
        leaf = image.detach().requires_grad_()
        with torch.enable_grad():
            sums = self._sums(leaf)
            small = {name: value.detach().requires_grad_() for name, value in sums.items()}
            terms = self._terms(small, image)
            total = torch.stack(list(terms.values())).sum()
            slopes = torch.autograd.grad(total, list(small.values()))
        (gradient,) = torch.autograd.grad(list(sums.values()), leaf, list(slopes))
        return Evaluation(
            {name: term.detach() for name, term in terms.items()}, total.detach(), gradient
        )

    def _sums(self, image: Tensor) -> dict[str, Tensor]:
        """Add up what the terms need to know of the image."""
        found = self.network.features(image, self._layers)
        sums = {
            f"content:{name}": losses.content_loss(found[name], self.targets.content[name])
            for name in self._content
        }
        sums |= {f"style:{name}": gram_sum(found[name]) for name in self._style}
        if self.settings.total_variation:
            sums["total_variation"] = losses.total_variation(image)
        return sums

    def _terms(self, sums: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        """Turn sums into weighted terms."""
        terms = {}
        for name, share in self._content.items():
            positions = self._positions(name, image) if self._per_position else 1
            terms[f"content:{name}"] = (
                self.settings.alpha * share / positions * sums[f"content:{name}"]
            )
        for name, share in self._style.items():
            positions = self._positions(name, image)
            gram = sums[f"style:{name}"]
            # The style image has its own size: its Gram matrix, kept per position, is
            # brought to this image's number of positions.
            terms[f"style:{name}"] = (
                self.settings.beta
                * share
                * losses.style_loss(
                    gram, self.targets.style[name] * positions, len(gram), positions
                )
            )
        if "total_variation" in sums:
            pixels = image.shape[-1] * image.shape[-2]
            terms["total_variation"] = (
                (self.settings.total_variation or 0) / pixels * sums["total_variation"]
            )
        return terms

    @property
    def _per_position(self) -> bool:
        return self.settings.normalisation == "position"

    def _positions(self, name: str, image: Tensor) -> int:
        stride_px = check_layer(name, self.network.name).stride_px
        return (image.shape[-2] // stride_px) * (image.shape[-1] // stride_px)


def content_targets(network: Network, image: Tensor, settings: Settings) -> dict[str, Tensor]:
    """Return the content image's features, P, by layer."""
    with torch.no_grad():
        return network.features(image, list(settings.content_layers))


def style_targets(
    network: Network, images: Sequence[Tensor], settings: Settings
) -> dict[str, Tensor]:
    """Return the style images' Gram matrices per position, blended by their weights."""
    names = list(settings.style_layers)
    shares = style_shares(len(images), settings)
    blended: dict[str, Tensor] = {}
    for image, share in zip(images, shares, strict=True):
        with torch.no_grad():
            found = network.features(image, names)
        for name, features in found.items():
            gram = gram_sum(features) * (share / features[0, 0].numel())
            blended[name] = blended[name] + gram if name in blended else gram
    return blended


def style_shares(count: int, settings: Settings) -> list[float]:
    """Return how much each of ``count`` style pictures counts; the shares sum to 1."""
    weights = settings.style_weights or (1.0,) * count
    return [weight / sum(weights) for weight in weights]


def _shares(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}
