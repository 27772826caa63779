"""References for impasto: plain autograd, and the notebook that it replaces.

``python -m benchmarks.suite.reference CONTENT STYLE --size 512 --steps 5`` runs the notebook's
method in its own process. Its weights are random, because only its time matters.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import images
from impasto.config.networks import network_spec
from impasto.config.settings import Settings
from impasto.models.conv import MEAN, STD
from impasto.planning.plan import ComputePlan
from impasto.planning.synthetic import seeded_parameters, seeded_picture

# The notebook's numbers.
_STYLE_LAYERS = [
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2"),
    *("conv3_1", "conv3_2", "conv3_3", "conv3_4", "conv4_1", "conv4_2"),
]
_CONTENT_LAYERS = ["conv2_2", "conv3_1"]
_STYLE_WEIGHT, _CONTENT_WEIGHT = 1e5, 0.01
STEPS = 1000


def plain_features(
    parameters: dict[str, Tensor], network: str, image: Tensor, layers: list[str]
) -> dict[str, Tensor]:
    """Return the feature maps at ``layers``, computed in the plain way with torch."""
    maps: dict[str, Tensor] = {}
    features = (image - _column(MEAN, image)) / _column(STD, image)
    for layer in network_spec(network).layers:
        if layer.kind == "conv":
            weight, bias = parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"]
            features = F.conv2d(features, weight, bias, padding=1)
        else:
            features = F.relu(features) if layer.kind == "relu" else F.max_pool2d(features, 2)
        if layer.name in layers:
            maps[layer.name] = features
            if len(maps) == len(set(layers)):
                break
    return maps


class PlainStep:
    """One step of a painting with plain autograd, in the plan's type and device."""

    def __init__(
        self, parameters: dict[str, Tensor], plan: ComputePlan, settings: Settings, size_px: int
    ) -> None:
        self._network = settings.network
        self._parameters = {
            name: value.to(plan.device, plan.dtype) for name, value in parameters.items()
        }
        content, style, self._image = (
            seeded_picture(size_px, size_px, seed).to(plan.device, plan.dtype) for seed in range(3)
        )
        with torch.no_grad():
            self._P = self._features(content, list(settings.content_layers))
            maps = self._features(style, list(settings.layers_of_style))
            self._A = {name: _gram(features) for name, features in maps.items()}

    def run(self) -> Tensor:
        """Return the gradient of the loss with respect to the image."""
        image = self._image.requires_grad_()
        maps = self._features(image, [*self._P, *self._A])
        loss = _distance(maps, self._P) + _distance(
            {name: _gram(maps[name]) for name in self._A}, self._A
        )
        (gradient,) = torch.autograd.grad(loss, image)
        return gradient

    def _features(self, image: Tensor, layers: list[str]) -> dict[str, Tensor]:
        return plain_features(self._parameters, self._network, image, layers)


def notebook(
    content: Tensor, style: Tensor, steps: int, on_step: Callable[[], object] = lambda: None
) -> Tensor:
    """Paint with the notebook's method, in float32 on the CPU, and return the picture.

    VGG-19 up to conv4_2: style on its first ten convolutions before their rectifiers,
    content on the fourth and fifth; mean-square losses, Gram matrices divided by their
    count; L-BFGS at torch's defaults from the content image, with the clamp in the closure.

    Args:
        content: (1, 3, H, W) in [0, 1].
        style: (1, 3, H, W) in [0, 1].
        steps: evaluations of the closure, rounded up to whole calls of the optimiser.
        on_step: called after each evaluation.
    """
    parameters = seeded_parameters("vgg19", _STYLE_LAYERS)
    with torch.no_grad():
        maps = plain_features(parameters, "vgg19", content, _STYLE_LAYERS)
        P = {name: maps[name] for name in _CONTENT_LAYERS}
        maps = plain_features(parameters, "vgg19", style, _STYLE_LAYERS)
        A = {name: _gram(features) for name, features in maps.items()}
    image = content.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([image], max_iter=min(20, steps))
    done = 0

    def closure() -> Tensor:
        nonlocal done
        with torch.no_grad():
            image.clamp_(0, 1)
        optimiser.zero_grad()
        maps = plain_features(parameters, "vgg19", image, _STYLE_LAYERS)
        loss = _CONTENT_WEIGHT * _distance(maps, P) + _STYLE_WEIGHT * _distance(
            {name: _gram(maps[name]) for name in A}, A
        )
        loss.backward()  # type: ignore[no-untyped-call]
        done += 1
        on_step()
        return loss

    while done < steps:
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return image.detach().clamp_(0, 1)


def main() -> None:
    """Paint one picture, and write its times as JSON to the standard output."""
    parser = argparse.ArgumentParser(description="Time the notebook that impasto replaces.")
    parser.add_argument("content", help="the photograph")
    parser.add_argument("style", help="the painting")
    parser.add_argument("--size", type=int, required=True, help="longest side, in pixels")
    parser.add_argument("--steps", type=int, required=True, help="evaluations of its closure")
    parser.add_argument("--output", required=True, help="the picture to write")
    args = parser.parse_args()
    content, style = (images.load(path).pixels for path in (args.content, args.style))
    size = images.fit(content.shape[-2], content.shape[-1], args.size)
    times_s = [time.perf_counter()]
    picture = notebook(
        images.resize(content, *size),
        images.resize(style, *size),
        args.steps,
        lambda: times_s.append(time.perf_counter()),
    )
    images.save_image(images.to_image(picture), args.output)
    steps_s = [after - before for before, after in itertools.pairwise(times_s)]
    json.dump({"steps_s": steps_s}, sys.stdout)


def _gram(features: Tensor) -> Tensor:
    rows = features.flatten(2).squeeze(0)
    return rows @ rows.t() / features.numel()


def _distance(maps: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    return torch.stack([F.mse_loss(maps[name], target) for name, target in wanted.items()]).sum()


def _column(numbers: tuple[float, ...], image: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)


if __name__ == "__main__":
    main()
