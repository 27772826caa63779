"""The worker process, which paints for the server.

It has its own allocator and threads, keeps the network loaded, and handles the server's messages
between two steps. When the server has ended, the worker ends within a step.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import traceback
from collections import OrderedDict
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.compute import host
from impasto.config.settings import make_runtime
from impasto.errors import (
    CheckpointError,
    Diverged,
    ImageError,
    ImpastoError,
    OutOfMemoryError,
    SettingsError,
    ShapeError,
    WeightsError,
)
from impasto.studio.protocol import (
    Answer,
    AskPlan,
    End,
    Ended,
    Paint,
    Question,
    SavePicture,
    Steer,
    WorkerState,
)

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.job import Job, JobSpec, PictureReference
    from impasto.studio.session import PaintingSession

# Messages of these errors are about options and pictures; others may name the server's files.
_PUBLIC_ERRORS = (SettingsError, ImageError, ShapeError, Diverged, OutOfMemoryError)
_PRIVATE_ERROR = "the painter failed; the reason is in the terminal that the studio runs in"
# Maximum sum of pixels of the decoded pictures in the cache.
_CACHED_PIXELS = 40_000_000
# Lower priority than the server, so that the server stays responsive.
_NICENESS = 5


def main(connection: Connection, runtime: dict[str, Any]) -> None:
    """Handle the messages from ``connection`` until its other end closes.

    Args:
        connection: the pipe to the server.
        runtime: fields of Runtime, for every painting.
    """
    host.make_own()
    # Ctrl-C in a terminal reaches every process in it; this one ends with the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _StudioWorker(connection, runtime).work()


class _StudioWorker:
    def __init__(self, connection: Connection, runtime: dict[str, Any]) -> None:
        from impasto.engine.warm import WarmEngine

        self._connection, self._runtime = connection, runtime
        self._engine = WarmEngine()
        self._pictures: OrderedDict[Path, Picture] = OrderedDict()

    def work(self) -> None:
        self._send(WorkerState("loading", "getting ready"))
        try:
            device = self._warm_up()
        except ImpastoError as error:
            self._send(WorkerState("broken", _public_message(error)))
        else:
            self._send(WorkerState("ready", device=device))
        while True:
            message = self._connection.recv()
            if isinstance(message, Paint):
                self._paint(message)
            elif isinstance(message, Question):
                self._answer(message, None)
            # An End that comes too late belongs to a painting that has ended; ignore it.

    def _send(self, message: Any) -> None:
        self._connection.send(message)

    def _warm_up(self) -> str:
        """Load the network, and measure the speed of this machine; return the device."""
        from PIL import Image

        from impasto import api
        from impasto.compute.device import choose_device
        from impasto.engine.estimate import estimate

        grey = Image.new("RGB", (128, 128), (120, 110, 100))
        options = self._runtime | {"size": 128, "coarsest": 128, "iterations": 4}
        job = api.make_job("style_transfer", grey, [grey], **options)
        self._engine.paint(job, progress=self._on_download)
        # Otherwise the first plan would wait for this measurement.
        self._send(WorkerState("loading", "measuring how fast this machine paints"))
        estimate(job)
        return str(choose_device(job.runtime.device))

    def _on_download(self, message: str, done_bytes: int, total_bytes: int | None) -> None:
        share = f" ({100 * done_bytes // total_bytes} %)" if total_bytes else ""
        self._send(WorkerState("loading", f"fetching the network's weights{share}"))

    def _paint(self, order: Paint) -> None:
        from impasto.studio.session import LookSession, PaintingSession

        session = (LookSession if order.is_look else PaintingSession)(order, self._send)
        try:
            try:
                ended = self._run(session)
            except CheckpointError as error:
                _log(f"{error} (the painting starts again)")
                session.remove_checkpoint()
                ended = self._run(session)
        except Exception as error:
            ended = Ended(order.work, "failed", _public_message(error))
        self._send(ended)

    def _run(self, session: PaintingSession) -> Ended:
        """Paint until the painting is done or the server ends it."""
        job = self._job(session.order.spec)
        session.start(self._engine.iterate(job, resume=session.load_checkpoint()))
        try:
            self._receive(session)
            while session.end is None and session.result is None:
                session.advance()
                self._receive(session)
        except Diverged as diverged:
            if diverged.result is None:
                raise
            return session.finish(diverged.result, str(diverged))
        if session.result is not None:
            return session.finish(session.result)
        return session.stop()

    def _receive(self, session: PaintingSession) -> None:
        """Handle the messages that have come since the last step."""
        while self._connection.poll():
            message = self._connection.recv()
            if isinstance(message, End):
                if message.work == session.order.work:
                    session.end = message
            else:
                self._answer(message, session)

    def _answer(self, question: Question, session: PaintingSession | None) -> None:
        try:
            answer = Answer(question.ticket, self._result_of(question, session))
        except Exception as error:
            status = 422 if isinstance(error, (SettingsError, ImageError, ShapeError)) else 500
            answer = Answer(question.ticket, error=_public_message(error), status=status)
        self._send(answer)

    def _result_of(self, question: Question, session: PaintingSession | None) -> Any:
        if isinstance(question, AskPlan):
            return self._plan(question.spec)
        if isinstance(question, (Steer, SavePicture)) and (
            session is None or session.order.work != question.work
        ):
            raise SettingsError("expected a painting under way, got one that is not; start it")
        assert session is not None
        if isinstance(question, SavePicture):
            return session.save_picture(question.path)
        if isinstance(question, Steer):
            return session.steer(question.settings)
        raise AssertionError(f"unknown question {question!r}")

    def _plan(self, spec: JobSpec) -> dict[str, Any]:
        from impasto.engine.estimate import estimate

        rows: list[dict[str, Any]] = [
            {
                "width_px": size.scale.width_px,
                "height_px": size.scale.height_px,
                "iterations": size.scale.iterations,
                "tile_px": size.scale_plan.tile_px,
                "peak_bytes": size.scale_plan.peak_bytes,
                "time_s": size.time_s,
            }
            for size in estimate(self._job(spec)).scales
        ]
        return {
            "sizes": rows,
            "peak_bytes": max(row["peak_bytes"] for row in rows),
            "time_s": sum(row["time_s"] for row in rows),
        }

    def _job(self, spec: JobSpec) -> Job:
        return spec.load(self._picture, runtime=make_runtime(**self._runtime))

    def _picture(self, reference: PictureReference) -> Picture:
        """Return a picture, decoded or from the cache, under the name of its upload."""
        from impasto import images

        path = reference.file
        picture = self._pictures.pop(path, None)
        if picture is None:
            picture = images.load(path.read_bytes())
        self._pictures[path] = picture
        while len(self._pictures) > 1 and self._cached_pixels() > _CACHED_PIXELS:
            self._pictures.popitem(last=False)
        return replace(picture, name=Path(reference.name).stem, file_name=reference.name)

    def _cached_pixels(self) -> int:
        return sum(picture.width_px * picture.height_px for picture in self._pictures.values())


def _public_message(error: Exception) -> str:
    """Return the message of an error; one that may name files of the server is only logged.

    An error of the weights is both logged and returned, with the names of files but no folders.
    """
    if isinstance(error, _PUBLIC_ERRORS):
        return str(error)
    if isinstance(error, WeightsError):
        _log(str(error))
        return without_folders(str(error))
    _log(str(error) if isinstance(error, ImpastoError) else traceback.format_exc())
    return _PRIVATE_ERROR


def without_folders(text: str) -> str:
    """Return the text with only the last part of each absolute path; addresses stay."""
    text = re.sub(r"(['\"])/[^'\"]*/([^'\"/]*)\1", r"\1\2\1", text)
    return re.sub(r"(?<![\w:/.'\"])/(?:[^\s/'\"]+/)+", "", text)


def _log(text: str) -> None:
    sys.stderr.write(f"impasto: {text}\n")
    sys.stderr.flush()
