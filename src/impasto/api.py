"""The three modes as three functions: pictures in, a Result out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from impasto import metrics
from impasto.compute.torch_state import isolated
from impasto.config.settings import Mode, Runtime, Settings, make_runtime, make_settings
from impasto.config.validation import british, unknown_option
from impasto.engine.cache import Cache
from impasto.engine.checkpoint import Checkpoint, Keeper
from impasto.engine.painting import iterate
from impasto.errors import Diverged, SettingsError
from impasto.images import opacity
from impasto.job.job import ImageSource, Job
from impasto.job.result import Result, Step
from impasto.metrics.results import Metrics
from impasto.weights.download import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Unpack

    from impasto.job.options import JobOptions


def style_transfer(
    content_image: ImageSource,
    style_images: ImageSource | Sequence[ImageSource],
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    **options: Unpack[JobOptions],
) -> Result:
    """Repaint a photograph in the manner of one or several paintings.

    Args:
        content_image: the photograph: a path, bytes, a Pillow image, an array or a tensor.
        style_images: the painting, or a list of them.
        settings: base settings, which ``options`` override; the defaults if absent.
        on_step: called with each Step.
        checkpoint: a file to keep the state in, twice a minute, until the picture is
            finished; if it is there, painting goes on from it.
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
    return _paint_kept(job, on_step, checkpoint)


def content(
    image: ImageSource,
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    **options: Unpack[JobOptions],
) -> Result:
    """Rebuild a picture from what ``content_layers`` keep of it, starting from noise.

    Args:
        image: the picture, in any form that style_transfer takes.
        settings: as in style_transfer.
        on_step: as in style_transfer.
        checkpoint: as in style_transfer.
        options: as in style_transfer.

    Raises:
        ImpastoError: as in style_transfer.
    """
    job = make_job("content", image, settings=settings, **options)
    return _paint_kept(job, on_step, checkpoint)


def style(
    style_images: ImageSource | Sequence[ImageSource],
    *,
    settings: Settings | None = None,
    on_step: Callable[[Step], object] | None = None,
    checkpoint: str | Path | None = None,
    **options: Unpack[JobOptions],
) -> Result:
    """Paint from noise the texture that ``style_layers`` see in one or several pictures.

    Args:
        style_images: the picture, or a list of them.
        settings: as in style_transfer; ``aspect`` chooses the result's shape.
        on_step: as in style_transfer.
        checkpoint: as in style_transfer.
        options: as in style_transfer.

    Raises:
        ImpastoError: as in style_transfer.
    """
    job = make_job("style", None, style_images, settings=settings, **options)
    return _paint_kept(job, on_step, checkpoint)


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


def make_job(
    mode: Mode,
    content_image: ImageSource | None = None,
    style_images: ImageSource | Sequence[ImageSource] = (),
    *,
    settings: Settings | None = None,
    **options: Unpack[JobOptions],
) -> Job:
    """Sort ``options`` into Settings and Runtime, and put a Job together.

    Raises:
        SettingsError: an option is unknown or out of its bounds.
    """
    named: dict[str, Any] = british({**options})
    _check_names(named)
    start = named.pop("start", None)
    if start is None or isinstance(start, str):
        start_image = None
        named |= {} if start is None else {"start": start}
    else:
        start_image = start
    regions = named.pop("region", None) or ()
    if all(isinstance(region, str) for region in regions):
        named |= {"region": regions} if regions else {}
        regions = ()
    runtime = {name: named.pop(name) for name in list(named) if name in Runtime.model_fields}
    return Job(
        mode=mode,
        content_image=content_image,
        style_images=_several(style_images),
        start_image=start_image,
        regions=tuple(regions),
        settings=make_settings(settings, **named),
        runtime=make_runtime(**runtime),
    )


def _several(images: ImageSource | Sequence[ImageSource]) -> tuple[ImageSource, ...]:
    return tuple(images) if isinstance(images, (list, tuple)) else (cast("ImageSource", images),)


def _check_names(options: Collection[str]) -> None:
    known = [*Settings.model_fields, *Runtime.model_fields, "preset"]
    for name in options:
        if name not in known:
            raise SettingsError(unknown_option(name, known))


def paint(
    job: Job,
    on_step: Callable[[Step], object] | None = None,
    *,
    progress: Progress | None = None,
    cache: Cache | None = None,
    resume: Checkpoint | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """Run ``job`` to its end, calling ``on_step`` with each Step.

    If it ends early, a checkpoint is written. A KeyboardInterrupt gets the attribute ``result``:
    the Result as the painting stood, or None before the first step.

    Args:
        job: what to paint.
        on_step: called with each Step.
        progress: called while weights are downloaded.
        cache: a cache of networks and style statistics from earlier jobs.
        resume: the checkpoint to go on from.
        keeper: writes checkpoints while painting.

    Raises:
        ImpastoError: as ``iterate`` does.
    """
    painting = iterate(job, progress=progress, cache=cache, resume=resume)
    step: Step | None = None
    try:
        while True:
            step = next(painting)
            if on_step is not None:
                on_step(step)
            if keeper is not None:
                keeper.step(painting.checkpoint)
    except StopIteration as finished:
        result: Result = finished.value
        return result
    except Diverged:
        raise
    except BaseException as error:
        if keeper is not None:
            keeper.save(painting.checkpoint)
        if isinstance(error, KeyboardInterrupt):
            _attach_result(error, step)
        raise


def _attach_result(interrupt: KeyboardInterrupt, step: Step | None) -> None:
    """Keep what has been painted where the caller can find it."""
    interrupt.result = None if step is None else step.result()  # type: ignore[attr-defined]
    if step is not None and hasattr(interrupt, "add_note"):  # from Python 3.11 on
        interrupt.add_note(
            "The picture so far is in the exception's attribute result: "
            "except KeyboardInterrupt as stopped: stopped.result.save('picture.png')"
        )


def _paint_kept(
    job: Job, on_step: Callable[[Step], object] | None, checkpoint: str | Path | None
) -> Result:
    if checkpoint is None:
        return paint(job, on_step)
    keeper = Keeper(Path(checkpoint))
    result = paint(job, on_step, resume=keeper.load(), keeper=keeper)
    keeper.remove()
    return result
