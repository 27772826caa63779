"""Orders: checked against the pictures that there are, changed, and made into commissions."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.config.settings import make_settings
from impasto.errors import SettingsError
from impasto.studio.http_errors import HttpError
from impasto.studio.protocol import Commission, Part
from impasto.studio.schemas import Order, Plan, Record, replay_command
from impasto.studio.uploads import Uploads


def complete(order: Order, uploads: Uploads) -> Order:
    """Lay the order's settings over its preset, and check that its pictures are here.

    Raises:
        HttpError: a setting that cannot be, or a picture that is not here.
    """
    try:
        given = order.given()
    except SettingsError as error:
        raise HttpError(422, str(error)) from None
    for picture_id in _pictures_of(order):
        if not uploads.has(picture_id):
            raise HttpError(422, f"no picture {picture_id!r}; upload it first")
    return order.model_copy(update={"preset": None, "settings": make_settings(**given)})


def commission(order: Order, uploads: Uploads) -> Commission:
    """Put together what a painter is given.

    Raises:
        HttpError: as complete.
    """
    order = complete(order, uploads)
    return Commission(
        mode=order.mode,
        content=None if order.content is None else uploads.original(order.content),
        styles=tuple(uploads.original(style) for style in order.styles),
        start=None if order.start is None else uploads.original(order.start),
        regions=tuple(
            Part(uploads.original(region.mask), uploads.original(region.style))
            for region in order.regions
        ),
        settings=order.settings.model_dump(exclude_unset=True),
    )


def record(order: Order, plan: Plan, client: str, uploads: Uploads) -> Record:
    """Begin the record of an ordered work: its title, and the command that paints it again."""

    def name(picture_id: str | None) -> str | None:
        return None if picture_id is None else uploads.picture(picture_id).name

    content, styles = name(order.content), [uploads.picture(style).name for style in order.styles]
    begun = Record(
        id=secrets.token_hex(8),
        order=order,
        created_s=time.time(),
        title=" · ".join(Path(given).stem for given in (content, *styles) if given),
        plan=plan,
        steps=sum(size.iterations for size in plan.sizes),
        client=client,
    )
    begun.replay = replay_command(
        begun.file_stem,
        content if order.mode != "style" else None,
        styles if order.mode != "content" else [],
        name(order.start),
        [f"{name(region.mask)}:{name(region.style)}" for region in order.regions],
    )
    return begun


def changed(order: Order, **settings: Any) -> Order:
    """Lay settings over an order's own.

    Raises:
        HttpError: they cannot be.
    """
    try:
        return order.model_copy(update={"settings": make_settings(order.settings, **settings)})
    except SettingsError as error:
        raise HttpError(422, str(error)) from None


def without(order: Order, *names: str) -> Order:
    """Leave settings to their defaults."""
    given = order.settings.model_dump(exclude_unset=True, exclude=set(names))
    return order.model_copy(update={"settings": type(order.settings)(**given)})


def _pictures_of(order: Order) -> Iterator[str]:
    yield from (picture for picture in (order.content, *order.styles, order.start) if picture)
    for region in order.regions:
        yield from (region.mask, region.style)
