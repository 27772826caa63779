"""The metrics of a result, and the meaning of each number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _number(sentence: str) -> Any:
    """Declare a number with a sentence that explains it."""
    return field(default=None, metadata={"sentence": sentence})


@dataclass(frozen=True)
class Missing:
    """Numbers that could not be measured, and why.

    Attributes:
        numbers: names of fields of Metrics.
        reason: one sentence.
    """

    numbers: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Metrics:
    """The metrics of a result; if a number is None, ``missing`` has the reason.

    The metadata of each field has the ``sentence`` that `impasto measure` prints.
    """

    content_lpips: float | None = _number(
        "Perceptual distance to the photograph, by VGG-16; 0 is the photograph itself."
    )
    content_alexnet: float | None = _number(
        "Perceptual distance to the photograph, by AlexNet, not used to paint; 0 is the same."
    )
    content_ssim: float | None = _number(
        "Structural similarity of lightness to the photograph; 1 is the photograph itself."
    )
    structure: float | None = _number(
        "How differently the picture's parts resemble each other than the photograph's; 0 is none."
    )
    dists_structure: float | None = _number(
        "Structure lost from the photograph, by DISTS; 0 is none, and 1 is all."
    )
    dists_texture: float | None = _number(
        "Difference from the painting's texture, by DISTS; 0 is the painting's own."
    )
    style_layers: float | None = _number(
        "Distance to the painting's style at full size, for fine strokes."
    )
    style_half: float | None = _number(
        "Distance to the painting's style at half the size, for strokes twice as large."
    )
    style_quarter: float | None = _number(
        "Distance to the painting's style at a quarter of the size, for the largest strokes."
    )
    style_alexnet: float | None = _number(
        "Distance to the painting's style, by AlexNet, not used to paint; 0 is the same."
    )
    style_random: float | None = _number(
        "Distance to the painting's style on random filters; 0 is the painting's own."
    )
    colour: float | None = _number(
        "Distance to the mean and covariance of the painting's colours, in OKLab; 0 is the same."
    )
    palette: float | None = _number(
        "Distance to the painting's distribution of colours, in OKLab; 0 is the same palette."
    )
    palette_srgb: float | None = _number(
        "Distance to the painting's distribution of colours, in sRGB from 0 to 1; 0 is the same."
    )
    foreign_chroma: float | None = _number(
        "Colourfulness beyond the painting's most colourful parts; 0 is none."
    )
    coverage_result: float | None = _number(
        "Distance of the result's patches to the painting's nearest; high if some are foreign."
    )
    coverage_style: float | None = _number(
        "Distance of the painting's patches to the result's nearest; high if many are left out."
    )
    ghosts: float | None = _number(
        "Objects of the painting in flat parts of the photograph; 0 is none."
    )
    flat_texture: float | None = _number(
        "Strokes added in flat parts of the photograph, as a share of the painting's; 0 is none."
    )
    evenness: float | None = _number(
        "Variation of the share of style over the picture; 0 is the same everywhere."
    )
    border: float | None = _number(
        "Contrast at the border relative to the photograph's; 1 is no frame, more is a frame."
    )
    missing: tuple[Missing, ...] = ()
