"""The scheduler: which worker paints which work, and what the workers' messages change.

Everything here runs in the event loop's thread, so that nothing needs a lock.
"""

from __future__ import annotations

import math
import time
from typing import Any

from impasto.job.job import JobSpec
from impasto.studio import orders
from impasto.studio.events import EventStream
from impasto.studio.http_errors import HttpError
from impasto.studio.looks import Looks
from impasto.studio.protocol import End, Ended, Paint, PaintingProgress, Preview, WorkerState
from impasto.studio.queue import FairQueue
from impasto.studio.schemas import Record
from impasto.studio.storage import Store
from impasto.studio.uploads import Uploads
from impasto.studio.worker_handle import WorkerHandle

_MOST_POINTS = 400
# A work whose worker ends so often fails.
_MOST_ATTEMPTS = 2
_IN_BIN_S = 30 * 86_400.0
_LOST = "the painter ended unexpectedly, perhaps out of memory; try smaller"


class Scheduler:
    """The works, the queue of those that wait, and the workers that paint them.

    Args:
        store: the studio's folder; works that were not finished are queued again.
        uploads: the pictures that orders name.
        runtimes: fields of Runtime, one mapping for each worker.
        events: every change is published here.

    Attributes:
        records: all works, by id.
        looks: the first looks, which are painted while no work waits.
    """

    def __init__(
        self, store: Store, uploads: Uploads, runtimes: list[dict[str, Any]], events: EventStream
    ) -> None:
        self._store, self._uploads, self._events = store, uploads, events
        self._queue = FairQueue()
        self.looks = Looks(store.looks)
        self._previews: dict[str, Preview] = {}
        self._attempts: dict[str, int] = {}
        self.records = {record.id: record for record in store.works()}
        self._empty_bin()
        for record in self.records.values():
            if record.removed_s is not None and record.is_under_way:
                record.state = "cancelled"
            elif record.state in ("waiting", "painting"):
                record.state = "waiting"
                self._queue.add(record.client, record.id)
        self._handles = [WorkerHandle(runtime, self._on_message) for runtime in runtimes]

    def close(self) -> None:
        """End the workers; their works go on when the studio is started again."""
        for handle in self._handles:
            handle.close()

    @property
    def worker_states(self) -> list[WorkerState]:
        """The state of each worker."""
        return [handle.state for handle in self._handles]

    @property
    def waiting(self) -> int:
        """Number of works in the queue."""
        return len(self._queue)

    def enqueue(self, record: Record, *, first: bool = False) -> None:
        """Add a work to the queue, behind or before the other works of its client."""
        record.state = "waiting"
        self.records[record.id] = record
        self._queue.add(record.client, record.id, first=first)
        self.save(record)
        self._dispatch()

    def end(self, record: Record, *, pause: bool) -> None:
        """Pause or cancel a work; a worker that paints it does so after its current step."""
        handle = self.handle_of(record)
        if handle is not None:
            handle.send(End(record.id, pause))
            return
        self._queue.drop(record.id)
        record.state = "paused" if pause else "cancelled"
        self.save(record)

    def remove(self, record: Record) -> None:
        """Cancel a work, and delete it with its pictures."""
        self._queue.drop(record.id)
        if (handle := self.handle_of(record)) is not None:
            handle.send(End(record.id))
        del self.records[record.id]
        self._previews.pop(record.id, None)
        self._store.remove_work(record.id)
        self._events.publish("removed", record.id, {"id": record.id})

    def _empty_bin(self) -> None:
        """Delete works that have been in the bin for long."""
        old_s = time.time() - _IN_BIN_S
        for record in list(self.records.values()):
            if record.removed_s is not None and record.removed_s < old_s:
                del self.records[record.id]
                self._store.remove_work(record.id)

    def preview(self, work_id: str) -> Preview | None:
        """Return the latest preview of a work that is being painted, if there is one."""
        return self._previews.get(work_id)

    def handle_of(self, record: Record) -> WorkerHandle | None:
        """Return the worker that paints a work, if one does."""
        return next((handle for handle in self._handles if handle.work == record.id), None)

    def any_handle(self) -> WorkerHandle:
        """Return a worker for a question, preferably one that is ready and idle."""
        return min(
            self._handles, key=lambda handle: (handle.state.state != "ready", bool(handle.work))
        )

    def save(self, record: Record) -> None:
        """Write a work to the disk, and publish it."""
        self._store.save_work(record)
        self._publish(record)

    def _publish(self, record: Record) -> None:
        self._events.publish("work", record.id, record.public().model_dump(mode="json"))

    def _dispatch(self) -> None:
        """Give a waiting work to every idle worker, or a look; a work interrupts a look."""
        for handle in self._handles:
            if handle.state.state != "ready" or handle.work is not None:
                continue
            work_id = self._queue.take()
            if work_id is not None:
                self._start(handle, self.records[work_id])
            elif (look := self.looks.take()) is not None:
                handle.work = look.id
                handle.send(Paint(look.id, look.spec, look.folder, is_look=True))
        for handle in self._handles:
            if self.looks.is_abandoned(handle.work) or (
                len(self._queue) and self.looks.is_painted(handle.work)
            ):
                handle.send(End(str(handle.work), pause=True))

    def _start(self, handle: WorkerHandle, record: Record) -> None:
        try:
            spec = orders.job_spec(record.order, self._uploads)
        except HttpError as error:
            record.state, record.message = "failed", error.error
            self.save(record)
            return
        self.looks.lend(spec, self._store.folder(record.id))
        handle.work = record.id
        record.state = "painting"
        self.save(record)
        handle.send(Paint(record.id, spec, self._store.folder(record.id)))

    def _on_message(self, handle: WorkerHandle, message: Any) -> None:
        """Handle a message from a worker; None means that its process has ended."""
        record = self.records.get(getattr(message, "work", ""))
        if message is None:
            self._requeue(handle)
        elif isinstance(message, Ended):
            handle.work = None
            if record is not None:
                self._finish(record, message)
            elif self.looks.is_painted(message.work):
                self._finish_look(message)
        elif isinstance(message, PaintingProgress) and record is not None:
            self._progress(record, message)
        elif isinstance(message, Preview) and record is not None:
            self._show(record, message)
        if message is None or isinstance(message, WorkerState):
            states = [
                {"state": state.state, "message": state.message} for state in self.worker_states
            ]
            self._events.publish("painters", "", states)
        self._dispatch()

    def _progress(self, record: Record, message: PaintingProgress) -> None:
        record.step, record.steps, record.progress = message.step, message.steps, message.progress
        record.width_px, record.height_px = message.size_px
        record.time_s, record.time_left_s = message.time_s, message.time_left_s
        record.losses = message.losses
        if message.notes:
            record.message = " ".join(message.notes)
        if math.isfinite(message.losses["total"]):
            record.losses_so_far.append((message.step, message.losses["total"]))
        if len(record.losses_so_far) > _MOST_POINTS:
            record.losses_so_far = record.losses_so_far[::2]
        self._publish(record)

    def _show(self, record: Record, preview: Preview) -> None:
        self._previews[record.id] = preview
        width_px, height_px = preview.size_px
        self._events.publish(
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
        self.save(record)

    def _finish_look(self, ended: Ended) -> None:
        if ended.state == "paused":
            self.looks.put_back(ended.work)
            return
        error = (ended.message or "failed") if ended.state == "failed" else None
        self.looks.finish(ended.work, error)
        self._publish_look(ended.work)

    def _publish_look(self, look_id: str) -> None:
        data = {
            "id": look_id,
            "state": self.looks.state(look_id),
            "message": self.looks.error(look_id),
        }
        self._events.publish("look", look_id, data)

    def want_looks(self, client: str, specs: list[JobSpec]) -> None:
        """Let looks be painted while no work waits, in place of those the client wanted before."""
        self.looks.want(client, specs)
        self._dispatch()

    def _requeue(self, handle: WorkerHandle) -> None:
        """Queue the work of a worker that has ended again, or let it fail after two attempts."""
        work_id, handle.work = handle.work or "", None
        if self.looks.is_painted(work_id):
            self.looks.finish(work_id, _LOST)
            self._publish_look(work_id)
        record = self.records.get(work_id)
        if record is None:
            return
        self._attempts[record.id] = self._attempts.get(record.id, 0) + 1
        if self._attempts[record.id] < _MOST_ATTEMPTS:
            record.state = "waiting"
            self._queue.add(record.client, record.id, first=True)
        else:
            record.state = "failed"
            record.message = _LOST
        self.save(record)
