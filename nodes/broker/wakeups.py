"""Which replica wants a turn when: one heap for all, so that idle ones cost nothing."""

from __future__ import annotations

import heapq
from itertools import count

from nodes.broker.replica import Replica


class Wakeups:
    """Deadlines of replicas. Each has one; setting it anew replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Replica]] = []
        self._order = count()
        self._set: dict[Replica, int] = {}

    def set(self, replica: Replica, deadline_ms: int | None) -> None:
        """Wake this replica then; None: not at all."""
        before = self._set.get(replica)
        if before == deadline_ms:
            return
        if deadline_ms is None:
            del self._set[replica]
        else:
            self._set[replica] = deadline_ms
            heapq.heappush(self._heap, (deadline_ms, next(self._order), replica))

    def waiting(self) -> list[Replica]:
        """Return all that have a deadline."""
        return list(self._set)

    def due(self, now_ms: int) -> list[Replica]:
        """Return those whose time has come, the earliest first, and forget their deadlines."""
        found: list[Replica] = []
        while self._heap and self._heap[0][0] <= now_ms:
            deadline_ms, _, replica = heapq.heappop(self._heap)
            if self._set.get(replica) == deadline_ms:
                del self._set[replica]
                found.append(replica)
        return found

    def next_deadline_ms(self) -> int | None:
        """Return the earliest deadline."""
        while self._heap and self._set.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
