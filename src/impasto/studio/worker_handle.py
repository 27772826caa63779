"""The server's end of a painter process: it is started, spoken to, and started again."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from impasto.studio import worker
from impasto.studio.http_errors import HttpError
from impasto.studio.protocol import Answer, Question, WorkerState

# Both less than the minute that a reverse proxy usually waits.
_PATIENCE_S, _LOADING_PATIENCE_S = 30.0, 50.0
_MOST_QUESTIONS = 32
_PAUSE_S = 0.5
# A painter that ends so often before it is ready has no prospects.
_MOST_STARTS = 3

Hear = Callable[["WorkerHandle", Any], None]


class WorkerHandle:
    """One painter and what is known of it. For the event loop's thread.

    Attributes:
        state: ``loading``, ``ready`` or ``broken``, with words.
        work: the work being painted, if any.
    """

    def __init__(self, runtime: dict[str, Any], hear: Hear) -> None:
        self._runtime, self._hear = runtime, hear
        self._loop = asyncio.get_running_loop()
        self._tickets = itertools.count(1)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._failed_starts = 0
        self._closing = False
        self.state = WorkerState("loading", "starting")
        self.work: str | None = None
        self._start()

    @property
    def process_id(self) -> int | None:
        """The painter's process."""
        return self._process.pid

    def say(self, message: Any) -> None:
        """Tell the painter something."""
        with suppress(OSError):  # its end is heard of by the listening thread
            self._connection.send(message)

    async def ask(self, question: Question) -> Any:
        """Ask the painter something, and wait for the answer.

        Raises:
            HttpError: it says no, or says nothing.
        """
        if self.state.state == "broken":
            raise HttpError(503, self.state.message)
        if len(self._open) >= _MOST_QUESTIONS:
            raise HttpError(429, "the painter has too many questions to answer; try again soon")
        ticket = next(self._tickets)
        self._open[ticket] = self._loop.create_future()
        try:
            self.say(replace(question, ticket=ticket))
            # While it loads the network, and measures how fast it paints, it answers nothing.
            is_loading = self.state.state == "loading"
            patience_s = _LOADING_PATIENCE_S if is_loading else _PATIENCE_S
            return await asyncio.wait_for(self._open[ticket], patience_s)
        except asyncio.TimeoutError:
            raise HttpError(503, "the painter is busy; try again soon") from None
        finally:
            del self._open[ticket]

    def close(self) -> None:
        """End the painter."""
        self._closing = True
        self._connection.close()
        self._process.terminate()
        self._process.join(5)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=worker.main, args=(theirs, self._runtime), name="painter", daemon=True
        )
        self._process.start()
        theirs.close()
        listen = threading.Thread(target=self._listen, args=(self._connection,), daemon=True)
        listen.start()

    def _listen(self, connection: Connection) -> None:
        """In a thread: pass on what the painter says."""
        with suppress(OSError, EOFError, RuntimeError):
            while True:
                message = connection.recv()
                self._loop.call_soon_threadsafe(self._take, message)
        with suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._lost)

    def _take(self, message: Any) -> None:
        if isinstance(message, Answer):
            waiting = self._open.get(message.ticket)
            if waiting is not None and not waiting.done():
                if message.error is None:
                    waiting.set_result(message.value)
                else:
                    waiting.set_exception(HttpError(message.status, message.error))
            return
        if isinstance(message, WorkerState):
            self.state = message
            if message.state == "ready":
                self._failed_starts = 0
        self._hear(self, message)

    def _lost(self) -> None:
        """The painter has ended: killed, or out of memory."""
        if self._closing:
            return
        self._process.join()
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(HttpError(503, "the painter ended; try again soon"))
        self._failed_starts += self.state.state == "loading"
        self.state = WorkerState("loading", "starting again")
        if self._failed_starts >= _MOST_STARTS:
            self.state = WorkerState(
                "broken", "the painter does not start; see the studio's terminal"
            )
        else:
            self._loop.call_later(_PAUSE_S, self._start_again)
        self._hear(self, None)

    def _start_again(self) -> None:
        if not self._closing:
            self._start()
