"""All works of the studio: ordered, waiting for their turn, painted, kept.

Everything here happens in the event loop's thread, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.errors import SettingsError
from impasto.frontends.studio.audience import Audience
from impasto.frontends.studio.easel import Easel
from impasto.frontends.studio.messages import (
    AskPlan,
    Commission,
    End,
    Ended,
    Keep,
    Paint,
    Part,
    PictureFile,
    Preview,
    Progress,
    State,
    Steer,
)
from impasto.frontends.studio.refusals import Refusal
from impasto.frontends.studio.store import Store
from impasto.frontends.studio.turns import Turns
from impasto.frontends.studio.works import (
    Change,
    Order,
    Picture,
    Plan,
    Record,
    Work,
    replay_command,
)
from impasto.settings import make_settings

MOST_PIXELS = 100_000_000
_MOST_READERS = 2
_READER_PATIENCE_S = 120.0
_MOST_POINTS = 400
# A work that ends its painter so often is the reason.
_MOST_ATTEMPTS = 2


class Workshop:
    """What the HTTP interface does, without HTTP.

    Args:
        store: the folder.
        runtimes: fields of Runtime for each painter.
        queue_limit: how many works may wait.
    """

    def __init__(self, store: Store, runtimes: list[dict[str, Any]], queue_limit: int) -> None:
        self._store, self._queue_limit = store, queue_limit
        self._turns, self.audience = Turns(), Audience()
        self._previews: dict[str, Preview] = {}
        self._attempts: dict[str, int] = {}
        self._readers = asyncio.Semaphore(_MOST_READERS)
        self._records = {record.id: record for record in store.works()}
        for record in self._records.values():
            if record.state in ("waiting", "painting"):
                record.state = "waiting"
                self._turns.add(record.client, record.id)
        self._easels = [Easel(runtime, self._hear) for runtime in runtimes]

    def close(self) -> None:
        """End the painters; what they paint goes on when the studio is started again."""
        self.audience.close()
        for easel in self._easels:
            easel.close()
        self._store.close()

    @property
    def painters(self) -> list[State]:
        """What each painter is doing."""
        return [easel.state for easel in self._easels]

    @property
    def waiting(self) -> int:
        """How many works wait for a painter."""
        return len(self._turns)

    # --- pictures ---

    def bundled(self) -> list[Picture]:
        """List the pictures that come with impasto."""
        return self._store.bundled()

    def picture(self, picture_id: str) -> Picture:
        """Return what is known of a picture.

        Raises:
            Refusal: there is none.
        """
        picture = self._store.picture(picture_id)
        if picture is None:
            raise Refusal(404, f"no picture {picture_id!r}; upload it first")
        return picture

    def small_picture(self, picture_id: str) -> Path:
        """Return the file of a picture's small copy."""
        return self._store.small_picture(self.picture(picture_id))

    def original(self, picture_id: str) -> PictureFile:
        """Return a picture's own file."""
        return self._store.picture_file(self.picture(picture_id))

    async def take_in(self, file: Path, name: str) -> Picture:
        """Look at an uploaded file, and keep it if it is a picture.

        Raises:
            Refusal: it is none, or too large, or damaged.
        """
        sha256 = await asyncio.to_thread(_sha256, file)
        known = self._store.picture(sha256)
        if known is not None:
            return known.model_copy(update={"name": name})
        small = file.with_suffix(".jpg")
        async with self._readers:
            seen = await _look(file, small)
        if "error" in seen:
            small.unlink(missing_ok=True)
            raise Refusal(seen["status"], seen["error"])
        if seen["recipe"] is not None:
            seen["recipe"] = json.loads(seen["recipe"])
        return self._store.keep_picture(sha256, file, small, {"name": name, **seen})

    def incoming(self) -> Path:
        """Return a path for a file that comes in."""
        return self._store.incoming / secrets.token_hex(8)

    # --- works ---

    def works(self, limit: int, before_s: float) -> list[Work]:
        """List works, the latest first, that were ordered before a time."""
        latest = sorted(self._records.values(), key=lambda record: -record.created_s)
        return [record.public() for record in latest if record.created_s < before_s][:limit]

    def work(self, work_id: str) -> Record:
        """Return a work.

        Raises:
            Refusal: there is none.
        """
        record = self._records.get(work_id)
        if record is None:
            raise Refusal(404, f"no work {work_id!r}; it may have been removed")
        return record

    async def plan(self, order: Order) -> Plan:
        """Say how an order would be painted.

        Raises:
            Refusal: it cannot be, or the painter does not answer.
        """
        plan: dict[str, Any] = await self._any_easel().ask(AskPlan(0, self._commission(order)))
        return Plan.model_validate(plan)

    async def order(self, order: Order, client: str) -> Work:
        """Let a new work wait for its turn.

        Raises:
            Refusal: the queue is full, or the order cannot be painted.
        """
        self._check_room()
        order = self._complete(order)
        plan = await self.plan(order)
        self._check_room()
        record = self._record(order, plan, client)
        self._records[record.id] = record
        self._turns.add(client, record.id)
        self._keep(record)
        self._hand_out()
        return record.public()

    async def order_detail(self, work_id: str, client: str) -> Work:
        """Go on with a painted work at twice the size.

        Raises:
            Refusal: it has no picture yet, or is too large for that.
        """
        record = self.work(work_id)
        size = record.order.settings.size
        order = await self.branch(work_id)
        doubled = self._complete(_changed(order, size=2 * size))
        plan = await self.plan(_without(doubled, "coarsest", "iterations"))
        finer = [row for row in plan.sizes if max(row.width_px, row.height_px) > size]
        return await self.order(
            _changed(
                doubled,
                coarsest=max(finer[0].width_px, finer[0].height_px),
                iterations=sum(row.iterations for row in finer),
            ),
            client,
        )

    async def branch(self, work_id: str) -> Order:
        """Return an order that begins where a work stands, to be changed and sent.

        Raises:
            Refusal: there is no picture of it yet.
        """
        record = self.work(work_id)
        name = f"{record.file_stem}.png"
        path = self.incoming()
        easel = self._easel_of(record)
        if easel is not None and work_id in self._previews:
            path = path.with_suffix(".png")
            await easel.ask(Keep(0, work_id, path))
            size = max(self._previews[work_id].size_px)
        elif record.has_picture:
            source = self._store.folder(work_id) / "picture.png"
            await asyncio.to_thread(lambda: path.write_bytes(source.read_bytes()))
            size = record.order.settings.size
        else:
            raise Refusal(409, "expected a work with a picture, got one that has none yet")
        try:
            start = await self.take_in(path, name)
        finally:
            path.unlink(missing_ok=True)
        order = record.order.model_copy(update={"start": start.id, "parent": work_id})
        return _changed(_without(order, "start"), coarsest=size)

    def cancel(self, work_id: str) -> Work:
        """End a work; what is painted of it is kept."""
        return self._end(work_id, set_aside=False)

    def pause(self, work_id: str) -> Work:
        """Set a work aside, to go on later."""
        return self._end(work_id, set_aside=True)

    def resume(self, work_id: str) -> Work:
        """Let a paused work go on, before its client's others.

        Raises:
            Refusal: it is not paused.
        """
        record = self.work(work_id)
        if record.state != "paused":
            raise Refusal(409, f"expected a paused work, got one that is {record.state}")
        record.state = "waiting"
        self._turns.add(record.client, work_id, first=True)
        self._keep(record)
        self._hand_out()
        return record.public()

    async def steer(self, work_id: str, settings: dict[str, Any]) -> Work:
        """Change settings of a work while it is painted.

        Raises:
            Refusal: it is not under way, or these settings cannot change.
        """
        record = self.work(work_id)
        easel = self._easel_of(record)
        if easel is None:
            raise Refusal(409, f"expected a work being painted, got one that is {record.state}")
        step = await easel.ask(Steer(0, work_id, settings))
        record.changes.append(Change(step=step, settings=settings))
        self._keep(record)
        return record.public()

    def remove(self, work_id: str) -> None:
        """Forget a work and its pictures; it is cancelled first."""
        record = self.work(work_id)
        self._turns.drop(work_id)
        if (easel := self._easel_of(record)) is not None:
            easel.say(End(work_id))
        del self._records[work_id]
        self._previews.pop(work_id, None)
        self._store.drop_work(work_id)
        self.audience.tell("removed", work_id, {"id": work_id})

    def preview(self, work_id: str) -> bytes:
        """Return the picture as it stands, as a JPEG.

        Raises:
            Refusal: nothing is painted yet.
        """
        record = self.work(work_id)
        if work_id in self._previews:
            return self._previews[work_id].data
        if record.has_picture:
            return (self._store.folder(work_id) / "picture.jpg").read_bytes()
        raise Refusal(409, "expected a work with a picture, got one that has none yet")

    def file(self, work_id: str, name: str) -> Path:
        """Return a file of a work that has its picture.

        Raises:
            Refusal: it has none yet.
        """
        if not self.work(work_id).has_picture:
            raise Refusal(409, "expected a work with a picture, got one that has none yet")
        return self._store.folder(work_id) / name

    # --- what happens inside ---

    def _complete(self, order: Order) -> Order:
        """Lay the order's settings over its preset, and check that its pictures are here."""
        try:
            given = order.given()
        except SettingsError as error:
            raise Refusal(422, str(error)) from None
        for picture_id in _pictures_of(order):
            if self._store.picture(picture_id) is None:
                raise Refusal(422, f"no picture {picture_id!r}; upload it first")
        return order.model_copy(update={"preset": None, "settings": make_settings(**given)})

    def _commission(self, order: Order) -> Commission:
        order = self._complete(order)
        return Commission(
            mode=order.mode,
            content=self._file(order.content),
            styles=tuple(file for style in order.styles if (file := self._file(style))),
            start=self._file(order.start),
            regions=tuple(
                Part(
                    self._store.picture_file(self.picture(region.mask)),
                    self._store.picture_file(self.picture(region.style)),
                )
                for region in order.regions
            ),
            settings=order.settings.model_dump(exclude_unset=True),
        )

    def _file(self, picture_id: str | None) -> PictureFile | None:
        return None if picture_id is None else self._store.picture_file(self.picture(picture_id))

    def _record(self, order: Order, plan: Plan, client: str) -> Record:
        content, *styles = [
            None if picture_id is None else self.picture(picture_id).name
            for picture_id in (order.content, *order.styles)
        ]
        names = [Path(name).stem for name in (content, *styles) if name]
        record = Record(
            id=secrets.token_hex(8),
            order=order,
            created_s=time.time(),
            title=" · ".join(names),
            plan=plan,
            steps=sum(size.iterations for size in plan.sizes),
            client=client,
        )
        start = None if order.start is None else self.picture(order.start).name
        uses_content = order.mode != "style"
        uses_styles = order.mode != "content"
        record.replay = replay_command(
            record.file_stem,
            content if uses_content else None,
            [style for style in styles if style] if uses_styles else [],
            start,
            [
                f"{self.picture(region.mask).name}:{self.picture(region.style).name}"
                for region in order.regions
            ],
        )
        return record

    def _check_room(self) -> None:
        if len(self._turns) >= self._queue_limit:
            raise Refusal(
                429, f"expected at most {self._queue_limit} works to wait; wait for one to end"
            )

    def _any_easel(self) -> Easel:
        """Choose a painter to ask: one that does not paint, if there is one."""
        return min(self._easels, key=lambda easel: (easel.state.state != "ready", bool(easel.work)))

    def _easel_of(self, record: Record) -> Easel | None:
        return next((easel for easel in self._easels if easel.work == record.id), None)

    def _hand_out(self) -> None:
        """Give every painter that is free a work."""
        for easel in self._easels:
            if easel.state.state != "ready" or easel.work is not None:
                continue
            work_id = self._turns.take()
            if work_id is None:
                return
            self._begin(easel, self._records[work_id])

    def _begin(self, easel: Easel, record: Record) -> None:
        try:
            commission = self._commission(record.order)
        except Refusal as refusal:
            record.state, record.message = "failed", refusal.error
            self._keep(record)
            return
        easel.work = record.id
        record.state = "painting"
        self._keep(record)
        easel.say(Paint(record.id, commission, self._store.folder(record.id)))

    def _end(self, work_id: str, *, set_aside: bool) -> Work:
        record = self.work(work_id)
        if not record.is_under_way or (set_aside and record.state == "paused"):
            raise Refusal(409, f"expected a work under way, got one that is {record.state}")
        easel = self._easel_of(record)
        if easel is not None:
            easel.say(End(work_id, set_aside))
            return record.public()
        self._turns.drop(work_id)
        record.state = "paused" if set_aside else "cancelled"
        self._keep(record)
        return record.public()

    def _keep(self, record: Record) -> None:
        """Write a work down, and tell of it."""
        self._store.keep_work(record)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        self.audience.tell("work", record.id, record.public().model_dump(mode="json"))

    def _hear(self, easel: Easel, message: Any) -> None:
        """Take in what a painter says; None means that it is lost."""
        record = self._records.get(getattr(message, "work", ""))
        if message is None:
            self._take_back(easel)
        elif isinstance(message, Ended):
            easel.work = None
            if record is not None:
                self._finish(record, message)
        elif isinstance(message, Progress) and record is not None:
            self._progress(record, message)
        elif isinstance(message, Preview) and record is not None:
            self._show(record, message)
        if message is None or isinstance(message, State):
            states = [{"state": state.state, "message": state.message} for state in self.painters]
            self.audience.tell("painters", "", states)
        self._hand_out()

    def _progress(self, record: Record, told: Progress) -> None:
        record.step, record.steps, record.progress = told.step, told.steps, told.progress
        record.width_px, record.height_px = told.size_px
        record.time_s, record.time_left_s, record.losses = (
            told.time_s,
            told.time_left_s,
            told.losses,
        )
        if told.notes:
            record.message = " ".join(told.notes)
        if math.isfinite(told.losses["total"]):
            record.losses_so_far.append((told.step, told.losses["total"]))
        if len(record.losses_so_far) > _MOST_POINTS:
            record.losses_so_far = record.losses_so_far[::2]
        self._tell(record)

    def _show(self, record: Record, preview: Preview) -> None:
        self._previews[record.id] = preview
        width_px, height_px = preview.size_px
        self.audience.tell(
            "preview",
            record.id,
            {
                "id": record.id,
                "step": preview.step,
                "width_px": width_px,
                "height_px": height_px,
                "url": f"api/works/{record.id}/preview?step={preview.step}",
            },
        )

    def _finish(self, record: Record, ended: Ended) -> None:
        record.state = ended.state
        record.message = ended.message or record.message
        record.time_left_s = None
        if ended.size_px is not None:
            record.width_px, record.height_px = ended.size_px
            record.time_s, record.has_picture = ended.time_s, True
            self._previews.pop(record.id, None)
        self._attempts.pop(record.id, None)
        self._keep(record)

    def _take_back(self, easel: Easel) -> None:
        """A painter was lost: its work waits again, unless it is to blame."""
        record, easel.work = self._records.get(easel.work or ""), None
        if record is None:
            return
        self._attempts[record.id] = self._attempts.get(record.id, 0) + 1
        if self._attempts[record.id] < _MOST_ATTEMPTS:
            record.state = "waiting"
            self._turns.add(record.client, record.id, first=True)
        else:
            record.state = "failed"
            record.message = "the painter ended unexpectedly, perhaps out of memory; try smaller"
        self._keep(record)


