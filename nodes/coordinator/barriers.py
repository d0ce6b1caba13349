"""Linearizable moments: call back once everything committed until now is applied here (ReadIndex).

What is wanted within a turn shares one question to the quorum.  A question that fails (no leader,
another leader) is asked again when there is one; who wanted it gives up by itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

from nodes.coordinator.quorum import Quorum
from nodes.core.raft.events import ReadIndex
from transport.kernel import Now
from transport.wire.ids import NO_NODE, LogIndex

RETRY_MS = 20
"""After a question failed: a leader that is none any more refuses as fast as it is asked."""

Callback = Callable[[Now], None]


class Barriers:
    """Callbacks on their way through: wanted, asked, waiting for the index to be applied."""

    def __init__(self) -> None:
        self._wanted: list[Callback] = []
        self._asked: dict[int, list[Callback]] = {}
        self._waiting: list[tuple[LogIndex, int, list[Callback]]] = []
        self._next_token = 1
        self._not_before_ms = 0
        self._order = count()

    def want(self, callback: Callback) -> None:
        """Call back once all that was committed before this call is applied here."""
        self._wanted.append(callback)

    def ask(self, quorum: Quorum, now: Now) -> None:
        """Put what has gathered to the quorum, if there is one to ask."""
        due_ms = self.next_deadline_ms(quorum)
        if due_ms is None or due_ms > now.mono_ms:
            return
        token, self._next_token = self._next_token, self._next_token + 1
        self._asked[token], self._wanted = self._wanted, []
        quorum.step(ReadIndex(token), now)

    def on_reads(
        self, reads: Sequence[tuple[int, LogIndex]], failed: Sequence[int], now: Now
    ) -> None:
        """Take the quorum's answers."""
        for token, index in reads:
            heapq.heappush(self._waiting, (index, next(self._order), self._asked.pop(token)))
        if failed:
            self._not_before_ms = now.mono_ms + RETRY_MS
        for token in failed:
            self._wanted += self._asked.pop(token)

    def release(self, applied_index: LogIndex, now: Now) -> None:
        """Call back whoever waited for an index up to this one."""
        while self._waiting and self._waiting[0][0] <= applied_index:
            for callback in heapq.heappop(self._waiting)[2]:
                callback(now)

    def on_leader(self) -> None:
        """Another leader may answer what the one before did not."""
        self._not_before_ms = 0

    def next_deadline_ms(self, quorum: Quorum) -> int | None:
        """Return when there is something to ask, and somebody to ask it; None otherwise."""
        return self._not_before_ms if self._wanted and quorum.leader != NO_NODE else None
