"""The options of the public functions, for type checkers and editors.

A field of Settings or Runtime that also takes other forms, such as layers written as one string,
has here all that is accepted. A test keeps the names and types equal to those of the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    import os

    from impasto.config.values import NetworkName, OptimiserName, StatisticName
    from impasto.job.job import ImageSource, Region
    from impasto.job.loss_term import LossFunction, LossTerm

Layers = str | Sequence[str] | Mapping[str, float]


class JobOptions(TypedDict, total=False):
    """Fields of Settings and Runtime, whose meaning is said there, and two more.

    ``preset`` names a set of settings. ``terms`` are losses of one's own, by name: functions, or
    LossTerms.
    """

    preset: str
    terms: Mapping[str, LossFunction | LossTerm]

    size: int | Literal["original"] | tuple[int, int]
    aspect: str | None
    seed: int
    start: ImageSource | None
    network: NetworkName
    pooling: Literal["max", "average"]
    padding: Literal["replicate", "zeros"]
    seamless: bool
    content_layers: Layers
    style_layers: Layers | None
    motifs: float | None
    statistic: StatisticName
    strength: float | None
    alpha: float | None
    beta: float | None
    total_variation: float | None
    style_weights: Sequence[float] | None
    style_scale: Sequence[float] | None
    colour: Literal["free", "keep", "match"]
    color: Literal["free", "keep", "match"]
    palette: float | None
    region: Sequence[str | Region] | None
    margin: float
    normalisation: Literal["position", "paper"]
    optimiser: OptimiserName
    optimizer: OptimiserName
    iterations: int | None
    learning_rate: float
    history: int
    coarsest: int
    size_ratio: float

    device: str
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    threads: int | None
    memory: int | str | None
    weights: str | os.PathLike[str] | None
    offline: bool
