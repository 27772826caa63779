"""Make a Job from options by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from impasto.config.settings import Mode, Runtime, Settings, make_runtime, make_settings
from impasto.config.validation import british, unknown_option
from impasto.errors import SettingsError
from impasto.job.job import ImageSource, Job

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from impasto.job.options import JobOptions


def make_job(
    mode: Mode,
    content_image: ImageSource | None = None,
    style_images: ImageSource | Iterable[ImageSource] = (),
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
    terms = named.pop("terms", None) or {}
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
        terms=terms,
    )


def _several(images: ImageSource | Iterable[ImageSource]) -> tuple[ImageSource, ...]:
    """Return the pictures of a sequence or a generator; an open file is one picture."""
    is_file = hasattr(images, "read")
    if isinstance(images, (list, tuple, Iterator)) and not is_file:
        return tuple(images)
    return (cast("ImageSource", images),)


def _check_names(options: Collection[str]) -> None:
    known = [*Settings.model_fields, *Runtime.model_fields, "preset", "terms"]
    for name in options:
        if name not in known:
            raise SettingsError(unknown_option(name, known))
