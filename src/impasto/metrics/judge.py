"""All metrics of one result, with the networks that are available."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import images, losses, models, weights
from impasto.compute import host
from impasto.compute.torch_state import isolated
from impasto.config.networks import network_spec
from impasto.errors import WeightsError
from impasto.images import colour
from impasto.metrics import (
    border,
    content,
    coverage,
    dists,
    evenness,
    ghosts,
    palette,
    style,
)
from impasto.metrics.results import Metrics, Missing
from impasto.models import alexnet
from impasto.models.alexnet import AlexNetFeatures
from impasto.models.vgg import VGGFeatures
from impasto.weights.download import Progress

_LUMINANCE = (0.2126, 0.7152, 0.0722)
_LPIPS_PX = 16
_STRUCTURE_LAYER = "relu4_2"


@dataclass(frozen=True)
class Networks:
    """The networks of the metrics; if one is None, its numbers are left out.

    Attributes:
        vgg: VGG-16 with zero padding, in float32.
        heads: LPIPS's weights of VGG-16's channels, from :func:`impasto.weights.load_heads`.
        dists: the weights of DISTS, from ``weights.load("dists")``.
        alexnet: a network that no picture is optimised against.
        reasons: the reason why a network is None, by its attribute name.
    """

    vgg: VGGFeatures | None = None
    heads: dict[str, Tensor] | None = None
    dists: dict[str, Tensor] | None = None
    alexnet: AlexNetFeatures | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def load_networks(
    *,
    weights_file: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Networks:
    """Load the networks; one that cannot be downloaded is None, with an entry in ``reasons``.

    Args:
        weights_file: VGG-16's weights file, as for ``models.load``.
        offline: never download.
        progress: called while weights are downloaded.

    Raises:
        WeightsError: ``weights_file`` is absent or damaged.
    """
    fetching: dict[str, Any] = {"offline": offline, "progress": progress}
    reasons: dict[str, str] = {}

    def load(name: str, loader: Callable[..., Any]) -> Any:
        try:
            return loader(**fetching)
        except WeightsError as error:
            reasons[name] = str(error)
            return None

    with isolated():
        if weights_file is not None:
            vgg = models.load("vgg16", weights=weights_file, **fetching)
        else:
            vgg = load("vgg", models.load)
        return Networks(
            vgg=vgg,
            heads=load("heads", weights.load_heads),
            dists=load("dists", lambda **options: weights.load("dists", **options)),
            alexnet=load("alexnet", alexnet.load),
            reasons=reasons,
        )


def measure(
    result_image: Tensor, content_image: Tensor, style_image: Tensor, networks: Networks
) -> Metrics:
    """Compute the metrics of a result against its photograph and its painting.

    The caller's torch settings do not change the numbers, and are left as they are.

    Args:
        result_image: (1, 3, H, W), sRGB in [0, 1].
        content_image: the photograph, of any size; it is resampled to the result's size.
        style_image: the painting, of any size; it is resampled to the result's longer side.
        networks: from :func:`load_networks`.
    """
    numbers: dict[str, float] = {}
    missing: list[Missing] = []
    # Sums round differently with other numbers of threads.
    with isolated(host.default_threads()), torch.no_grad():
        pictures = _Pictures.resampled(result_image, content_image, style_image)
        for task in _TASKS:
            reason = _reason(task, pictures, networks)
            if reason:
                missing.append(Missing(task.numbers, reason))
            else:
                numbers |= zip(task.numbers, task.compute(pictures, networks), strict=True)
    return Metrics(**numbers, missing=_merged(missing))


@dataclass(frozen=True)
class _Pictures:
    """Result, photograph and painting, in comparable sizes."""

    result: Tensor
    content: Tensor
    style: Tensor

    @classmethod
    def resampled(cls, result: Tensor, content: Tensor, style: Tensor) -> _Pictures:
        size_px = (result.shape[-2], result.shape[-1])
        style_px = images.fit(style.shape[-2], style.shape[-1], max(size_px))
        return cls(result, images.resize(content, *size_px), images.resize(style, *style_px))

    def shrunk(self, longest_px: int) -> _Pictures:
        """Return the pictures with at most this longest side."""
        pictures = (self.result, self.content, self.style)
        shrunk = (
            images.resize(picture, *images.fit(picture.shape[-2], picture.shape[-1], longest_px))
            if max(picture.shape[-2:]) > longest_px
            else picture
            for picture in pictures
        )
        return _Pictures(*shrunk)

    def features(self, network: VGGFeatures, layer: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps of result, photograph and painting at one layer."""
        result, content, style = (
            network.features(picture, (layer,))[layer]
            for picture in (self.result, self.content, self.style)
        )
        return result, content, style

    @property
    def shortest_px(self) -> int:
        """The shortest side of result and painting."""
        return int(min(*self.result.shape[-2:], *self.style.shape[-2:]))

    @cached_property
    def small(self) -> _Pictures:
        """The pictures at the size for nearest neighbours."""
        return self.shrunk(coverage.LONGEST_PX)


_Compute = Callable[[_Pictures, Any], tuple[float, ...]]


