"""All works of the studio: ordered, waiting for their turn, painted, kept.

Everything here happens in the event loop's thread, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.studio import orders
from impasto.studio.events import EventStream
from impasto.studio.http_errors import HttpError
from impasto.studio.protocol import (
    AskPlan,
    End,
    Ended,
    Keep,
    Paint,
    PaintingProgress,
    Preview,
    Steer,
    WorkerState,
)
from impasto.studio.queue import FairQueue
from impasto.studio.schemas import Order, Plan, Record, SteeringChange, Work
from impasto.studio.storage import Store
from impasto.studio.uploads import Uploads
from impasto.studio.worker_handle import WorkerHandle

_MOST_POINTS = 400
# A work that ends its painter so often is the reason.
_MOST_ATTEMPTS = 2
# No painting is taken that would keep a worker for longer.
_MOST_TIME_S = 30 * 86_400


@dataclass(frozen=True)
class Limits:
    """What the studio takes on.

    Attributes:
        queue: how many works may wait.
        quota_bytes: how much the uploaded pictures may take in all.
        unconfirmed_s: how long a painting may be expected to take that nobody has confirmed.
    """

    queue: int
    quota_bytes: int
    unconfirmed_s: float


class StudioService:
    """What the HTTP interface does, without HTTP.

    Args:
        store: the folder.
        runtimes: fields of Runtime for each painter.
        limits: what is taken on.
    """

    def __init__(self, store: Store, runtimes: list[dict[str, Any]], limits: Limits) -> None:
        self._store, self._limits = store, limits
        self._queue, self.events = FairQueue(), EventStream()
        self.uploads = Uploads(store, limits.quota_bytes)
        self._previews: dict[str, Preview] = {}
        self._attempts: dict[str, int] = {}
        self._records = {record.id: record for record in store.works()}
        for record in self._records.values():
            if record.state in ("waiting", "painting"):
                record.state = "waiting"
                self._queue.add(record.client, record.id)
        self._handles = [WorkerHandle(runtime, self._hear) for runtime in runtimes]

    def close(self) -> None:
        """End the painters; what they paint goes on when the studio is started again."""
        self.events.close()
        for handle in self._handles:
            handle.close()
        self._store.close()

    @property
    def painters(self) -> list[WorkerState]:
        """What each painter is doing."""
        return [handle.state for handle in self._handles]

    @property
    def waiting(self) -> int:
        """How many works wait for a painter."""
        return len(self._queue)

    # --- works ---

    def works(self, limit: int, before_s: float) -> list[Work]:
        """List works, the latest first, that were ordered before a time."""
        latest = sorted(self._records.values(), key=lambda record: -record.created_s)
        return [record.public() for record in latest if record.created_s < before_s][:limit]

    def work(self, work_id: str) -> Record:
        """Return a work.

        Raises:
            HttpError: there is none.
        """
        record = self._records.get(work_id)
        if record is None:
            raise HttpError(404, f"no work {work_id!r}; it may have been removed")
        return record

    async def plan(self, order: Order) -> Plan:
        """Say how an order would be painted.

        Raises:
            HttpError: it cannot be, or the painter does not answer.
        """
        plan: dict[str, Any] = await self._any_handle().ask(
            AskPlan(0, orders.job_spec(order, self.uploads))
        )
        predicted = Plan.model_validate(plan)
        predicted.needs_confirmation = predicted.time_s > self._limits.unconfirmed_s
        return predicted

    async def order(self, order: Order, client: str) -> Work:
        """Let a new work wait for its turn.

        Raises:
            HttpError: the queue is full, the order cannot be painted, or it takes too long to be
                painted, or to be taken unless it is confirmed.
        """
        self._check_room()
        is_confirmed = order.confirmed
        order = orders.complete(order, self.uploads)
        plan = await self.plan(order)
        _check_time(plan, is_confirmed=is_confirmed)
        self._check_room()
        record = orders.record(order, plan, client, self.uploads)
        self._records[record.id] = record
        self._queue.add(client, record.id)
        self._keep(record)
        self._hand_out()
        return record.public()

    async def order_detail(self, work_id: str, client: str, *, confirmed: bool) -> Work:
        """Go on with a painted work at twice the size.

        Raises:
            HttpError: it has no picture yet, or is too large for that.
        """
        record = self.work(work_id)
        size, longest_px = record.order.settings.size, record.longest_px
        twice = [2 * side for side in size] if isinstance(size, tuple) else 2 * longest_px
        order = await self.branch(work_id)
        doubled = orders.complete(orders.changed(order, size=twice), self.uploads)
        plan = await self.plan(orders.without(doubled, "coarsest", "iterations"))
        finer = [row for row in plan.sizes if max(row.width_px, row.height_px) > longest_px]
        return await self.order(
            orders.changed(
                doubled,
                coarsest=max(finer[0].width_px, finer[0].height_px),
                iterations=sum(row.iterations for row in finer),
            ).model_copy(update={"confirmed": confirmed}),
            client,
        )

    async def branch(self, work_id: str) -> Order:
        """Return an order that begins where a work stands, to be changed and sent.

        Raises:
            HttpError: there is no picture of it yet.
        """
        record = self.work(work_id)
        name = f"{record.file_stem}.png"
        path = self.uploads.incoming()
        handle = self._handle_of(record)
        if handle is not None and work_id in self._previews:
            path = path.with_suffix(".png")
            await handle.ask(Keep(0, work_id, path))
            size = max(self._previews[work_id].size_px)
        elif record.has_picture:
            source = self._store.folder(work_id) / "picture.png"
            await asyncio.to_thread(lambda: path.write_bytes(source.read_bytes()))
            size = record.longest_px
        else:
            raise HttpError(409, "expected a work with a picture, got one that has none yet")
        try:
            start = await self.uploads.take_in(path, name)
        finally:
            path.unlink(missing_ok=True)
        order = record.order.model_copy(update={"start": start.id, "parent": work_id})
        return orders.changed(orders.without(order, "start"), coarsest=size)

    def cancel(self, work_id: str) -> Work:
        """End a work; what is painted of it is kept."""
        return self._end(work_id, set_aside=False)

    def pause(self, work_id: str) -> Work:
        """Set a work aside, to go on later."""
        return self._end(work_id, set_aside=True)

    def resume(self, work_id: str) -> Work:
        """Let a paused work go on, before its client's others.

        Raises:
            HttpError: it is not paused.
        """
        record = self.work(work_id)
        if record.state != "paused":
            raise HttpError(409, f"expected a paused work, got one that is {record.state}")
        record.state = "waiting"
        self._queue.add(record.client, work_id, first=True)
        self._keep(record)
        self._hand_out()
        return record.public()

    async def steer(self, work_id: str, settings: dict[str, Any]) -> Work:
        """Change settings of a work while it is painted.

        Raises:
            HttpError: it is not under way, or these settings cannot change.
        """
        record = self.work(work_id)
        handle = self._handle_of(record)
        if handle is None:
            raise HttpError(409, f"expected a work being painted, got one that is {record.state}")
        step = await handle.ask(Steer(0, work_id, settings))
        record.changes.append(SteeringChange(step=step, settings=settings))
        self._keep(record)
        return record.public()

    def remove(self, work_id: str) -> None:
        """Forget a work and its pictures; it is cancelled first."""
        record = self.work(work_id)
        self._queue.drop(work_id)
        if (handle := self._handle_of(record)) is not None:
            handle.say(End(work_id))
        del self._records[work_id]
        self._previews.pop(work_id, None)
        self._store.drop_work(work_id)
        self.events.tell("removed", work_id, {"id": work_id})

    def remove_picture(self, picture_id: str) -> None:
        """Delete an uploaded picture.

        Raises:
            HttpError: there is none, it comes with impasto, or a work under way needs it.
        """
        for record in self._records.values():
            if record.is_under_way and picture_id in orders.pictures_of(record.order):
                raise HttpError(
                    409,
                    f"expected a picture that no work needs, and {record.title!r} is under "
                    "way; cancel it first",
                )
        self.uploads.remove(picture_id)

    def preview(self, work_id: str) -> bytes:
        """Return the picture as it stands, as a JPEG.

        Raises:
            HttpError: nothing is painted yet.
        """
        record = self.work(work_id)
        if work_id in self._previews:
            return self._previews[work_id].data
        if record.has_picture:
            return (self._store.folder(work_id) / "picture.jpg").read_bytes()
        raise HttpError(409, "expected a work with a picture, got one that has none yet")

    def file(self, work_id: str, name: str) -> Path:
        """Return a file of a work that has its picture.

        Raises:
            HttpError: it has none yet.
        """
        if not self.work(work_id).has_picture:
            raise HttpError(409, "expected a work with a picture, got one that has none yet")
        return self._store.folder(work_id) / name

    # --- what happens inside ---

    def _check_room(self) -> None:
        if len(self._queue) >= self._limits.queue:
            raise HttpError(
                429, f"expected at most {self._limits.queue} works to wait; wait for one to end"
            )

    def _any_handle(self) -> WorkerHandle:
        """Choose a painter to ask: one that does not paint, if there is one."""
        return min(
            self._handles, key=lambda handle: (handle.state.state != "ready", bool(handle.work))
        )

    def _handle_of(self, record: Record) -> WorkerHandle | None:
        return next((handle for handle in self._handles if handle.work == record.id), None)

    def _hand_out(self) -> None:
        """Give every painter that is free a work."""
        for handle in self._handles:
            if handle.state.state != "ready" or handle.work is not None:
                continue
            work_id = self._queue.take()
            if work_id is None:
                return
            self._begin(handle, self._records[work_id])

    def _begin(self, handle: WorkerHandle, record: Record) -> None:
        try:
            spec = orders.job_spec(record.order, self.uploads)
        except HttpError as refusal:
            record.state, record.message = "failed", refusal.error
            self._keep(record)
            return
        handle.work = record.id
        record.state = "painting"
        self._keep(record)
        handle.say(Paint(record.id, spec, self._store.folder(record.id)))

    def _end(self, work_id: str, *, set_aside: bool) -> Work:
        record = self.work(work_id)
        if not record.is_under_way or (set_aside and record.state == "paused"):
            raise HttpError(409, f"expected a work under way, got one that is {record.state}")
        handle = self._handle_of(record)
        if handle is not None:
            handle.say(End(work_id, set_aside))
            return record.public()
        self._queue.drop(work_id)
        record.state = "paused" if set_aside else "cancelled"
        self._keep(record)
        return record.public()

    def _keep(self, record: Record) -> None:
        """Write a work down, and tell of it."""
        self._store.keep_work(record)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        self.events.tell("work", record.id, record.public().model_dump(mode="json"))

    def _hear(self, handle: WorkerHandle, message: Any) -> None:
        """Take in what a painter says; None means that it is lost."""
        record = self._records.get(getattr(message, "work", ""))
        if message is None:
            self._take_back(handle)
        elif isinstance(message, Ended):
            handle.work = None
            if record is not None:
                self._finish(record, message)
        elif isinstance(message, PaintingProgress) and record is not None:
            self._progress(record, message)
        elif isinstance(message, Preview) and record is not None:
            self._show(record, message)
        if message is None or isinstance(message, WorkerState):
            states = [{"state": state.state, "message": state.message} for state in self.painters]
            self.events.tell("painters", "", states)
        self._hand_out()

    def _progress(self, record: Record, told: PaintingProgress) -> None:
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
        self.events.tell(
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

    def _take_back(self, handle: WorkerHandle) -> None:
        """A painter was lost: its work waits again, unless it is to blame."""
        record, handle.work = self._records.get(handle.work or ""), None
        if record is None:
            return
        self._attempts[record.id] = self._attempts.get(record.id, 0) + 1
        if self._attempts[record.id] < _MOST_ATTEMPTS:
            record.state = "waiting"
            self._queue.add(record.client, record.id, first=True)
        else:
            record.state = "failed"
            record.message = "the painter ended unexpectedly, perhaps out of memory; try smaller"
        self._keep(record)


def _check_time(plan: Plan, *, is_confirmed: bool) -> None:
    """Refuse a painting that takes too long, or longer than was confirmed.

    Raises:
        HttpError: as said.
    """
    hours = f"{plan.time_s / 3600:,.1f} hours"
    if plan.time_s > _MOST_TIME_S:
        raise HttpError(
            422,
            f"expected a painting of at most {_MOST_TIME_S // 86_400} days, and this one is "
            f"expected to take {hours}; ask for fewer iterations or a smaller size",
        )
    if plan.needs_confirmation and not is_confirmed:
        raise HttpError(
            428,
            f"this painting is expected to take {hours}; send it again with confirmed: true if "
            "that is what you want, or ask for fewer iterations or a smaller size",
        )
