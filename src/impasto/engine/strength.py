r"""Strength: alpha and beta from measured norms of the content and style gradients.

The effect of a loss weight depends on the pictures, the network and its layers: from pair to
pair the ratio of the gradients differs by a factor of ten and more. So both gradients are measured
once, at one seeded point: the photograph in the style's colours, where painting starts, plus noise
(at the photograph itself the content gradient is zero). The size is small and fixed, and the dtype
float32, whatever the painting uses.

    alpha |grad L_content| = ratio(strength) * beta |grad L_style|

Beta is constant, so that the ratio of smoothness to style does not change.

The ratio grows without bound as strength falls, and with it the condition number: descents
diverged below 0.005. So below ``WEAKEST_PAINTED`` the painting is that of this strength, and it is
blended with the photograph: its opacity falls linearly to 0, where the photograph is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from impasto.config.affects import COMPARISON, values
from impasto.config.settings import FORMULA_WEIGHTS, Settings
from impasto.engine.cache import Cache
from impasto.engine.defaults import WEAKEST_PAINTED
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.engine.scale_setup import ScaleSetup
from impasto.images.resample import fit
from impasto.job.recipe import Change, Decisions
from impasto.losses.objective import Objective
from impasto.models.vgg import VGGFeatures
from impasto.planning.plan import ScalePlan

# The longest side at which gradients are measured, and the noise added, in pixel values.
_LONGEST_PX = 128
_NOISE = 0.02
_SEED = 0
_WHOLE = ScalePlan(None, 1, None, cache_content=True, peak_bytes=0)
# Chosen by eye (docs/look.md): the ratio of the content gradient to the style gradient at strength
# 0.5, and the exponent with which it falls.
_EVEN_RATIO = 0.09
_STEEPNESS = 2.0


@dataclass(frozen=True)
class GradientNorms:
    """Norms of the content and style gradients at the measuring point.

    Norms over all pixels, for alpha = beta = 1.
    """

    content: float
    style: float

    def weights(self, strength: float) -> tuple[float, float]:
        """Return alpha and beta for ``strength`` in (0, 1]; constant below WEAKEST_PAINTED."""
        _, beta = FORMULA_WEIGHTS
        return ratio(max(strength, WEAKEST_PAINTED)) * beta * self.style / self.content, beta


def ratio(strength: float) -> float:
    """Return the ratio of the content gradient to the style gradient; infinity to 0."""
    return _EVEN_RATIO * float(((1 - strength) / strength) ** _STEEPNESS)


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


def measure(inputs: Inputs, network: VGGFeatures, cache: Cache) -> GradientNorms:
    """Measure the gradients for the pictures of a style_transfer job, or take them from the cache.

    Args:
        inputs: the job's inputs; alpha and beta of its settings are ignored.
        network: in float32.
        cache: the cache.
    """
    assert inputs.content is not None
    key = (
        network,
        (inputs.content.pixels, inputs.content.alpha),
        [(style.pixels, style.alpha) for style in inputs.styles],
        [[part and (part.pixels, part.alpha) for part in area.pictures] for area in inputs.areas],
        # Neither size nor start: the measurement has its own.
        values(_with_weights(inputs.settings, 1.0, 1.0), *COMPARISON),
    )
    return cache.get_or_compute("gradient_norms", key, lambda: _measure(inputs, network, cache))


def _measure(inputs: Inputs, network: VGGFeatures, cache: Cache) -> GradientNorms:
    assert inputs.content is not None
    sides_px = inputs.content.height_px, inputs.content.width_px
    least_px = math.ceil(inputs.smallest_px * max(sides_px) / min(sides_px))
    scale = Scale(*fit(*sides_px, max(_LONGEST_PX, least_px)), margin_px=0, iterations=1)
    settings = _with_weights(inputs.settings, 1.0, 1.0).model_copy(update={"total_variation": 0.0})
    scale_setup = ScaleSetup(replace(inputs, settings=settings), network, network.device, cache)
    targets = scale_setup.targets(scale, _WHOLE)
    generator = torch.Generator().manual_seed(_SEED)
    image = scale_setup.start("matched", scale)
    image = image + _NOISE * torch.randn(image.shape, generator=generator)
    norms = []
    for alpha, beta in ((1.0, 0.0), (0.0, 1.0)):
        objective = Objective(network, targets, _with_weights(settings, alpha, beta))
        gradient = objective.evaluate(image.to(network.device)).gradient
        norms.append(float(gradient.norm()))
    content, style = norms
    # A photograph of one colour may have no content gradient.
    return GradientNorms(max(content, 1e-6 * style), style)


def resolve(settings: Settings, norms: GradientNorms | None = None) -> Settings:
    """Replace strength by alpha and beta.

    Args:
        settings: complete, as :func:`impasto.engine.inputs.read` returns them.
        norms: the measured norms. Without them, the weights only tell which terms are in use.
    """
    if settings.strength is None:
        return settings
    if not norms or not settings.strength:
        return _with_weights(settings, float(settings.strength < 1), 1.0)
    return _with_weights(settings, *norms.weights(settings.strength))


def _with_weights(settings: Settings, alpha: float, beta: float) -> Settings:
    return settings.model_copy(update={"strength": None, "alpha": alpha, "beta": beta})