@dataclass(frozen=True)
class _Judgement:
    """Some numbers, their requirements, and the function that computes them.

    Attributes:
        numbers: fields of Metrics.
        needs: required fields of Networks.
        least_px: minimum side of the pictures.
        compute: returns the numbers in order.
    """

    numbers: tuple[str, ...]
    needs: tuple[str, ...]
    least_px: int
    compute: _Compute


def _content_lpips(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    return (content.lpips(pictures.result, pictures.content, networks.vgg, networks.heads),)


def _alexnet(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    network = networks.alexnet
    return (
        content.lpips(pictures.result, pictures.content, network, network.heads),
        style.style_distance(pictures.result, pictures.style, network, alexnet.LAYERS),
    )


def _dists(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    result, photograph, painting = (
        dists.features(picture, networks.vgg)
        for picture in (pictures.result, pictures.content, pictures.style)
    )
    return (
        dists.structure_distance(result, photograph, networks.dists),
        dists.texture_distance(result, painting, networks.dists),
    )


def _style_at(divisor: int) -> _Compute:
    def compute(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
        longest_px = max(1, round(max(pictures.result.shape[-2:]) / divisor))
        shrunk = pictures.shrunk(longest_px)
        return (style.style_distance(shrunk.result, shrunk.style, networks.vgg),)

    return compute


def _colours(pictures: _Pictures, _: Any) -> tuple[float, ...]:
    result, painting = (colour.to_oklab(p) for p in (pictures.result, pictures.style))
    return (
        palette.colour_distance(pictures.result, pictures.style),
        palette.palette_distance(result, painting),
        palette.palette_distance(pictures.result, pictures.style),
        palette.foreign_chroma(result, painting),
    )


def _neighbours(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    result, photograph, painting = pictures.small.features(networks.vgg, coverage.LAYER)
    return (
        *coverage.coverage_distances(result, painting),
        evenness.style_share_deviation(result, photograph, painting),
    )


def _ghosts(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    small = pictures.small
    flat = ghosts.flatness(_luminance(small.content))
    return (
        ghosts.object_energy(*small.features(networks.vgg, ghosts.OBJECT_LAYER), flat),
        ghosts.stroke_energy(*small.features(networks.vgg, ghosts.STROKE_LAYER), flat),
    )


def _structure(pictures: _Pictures, networks: Any) -> tuple[float, ...]:
    result, photograph, _ = pictures.small.features(networks.vgg, _STRUCTURE_LAYER)
    return (losses.structure_distance(result, photograph),)


def _plain(pictures: _Pictures, _: Any) -> tuple[float, ...]:
    result, photograph = _luminance(pictures.result), _luminance(pictures.content)
    return (
        content.ssim(result, photograph),
        style.random_style_distance(pictures.result, pictures.style),
        border.border_index(result, photograph),
    )


_STYLE_PX = network_spec("vgg16").smallest_side_px(style.STYLE_LAYERS)
_TASKS = (
    _Judgement(("content_lpips",), ("vgg", "heads"), _LPIPS_PX, _content_lpips),
    _Judgement(("content_alexnet", "style_alexnet"), ("alexnet",), alexnet.SMALLEST_PX, _alexnet),
    _Judgement(("dists_structure", "dists_texture"), ("vgg", "dists"), dists.SMALLEST_PX, _dists),
    _Judgement(("style_layers",), ("vgg",), _STYLE_PX, _style_at(1)),
    _Judgement(("style_half",), ("vgg",), 2 * _STYLE_PX, _style_at(2)),
    _Judgement(("style_quarter",), ("vgg",), 4 * _STYLE_PX, _style_at(4)),
    _Judgement(("colour", "palette", "palette_srgb", "foreign_chroma"), (), 1, _colours),
    _Judgement(("structure",), ("vgg",), 16, _structure),
    _Judgement(("coverage_result", "coverage_style", "evenness"), ("vgg",), _STYLE_PX, _neighbours),
    _Judgement(("ghosts", "flat_texture"), ("vgg",), _STYLE_PX, _ghosts),
    _Judgement(("content_ssim", "style_random", "border"), (), 7, _plain),
)


def _reason(task: _Judgement, pictures: _Pictures, networks: Networks) -> str:
    """Return the reason why a task cannot be done; empty if it can."""
    for name in task.needs:
        if getattr(networks, name) is None:
            return networks.reasons.get(name, f"Networks.{name} is None")
    if pictures.shortest_px < task.least_px:
        return (
            f"expected pictures of at least {task.least_px} pixels a side, got "
            f"{pictures.shortest_px} (the painting has the result's longer side)"
        )
    return ""


def _merged(missing: list[Missing]) -> tuple[Missing, ...]:
    """Merge entries with the same reason."""
    by_reason: dict[str, tuple[str, ...]] = {}
    for one in missing:
        by_reason[one.reason] = (*by_reason.get(one.reason, ()), *one.numbers)
    return tuple(Missing(numbers, reason) for reason, numbers in by_reason.items())


def _luminance(image: Tensor) -> Tensor:
    weight = torch.tensor(_LUMINANCE, dtype=image.dtype).view(1, 3, 1, 1)
    return (image * weight).sum(1, keepdim=True)
