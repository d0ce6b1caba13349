"""Where a program that iterates stands in what was polled for it. Pure.

The loop is further than that: it has taken all of it.  What is not given yet is given by the next
poll, is not committed, and goes with a seek.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

from odradek.consumer.fetched_records import FetchedRecords, first_offset
from odradek.errors import OdradekError
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

Polled = dict[TopicPartition, Sequence[ConsumerRecord]]


class _Damaged(FetchedRecords):
    """What is left of a partition whose next record cannot be taken apart: raised until a seek."""

    __slots__ = ("_error", "_offset")

    def __init__(self, offset: int, error: OdradekError) -> None:
        super().__init__(())
        self._offset = offset
        self._error = error

    def __len__(self) -> int:
        return 1

    def _all(self) -> list[ConsumerRecord]:
        raise self._error

    def __iter__(self) -> Iterator[ConsumerRecord]:
        raise self._error

    @property
    def first_offset(self) -> int:
        return self._offset


class Iteration:
    """The records left of the latest poll, one partition after the other."""

    def __init__(self) -> None:
        self._left: deque[tuple[TopicPartition, Sequence[ConsumerRecord]]] = deque()
        self._current: Iterator[ConsumerRecord] = iter(())
        self._records: Sequence[ConsumerRecord] = ()
        """All that it gives."""
        self._current_key: TopicPartition | None = None
        self._next_offset = 0

    def keep(self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """Take what was polled."""
        self._left.extend((key, records) for key, records in polled.items() if len(records))

    def next(self) -> ConsumerRecord | None:
        """Return the next record; None when there are no more."""
        while True:
            try:
                for record in self._current:
                    self._next_offset = record.offset + 1
                    return record
                self._put_down()
                if not self._left:
                    return None
                self._current_key, records = self._left.popleft()
                self._next_offset = first_offset(records)
                self._current, self._records = iter(records), records
            except OdradekError as error:
                self._stand_at(error)
                raise

    def rest(self) -> Iterator[ConsumerRecord]:
        """Give those of the present partition, without a call for each."""
        current = self._current
        try:
            for record in current:
                self._next_offset = record.offset + 1
                yield record
                if current is not self._current:
                    return  # the program has polled or sought meanwhile
        except OdradekError as error:
            self._stand_at(error)
            raise

    def _stand_at(self, error: OdradekError) -> None:
        """Keep what cannot be taken apart, to be raised again: it is neither given nor passed over."""
        assert self._current_key is not None, "its partition"
        self._left.appendleft((self._current_key, _Damaged(self._next_offset, error)))
        self._put_down()

    def _put_down(self) -> None:
        """Stand within no partition, and hold none of its records."""
        self._current, self._records, self._current_key = iter(()), (), None

    def take(self, records_max: int) -> Polled:
        """Return what would be given next, up to ``records_max`` records."""
        if self._current_key is not None:
            key, given = self._current_key, self._next_offset
            rest: list[ConsumerRecord] = []
            try:
                rest.extend(self._current)
            except OdradekError as error:
                self._left.appendleft(
                    (key, _Damaged(rest[-1].offset + 1 if rest else given, error))
                )
            self._left.appendleft((key, rest))
            self._put_down()
        taken: Polled = {}
        while self._left and records_max > 0:
            key, records = self._left[0]
            if key in taken:
                break  # what cannot be taken apart, behind what can
            if len(records) > records_max:
                self._left[0] = key, records[records_max:]
                records = records[:records_max]
            else:
                self._left.popleft()
            if len(records):
                taken[key] = records
                records_max -= len(records)
        return taken

    def drop(self, keys: Collection[TopicPartition] | None = None) -> None:
        """Forget what is left, of these partitions or of all."""
        if keys is None or self._current_key in keys:
            self._put_down()
        self._left = deque(one for one in self._left if keys is not None and one[0] not in keys)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record to be given, of each partition with some left."""
        found: dict[TopicPartition, int] = {}
        for key, records in self._left:
            if len(records):
                found.setdefault(key, first_offset(records))
        if self._current_key is not None and not self._is_given():
            found[self._current_key] = self._next_offset
        return found

    def _is_given(self) -> bool:
        """Tell whether nothing is left of the present partition: then it stands where the loop does."""
        try:
            return not self._records or self._records[-1].offset < self._next_offset
        except OdradekError:  # it cannot be taken apart
            return False
