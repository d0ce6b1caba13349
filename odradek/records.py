"""What users see of records: where one was written, and one as it was read.

This module must not know how records travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from transport.wire.ids import TopicPartition

CREATE_TIME = 0
LOG_APPEND_TIME = 1

Headers = Sequence[tuple[str, bytes | None]]


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
