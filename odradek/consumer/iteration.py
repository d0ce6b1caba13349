"""Where a program that iterates stands in what was polled for it. Pure.

The loop is further than that: it has taken all of it.  What is not given yet is given by the next
poll, is not committed, and goes with a seek.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

Polled = dict[TopicPartition, Sequence[ConsumerRecord]]


class Iteration:
    """The records left of the latest poll, one partition after the other."""

    def __init__(self) -> None:
        self._left: deque[tuple[TopicPartition, Sequence[ConsumerRecord]]] = deque()
        self._current: Iterator[ConsumerRecord] = iter(())
        self._current_key: TopicPartition | None = None
        self._next_offset = 0

    def keep(self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """Take what was polled."""
        self._left.extend((key, records) for key, records in polled.items() if len(records))

    def next(self) -> ConsumerRecord | None:
        """Return the next record; None when there are no more."""
        while True:
            for record in self._current:
                self._next_offset = record.offset + 1
                return record
            self._current_key = None
            if not self._left:
                return None
            self._current_key, records = self._left.popleft()
            self._current = iter(records)

    def rest(self) -> Iterator[ConsumerRecord]:
        """Give those of the present partition, without a call for each."""
        current = self._current
        for record in current:
            self._next_offset = record.offset + 1
            yield record
            if current is not self._current:
                return  # the program has polled or sought meanwhile

    def take(self, records_max: int) -> Polled:
        """Return what would be given next, up to ``records_max`` records."""
        if self._current_key is not None:
            self._left.appendleft((self._current_key, list(self._current)))
            self._current, self._current_key = iter(()), None
        taken: Polled = {}
        while self._left and records_max > 0:
            key, records = self._left.popleft()
            if len(records) > records_max:
                self._left.appendleft((key, records[records_max:]))
                records = records[:records_max]
            if len(records):
                taken[key] = records
                records_max -= len(records)
        return taken

    def drop(self, keys: Collection[TopicPartition] | None = None) -> None:
        """Forget what is left, of these partitions or of all."""
        if keys is None or self._current_key in keys:
            self._current, self._current_key = iter(()), None
        self._left = deque(one for one in self._left if keys is not None and one[0] not in keys)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record to be given, of each partition with some left."""
        found = {key: records[0].offset for key, records in self._left if len(records)}
        if self._current_key is not None:
            found[self._current_key] = self._next_offset
        return found
