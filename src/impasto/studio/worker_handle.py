"""The server's handle of a worker process: it starts it, exchanges messages, and restarts it."""

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

# Both are below the minute that a reverse proxy usually waits.
_ANSWER_WITHIN_S, _LOADING_ANSWER_WITHIN_S = 30.0, 50.0
_MOST_QUESTIONS = 32
_PAUSE_S = 0.5
# A worker that ends so often before it is ready is broken.
_MOST_STARTS = 3

OnMessage = Callable[["WorkerHandle", Any], None]


class WorkerHandle:
    """One worker process and its state; to be used in the event loop's thread only.

    Attributes:
        state: ``loading``, ``ready`` or ``broken``, with a message.
        work: the id of the work that it paints, if any.
    """

    def __init__(self, runtime: dict[str, Any], on_message: OnMessage) -> None:
        self._runtime, self._on_message = runtime, on_message
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
        """The worker's process id."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send a message to the worker."""
        with suppress(OSError):  # The receiving thread notices if the worker has ended.
            self._connection.send(message)

    async def ask(self, question: Question) -> Any:
        """Send a question to the worker, and return its answer.

        Raises:
            HttpError: the worker answers with an error, or not in time.
        """
        if self.state.state == "broken":
            raise HttpError(503, self.state.message)
        if len(self._open) >= _MOST_QUESTIONS:
            raise HttpError(429, "the painter has too many questions to answer; try again soon")
        ticket = next(self._tickets)
        self._open[ticket] = self._loop.create_future()
        try:
            self.send(replace(question, ticket=ticket))
            # While it loads the network and measures the speed, it does not answer.
            is_loading = self.state.state == "loading"
            timeout_s = _LOADING_ANSWER_WITHIN_S if is_loading else _ANSWER_WITHIN_S
            return await asyncio.wait_for(self._open[ticket], timeout_s)
        except asyncio.TimeoutError:
            raise HttpError(503, "the painter is busy; try again soon") from None
        finally:
            del self._open[ticket]

    def close(self) -> None:
        """End the worker."""
        self._closing = True
        self._connection.close()
        self._process.terminate()
        self._process.join(5)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, worker_end = context.Pipe()
        self._process = context.Process(
            target=worker.main, args=(worker_end, self._runtime), name="painter", daemon=True
        )
        self._process.start()
        worker_end.close()
        thread = threading.Thread(target=self._receive, args=(self._connection,), daemon=True)
        thread.start()

    def _receive(self, connection: Connection) -> None:
        """Pass the worker's messages to the event loop; runs in a thread."""
        with suppress(OSError, EOFError, RuntimeError):
            while True:
                message = connection.recv()
                self._loop.call_soon_threadsafe(self._handle, message)
        with suppress(RuntimeError):  # The event loop may have ended already.
            self._loop.call_soon_threadsafe(self._lost)

    def _handle(self, message: Any) -> None:
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
        self._on_message(self, message)

    def _lost(self) -> None:
        """Handle the unexpected end of the worker, such as a kill when memory is short."""
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
        self._on_message(self, None)

    def _start_again(self) -> None:
        if not self._closing:
            self._start()
