r"""How near a result is to its photograph and to its painting: aids for the eye, not truth.

The style distances use features that were not the ones optimised: other layers of the
network, and random filters at several scales. A picture that only fools the optimised layers
is found out there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import images, losses
from impasto.images import colour
from impasto.models.vgg import VGGFeatures

# Layers between those that the defaults optimise.
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_SCALES = 4
_FILTERS, _FILTER_PX = 64, 7
# Wang et al. (2004): a Gaussian window of 11 pixels, and constants for a range of 1.
_WINDOW_PX, _WINDOW_SIGMA_PX = 11, 1.5
_SSIM_CONSTANTS = (0.01**2, 0.03**2)
_FRAME = 0.03
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# What counts as no contrast at all: a hundredth of a level of 255.
_LEAST_CONTRAST = 0.01 / 255


@dataclass(frozen=True)
class Metrics:
    """What was measured of a result.

    Attributes:
        content_lpips: perceptual distance to the photograph, LPIPS with VGG-16; 0 for the same.
        content_ssim: structural similarity of luminance to the photograph's; 1 for the same.
        style_layers: distance of Gram matrices to the painting's, on layers that the defaults
            do not optimise, as a share of the painting's own; 0 for the same.
        style_random: the same on random filters, at four scales.
        colour: distance of the colours to the painting's, in OKLab; 0 for the same.
        border: contrast near the border over that inside, beside the photograph's; 1 where
            nothing marks the border, more for a frame.
    """

    content_lpips: float
    content_ssim: float
    style_layers: float
    style_random: float
    colour: float
    border: float


def measure(
    result: Tensor, content: Tensor, style: Tensor, network: VGGFeatures, heads: dict[str, Tensor]
) -> Metrics:
    """Measure ``result`` beside the pictures that it was painted from.

    Args:
        result: (1, 3, H, W), sRGB in [0, 1].
        content: the photograph, of any size; resampled to the result's.
        style: the painting, of any size; its longer side is resampled to the result's.
        network: VGG-16 with zero padding, in float32.
        heads: from :func:`impasto.weights.load_heads`.
    """
    size_px = (result.shape[-2], result.shape[-1])
    content = images.resize(content, *size_px)
    style = images.resize(style, *images.fit(style.shape[-2], style.shape[-1], max(size_px)))
    with torch.no_grad():
        return Metrics(
            content_lpips=lpips(result, content, network, heads),
            content_ssim=ssim(_luminance(result), _luminance(content)),
            style_layers=style_distance(result, style, network),
            style_random=random_style_distance(result, style),
            colour=colour_distance(result, style),
            border=border_index(result, content),
        )


def lpips(first: Tensor, second: Tensor, network: VGGFeatures, heads: dict[str, Tensor]) -> float:
    """Return the learned perceptual distance between two pictures of one size.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018, eq. 1, version 0.1 with VGG-16.
    """
    total = 0.0
    found = [network.features(picture, tuple(heads)) for picture in (first, second)]
    for layer, head in heads.items():
        ours, theirs = (
            maps[layer] / (maps[layer].square().sum(1, keepdim=True).sqrt() + 1e-10)
            for maps in found
        )
        weighed = (ours - theirs).square() * head.to(ours).view(1, -1, 1, 1)
        total += float(weighed.sum(1).mean())
    return total


def ssim(first: Tensor, second: Tensor) -> float:
    """Return the mean structural similarity of two pictures (1, 1, H, W) in [0, 1].

    Wang et al., "Image quality assessment: from error visibility to structural similarity",
    2004, eq. 13. Differs: the window shrinks to pictures smaller than it.
    """
    side_px = min(_WINDOW_PX, *first.shape[-2:])
    places = torch.arange(side_px, dtype=first.dtype) - (side_px - 1) / 2
    line = torch.exp(-0.5 * (places / _WINDOW_SIGMA_PX).square())
    window = torch.outer(line, line) / line.sum() ** 2

    def local(picture: Tensor) -> Tensor:
        return F.conv2d(picture, window.view(1, 1, side_px, side_px))

    means = local(first), local(second)
    variances = [
        local(picture.square()) - mean.square()
        for picture, mean in zip((first, second), means, strict=True)
    ]
    together = local(first * second) - means[0] * means[1]
    c1, c2 = _SSIM_CONSTANTS
    similarity = (2 * means[0] * means[1] + c1) * (2 * together + c2)
    similarity /= (means[0].square() + means[1].square() + c1) * (sum(variances) + c2)
    return float(similarity.mean())


def style_distance(result: Tensor, style: Tensor, network: VGGFeatures) -> float:
    """Compare Gram matrices on STYLE_LAYERS; the mean over layers of their relative distance."""
    ours, theirs = (network.features(picture, STYLE_LAYERS) for picture in (result, style))
    return _gram_distance([(ours[layer], theirs[layer]) for layer in STYLE_LAYERS])


def random_style_distance(result: Tensor, style: Tensor) -> float:
    """Compare Gram matrices on one layer of random filters, at several scales.

    Ustyuzhaninov et al., "What does it take to generate natural textures?", ICLR 2017: a
    single layer of random filters at several scales knows a texture well.
    """
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(_FILTERS, 3, _FILTER_PX, _FILTER_PX, generator=generator)
    # Filters that answer to patterns and not to flat colour, which the colour distance knows.
    filters = filters - filters.mean((1, 2, 3), keepdim=True)
    pairs = []
    for _ in range(_SCALES):
        if min(*result.shape[-2:], *style.shape[-2:]) < _FILTER_PX:
            break
        pairs.append((F.relu(F.conv2d(result, filters)), F.relu(F.conv2d(style, filters))))
        result, style = (F.avg_pool2d(picture, 2) for picture in (result, style))
    return _gram_distance(pairs)


def colour_distance(result: Tensor, style: Tensor) -> float:
    r"""Return the Wasserstein-2 distance between the Gaussians of the two pictures' colours.

    In OKLab, where lightness runs from 0 to 1: the square root of $|\mu_1 - \mu_2|^2 +
    tr(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2})^{1/2})$.
    """
    ours, theirs = (
        colour.colours([colour.to_oklab(picture)], [1.0]) for picture in (result, style)
    )
    values, vectors = torch.linalg.eigh(ours.covariance)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.t()
    cross = torch.linalg.eigvalsh(root @ theirs.covariance @ root).clamp_min(0).sqrt().sum()
    spread = ours.covariance.trace() + theirs.covariance.trace() - 2 * cross
    squared = (ours.mean - theirs.mean).square().sum() + spread.clamp_min(0)
    return float(squared.sqrt())


def border_index(result: Tensor, content: Tensor) -> float:
    """Return how much busier the result's border is than its inside, beside the photograph's.

    The border is a frame of 3 % of the shorter side, the inside the next three frames.
    """
    return _border_share(_luminance(result)) / _border_share(_luminance(content))


def _border_share(luminance: Tensor) -> float:
    """Return the mean step between neighbours in the outermost frame over that further in."""
    across = luminance[..., 1:, :-1] - luminance[..., :-1, :-1]
    along = luminance[..., :-1, 1:] - luminance[..., :-1, :-1]
    steps = (across.square() + along.square()).sqrt()[0, 0]
    width_px = max(1, round(_FRAME * min(steps.shape)))
    rows, columns = (
        torch.minimum(torch.arange(side), torch.arange(side).flip(0)) for side in steps.shape
    )
    depth = torch.minimum(rows[:, None], columns[None, :])
    frame = steps[depth < width_px].mean()
    inside = steps[(depth >= width_px) & (depth < 4 * width_px)]
    further = inside.mean() if len(inside) else frame
    return float((frame + _LEAST_CONTRAST) / (further + _LEAST_CONTRAST))


def _gram_distance(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Average over pairs of feature maps the relative distance of their Gram matrices."""
    total = 0.0
    for ours, theirs in pairs:
        gram, target = (losses.gram_matrix(maps) / maps[0, 0].numel() for maps in (ours, theirs))
        total += float((gram - target).norm() / target.norm().clamp_min(1e-12))
    return total / len(pairs)


def _luminance(image: Tensor) -> Tensor:
    weights = torch.tensor(_LUMINANCE, dtype=image.dtype).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)
