"""Who wants a turn when: one heap for all of a kind, so that idle ones cost nothing."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

SPARE = 64
"""So many deadlines may be left of the past, and as many as there are, before they are cleared away."""


class Wakeups(Generic[T]):
    """Deadlines of replicas, or of shards. Each has one; setting it anew replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, T]] = []
        self._order = count()
        self._set: dict[T, int] = {}

    def set(self, one: T, deadline_ms: int | None) -> None:
        """Wake this one then; None: not at all."""
        before = self._set.get(one)
        if before == deadline_ms:
            return
        if deadline_ms is None:
            del self._set[one]
        else:
            self._set[one] = deadline_ms
            heapq.heappush(self._heap, (deadline_ms, next(self._order), one))
        if len(self._heap) > SPARE + 2 * len(self._set):
            self._clear_away()

    def _clear_away(self) -> None:
        """Forget deadlines that were put off: those far ahead would be kept until then."""
        last: dict[T, tuple[int, int, T]] = {}
        for entry in self._heap:
            deadline_ms, order, one = entry
            if self._set.get(one) == deadline_ms:
                before = last.get(one)
                last[one] = entry if before is None or order < before[1] else before
        self._heap = list(last.values())
        heapq.heapify(self._heap)

    @property
    def held(self) -> int:
        """How many deadlines are kept, those of the past among them."""
        return len(self._heap)

    def deadline_ms(self, one: T) -> int | None:
        """Return when this one is woken; None: not at all."""
        return self._set.get(one)

    def waiting(self) -> list[T]:
        """Return all that have a deadline."""
        return list(self._set)

    def due(self, now_ms: int) -> list[T]:
        """Return those whose time has come, the earliest first, and forget their deadlines."""
        found: list[T] = []
        while self._heap and self._heap[0][0] <= now_ms:
            deadline_ms, _, one = heapq.heappop(self._heap)
            if self._set.get(one) == deadline_ms:
                del self._set[one]
                found.append(one)
        return found

    def next_deadline_ms(self) -> int | None:
        """Return the earliest deadline."""
        while self._heap and self._set.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
