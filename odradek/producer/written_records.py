"""Where the records of one ``send_many`` were written: a sequence that is made when looked at."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import overload

from odradek.producer.accumulator import Outcome
from odradek.records import RecordMetadata


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
