"""Records that cannot be made into what the program wants: given up to them, and no further."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odradek import Consumer, Producer, TopicPartition, aio
from odradek.errors import RecordDeserializationError

T0 = TopicPartition("t", 0)
T1 = TopicPartition("t", 1)
WAIT_MS = 20_000


@pytest.fixture
def poisoned(real_loop: Any) -> Any:
    """Partition 0: 0, 1, poison, 3; partition 1: poison, 11."""
    real_loop.topic("t", 2)
    with Producer(real_loop.bootstrap) as producer:
        for partition, values in ((0, (b"0", b"1", b"poison", b"3")), (1, (b"poison", b"11"))):
            for value in values:
                producer.send("t", value, key=b"k", partition=partition)
    return real_loop


def consumer_of(cluster: Any, **settings: Any) -> Consumer:
    return Consumer(
        bootstrap_servers=cluster.bootstrap,
        auto_offset_reset="earliest",
        value_deserializer=int,
        **settings,
    )


def test_what_is_before_the_poison_is_given_and_reading_stands_at_it(poisoned: Any) -> None:
    with consumer_of(poisoned) as consumer:
        consumer.assign([T0])
        assert [record.value for record in consumer.poll(WAIT_MS)[T0]] == [0, 1]
        assert consumer.position(T0) == 2
        for _ in range(2):  # and stays there: nobody passes over it unsaid
            with pytest.raises(RecordDeserializationError, match="offset 2 of") as caught:
                consumer.poll(WAIT_MS)
            assert (caught.value.topic_partition, caught.value.offset) == (T0, 2)
            assert caught.value.record is not None
            assert (caught.value.record.key, caught.value.record.value) == (b"k", b"poison")
            assert isinstance(caught.value.__cause__, ValueError)
        consumer.seek(T0, 3)
        assert [record.value for record in consumer.poll(WAIT_MS)[T0]] == [3]


def test_iteration_stops_at_the_poison_and_goes_on_behind_it(poisoned: Any) -> None:
    values = []
    with consumer_of(poisoned, consumer_timeout_ms=300) as consumer:
        consumer.assign([T0, T1])
        for _ in range(3):
            try:
                for record in consumer:
                    values.append(record.value)
            except RecordDeserializationError as error:
                consumer.seek(error.topic_partition, error.offset + 1)
    assert sorted(values) == [0, 1, 3, 11]


def test_the_asyncio_consumer_meets_it_too(poisoned: Any) -> None:
    async def read() -> list[int]:
        values: list[int] = []
        async with aio.Consumer(
            bootstrap_servers=poisoned.bootstrap,
            auto_offset_reset="earliest",
            value_deserializer=int,
        ) as consumer:
            await consumer.assign([T0])
            while len(values) < 3:
                try:
                    polled = await consumer.poll(WAIT_MS)
                except RecordDeserializationError as error:
                    await consumer.seek(error.topic_partition, error.offset + 1)
                else:
                    values += [record.value for record in polled[T0]]
        return values

    assert asyncio.run(read()) == [0, 1, 3]
