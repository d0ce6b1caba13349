"""Records as bytes made into what the program wants, and the poison among them. Pure.

Runs on the program's own thread, with what a poll has given: a deserializer may be slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from odradek.consumer.fetched_records import first_offset
from odradek.errors import OdradekError, RecordDeserializationError
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

Deserializer = Callable[[bytes], Any]
Records = dict[TopicPartition, Sequence[ConsumerRecord]]


class Stop(NamedTuple):
    """Where a partition cannot be read on, and why."""

    partition: TopicPartition
    offset: int
    error: OdradekError


class Deserializers(NamedTuple):
    """What one consumer makes of keys and values; None: they stay bytes."""

    of_key: Deserializer | None = None
    of_value: Deserializer | None = None

    @property
    def are_none(self) -> bool:
        """Keys and values stay bytes."""
        return self.of_key is None and self.of_value is None

    def all(
        self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> tuple[Records, list[Stop]]:
        """Return the records of each partition up to its first that fails, and where those are.

        So does a batch that cannot be taken apart.  Partitions that begin with one are left out.
        """
        made: Records = {}
        stops: list[Stop] = []
        for key, records in polled.items():
            good: list[ConsumerRecord] = []
            try:
                good.extend(map(self.one, records))
            except RecordDeserializationError as error:
                stops.append(Stop(key, error.offset, error))
            except OdradekError as error:
                offset = good[-1].offset + 1 if good else first_offset(records)
                stops.append(Stop(key, offset, error))
            if good:
                made[key] = good
        return made, stops

    def one(self, record: ConsumerRecord) -> ConsumerRecord:
        """Return one record with its key and value made; RecordDeserializationError."""
        key = _made("key", record.key, self.of_key, record)
        value = _made("value", record.value, self.of_value, record)
        return record._replace(key=key, value=value)


def _made(
    what: str, data: bytes | None, deserializer: Deserializer | None, record: ConsumerRecord
) -> Any:
    if data is None or deserializer is None:
        return data
    try:
        return deserializer(data)
    except Exception as error:
        where = record.topic_partition
        text = (
            f"the {what}_deserializer failed at offset {record.offset} of {where}: {error!r}; "
            f"consumer.seek({tuple(where)!r}, {record.offset + 1}) passes over it"
        )
        raise RecordDeserializationError(text, record) from error
