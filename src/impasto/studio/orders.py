"""Check orders, change them, and turn them into jobs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.config.settings import make_settings
from impasto.errors import SettingsError
from impasto.job.job import JobSpec, RegionReference
from impasto.studio.http_errors import HttpError
from impasto.studio.schemas import Order, Plan, Record, replay_command
from impasto.studio.uploads import Uploads


def complete(order: Order, uploads: Uploads) -> Order:
    """Merge the order's settings into its preset, and check that its pictures exist.

    Raises:
        HttpError: a setting is invalid, or a picture does not exist.
    """
    try:
        settings = order.explicit_settings()
    except SettingsError as error:
        raise HttpError(422, str(error)) from None
    for picture_id in pictures_of(order):
        if not uploads.has(picture_id):
            raise HttpError(422, f"no picture {picture_id!r}; upload it first")
    # An order that is derived from this one must be confirmed again.
    complete = {"preset": None, "settings": make_settings(**settings), "confirmed": False}
    return order.model_copy(update=complete)


def job_spec(order: Order, uploads: Uploads) -> JobSpec:
    """Return the job of an order.

    Raises:
        HttpError: as complete.
    """
    order = complete(order, uploads)
    refer = uploads.original
    return JobSpec(
        mode=order.mode,
        content=None if order.content is None else refer(order.content),
        styles=tuple(refer(style) for style in order.styles),
        start=None if order.start is None else refer(order.start),
        regions=tuple(
            RegionReference(refer(region.mask), refer(region.style)) for region in order.regions
        ),
        settings=order.settings,
    )


def record(order: Order, plan: Plan, client: str, uploads: Uploads) -> Record:
    """Make the record of a new work, with its title and the command that paints it again."""
    spec = job_spec(order, uploads)
    titled = [*([spec.content] if spec.content else []), *spec.styles]
    begun = Record(
        id=secrets.token_hex(8),
        order=order,
        created_s=time.time(),
        title=" · ".join(Path(picture.name).stem for picture in titled),
        plan=plan,
        steps=sum(size.iterations for size in plan.sizes),
        client=client,
    )
    begun.replay = replay_command(begun.file_stem, spec)
    return begun


def changed(order: Order, **settings: Any) -> Order:
    """Return the order with some settings changed.

    Raises:
        HttpError: the settings are invalid.
    """
    try:
        return order.model_copy(update={"settings": make_settings(order.settings, **settings)})
    except SettingsError as error:
        raise HttpError(422, str(error)) from None


def without(order: Order, *names: str) -> Order:
    """Return the order with some settings at their defaults."""
    settings = order.settings.model_dump(exclude_unset=True, exclude=set(names))
    return order.model_copy(update={"settings": type(order.settings)(**settings)})


def pictures_of(order: Order) -> Iterator[str]:
    """Yield the ids of an order's pictures."""
    yield from (picture for picture in (order.content, *order.styles, order.start) if picture)
    for region in order.regions:
        yield from (region.mask, region.style)
