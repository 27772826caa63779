r"""What strength means: alpha from the measured sizes of the gradients that it weighs.

How hard a loss pulls depends on the pictures, the network and its layers, far more than on
the numbers in front: from pair to pair the ratio of the gradients differs by a factor of ten
and more. So both are measured once, at one seeded point: the photograph in the style's
colours, where painting starts, plus noise (at the photograph itself the content gradient is
zero), at a small fixed size, in float32, whatever the size and number type of the painting.

    alpha |grad L_content| = ratio(strength) * beta |grad L_style|

Beta is the formula's own and stays where strength moves, so that smoothness keeps its
proportion to style.

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

# The longest side at which gradients are measured, and the noise there, in pixel values.
_LONGEST_PX = 128
_NOISE = 0.02
_SEED = 0
_WHOLE = ScalePlan(None, 1, None, cache_content=True, peak_bytes=0)
# Chosen by looking (docs/look.md): content's pull over style's at strength 0.5, and how steeply
# it falls.
_EVEN_RATIO = 0.09
_STEEPNESS = 2.0


@dataclass(frozen=True)
class GradientNorms:
    """How large the gradients of content and style are where they were measured.

    Norms over all pixels, for alpha = beta = 1.
    """

    content: float
    style: float

    def weights(self, strength: float) -> tuple[float, float]:
        """Return alpha and beta for ``strength`` in (0, 1]; below WEAKEST_PAINTED they stay."""
        _, beta = FORMULA_WEIGHTS
        return ratio(max(strength, WEAKEST_PAINTED)) * beta * self.style / self.content, beta


def ratio(strength: float) -> float:
    """Return content's pull over style's at ``strength``: falling from infinity to 0."""
    return _EVEN_RATIO * float(((1 - strength) / strength) ** _STEEPNESS)


def opacity(settings: Settings, decided: Decisions | Change | None = None) -> float | None:
    """Return how far the painting covers the photograph, in [0, 1); None for wholly.

    Args:
        settings: of the job, with strength as it was asked for.
        decided: what was decided when the same was painted before, and is obeyed.
    """
    if settings.strength is None or settings.strength >= WEAKEST_PAINTED:
        return None
    if decided is not None and decided.alpha is not None:
        return decided.opacity
    return settings.strength / WEAKEST_PAINTED


def measure(given: Inputs, network: VGGFeatures, reuse: Cache) -> GradientNorms:
    """Measure the gradients for the pictures of a style_transfer job, unless they are known.

    Args:
        given: the job's inputs; of the settings, alpha and beta make no difference.
        network: in float32.
        reuse: what the jobs before left for this one.
    """
    assert given.content is not None
    made_from = (
        network,
        (given.content.pixels, given.content.alpha),
        [(style.pixels, style.alpha) for style in given.styles],
        [[part and (part.pixels, part.alpha) for part in area.pictures] for area in given.areas],
        # It is measured at one size and at one point.
        values(_weighed(given.settings, 1.0, 1.0), *COMPARISON),
    )
    return reuse.get_or_compute("balance", made_from, lambda: _measure(given, network, reuse))


def _measure(given: Inputs, network: VGGFeatures, reuse: Cache) -> GradientNorms:
    assert given.content is not None
    sides_px = given.content.height_px, given.content.width_px
    least_px = math.ceil(given.smallest_px * max(sides_px) / min(sides_px))
    scale = Scale(*fit(*sides_px, max(_LONGEST_PX, least_px)), margin_px=0, iterations=1)
    settings = _weighed(given.settings, 1.0, 1.0).model_copy(update={"total_variation": 0.0})
    preparation = ScaleSetup(replace(given, settings=settings), network, network.device, reuse)
    targets = preparation.targets(scale, _WHOLE)
    generator = torch.Generator().manual_seed(_SEED)
    image = preparation.start("matched", scale)
    image = (image + _NOISE * torch.randn(image.shape, generator=generator)).to(network.device)
    sizes = []
    for alpha, beta in ((1.0, 0.0), (0.0, 1.0)):
        objective = Objective(network, targets, _weighed(settings, alpha, beta))
        objective.refresh(image, 0)
        gradient = objective.evaluate(image).gradient
        sizes.append(float(gradient.norm()))
    content, style = sizes
    # A photograph without any content, all of one colour, may not pull at all.
    return GradientNorms(max(content, 1e-6 * style), style)


def balanced(settings: Settings, balance: GradientNorms | None = None) -> Settings:
    """Put alpha and beta in the place of strength.

    Args:
        settings: complete, as :func:`impasto.engine.inputs.read` leaves them.
        balance: as measured; without it, only which of the two terms counts is right.
    """
    if settings.strength is None:
        return settings
    if not balance or not settings.strength:
        return _weighed(settings, float(settings.strength < 1), 1.0)
    return _weighed(settings, *balance.weights(settings.strength))


def _weighed(settings: Settings, alpha: float, beta: float) -> Settings:
    return settings.model_copy(update={"strength": None, "alpha": alpha, "beta": beta})
