"""Server-sent events: everybody who watches hears the latest of everything, however slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

_HEARTBEAT_S = 15.0


class Listener:
    """One browser tab or program that listens; what it has not heard yet is kept once a topic."""

    def __init__(self, topic: str | None) -> None:
        self._topic = topic
        self._pending: dict[tuple[str, str], Any] = {}
        self._woken = asyncio.Event()
        self.closed = False

    def hear(self, kind: str, topic: str, data: Any) -> None:
        """Keep an event; an earlier one of its kind and topic is overtaken by it."""
        if self._topic is None or topic in ("", self._topic):
            self._pending[kind, topic] = data
            self._woken.set()

    def close(self) -> None:
        """End the stream once all is told."""
        self.closed = True
        self._woken.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events as a browser's EventSource reads them."""
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
    """All who listen."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, topic: str | None = None) -> Listener:
        """Begin to listen, to everything or to one topic."""
        listener = Listener(topic)
        self._listeners.add(listener)
        if self._closed:
            listener.close()
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        self._listeners.discard(listener)

    def tell(self, kind: str, topic: str, data: Any) -> None:
        """Tell everybody; nobody is waited for."""
        for listener in self._listeners:
            listener.hear(kind, topic, data)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
