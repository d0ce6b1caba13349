"""Interceptors and metrics of producers and consumers, against scripted brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from odradek import Consumer, Producer, RecordMetadata, TopicPartition, aio
from odradek.interceptors import ConsumerInterceptor, ProducerInterceptor, ProducerRecord
from odradek.records import ConsumerRecord

T0 = TopicPartition("t", 0)
WAIT_S = 20


class Stamping(ProducerInterceptor):
    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.ends: list[RecordMetadata | BaseException | None] = []
        self.closed = 0

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        if record.value == "refused":
            raise ValueError("refused by the interceptor")
        return record._replace(
            value=record.value + self.mark, headers=(*record.headers, ("by", self.mark.encode()))
        )

    def on_acknowledgement(
        self, metadata: RecordMetadata | None, error: BaseException | None
    ) -> None:
        self.ends.append(metadata or error)
        raise RuntimeError("must not harm the client")

    def close(self) -> None:
        self.closed += 1


def test_a_producers_interceptors_see_records_before_they_are_serialized(real_loop: Any) -> None:
    topic = real_loop.topic("t")
    first, second = Stamping("1"), Stamping("2")
    with Producer(
        real_loop.bootstrap, value_serializer=str.encode, interceptors=[first, second]
    ) as producer:
        assert producer.send("t", "a").result(WAIT_S).offset == 0
        written = producer.send_many("t", [(None, "b"), (b"k", "c")]).result(WAIT_S)
        assert [one.offset for one in written] == [1, 2]
        with pytest.raises(ValueError, match="refused by the interceptor"):
            producer.send("t", "refused")
        with pytest.raises(Exception, match="partition"):
            producer.send("t", "d", partition=7).result(WAIT_S)
    assert topic.partitions[0].values() == [b"a12", b"b12", b"c12"]
    assert [getattr(end, "offset", None) for end in first.ends] == [0, 1, 2, None]
    assert isinstance(second.ends[-1], Exception)
    assert (first.closed, second.closed) == (1, 1)


class Filtering(ConsumerInterceptor):
    def __init__(self) -> None:
        self.closed = 0

    def on_consume(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        return {
            key: [record for record in some if record.value % 2] for key, some in records.items()
        }

    def close(self) -> None:
        self.closed += 1


def test_a_consumers_interceptors_see_what_is_given(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap) as producer:
        producer.send_many("t", [(None, b"%d" % number) for number in range(10)]).result(WAIT_S)
    filtering = Filtering()
    with Consumer(
        "t",
        bootstrap_servers=real_loop.bootstrap,
        auto_offset_reset="earliest",
        value_deserializer=int,
        interceptors=[filtering],
    ) as consumer:
        assert [record.value for record in consumer.poll(WAIT_S * 1000)[T0]] == [1, 3, 5, 7, 9]
        metrics = consumer.metrics()["consumer-fetch-manager-metrics"]
        assert metrics["records-consumed-total"] == 10
        assert metrics["fetch-total"] >= 1
        assert metrics["assigned-partitions"] == 1
    assert filtering.closed == 1


def test_a_producer_counts_what_it_does(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap) as producer:
        producer.send_many("t", [(None, b"x" * 100)] * 50).result(WAIT_S)
        metrics = producer.metrics()["producer-metrics"]
    assert metrics["record-send-total"] == 50
    assert metrics["record-error-total"] == 0
    assert metrics["byte-total"] > 5_000
    assert metrics["request-total"] >= 1
    assert metrics["buffer-available-bytes"] == metrics["buffer-total-bytes"]


def test_the_asyncio_clients_count_too(real_loop: Any) -> None:
    real_loop.topic("t")

    async def write() -> float:
        async with aio.Producer(real_loop.bootstrap) as producer:
            await producer.send("t", b"x")
            return (await producer.metrics())["producer-metrics"]["record-send-total"]

    async def read() -> float:
        async with aio.Consumer(
            "t", bootstrap_servers=real_loop.bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            await consumer.poll(WAIT_S * 1000)
            metrics = await consumer.metrics()
            return metrics["consumer-fetch-manager-metrics"]["records-consumed-total"]

    assert asyncio.run(write()) == 1
    assert asyncio.run(read()) == 1
