"""What users see of records: where one was written, and one as it was read.

Sequences of them are lazy: a batch that nobody looks into is not taken apart.  This module must not
know how records travel.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from odradek.accumulator import Outcome
from odradek.errors import OdradekError, error_for
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicPartition
from transport.wire.records import RecordBatchView, RecordError, Row

CREATE_TIME = 0
LOG_APPEND_TIME = 1


class RecordMetadata(NamedTuple):
    """Where a record was written. ``offset`` is −1 with acks=0, or when nobody remembers it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def timestamp(self) -> int:
        """The record's timestamp in milliseconds since the Unix epoch, by kafka-python's name."""
        return self.timestamp_ms

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition, by kafka-python's name."""
        return TopicPartition(self.topic, self.partition)


class WrittenRecords(Sequence[RecordMetadata]):
    """Where each record of one ``send_many`` was written, in the order in which they were given.

    Kept as runs of offsets, a few bytes per thousand records, until an element is asked for.
    """

    __slots__ = ("_count", "_offsets", "_partitions", "_parts", "_timestamp_ms", "_topic")

    def __init__(self, topic: str, timestamp_ms: int) -> None:
        self._topic = topic
        self._timestamp_ms = timestamp_ms
        self._parts: list[tuple[Outcome, int, Sequence[int], int]] = []
        self._count = 0
        self._offsets: array[int] | None = None
        self._partitions: array[int] | None = None

    def add(self, outcome: Outcome, first: int, positions: Sequence[int], base: int) -> None:
        """Note that the records at ``base`` + ``positions`` are in this batch from ``first`` on."""
        self._parts.append((outcome, first, positions, base))
        self._count += len(positions)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> RecordMetadata: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordMetadata]: ...
    def __getitem__(self, index: int | slice) -> RecordMetadata | list[RecordMetadata]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._count))]
        if self._offsets is None or self._partitions is None:
            self._partitions, self._offsets = self._unfold()
        return RecordMetadata(
            self._topic, self._partitions[index], self._offsets[index], self._timestamp_ms
        )

    def _unfold(self) -> tuple[array[int], array[int]]:
        partitions = array("i", bytes(4 * self._count))
        offsets = array("q", bytes(8 * self._count))
        for outcome, first, positions, base in self._parts:
            for index, position in enumerate(positions, first):
                partitions[base + position] = outcome.partition
                offsets[base + position] = outcome.offset(index)
        return partitions, offsets

    def __repr__(self) -> str:
        return f"WrittenRecords({self._count} records in {self._topic!r})"


class ConsumerRecord(NamedTuple):
    """One record as read, with kafka-python's names. Times in milliseconds since the Unix epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Any
    value: Any
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_type: int
    """0: as the producer set it; 1: when the broker appended it."""
    leader_epoch: int

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it was read from."""
        return TopicPartition(self.topic, self.partition)

    @property
    def timestamp_ms(self) -> int:
        """The timestamp, by the name that ``send`` has for it."""
        return self.timestamp


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


def _by_batch(pieces: Sequence[Piece]) -> Iterator[ConsumerRecord]:
    for batch, start, stop in pieces:
        if start == 0 and stop == batch.count:
            # Read through once as a rule: records that die young cost the collector nothing.
            yield from batch.decode()
        else:
            yield from batch.records()[start:stop]


def unknown_offset() -> OdradekError:
    """Return the error of a partition that has no position and no policy to find one."""
    return error_for(
        ErrorCode.OFFSET_OUT_OF_RANGE,
        "no position, and auto_offset_reset='none'; seek() first, or choose earliest or latest",
    )
