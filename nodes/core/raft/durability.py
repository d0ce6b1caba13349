"""What the disk has said, and what it has yet to say.

Numbers the batches of disk orders; knows up to which index the log is durable.  Several batches
may be in flight.  When entries are replaced, the reports still due for the old ones must not
count for the new: truncation lowers what those batches can ever acknowledge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from transport.wire.ids import LogIndex


@dataclass(slots=True)
class _Batch:
    sequence: int
    last_index: LogIndex
    """The log is durable up to here once this batch is."""
    hard_state: bool


class Durability:
    """Batches in flight to the disk, oldest first."""

    __slots__ = ("_batches", "_hard_states", "index", "sequence")

    def __init__(self, index: LogIndex) -> None:
        self.index = index
        """Entries up to here are durable, as they stand in the log now."""
        self.sequence = 0
        """Of the newest batch."""
        self._batches: deque[_Batch] = deque()
        self._hard_states = 0

    @property
    def hard_state_pending(self) -> bool:
        """True while a term or vote is not durable yet: no answer may leave before it is."""
        return self._hard_states > 0

    def issue(self, last_index: LogIndex, *, hard_state: bool) -> int:
        """Number a new batch, after which the log ends at ``last_index``."""
        self.sequence += 1
        self._batches.append(_Batch(self.sequence, last_index, hard_state))
        self._hard_states += hard_state
        return self.sequence

    def truncate(self, from_index: int) -> None:
        """Entries from ``from_index`` on were replaced: no earlier batch acknowledges them."""
        limit = LogIndex(from_index - 1)
        self.index = min(self.index, limit)
        for batch in self._batches:
            batch.last_index = min(batch.last_index, limit)

    def reset(self, index: LogIndex) -> None:
        """The log was replaced by a durable snapshot up to ``index``."""
        self.truncate(index + 1)
        self.index = index

    def synced(self, sequence: int) -> None:
        """Take the disk's report that everything up to batch ``sequence`` is durable."""
        assert sequence <= self.sequence, "a report for a batch that was never given"
        while self._batches and self._batches[0].sequence <= sequence:
            batch = self._batches.popleft()
            self._hard_states -= batch.hard_state
            self.index = max(self.index, batch.last_index)

    def check(self, last_index: int) -> None:
        """Assert that nothing is durable, or can become so, that is not in the log."""
        assert self.index <= last_index, "durable beyond the log"
        assert all(batch.last_index <= last_index for batch in self._batches), "a stale batch"
        assert self._hard_states == sum(batch.hard_state for batch in self._batches)
