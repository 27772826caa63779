"""What the HTTP interface offers, without HTTP: plan, order, change and remove works.

Everything here runs in the event loop's thread, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from impasto.errors import SettingsError
from impasto.images import decode
from impasto.images.contact_sheet import contact_sheet
from impasto.images.encode import encode_image
from impasto.images.save import save_animation
from impasto.job.job import JobSpec
from impasto.output.options import OutputOptions
from impasto.studio import looks, orders
from impasto.studio.convert_picture import SOURCES
from impasto.studio.events import EventStream
from impasto.studio.frames import LONGEST_PX, Frames
from impasto.studio.http_errors import HttpError
from impasto.studio.protocol import AskPlan, SavePicture, Steer, WorkerState
from impasto.studio.scheduler import Scheduler
from impasto.studio.schemas import (
    LookStatus,
    Order,
    Plan,
    Purpose,
    Record,
    SteeringChange,
    StudioPicture,
    Work,
)
from impasto.studio.storage import Store
from impasto.studio.uploads import Uploads

# No painting may be expected to take longer.
_MOST_TIME_S = 30 * 86_400
# Each one may hold a large picture in memory.
_MOST_CONVERSIONS = 2
# The longest side of a picture on a contact sheet.
_SHEET_CELL_PX = 384


@dataclass(frozen=True)
class Limits:
    """The studio's limits.

    Attributes:
        queue: maximum number of works that wait.
        quota_bytes: maximum size of all uploaded pictures.
        unconfirmed_s: a painting that is expected to take longer must be confirmed.
    """

    queue: int
    quota_bytes: int
    unconfirmed_s: float


class StudioService:
    """The studio's operations on works and pictures.

    Args:
        store: the studio's folder.
        runtimes: fields of Runtime, one mapping for each worker.
        limits: the limits.
    """

    def __init__(self, store: Store, runtimes: list[dict[str, Any]], limits: Limits) -> None:
        self._store, self._limits = store, limits
        self.events = EventStream()
        self.uploads = Uploads(store, limits.quota_bytes)
        self._conversions = asyncio.Semaphore(_MOST_CONVERSIONS)
        self._scheduler = Scheduler(store, self.uploads, runtimes, self.events)

    def close(self) -> None:
        """End the workers; their works go on when the studio is started again."""
        self.events.close()
        self._scheduler.close()
        self._store.close()

    @property
    def painters(self) -> list[WorkerState]:
        """The state of each worker."""
        return self._scheduler.worker_states

    @property
    def waiting(self) -> int:
        """Number of works that wait for a worker."""
        return self._scheduler.waiting

    def works(
        self, limit: int, before_s: float, *, in_bin: bool = False, search: str = ""
    ) -> list[Work]:
        """Return works that were ordered before a time, the latest first.

        Args:
            limit: maximum number of works.
            before_s: the time, in seconds since 1970.
            in_bin: return those in the bin instead of the others.
            search: words that the title must contain.
        """
        words = search.lower().split()
        latest = sorted(self._scheduler.records.values(), key=lambda record: -record.created_s)
        chosen = (
            record
            for record in latest
            if record.created_s < before_s
            and (record.removed_s is not None) == in_bin
            and all(word in record.title.lower() for word in words)
        )
        return [record.public() for record in itertools.islice(chosen, limit)]

    def work(self, work_id: str) -> Record:
        """Return a work.

        Raises:
            HttpError: there is no such work.
        """
        record = self._scheduler.records.get(work_id)
        if record is None:
            raise HttpError(404, f"no work {work_id!r}; it may have been removed")
        return record

    async def plan(self, order: Order) -> Plan:
        """Return sizes, memory and time of an order.

        Raises:
            HttpError: the order cannot be painted, or the worker does not answer.
        """
        question = AskPlan(0, orders.job_spec(order, self.uploads))
        plan = Plan.model_validate(await self._scheduler.any_handle().ask(question))
        plan.needs_confirmation = plan.time_s > self._limits.unconfirmed_s
        return plan

    def want_looks(self, wanted: list[Order], client: str) -> list[LookStatus]:
        """Let first looks at orders be painted, in place of those that the client wanted before.

        An order that cannot be painted has a failed look.
        """
        specs = [self._look_spec(order) for order in wanted]
        self._scheduler.want_looks(client, [one for one in specs if isinstance(one, JobSpec)])
        return [self._look_status(spec) for spec in specs]

    def _look_spec(self, order: Order) -> JobSpec | str:
        """Return the job of an order, or why there can be no look at it."""
        try:
            spec = orders.job_spec(order, self.uploads)
            looks.check(spec)
        except HttpError as error:
            return error.error
        except SettingsError as error:
            return str(error)
        return spec

    def _look_status(self, spec: JobSpec | str) -> LookStatus:
        if isinstance(spec, str):
            return LookStatus(id="", state="failed", message=spec)
        look_id, kept = looks.look_id(spec), self._scheduler.looks
        return LookStatus(id=look_id, state=kept.state(look_id), message=kept.error(look_id))

    def look(self, look_id: str) -> Path:
        """Return the path of a look's picture.

        Raises:
            HttpError: there is none.
        """
        path = self._scheduler.looks.picture(look_id)
        if not path.exists():
            raise HttpError(404, f"no look {look_id!r}; it may have been deleted, ask for it again")
        return path

    async def order(self, order: Order, client: str) -> Work:
        """Queue a new work.

        Raises:
            HttpError: the queue is full, the order cannot be painted, it takes too long, or it
                must be confirmed and is not.
        """
        self._check_queue()
        is_confirmed = order.confirmed
        order = orders.complete(order, self.uploads)
        plan = await self.plan(order)
        _check_time(plan, is_confirmed=is_confirmed)
        self._check_queue()
        record = orders.record(order, plan, client, self.uploads)
        self._scheduler.enqueue(record)
        return record.public()

    async def order_detail(self, work_id: str, client: str, *, confirmed: bool) -> Work:
        """Order a work that goes on from a painted one at twice the size.

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

    async def upload(self, work_id: str, purpose: Purpose) -> StudioPicture:
        """Add the picture of a work to the uploads, for a purpose.

        Raises:
            HttpError: it has no picture, or the quota is used up.
        """
        source, path = self.file(work_id, "picture.png"), self.uploads.incoming()
        try:
            await asyncio.to_thread(shutil.copyfile, source, path)
            return await self.uploads.add(path, f"{self.work(work_id).file_stem}.png", purpose)
        finally:
            path.unlink(missing_ok=True)

    async def converted(self, work_id: str, ending: str, options: OutputOptions) -> Path:
        """Write the picture of a work in another format; the caller deletes the file.

        Args:
            work_id: the work.
            ending: of the file, without the dot; it selects the format.
            options: bits, print size, and whether to leave out the recipe.

        Raises:
            HttpError: it has no picture, or the format cannot hold the picture.
        """
        source = self.file(work_id, SOURCES[options.bits])
        target = self.uploads.incoming().with_suffix(f".{ending}")
        async with self._conversions:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "impasto.studio.convert_picture"),
                *(str(source), str(target), options.model_dump_json()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                printed, _ = await process.communicate()
            except BaseException:
                process.kill()
                await process.wait()
                raise
        if process.returncode:
            raise HttpError(422, printed.decode() or "the picture cannot be converted")
        return target

    async def recipe(self, work_id: str) -> str:
        """Return the recipe of a work's picture, as JSON.

        Raises:
            HttpError: it has no picture.
        """
        path = self.file(work_id, "picture.png")
        data = await asyncio.to_thread(path.read_bytes)
        texts = await asyncio.to_thread(decode.decode_texts, data, "the picture")
        return texts["Recipe"]

    async def archive(self, work_ids: list[str]) -> Path:
        """Write the pictures of works into a ZIP archive; the caller deletes it.

        Raises:
            HttpError: one of the works does not exist or has no picture.
        """
        members = [
            (f"{self.work(work_id).file_stem}.png", self.file(work_id, "picture.png"))
            for work_id in dict.fromkeys(work_ids)
        ]
        path = self.uploads.incoming()

        def write() -> None:
            # PNG files are compressed already.
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for name, source in members:
                    archive.write(source, name)

        await asyncio.to_thread(write)
        return path

    async def contact_sheet(self, work_ids: list[str]) -> bytes:
        """Draw the pictures of works on one sheet, each above its title; return a JPEG.

        Raises:
            HttpError: one of the works does not exist or has no picture.
        """
        chosen = [(self.work(one).title, self.file(one, "small.jpg")) for one in work_ids]

        def draw() -> bytes:
            labels = [title for title, _ in chosen]
            pictures = (Image.open(path) for _, path in chosen)
            return encode_image(contact_sheet(labels, pictures, cell_px=_SHEET_CELL_PX), "jpg")

        return await asyncio.to_thread(draw)

    def frames(self, work_id: str) -> Frames:
        """Return the frames of a work's time-lapse."""
        return Frames(self._store.folder(self.work(work_id).id))

    async def timelapse(self, work_id: str, ending: str) -> Path:
        """Write the time-lapse of a work; the caller deletes the file.

        Raises:
            HttpError: it has no picture.
        """
        last, frames = self.file(work_id, "picture.png"), self.frames(work_id)
        target = self.uploads.incoming().with_suffix(f".{ending}")

        def write() -> None:
            with Image.open(last) as image:
                image.thumbnail((LONGEST_PX, LONGEST_PX))
                shown = [Image.open(frames.path(step)) for step in frames.steps()]
                save_animation([*shown, image], target)

        async with self._conversions:
            await asyncio.to_thread(write)
        return target

    async def branch(self, work_id: str) -> Order:
        """Return an order that starts from the current picture of a work, to be changed and sent.

        Raises:
            HttpError: there is no picture of it yet.
        """
        record = self.work(work_id)
        name = f"{record.file_stem}.png"
        path = self.uploads.incoming()
        handle = self._scheduler.handle_of(record)
        if handle is not None and record.step > 0:
            path = path.with_suffix(".png")
            await handle.ask(SavePicture(0, work_id, path))
            # Read afterwards: the painting may have gone on to a larger size meanwhile.
            size = record.longest_px
        elif record.has_picture:
            source = self._store.folder(work_id) / "picture.png"
            await asyncio.to_thread(lambda: path.write_bytes(source.read_bytes()))
            size = record.longest_px
        else:
            raise HttpError(409, "expected a work with a picture, got one that has none yet")
        try:
            start = await self.uploads.add(path, name, "start")
        finally:
            path.unlink(missing_ok=True)
        order = record.order.model_copy(update={"start": start.id, "parent": work_id})
        return orders.changed(orders.without(order, "start"), coarsest=size)

    def cancel(self, work_id: str) -> Work:
        """End a work; its picture so far is saved."""
        return self._end(work_id, pause=False)

    def pause(self, work_id: str) -> Work:
        """Stop a work that can be resumed later."""
        return self._end(work_id, pause=True)

    def resume(self, work_id: str) -> Work:
        """Queue a paused work, before the other works of its client.

        Raises:
            HttpError: it is not paused.
        """
        record = self.work(work_id)
        if record.state != "paused":
            raise HttpError(409, f"expected a paused work, got one that is {record.state}")
        self._scheduler.enqueue(record, first=True)
        return record.public()

    async def steer(self, work_id: str, settings: dict[str, Any]) -> Work:
        """Change settings of a work while it is painted.

        Raises:
            HttpError: it is not being painted, or these settings cannot change.
        """
        record = self.work(work_id)
        handle = self._scheduler.handle_of(record)
        if handle is None:
            raise HttpError(409, f"expected a work being painted, got one that is {record.state}")
        step = await handle.ask(Steer(0, work_id, settings))
        record.changes.append(SteeringChange(step=step, settings=settings))
        self._scheduler.save(record)
        return record.public()

    def remove(self, work_id: str) -> None:
        """Cancel a work and put it into the bin; delete it if it is there already."""
        record = self.work(work_id)
        if record.removed_s is not None:
            self._scheduler.remove(record)
            return
        if record.is_under_way:
            self._scheduler.end(record, pause=False)
        record.removed_s = time.time()
        self._scheduler.save(record)

    def restore(self, work_id: str) -> Work:
        """Take a work out of the bin."""
        record = self.work(work_id)
        record.removed_s = None
        self._scheduler.save(record)
        return record.public()

    def star(self, work_id: str, *, starred: bool) -> Work:
        """Mark a work, or take the mark away."""
        record = self.work(work_id)
        record.starred = starred
        self._scheduler.save(record)
        return record.public()

    def remove_picture(self, picture_id: str) -> None:
        """Delete an uploaded picture.

        Raises:
            HttpError: there is no such picture, it comes with impasto, or a work needs it.
        """
        for record in self._scheduler.records.values():
            if record.is_under_way and picture_id in orders.pictures_of(record.order):
                raise HttpError(
                    409,
                    f"expected a picture that no work needs, but {record.title!r} needs this one; "
                    "cancel that work first",
                )
        self.uploads.remove(picture_id)

    def preview(self, work_id: str) -> bytes:
        """Return the current picture, as a JPEG.

        Raises:
            HttpError: there is no picture yet.
        """
        record = self.work(work_id)
        preview = self._scheduler.preview(work_id)
        if preview is not None:
            return preview.data
        if record.has_picture:
            return (self._store.folder(work_id) / "picture.jpg").read_bytes()
        raise HttpError(409, "expected a work with a picture, got one that has none yet")

    def file(self, work_id: str, name: str) -> Path:
        """Return the path of a work's file.

        Raises:
            HttpError: the work has no picture yet.
        """
        if not self.work(work_id).has_picture:
            raise HttpError(409, "expected a work with a picture, got one that has none yet")
        return self._store.folder(work_id) / name

    def _check_queue(self) -> None:
        if self.waiting >= self._limits.queue:
            raise HttpError(
                429, f"expected at most {self._limits.queue} works to wait; wait for one to end"
            )

    def _end(self, work_id: str, *, pause: bool) -> Work:
        record = self.work(work_id)
        if not record.is_under_way or (pause and record.state == "paused"):
            raise HttpError(409, f"expected a work under way, got one that is {record.state}")
        self._scheduler.end(record, pause=pause)
        return record.public()


def _check_time(plan: Plan, *, is_confirmed: bool) -> None:
    """Refuse a painting that takes too long, or that must be confirmed and is not.

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
