"""Records of fetched batches in their order, as ``poll`` gives them.

A batch that nobody looks into is not taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from odradek.errors import OdradekError, error_for
from odradek.records import CREATE_TIME, LOG_APPEND_TIME, ConsumerRecord
from transport.wire.records import RecordBatchView, RecordError, Row

_new = tuple.__new__


class FetchedBatch:
    """One batch of one partition: counted without being opened, decoded once when first touched."""

    __slots__ = ("_records", "_view", "count", "partition", "topic")

    def __init__(self, topic: str, partition: int, view: RecordBatchView) -> None:
        self.topic = topic
        self.partition = partition
        self.count = len(view)
        self._view: RecordBatchView | None = view
        self._records: list[ConsumerRecord] = []

    def records(self) -> list[ConsumerRecord]:
        """Return the records, and keep them; raises what :meth:`decode` does."""
        if self._view is not None:
            self._records = self.decode()
            self._view = None
        return self._records

    def decode(self) -> list[ConsumerRecord]:
        """Return the records; raises the error of a damaged batch."""
        view = self._view
        if view is None:
            return self._records
        try:
            rows = view.rows()
        except RecordError as error:
            text = f"{self.topic}-{self.partition}: {error.text}"
            raise error_for(error.error, text) from None
        return self._make_all(view, rows)

    def offset_at(self, index: int) -> int:
        """Return the offset of a record; if that cannot be read, the first that it may have."""
        view = self._view
        if view is None:
            return self._records[index].offset
        header = view.header
        first = max(header.base_offset, view.from_offset)
        if header.record_count == header.last_offset_delta + 1:
            return first + index
        try:
            return self.records()[index].offset  # compacted: only its records know
        except OdradekError:
            return first

    def _make_all(self, view: RecordBatchView, rows: list[Row]) -> list[ConsumerRecord]:
        topic, partition = self.topic, self.partition
        kind = LOG_APPEND_TIME if view.header.is_log_append_time else CREATE_TIME
        epoch = view.header.leader_epoch
        # A quarter of a microsecond each; the class's own constructor takes twice as long.
        return [
            _new(ConsumerRecord, (topic, partition, offset, ms, key, value, headers, kind, epoch))
            for offset, ms, key, value, headers in rows
        ]


class Piece(NamedTuple):
    """Records ``start`` to ``stop`` of a batch."""

    batch: FetchedBatch
    start: int
    stop: int


class FetchedRecords(Sequence[ConsumerRecord]):
    """Records of one partition in order, as ``poll`` gives them; batches are opened on touch."""

    __slots__ = ("_count", "_pieces", "_records")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = tuple(pieces)
        self._count = sum(piece.stop - piece.start for piece in pieces)
        self._records: list[ConsumerRecord] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def first_offset(self) -> int:
        """The offset of the first record, which is not taken apart for it."""
        if self._records is not None:
            return self._records[0].offset
        batch, start, _ = self._pieces[0]
        return batch.offset_at(start)

    def _all(self) -> list[ConsumerRecord]:
        if self._records is None:
            records: list[ConsumerRecord] = []
            for batch, start, stop in self._pieces:
                records += batch.records()[start:stop]
            self._records, self._pieces = records, ()
        return self._records

    def __iter__(self) -> Iterator[ConsumerRecord]:
        if self._records is not None:
            return iter(self._records)
        return _by_batch(self._pieces)

    @overload
    def __getitem__(self, index: int) -> ConsumerRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[ConsumerRecord]: ...
    def __getitem__(self, index: int | slice) -> ConsumerRecord | list[ConsumerRecord]:
        return self._all()[index]

    def __repr__(self) -> str:
        return f"FetchedRecords({self._count} records)"


def first_offset(records: Sequence[ConsumerRecord]) -> int:
    """Return the offset of the first of some records, also where it cannot be taken apart."""
    return records.first_offset if isinstance(records, FetchedRecords) else records[0].offset


def _by_batch(pieces: Sequence[Piece]) -> Iterator[ConsumerRecord]:
    for batch, start, stop in pieces:
        if start == 0 and stop == batch.count:
            # Read through once as a rule: records that die young cost the collector nothing.
            yield from batch.decode()
        else:
            yield from batch.records()[start:stop]
