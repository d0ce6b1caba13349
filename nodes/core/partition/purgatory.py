"""Produces that wait until every in-sync replica has their batch.

Owns who waits for which offset and until when.  Knows nothing of why the high watermark moves.
"""

from __future__ import annotations

import heapq
from itertools import count

from nodes.core.partition.events import Produced
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset

LEFT_MAX = 100
"""Of those that have ended so many may stay in the other of the two heaps, and as many as wait still."""


class ParkedProduce:
    """One that waits. ``error`` NONE: all is well once ``required_offset`` is committed."""

    __slots__ = ("base_offset", "deadline_ms", "done", "error", "required_offset", "token")

    def __init__(
        self,
        token: object,
        required_offset: Offset,
        deadline_ms: int,
        base_offset: Offset,
        error: ErrorCode = ErrorCode.NONE,
    ) -> None:
        self.token = token
        self.required_offset = required_offset
        self.deadline_ms = deadline_ms
        self.base_offset = base_offset
        self.error = error
        self.done = False


class ProducePurgatory:
    """Two heaps over the same waiting produces: by offset and by deadline."""

    __slots__ = ("_by_deadline", "_by_offset", "_order", "_waiting")

    def __init__(self) -> None:
        self._by_offset: list[tuple[Offset, int, ParkedProduce]] = []
        self._by_deadline: list[tuple[int, int, ParkedProduce]] = []
        self._order = count()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def park(self, produce: ParkedProduce) -> None:
        """Let it wait."""
        order = next(self._order)
        heapq.heappush(self._by_offset, (produce.required_offset, order, produce))
        heapq.heappush(self._by_deadline, (produce.deadline_ms, order, produce))
        self._waiting += 1

    def release(self, high_watermark: Offset, produced: list[Produced]) -> None:
        """End those whose offset is committed."""
        while self._by_offset and self._by_offset[0][0] <= high_watermark:
            produce = heapq.heappop(self._by_offset)[2]
            self._end(produce, produce.error, produced)
        if not self._waiting:
            self._by_deadline.clear()
        elif len(self._by_deadline) > LEFT_MAX + 2 * self._waiting:
            # Of those that could have waited for longer than who waits for a majority that does not come.
            self._by_deadline = [item for item in self._by_deadline if not item[2].done]
            heapq.heapify(self._by_deadline)

    def expire(self, now_ms: int, produced: list[Produced]) -> None:
        """End those whose time is up with REQUEST_TIMED_OUT: written, but nobody knows how far."""
        while self._by_deadline and self._by_deadline[0][0] <= now_ms:
            produce = heapq.heappop(self._by_deadline)[2]
            self._end(produce, ErrorCode.REQUEST_TIMED_OUT, produced)
        if len(self._by_offset) > LEFT_MAX + 2 * self._waiting:
            # While the high watermark stands still, who tries again and again would leave more and more.
            self._by_offset = [item for item in self._by_offset if not item[2].done]
            heapq.heapify(self._by_offset)

    def fail(self, error: ErrorCode, produced: list[Produced]) -> None:
        """End all of them, in the order of their offsets."""
        for _, _, produce in sorted(self._by_offset, key=lambda item: item[:2]):
            self._end(produce, error, produced)
        self._by_offset.clear()
        self._by_deadline.clear()

    def delay(self, gap_ms: int) -> None:
        """Add a gap of the loop to every deadline: the acknowledgements may wait to be read."""
        self._by_deadline = [(due + gap_ms, order, item) for due, order, item in self._by_deadline]

    def next_deadline_ms(self) -> int | None:
        """Return the earliest deadline of those that wait."""
        while self._by_deadline and self._by_deadline[0][2].done:
            heapq.heappop(self._by_deadline)
        return self._by_deadline[0][0] if self._by_deadline else None

    def check(self, high_watermark: Offset) -> None:
        """Assert P4."""
        waiting = [item[2] for item in self._by_offset if not item[2].done]
        assert len(waiting) == self._waiting, "the count is right"
        for produce in waiting:
            assert produce.required_offset > high_watermark, "P4: nobody waits in vain"

    def _end(self, produce: ParkedProduce, error: ErrorCode, produced: list[Produced]) -> None:
        if produce.done:
            return
        produce.done = True
        self._waiting -= 1
        produced.append(Produced(produce.token, error, produce.base_offset))
