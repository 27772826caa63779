"""A fair queue: clients take turns, and each client's works keep their order."""

from __future__ import annotations

from collections import OrderedDict, deque


class FairQueue:
    """A queue in which many works of one client do not delay the work of another."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[str, deque[str]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(works) for works in self._by_client.values())

    def add(self, client: str, work: str, *, first: bool = False) -> None:
        """Add ``work`` behind the client's other works, or before them."""
        works = self._by_client.setdefault(client, deque())
        if first:
            works.appendleft(work)
        else:
            works.append(work)

    def take(self) -> str | None:
        """Remove and return the next work; its client goes to the end of the line."""
        if not self._by_client:
            return None
        client, works = self._by_client.popitem(last=False)
        work = works.popleft()
        if works:
            self._by_client[client] = works
        return work

    def drop(self, work: str) -> bool:
        """Remove ``work``; False if it is not in the queue."""
        for client, works in self._by_client.items():
            if work in works:
                works.remove(work)
                if not works:
                    del self._by_client[client]
                return True
        return False
