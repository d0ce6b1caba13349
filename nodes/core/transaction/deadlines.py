"""When the time of each ongoing transaction is up.

Soft: a new coordinator begins anew.  One deadline for each transactional id.
"""

from __future__ import annotations

import heapq

from nodes.core.transaction.records import TransactionValue
from transport.wire.ids import ProducerEpoch, ProducerId

SPARE = 64
"""So many deadlines of what has ended may be left, and as many as there are, before they are cleared away."""

_Transaction = tuple[ProducerId, ProducerEpoch]


class Deadlines:
    """A heap of moments, and what each id's is now."""

    __slots__ = ("_heap", "_set")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._set: dict[str, tuple[int, _Transaction]] = {}

    def set(self, transactional_id: str, value: TransactionValue, due_ms: int) -> None:
        """End this transaction then."""
        self._set[transactional_id] = due_ms, (value.producer_id, value.producer_epoch)
        heapq.heappush(self._heap, (due_ms, transactional_id))
        if len(self._heap) > SPARE + 2 * len(self._set):
            # Transactions end long before their time: theirs would be kept until then.
            self._clear_away()

    def drop(self, transactional_id: str) -> None:
        """It has ended."""
        self._set.pop(transactional_id, None)

    def has(self, transactional_id: str, value: TransactionValue) -> bool:
        """Tell whether this very transaction has a deadline."""
        known = self._set.get(transactional_id)
        return known is not None and known[1] == (value.producer_id, value.producer_epoch)

    def due(self, now_ms: int) -> list[str]:
        """Return the ids whose time is up, and forget their deadlines."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, transactional_id = heapq.heappop(self._heap)
            if self._is_set(due_ms, transactional_id):
                del self._set[transactional_id]
                found.append(transactional_id)
        return found

    def next_ms(self) -> int | None:
        """Return the earliest deadline."""
        while self._heap and not self._is_set(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def delay(self, gap_ms: int) -> None:
        """Put all of them off."""
        self._set = {key: (due_ms + gap_ms, one) for key, (due_ms, one) in self._set.items()}
        self._clear_away()

    def _clear_away(self) -> None:
        self._heap = [(due_ms, key) for key, (due_ms, _) in self._set.items()]
        heapq.heapify(self._heap)

    def _is_set(self, due_ms: int, transactional_id: str) -> bool:
        known = self._set.get(transactional_id)
        return known is not None and known[0] == due_ms
