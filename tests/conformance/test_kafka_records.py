"""Records of Kafka's own clients: written and read by each of them, and by ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from odradek.testing import Cluster
from tests.conformance.kafka_clients import (
    CODECS,
    READERS,
    WAIT_S,
    WRITERS,
    Place,
    Row,
    imported,
)

ROWS_EACH = 20
BASE_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three brokers, three coordinators."""
    with Cluster.start(
        settings={"broker": {"auto_create_topics": True, "num_partitions": 1}}
    ) as one:
        yield one


def place_in(cluster: Cluster, topic: str) -> Place:
    return Place(cluster.kafka_bootstrap, cluster.bootstrap, topic)


def rows_of(name: str, count: int = ROWS_EACH, size: int = 50) -> list[Row]:
    """Return rows that compress, some without a key, some with headers."""
    return [
        Row(
            None if number % 5 == 0 else f"key-{number}".encode(),
            (f"{name}-{number}-".encode() * size)[: size * 10],
            (("name", name.encode()), ("empty", b"")) if number % 2 else (),
            BASE_MS + number,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def written(cluster: Cluster) -> dict[str, list[Row]]:
    """Return for each writer the rows of its topic: every codec, one after another."""
    found: dict[str, list[Row]] = {}
    for name, write in WRITERS.items():
        place = place_in(cluster, f"by-{name}")
        for codec in CODECS:
            rows = rows_of(f"{name}-{codec}")
            write(place, rows, codec)
            found.setdefault(name, []).extend(rows)
    return found


@pytest.mark.parametrize("writer", list(WRITERS))
@pytest.mark.parametrize("reader", list(READERS))
def test_what_one_client_writes_another_reads(
    cluster: Cluster, written: dict[str, list[Row]], writer: str, reader: str
) -> None:
    rows = written[writer]
    assert READERS[reader](place_in(cluster, f"by-{writer}"), len(rows)) == rows


@pytest.mark.parametrize("acks", [0, 1, -1])
@pytest.mark.parametrize("writer", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_each_way_of_being_sure(cluster: Cluster, writer: str, acks: int) -> None:
    place = place_in(cluster, f"acks-{writer}-{-acks}")
    rows = rows_of("acks")
    idempotent = {} if acks < 0 else {"enable_idempotence": False}
    WRITERS["odradek"](place, rows[:1], "none")  # acks=0 would not hear of a leader yet to serve
    WRITERS[writer](place, rows[1:], "none", acks=_acks(writer, acks), **idempotent)
    assert READERS["odradek"](place, len(rows)) == rows


def _acks(writer: str, acks: int) -> Any:
    return "all" if acks < 0 and writer != "confluent-kafka" else acks


@pytest.mark.parametrize("writer", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_large_records_and_too_large_ones(cluster: Cluster, writer: str) -> None:
    place = place_in(cluster, f"large-{writer}")
    larger = {
        "confluent-kafka": {"message_max_bytes": 5_000_000},
        "kafka-python": {"max_request_size": 5_000_000, "max_block_ms": 20_000},
        "aiokafka": {"max_request_size": 5_000_000},
    }[writer]
    large = [Row(b"large", bytes(1_000_000), (), BASE_MS)]
    WRITERS[writer](place, large, "none", **larger)
    too_large = [Row(b"too large", bytes(2_000_000), (), BASE_MS)]
    with pytest.raises(Exception, match=r"(?i)large|MSG_SIZE|10\b"):
        WRITERS[writer](place, too_large, "none", **larger)
    assert READERS[writer](place, 1) == large


# Offsets


@pytest.fixture(scope="module")
def timed(cluster: Cluster) -> Place:
    """Return a topic of twenty records, a millisecond apart."""
    place = place_in(cluster, "timed")
    WRITERS["odradek"](place, rows_of("timed"), "none")
    return place


def test_confluent_finds_offsets_by_time_and_seeks(timed: Place) -> None:
    from confluent_kafka import OFFSET_END, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": timed.kafka, "group.id": "x", "log_level": 2})
    try:
        partition = TopicPartition(timed.topic, 0)
        assert consumer.get_watermark_offsets(partition, timeout=WAIT_S) == (0, ROWS_EACH)
        at = [TopicPartition(timed.topic, 0, BASE_MS + ms) for ms in (7,)]
        assert [one.offset for one in consumer.offsets_for_times(at, timeout=WAIT_S)] == [7]
        late = [TopicPartition(timed.topic, 0, BASE_MS + 1_000_000)]
        assert [one.offset for one in consumer.offsets_for_times(late, WAIT_S)] == [OFFSET_END]
        consumer.assign([TopicPartition(timed.topic, 0, 15)])
        assert _polled(consumer) == 15
        consumer.seek(TopicPartition(timed.topic, 0, 3))
        assert _polled(consumer) == 3
    finally:
        consumer.close()


def _polled(consumer: Any) -> int:
    message = consumer.poll(WAIT_S)
    assert message is not None
    assert message.error() is None
    offset: int = message.offset()
    return offset


def test_kafka_python_finds_offsets_by_time_and_seeks(timed: Place) -> None:
    kafka = imported("kafka")
    consumer = kafka.KafkaConsumer(bootstrap_servers=timed.kafka.split(","))
    try:
        partition = kafka.TopicPartition(timed.topic, 0)
        assert consumer.partitions_for_topic(timed.topic) == {0}
        assert consumer.beginning_offsets([partition]) == {partition: 0}
        assert consumer.end_offsets([partition]) == {partition: ROWS_EACH}
        found = consumer.offsets_for_times({partition: BASE_MS + 7})[partition]
        assert (found.offset, found.timestamp) == (7, BASE_MS + 7)
        assert consumer.offsets_for_times({partition: BASE_MS + 10**6}) == {partition: None}
        consumer.assign([partition])
        for offset in (15, 3):
            consumer.seek(partition, offset)
            assert next(consumer).offset == offset
    finally:
        consumer.close()


def test_aiokafka_finds_offsets_by_time_and_seeks(timed: Place) -> None:
    import asyncio

    async def look() -> None:
        aiokafka = imported("aiokafka")
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=timed.kafka)
        await consumer.start()
        try:
            partition = aiokafka.TopicPartition(timed.topic, 0)
            consumer.assign([partition])
            assert await consumer.beginning_offsets([partition]) == {partition: 0}
            assert await consumer.end_offsets([partition]) == {partition: ROWS_EACH}
            found = (await consumer.offsets_for_times({partition: BASE_MS + 7}))[partition]
            assert (found.offset, found.timestamp) == (7, BASE_MS + 7)
            for offset in (15, 3):
                consumer.seek(partition, offset)
                assert (await asyncio.wait_for(consumer.getone(), WAIT_S)).offset == offset
        finally:
            await consumer.stop()

    asyncio.run(look())


# What is no Kafka


def test_noise_on_the_port_harms_nobody(cluster: Cluster, timed: Place) -> None:
    import socket

    host, _, port = cluster.kafka_bootstrap.split(",")[0].rpartition(":")
    for noise in (b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x0a\0\x03\0\x63\0\0\0\x01\0\0"):
        with socket.create_connection((host, int(port)), WAIT_S) as connection:
            connection.settimeout(WAIT_S)
            connection.sendall(noise)
            assert connection.recv(1) == b""
    assert len(READERS["confluent-kafka"](timed, ROWS_EACH)) == ROWS_EACH
