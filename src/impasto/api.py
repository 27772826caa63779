"""The three modes as three functions: pictures in, a Result out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch

from impasto import images, metrics, painter
from impasto.compute.torch_state import isolated
from impasto.config.option_texts import with_options
from impasto.config.settings import Settings
from impasto.engine.checkpoint import Checkpoint, Keeper
from impasto.engine.painting import Painting
from impasto.engine.warm import WarmEngine
from impasto.errors import ImpastoError
from impasto.images import opacity
from impasto.job.factory import make_job as make_job
from impasto.job.job import ImageSource, Job
from impasto.job.result import Result, Step
from impasto.metrics.results import Metrics
from impasto.weights.download import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Unpack

    from impasto.job.options import JobOptions

# What this process keeps from one call to the next.
_ENGINE = WarmEngine()


@with_options
def style_transfer(
    content_image: ImageSource,
    style_images: ImageSource | Iterable[ImageSource],
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    **options: Unpack[JobOptions],
) -> Result:
    """Repaint a photograph in the manner of one or several paintings.

    Args:
        content_image: the photograph: a path, bytes, a Pillow image, an array or a tensor.
        style_images: the painting, or several of them: a list, a tuple or a generator.
        settings: base settings, which ``options`` override; the defaults if absent.
        on_step: called with each Step; if it returns False, painting ends there.
        checkpoint: a file to keep the state in, twice a minute, until the picture is
            finished; if it is there, painting goes on from it.
        progress: show a bar in the terminal, or the picture and a bar in a notebook.
        options: fields of Settings and Runtime by name, and ``preset``; ``start`` also
            takes a picture in any form, and ``region`` a sequence of Region.

    Raises:
        ImpastoError: see impasto.errors; before anything is painted, except Diverged and
            OutOfMemoryError.
        KeyboardInterrupt: its attribute ``result`` is the Result as the painting stood, or None
            before the first step.

    Example:
        >>> result = style_transfer("photograph.jpg", "painting.jpg", size=768)  # doctest: +SKIP
        >>> result.save("repainted.png")  # doctest: +SKIP
    """
    job = make_job("style_transfer", content_image, style_images, settings=settings, **options)
    return painter.paint(_ENGINE, job, on_step, checkpoint, progress)


@with_options
def content(
    image: ImageSource,
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    **options: Unpack[JobOptions],
) -> Result:
    """Rebuild a picture from what ``content_layers`` keep of it, starting from noise.

    Args:
        image: the picture, in any form that style_transfer takes.
        settings: as in style_transfer.
        on_step: as in style_transfer.
        checkpoint: as in style_transfer.
        progress: as in style_transfer.
        options: as in style_transfer.

    Raises:
        ImpastoError: as in style_transfer.
    """
    job = make_job("content", image, settings=settings, **options)
    return painter.paint(_ENGINE, job, on_step, checkpoint, progress)


@with_options
def style(
    style_images: ImageSource | Iterable[ImageSource],
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    **options: Unpack[JobOptions],
) -> Result:
    """Paint from noise the texture that ``style_layers`` see in one or several pictures.

    Args:
        style_images: the picture, or several of them.
        settings: as in style_transfer; ``aspect`` chooses the result's shape.
        on_step: as in style_transfer.
        checkpoint: as in style_transfer.
        progress: as in style_transfer.
        options: as in style_transfer.

    Raises:
        ImpastoError: as in style_transfer.
    """
    job = make_job("style", None, style_images, settings=settings, **options)
    return painter.paint(_ENGINE, job, on_step, checkpoint, progress)


@overload
def iterate(job: Job, /, *, resume: Checkpoint | None = None) -> Painting: ...


@overload
def iterate(
    content_image: ImageSource,
    style_images: ImageSource | Iterable[ImageSource],
    *,
    settings: Settings | None = None,
    resume: Checkpoint | None = None,
    **options: Unpack[JobOptions],
) -> Painting: ...


def iterate(
    content_image: Any,
    style_images: Any = None,
    *,
    settings: Settings | None = None,
    resume: Checkpoint | None = None,
    **options: Any,
) -> Painting:
    """Paint step by step: a generator that yields a Step after each iteration.

    Nothing is read until the first Step is asked for. ``painting.cancel()`` ends the loop,
    ``painting.send({"beta": 1e5})`` changes settings, and ``painting.result`` is the Result.

    Args:
        content_image: the photograph, as in style_transfer; or a Job of any mode, by itself.
        style_images: as in style_transfer.
        settings: as in style_transfer.
        resume: a checkpoint to continue from; by default painting starts anew.
        options: as in style_transfer.

    Raises:
        ImpastoError: as in style_transfer; those about pictures with the first Step.

    Example:
        >>> painting = iterate("photograph.jpg", "painting.jpg", size=256)  # doctest: +SKIP
        >>> for step in painting:  # doctest: +SKIP
        ...     print(step.step, step.losses["total"])
        >>> painting.result.save("repainted.png")  # doctest: +SKIP
    """
    job = painter.job_of(make_job, content_image, style_images, settings, options)
    return _ENGINE.iterate(job, resume=resume)


def batch(jobs: Iterable[Job]) -> Iterator[Result | ImpastoError]:
    """Paint jobs one after another in this process, with the network loaded once.

    ``impasto batch`` paints on several processes and machines, and can be resumed.

    Args:
        jobs: from make_job; a generator is read job by job.

    Yields:
        The Result of each job, in their order; or the error that it failed with, as a value, so
        that the others are painted.

    Example:
        >>> jobs = (make_job("style", None, path) for path in paths)  # doctest: +SKIP
        >>> for result in batch(jobs):  # doctest: +SKIP
        ...     print(result)
    """
    for job in jobs:
        try:
            painted: Result | ImpastoError = _ENGINE.paint(job)
        except ImpastoError as error:
            painted = error
        yield painted


def evaluate(
    image: ImageSource | Result,
    content_image: ImageSource,
    style_images: ImageSource | Iterable[ImageSource],
    *,
    settings: Settings | None = None,
    **options: Unpack[JobOptions],
) -> dict[str, float]:
    """Return every term of the objective at a picture, as a painting of its size would count it.

    Weights are those of the options: by default alpha and beta follow from strength, and are
    measured on the pictures. Layers, normalisation and padding are the defaults too. The
    photograph is cropped at its centre to the picture's shape, and there is no margin.

    Args:
        image: the picture: a Result, or in any form that style_transfer takes.
        content_image: the photograph.
        style_images: the painting, or several of them.
        settings: as in style_transfer.
        options: as in style_transfer.

    Returns:
        The weighted terms, such as ``content:relu4_2`` and ``style:relu1_1``, and ``total``.

    Raises:
        ImpastoError: as in style_transfer.
        ShapeError: ``options`` ask for another size than the picture's.
    """
    picture = images.load(image.pixels if isinstance(image, Result) else image)
    usual: Any = {"size": (picture.width_px, picture.height_px), "margin": 0.0}
    job = make_job(
        "style_transfer", content_image, style_images, settings=settings, **{**usual, **options}
    )
    return _ENGINE.evaluate(job, picture)


def measure(
    result_image: ImageSource | Result,
    content_image: ImageSource,
    style_image: ImageSource,
    *,
    weights: str | Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Metrics:
    """Measure how near a picture is to its photograph and to its painting.

    Colours under transparent pixels do not count, as in a painting: those around them take their
    place.

    Args:
        result_image: a Result, or a picture in any form that style_transfer takes.
        content_image: the photograph.
        style_image: the painting.
        weights: VGG-16's weights file; else the cache, else fetched.
        offline: never download.
        progress: called while weights are downloaded.

    Returns:
        The numbers; those whose network cannot be fetched are None, and ``missing`` says why.

    Raises:
        ImageError: a picture is absent, damaged or wholly transparent.
        WeightsError: ``weights`` is absent or damaged.
    """
    with isolated():
        result, photograph, painting = (
            _seen_pixels(one) for one in (result_image, content_image, style_image)
        )
    networks = metrics.load_networks(weights_file=weights, offline=offline, progress=progress)
    return metrics.measure(result, photograph, painting, networks)


def _seen_pixels(source: ImageSource | Result) -> Tensor:
    """Load the pixels of a picture, without what transparency hides."""
    if isinstance(source, Result):
        parts = [source.pixels] if source.alpha is None else [source.pixels, source.alpha]
        source = torch.cat(parts, dim=1)
    picture = opacity.load_seen(source)
    opacity.check_visible(picture)
    return picture.pixels


def paint(
    job: Job,
    on_step: Callable[[Step], object] | None = None,
    *,
    progress: Progress | None = None,
    resume: Checkpoint | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """Paint a job with what this process keeps ready; see :meth:`WarmEngine.paint`."""
    return _ENGINE.paint(job, on_step, progress=progress, resume=resume, keeper=keeper)


def release() -> None:
    """Release the network and everything else that the functions here keep for the next call."""
    _ENGINE.close()
