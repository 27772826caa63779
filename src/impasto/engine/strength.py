r"""Strength: alpha and beta from how a pair of pictures answers to them.

The effect of a loss weight depends on the pictures, the network and its layers: from pair to
pair the ratio of the gradients differs by a factor of ten and more. So both gradients are measured
once, at one seeded point: the photograph in the style's colours, where painting starts, plus noise
(at the photograph itself the content gradient is zero). Their ratio says where to look, and not
yet how the painting will look: at equal ratios a black crackle swallows a town, and a portrait
stays a photograph. So a small picture is painted for a moment at falling ratios, and each
time the structure that it has lost is measured (``losses.structure_distance``). Alpha is what
loses the share of structure that strength stands for:

    structure lost = _LOST_AT_ONE * strength
    alpha |grad L_content| = ratio * beta |grad L_style|

Size, optimiser and dtype (float32) are fixed, whatever the painting uses. Beta is constant, so that
the ratio of smoothness to style does not change.

The ratio grows without bound as strength falls, and with it the condition number: descents
diverged below 0.005. So below ``WEAKEST_PAINTED`` the painting is that of this strength, and it is
blended with the photograph: its opacity falls linearly to 0, where the photograph is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto import losses
from impasto.config.affects import COMPARISON, values
from impasto.config.registry import STATISTICS
from impasto.config.settings import FORMULA_WEIGHTS, Settings
from impasto.engine.cache import Cache
from impasto.engine.defaults import WEAKEST_PAINTED
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.engine.scale_setup import ScaleSetup
from impasto.images.resample import fit
from impasto.job.recipe import Change, Decisions
from impasto.losses.objective import Objective
from impasto.models.base import FeatureNetwork
from impasto.optim.minimizer import Minimizer, State
from impasto.planning.plan import ScalePlan

# The longest side at which is measured, unless the painting is smaller, and the noise added.
_LONGEST_PX = 128
_NOISE = 0.02
_SEED = 0
_WHOLE = ScalePlan(None, 1, None, cache_content=True, peak_bytes=0)
# The ratios of the content gradient to the style gradient that are tried, and steps at each.
_RATIOS = (1.5, 0.3, 0.06)
_STEPS = 12
# Chosen so that on average over 13 pairs a strength keeps the look it had when gradients alone
# decided (docs/look.md).
_LOST_AT_ONE = 0.116
# Pairs differ more in a whole painting than in the trial. So the ratio that the trial asks for is
# taken this many times as far from that of a typical pair, which follows a power of strength.
_GAIN = 1.4
_TYPICAL_RATIO, _TYPICAL_FALL = 0.13, 3.0
# Above this strength alpha falls to 0 whatever structure is left.
_ALMOST_ALL = 0.8
# The structure lost is taken as a power of the ratio between the tries and beyond them, and the
# power as one of these bounds if it is outside.
_LEAST_POWER, _MOST_POWER = 0.05, 1.0
_LARGEST_RATIO = 100.0
_STRUCTURE_LAYER = "relu4_2"


@dataclass(frozen=True)
class Calibration:
    """How a pair of pictures answers to loss weights.

    Attributes:
        content: norm of the content gradient at the measuring point, over all pixels, for alpha 1.
        style: norm of the style gradient there, for beta 1.
        lost: the structure lost after a few steps at each of _RATIOS.
    """

    content: float
    style: float
    lost: tuple[float, ...]

    def weights(self, strength: float) -> tuple[float, float]:
        """Return alpha and beta for ``strength`` in (0, 1]; constant below WEAKEST_PAINTED."""
        _, beta = FORMULA_WEIGHTS
        return self.ratio(max(strength, WEAKEST_PAINTED)) * beta * self.style / self.content, beta

    def ratio(self, strength: float) -> float:
        """Return the ratio of the content gradient to the style gradient: it falls to 0 at 1."""
        points = self._curve()
        wanted = math.log(_LOST_AT_ONE * strength)
        # Outside the points, the nearest two say how to go on.
        index = next((i for i, (_, lost) in enumerate(points[1:-1]) if wanted <= lost), -1)
        (x0, y0), (x1, y1) = points[index : index + 2] if index >= 0 else points[-2:]
        tried = x0 + (wanted - y0) * (x1 - x0) / (y1 - y0)
        typical = math.log(_TYPICAL_RATIO) - _TYPICAL_FALL * math.log(2 * strength)
        ratio = math.exp(min(typical + _GAIN * (tried - typical), math.log(_LARGEST_RATIO)))
        rest = min(1.0, (1 - strength) / (1 - _ALMOST_ALL))
        return ratio * rest**2

    def _curve(self) -> list[tuple[float, float]]:
        """Return logarithms of ratio and structure lost; the latter rises strictly."""
        points: list[tuple[float, float]] = []
        for ratio, lost in zip(_RATIOS, self.lost, strict=True):
            x, y = math.log(ratio), math.log(max(lost, 1e-6))
            if points:
                x_before, y_before = points[-1]
                rise = min(max((y - y_before) / (x_before - x), _LEAST_POWER), _MOST_POWER)
                y = y_before + rise * (x_before - x)
            points.append((x, y))
        return points


def opacity(settings: Settings, decided: Decisions | Change | None = None) -> float | None:
    """Return the opacity of the painting over the photograph, in [0, 1); None if it is opaque.

    Args:
        settings: the job's settings, before strength is resolved.
        decided: the record of an earlier painting of the same job; it has precedence.
    """
    if settings.strength is None or settings.strength >= WEAKEST_PAINTED:
        return None
    if decided is not None and decided.alpha is not None:
        return decided.opacity
    return settings.strength / WEAKEST_PAINTED


def measure(inputs: Inputs, network: FeatureNetwork, cache: Cache) -> Calibration:
    """Measure the pictures of a style_transfer job, or take the result from the cache.

    Args:
        inputs: the job's inputs; alpha and beta of its settings are ignored.
        network: in float32.
        cache: the cache.
    """
    assert inputs.content is not None
    scale = _scale(inputs)
    key = (
        network,
        (inputs.content.pixels, inputs.content.alpha),
        [(style.pixels, style.alpha) for style in inputs.styles],
        [[part and (part.pixels, part.alpha) for part in area.pictures] for area in inputs.areas],
        # Neither size nor start: the measurement has its own.
        values(_with_weights(inputs.settings, 1.0, 1.0), *COMPARISON),
        STATISTICS.load(inputs.settings.statistic),
        inputs.settings.total_variation,
        scale,
    )
    return cache.get_or_compute("calibration", key, lambda: _measure(inputs, network, cache, scale))


def _scale(inputs: Inputs) -> Scale:
    assert inputs.content is not None
    sides_px = inputs.content.height_px, inputs.content.width_px
    least_px = math.ceil(inputs.smallest_px * max(sides_px) / min(sides_px))
    longest_px = min(_LONGEST_PX, inputs.scales[-1].longest_px)
    return Scale(*fit(*sides_px, max(longest_px, least_px)), margin_px=0, iterations=1)


def _measure(inputs: Inputs, network: FeatureNetwork, cache: Cache, scale: Scale) -> Calibration:
    settings = _with_weights(inputs.settings, 1.0, 1.0).model_copy(update={"optimiser": "lbfgs"})
    scale_setup = ScaleSetup(replace(inputs, settings=settings), network, network.device, cache)
    targets = scale_setup.targets(scale, _WHOLE)
    generator = torch.Generator().manual_seed(_SEED)
    image = scale_setup.start("matched", scale).to(network.device)
    noisy = image + _NOISE * torch.randn(image.shape, generator=generator).to(image)
    norms = []
    for alpha, beta in ((1.0, 0.0), (0.0, 1.0)):
        alone = _with_weights(settings, alpha, beta).model_copy(update={"total_variation": 0.0})
        objective = Objective(network, targets, alone)
        objective.refresh(noisy, 0)
        norms.append(float(objective.evaluate(noisy).gradient.norm()))
    content, style = norms
    # A photograph of one colour may have no content gradient.
    content = max(content, 1e-6 * style)
    photograph = scale_setup.start("content", scale).to(network.device)
    layer = (_structure_layer(network, settings),)
    lost = []
    for ratio in _RATIOS:
        _, beta = FORMULA_WEIGHTS
        weighted = _with_weights(settings, ratio * beta * style / content, beta)
        image = _paint(image, Objective(network, targets, weighted))
        with torch.no_grad():
            painted, kept = (network.features(x, layer)[layer[0]] for x in (image, photograph))
        lost.append(losses.structure_distance(painted, kept))
    return Calibration(content, style, tuple(lost))


def _paint(image: Tensor, objective: Objective) -> Tensor:
    minimizer = Minimizer(State(image), objective.settings)
    for step in range(_STEPS):
        if objective.refresh(minimizer.point.image, step):
            minimizer.retarget(objective.settings)
        minimizer.step(objective.evaluate, is_last=step + 1 == _STEPS)
    return minimizer.point.image


def _structure_layer(network: FeatureNetwork, settings: Settings) -> str:
    """Return the layer whose features show structure: relu4_2, or the deepest in use."""
    layers = [*settings.content_layers, *settings.layers_of_style]
    deepest = network.spec.deepest(layers)
    known = _STRUCTURE_LAYER in network.spec.by_name
    if known and network.spec.deepest([deepest.name, _STRUCTURE_LAYER]) == deepest:
        return _STRUCTURE_LAYER
    return deepest.name


def resolve(settings: Settings, calibration: Calibration | None = None) -> Settings:
    """Replace strength by alpha and beta.

    Args:
        settings: complete, as :func:`impasto.engine.inputs.read` returns them.
        calibration: as measured. Without it, between 0 and 1, alpha only tells that content counts.
    """
    if settings.strength is None:
        return settings
    if not calibration:
        return _with_weights(settings, float(settings.strength < 1), FORMULA_WEIGHTS[1])
    return _with_weights(settings, *calibration.weights(settings.strength))


def _with_weights(settings: Settings, alpha: float, beta: float) -> Settings:
    return settings.model_copy(update={"strength": None, "alpha": alpha, "beta": beta})
