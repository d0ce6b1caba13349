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

Callback = Callable[[Now], None]


class Barriers:
    """Callbacks on their way through: wanted, asked, waiting for the index to be applied."""

    def __init__(self) -> None:
        self._wanted: list[Callback] = []
        self._asked: dict[int, list[Callback]] = {}
        self._waiting: list[tuple[LogIndex, int, list[Callback]]] = []
        self._next_token = 1
        self._order = count()

    def want(self, callback: Callback) -> None:
        """Call back once all that was committed before this call is applied here."""
        self._wanted.append(callback)

    def ask(self, quorum: Quorum, now: Now) -> None:
        """Put what has gathered to the quorum, if there is one to ask."""
        if not self._wanted or quorum.leader == NO_NODE:
            return
        token, self._next_token = self._next_token, self._next_token + 1
        self._asked[token], self._wanted = self._wanted, []
        quorum.step(ReadIndex(token), now)

    def on_reads(self, reads: Sequence[tuple[int, LogIndex]], failed: Sequence[int]) -> None:
        """Take the quorum's answers."""
        for token, index in reads:
            heapq.heappush(self._waiting, (index, next(self._order), self._asked.pop(token)))
        for token in failed:
            self._wanted += self._asked.pop(token)

    def release(self, applied_index: LogIndex, now: Now) -> None:
        """Call back whoever waited for an index up to this one."""
        while self._waiting and self._waiting[0][0] <= applied_index:
            for callback in heapq.heappop(self._waiting)[2]:
                callback(now)

    def wants_turn(self, quorum: Quorum) -> bool:
        """Tell whether something could be asked that has not been."""
        return bool(self._wanted) and quorum.leader != NO_NODE
