"""HTTP connections with deadlines and a limit, so that slow clients cannot stop the studio.

uvicorn closes a connection that is idle between two requests. But it waits without limit for the
rest of a request that has begun, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Time limits in seconds: for a request's headers, for a pause in its body, for the whole request,
# and for a client that reads nothing of its answer.
HEADERS_S, BODY_PAUSE_S, BODY_S, UNREAD_S = 10.0, 20.0, 900.0, 60.0
_MOST_CONNECTIONS = 1024
_WANTED_FILES = 4096
# Files that the studio needs beside its connections: pipes, pictures, inspecting processes.
_OTHER_FILES = 96
_TIMEOUT_ERROR = '{"error": "expected the whole request sooner; send it again, and faster"}'
_TIMEOUT_ANSWER = (
    "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
    f"content-length: {len(_TIMEOUT_ERROR)}\r\n\r\n{_TIMEOUT_ERROR}"
).encode()


def raise_file_limit() -> int:
    """Raise the limit of open files, if possible; return the number of connections that fit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = _WANTED_FILES if hard == unlimited else min(hard, _WANTED_FILES)
    if soft != unlimited and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = _WANTED_FILES if soft == unlimited else soft
    return max(16, min(_MOST_CONNECTIONS, files - _OTHER_FILES))


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP protocol with deadlines; over the limit, the slowest connection is closed.

    Attributes:
        most_connections: the limit; set before the server starts.
    """

    most_connections = _MOST_CONNECTIONS
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _began_s = 0.0

    @property
    def is_incomplete(self) -> bool:
        """Whether a request has not come, or has come in part only."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def connection_made(self, transport: Any) -> None:
        """Accept a connection; if there are too many, close the one that has waited longest."""
        if len(self.connections) >= self.most_connections:
            others: list[Any] = list(self.connections)
            incomplete = [one for one in others if one.is_incomplete]
            if incomplete:
                min(incomplete, key=lambda one: one._began_s).close_slow()
        super().connection_made(transport)
        self._began_s = time.monotonic()
        if len(self.connections) > self.most_connections:
            transport.abort()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines."""
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        if self._deadline is None:
            self._began_s = time.monotonic()
        super().data_received(data)
        self._set_deadline()

    def pause_writing(self) -> None:
        """Set a deadline, because the client does not read its answer."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the deadline, because the client has read."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def close_slow(self) -> None:
        """Close the connection of a client that is too slow."""
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_TIMEOUT_ANSWER)
        self.connections.discard(self)
        self.transport.close()
        # A client that does not read must not keep the connection open.
        self.loop.call_later(1.0, self.transport.abort)

    def _set_deadline(self) -> None:
        """Set the deadline for the next part of the request."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.transport.is_closing():
            return
        left_s = None
        spent_s = time.monotonic() - self._began_s
        if self.conn.their_state is h11.IDLE:
            left_s = HEADERS_S - spent_s
        elif self.conn.their_state is h11.SEND_BODY:
            left_s = min(BODY_PAUSE_S, BODY_S - spent_s)
        if left_s is not None:
            self._deadline = self.loop.call_later(max(0.0, left_s), self._on_deadline)

    def _on_deadline(self) -> None:
        """Close the connection, unless the server itself has paused reading."""
        self._deadline = None
        if self.flow.read_paused:
            self._set_deadline()
        elif self.is_incomplete:
            self.close_slow()
