"""The transactions in one log: which are open, from where readers may not go on, which were aborted.

Owns what follows from transactional batches and markers alone, in the order of the log, so that
leader, follower and restart know the same.  Knows nothing of sequences or roles.

Source: KIP-98 (last stable offset, aborted transactions); the index has the columns of Kafka's
``.txnindex`` files.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from transport.wire.ids import Offset, ProducerId
from transport.wire.messages.fetch import AbortedTransaction


class Ended(NamedTuple):
    """A transaction whose marker is in the log, perhaps not yet committed."""

    first_offset: Offset
    marker_offset: Offset


_marker_offset = attrgetter("marker_offset")


class Transactions:
    """All transactions of one log."""

    __slots__ = ("_aborted", "_firsts", "_markers", "_open", "_stables", "ended", "last_marker")

    def __init__(self) -> None:
        self._open: dict[ProducerId, Offset] = {}
        """Where each begins here; the earliest first, as they begin in the log's order."""
        self.ended: list[Ended] = []  # a deque takes 600 bytes for nothing, of each of many logs
        """Those that still count for the last stable offset: both columns grow."""
        self.last_marker = Offset(-1)
        """The newest of all, of whatever transaction."""
        # Columns of the aborted ones, in the order of their markers: 32 bytes each.
        self._aborted = array("q")
        self._firsts = array("q")
        self._markers = array("q")
        self._stables = array("q")

    @property
    def aborted_count(self) -> int:
        """How many aborted transactions are known."""
        return len(self._aborted)

    def aborted_columns(self) -> tuple[array[int], array[int], array[int], array[int]]:
        """Return the aborted ones, for snapshots. Not to be changed."""
        return self._aborted, self._firsts, self._markers, self._stables

    def restore(
        self,
        open_ones: dict[ProducerId, Offset],
        ended: Iterable[Ended],
        last_marker: Offset,
        aborted_columns: Sequence[array[int]],
    ) -> None:
        """Take over a snapshot; what the log holds after it must be recorded next."""
        self._open = open_ones
        self.ended = list(ended)
        self.last_marker = last_marker
        self._aborted, self._firsts, self._markers, self._stables = aborted_columns

    def begin_at(self, start: Offset) -> None:
        """The log begins there: nobody reads a transaction any more that was aborted before."""
        gone = bisect_left(self._markers, start)
        if gone:
            for column in self.aborted_columns():
                del column[:gone]

    def open_ones(self) -> dict[ProducerId, Offset]:
        """Return the open transactions and where they begin. Not to be changed."""
        return self._open

    def is_open(self, producer_id: ProducerId) -> bool:
        """Tell whether the producer has a transaction here that has not ended."""
        return producer_id in self._open

    def begin(self, producer_id: ProducerId, offset: Offset) -> None:
        """Take over a transactional batch at ``offset``: the first one begins the transaction."""
        self._open.setdefault(producer_id, offset)

    def end(self, producer_id: ProducerId, marker_offset: Offset, *, committed: bool) -> None:
        """Take over a marker; it may be one of a transaction that wrote nothing here."""
        self.last_marker = marker_offset
        first = self._open.pop(producer_id, None)
        if first is None:
            return
        while self.ended and self.ended[-1].first_offset >= first:
            # It began later and its marker is committed earlier: it holds nobody back any more.
            self.ended.pop()
        self.ended.append(Ended(first, marker_offset))
        if not committed:
            self._aborted.append(producer_id)
            self._firsts.append(first)
            self._markers.append(marker_offset)
            self._stables.append(next(iter(self._open.values()), marker_offset + 1))

    def commit(self, high_watermark: Offset) -> None:
        """Take over that everything below is committed, markers included."""
        if self.ended:
            del self.ended[: bisect_left(self.ended, high_watermark, key=_marker_offset)]

    def first_unstable(self) -> Offset | None:
        """Return where the earliest transaction begins whose end is not committed."""
        first = next(iter(self._open.values()), None)
        if not self.ended:
            return first
        ended = self.ended[0].first_offset
        return ended if first is None else min(first, ended)

    def aborted_after(self, start: Offset) -> bool:
        """Tell whether any transaction was aborted by a marker at or after ``start``."""
        return bool(self._markers) and self._markers[-1] >= start

    def aborted_within(self, start: Offset, end: Offset) -> list[AbortedTransaction]:
        """Return the aborted transactions that have records from ``start`` to before ``end``."""
        found: list[AbortedTransaction] = []
        for place in range(bisect_left(self._markers, start), len(self._markers)):
            if self._firsts[place] < end:
                producer_id = ProducerId(self._aborted[place])
                found.append(AbortedTransaction(producer_id, Offset(self._firsts[place])))
            if self._stables[place] >= end:
                break  # Whatever ended after this one had begun after ``end``.
        return found

    def forget(self, markers: Collection[Offset]) -> None:
        """Forget aborted transactions whose markers compaction has removed.

        Who is told of one waits for its marker, and would take what follows for a part of it.
        """
        gone = frozenset(markers)
        stays = [place for place, marker in enumerate(self._markers) if marker not in gone]
        if len(stays) < len(self._markers):
            columns = self._aborted, self._firsts, self._markers, self._stables
            for column in columns:
                column[:] = array("q", (column[place] for place in stays))

    def cut(self, end: Offset) -> bool:
        """Forget what began at or after ``end``; True: a marker went too, all must be rebuilt."""
        for producer_id, first in list(self._open.items()):
            if first >= end:
                del self._open[producer_id]
        return self.last_marker >= end

    def check(self, log_end_offset: Offset) -> None:
        """Assert T2: open transactions and their ends stand in the order of the log."""
        firsts = list(self._open.values())
        assert firsts == sorted(firsts), "T2: open transactions by their beginning"
        assert not firsts or firsts[-1] < log_end_offset, "T2: none begins in the air"
        for here, there in pairwise(self.ended):
            assert here.first_offset < there.first_offset, "T2: ends by their beginning"
            assert here.marker_offset < there.marker_offset, "T2: ends by their markers"
        assert list(self._markers) == sorted(self._markers), "T2: aborted ones by their markers"
