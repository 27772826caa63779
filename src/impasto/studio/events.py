"""Server-sent events: a slow listener gets the latest event of each topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

_HEARTBEAT_S = 15.0


class Listener:
    """One browser tab or program that listens; it holds the latest unsent event of each topic."""

    def __init__(self, topic: str | None) -> None:
        self._topic = topic
        self._pending: dict[tuple[str, str], Any] = {}
        self._woken = asyncio.Event()
        self.closed = False

    def put(self, kind: str, topic: str, data: Any) -> None:
        """Add an event; it replaces an unsent one of the same kind and topic."""
        if self._topic is None or topic in ("", self._topic):
            self._pending[kind, topic] = data
            self._woken.set()

    def close(self) -> None:
        """End the stream after the events that are still unsent."""
        self.closed = True
        self._woken.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events in the format of a browser's EventSource."""
        yield b": listening\n\n"
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _HEARTBEAT_S)
            self._woken.clear()
            pending, self._pending = self._pending, {}
            if not pending and not self.closed:
                yield b": still here\n\n"
            for (kind, _), data in pending.items():
                yield f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
            if self.closed:
                return


class EventStream:
    """All listeners, to which events are published."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, topic: str | None = None) -> Listener:
        """Add a listener, to all topics or to one."""
        listener = Listener(topic)
        self._listeners.add(listener)
        if self._closed:
            listener.close()
        return listener

    def leave(self, listener: Listener) -> None:
        """Remove a listener."""
        self._listeners.discard(listener)

    def publish(self, kind: str, topic: str, data: Any) -> None:
        """Send an event to all listeners, without waiting for any."""
        for listener in self._listeners:
            listener.put(kind, topic, data)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