def _pictures_of(order: Order) -> Iterator[str]:
    yield from (picture for picture in (order.content, *order.styles, order.start) if picture)
    for region in order.regions:
        yield from (region.mask, region.style)


def _changed(order: Order, **settings: Any) -> Order:
    """Lay settings over an order's own.

    Raises:
        Refusal: they cannot be.
    """
    try:
        return order.model_copy(update={"settings": make_settings(order.settings, **settings)})
    except SettingsError as error:
        raise Refusal(422, str(error)) from None


def _without(order: Order, *names: str) -> Order:
    given = order.settings.model_dump(exclude_unset=True, exclude=set(names))
    return order.model_copy(update={"settings": type(order.settings)(**given)})


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        digest = hashlib.sha256()
        while block := data.read(2**20):
            digest.update(block)
        return digest.hexdigest()


async def _look(file: Path, small: Path) -> dict[str, Any]:
    """Let a process of its own decode a picture."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "impasto.frontends.studio.reader",
        str(file),
        str(small),
        str(MOST_PIXELS),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        told, _ = await asyncio.wait_for(reader.communicate(), _READER_PATIENCE_S)
    except BaseException as error:
        reader.kill()
        await reader.wait()
        if isinstance(error, asyncio.TimeoutError):
            raise Refusal(422, "the picture takes too long to decode; convert it first") from None
        raise
    if reader.returncode:
        raise Refusal(422, "the picture cannot be decoded; convert it to PNG or JPEG first")
    seen: dict[str, Any] = json.loads(told)
    return seen
