"""The painter: a process that computes, so that the server need not.

It owns its allocator and its threads, keeps the network loaded, and between two steps obeys
what the server has said. When the server is gone, so is it, within a step.
"""

from __future__ import annotations

import contextlib
import os
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
)
from impasto.studio.protocol import (
    Answer,
    AskPlan,
    End,
    Ended,
    Keep,
    Paint,
    Question,
    Steer,
    WorkerState,
)

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.job import Job, JobSpec, PictureReference
    from impasto.studio.session import PaintingSession

# What these say is of options and pictures; what others say may name the server's files.
_FOR_EVERYBODY = (SettingsError, ImageError, ShapeError, Diverged, OutOfMemoryError)
_PRIVATE = "the painter failed; what happened stands in the terminal that the studio runs in"
# Pictures that are kept decoded, by all their pixels.
_KEPT_PIXELS = 40_000_000
# So that the server gets the processor when it wants it.
_NICENESS = 5


def main(connection: Connection, runtime: dict[str, Any]) -> None:
    """Paint what comes over ``connection`` until its other end closes.

    Args:
        connection: where messages come from and go to.
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
        from impasto.engine.cache import Cache

        self._connection, self._runtime = connection, runtime
        self._cache = Cache()
        self._pictures: OrderedDict[Path, Picture] = OrderedDict()

    def work(self) -> None:
        self._say(WorkerState("loading", "getting ready"))
        try:
            device = self._warm_up()
        except ImpastoError as error:
            _tell_terminal(str(error))
            self._say(WorkerState("broken", _PRIVATE))
        else:
            self._say(WorkerState("ready", device=device))
        while True:
            message = self._connection.recv()
            if isinstance(message, Paint):
                self._paint(message)
            elif isinstance(message, Question):
                self._answer(message, None)
            # An End that comes too late is for a painting that is over.

    def _say(self, message: Any) -> None:
        self._connection.send(message)

    def _warm_up(self) -> str:
        """Load what the first painting needs, and measure how fast this machine paints."""
        from PIL import Image

        from impasto import api
        from impasto.compute.device import choose_device
        from impasto.engine.estimate import estimate

        grey = Image.new("RGB", (128, 128), (120, 110, 100))
        options = self._runtime | {"size": 128, "coarsest": 128, "iterations": 4}
        job = api.make_job("style_transfer", grey, [grey], **options)
        api.paint(job, progress=self._fetching, cache=self._cache)
        # The first plan that a visitor asks for would wait for this otherwise.
        self._say(WorkerState("loading", "measuring how fast this machine paints"))
        estimate(job)
        return str(choose_device(job.runtime.device))

    def _fetching(self, message: str, done_bytes: int, total_bytes: int | None) -> None:
        share = f" ({100 * done_bytes // total_bytes} %)" if total_bytes else ""
        self._say(WorkerState("loading", f"fetching the network's weights{share}"))

    def _paint(self, order: Paint) -> None:
        from impasto.studio.session import PaintingSession

        session = PaintingSession(order, self._say)
        try:
            try:
                ended = self._sit(session)
            except CheckpointError as error:
                _tell_terminal(f"{error} (it begins anew)")
                session.forget()
                ended = self._sit(session)
        except Exception as error:
            ended = Ended(order.work, "failed", _for_everybody(error))
        self._say(ended)

    def _sit(self, session: PaintingSession) -> Ended:
        """Paint until the painting is done or somebody ends it."""
        from impasto.engine.painting import iterate

        job = self._job(session.order.spec)
        session.begin(iterate(job, cache=self._cache, resume=session.kept()))
        try:
            self._listen(session)
            while session.end is None and session.result is None:
                session.advance()
                self._listen(session)
        except Diverged as diverged:
            if diverged.result is None:
                raise
            return session.finish(diverged.result, str(diverged))
        if session.result is not None:
            return session.finish(session.result)
        return session.stop()

    def _listen(self, session: PaintingSession) -> None:
        """Obey what the server has said since the step before."""
        while self._connection.poll():
            message = self._connection.recv()
            if isinstance(message, End):
                if message.work == session.order.work:
                    session.end = message
            else:
                self._answer(message, session)

    def _answer(self, question: Question, session: PaintingSession | None) -> None:
        try:
            answer = Answer(question.ticket, self._look_up(question, session))
        except Exception as error:
            status = 422 if isinstance(error, (SettingsError, ImageError, ShapeError)) else 500
            answer = Answer(question.ticket, error=_for_everybody(error), status=status)
        self._say(answer)

    def _look_up(self, question: Question, session: PaintingSession | None) -> Any:
        if isinstance(question, AskPlan):
            return self._plan(question.spec)
        if isinstance(question, (Steer, Keep)) and (
            session is None or session.order.work != question.work
        ):
            raise SettingsError("expected a painting under way, got one that is not; start it")
        assert session is not None
        if isinstance(question, Keep):
            return session.keep(question.path)
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
        """Decode a picture, or find it decoded; the name is the one that its owner gave."""
        from impasto import images

        path = reference.file
        picture = self._pictures.pop(path, None)
        if picture is None:
            picture = images.load(path.read_bytes())
        self._pictures[path] = picture
        while len(self._pictures) > 1 and self._kept_pixels() > _KEPT_PIXELS:
            self._pictures.popitem(last=False)
        return replace(picture, name=Path(reference.name).stem, file_name=reference.name)

    def _kept_pixels(self) -> int:
        return sum(kept.width_px * kept.height_px for kept in self._pictures.values())


def _for_everybody(error: Exception) -> str:
    """Say what happened; where that may name files of the server, only the terminal is told."""
    if isinstance(error, _FOR_EVERYBODY):
        return str(error)
    _tell_terminal(str(error) if isinstance(error, ImpastoError) else traceback.format_exc())
    return _PRIVATE


def _tell_terminal(text: str) -> None:
    sys.stderr.write(f"impasto: {text}\n")
    sys.stderr.flush()
