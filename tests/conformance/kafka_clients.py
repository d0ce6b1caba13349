"""The clients that people use for Kafka from Python, and ours, each writing and reading the same rows."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import odradek

WAIT_S = 30.0
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Row(NamedTuple):
    """A record, whoever writes or reads it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


class Place(NamedTuple):
    """Where to write and read: a cluster by both its tongues, and a topic of one partition."""

    kafka: str
    native: str
    topic: str


def imported(name: str) -> Any:
    """Import a library whatever it has to say about others that it uses."""
    import importlib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


# confluent-kafka (librdkafka)


def write_confluent(place: Place, rows: Iterable[Row], codec: str, **settings: Any) -> None:
    from confluent_kafka import Producer

    failed: list[Any] = []
    producer = Producer(
        {
            "bootstrap.servers": place.kafka,
            "compression.type": codec,
            "log_level": 2,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )
    for row in rows:
        producer.produce(
            place.topic,
            row.value,
            row.key,
            partition=0,
            timestamp=row.timestamp_ms,
            headers=list(row.headers),
            on_delivery=lambda error, _message: failed.append(error) if error else None,
        )
    left = producer.flush(WAIT_S)
    if left or failed:
        raise RuntimeError(f"{left} not written; {failed}")


def read_confluent(place: Place, count: int, **settings: Any) -> list[Row]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": place.kafka,
            "group.id": "unused",
            "log_level": 2,
            "enable.auto.commit": False,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )
    try:
        consumer.assign([TopicPartition(place.topic, 0, 0)])
        found: list[Any] = []
        while len(found) < count:
            messages = consumer.consume(count - len(found), timeout=WAIT_S)
            assert messages, f"{len(found)} of {count}"
            assert [message.error() for message in messages if message.error()] == []
            found += messages
    finally:
        consumer.close()
    return [
        Row(one.key(), one.value(), tuple(one.headers() or ()), one.timestamp()[1]) for one in found
    ]


# kafka-python


def write_kafka_python(place: Place, rows: Iterable[Row], codec: str, **settings: Any) -> None:
    kafka = imported("kafka")
    producer = kafka.KafkaProducer(
        bootstrap_servers=place.kafka.split(","),
        compression_type=None if codec == "none" else codec,
        **settings,
    )
    try:
        sent = [
            producer.send(
                place.topic,
                value=row.value,
                key=row.key,
                headers=list(row.headers),
                partition=0,
                timestamp_ms=row.timestamp_ms,
            )
            for row in rows
        ]
        producer.flush(WAIT_S)
        for one in sent:
            one.get(WAIT_S)
    finally:
        producer.close()


def read_kafka_python(place: Place, count: int, **settings: Any) -> list[Row]:
    kafka = imported("kafka")
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=place.kafka.split(","),
        consumer_timeout_ms=int(WAIT_S * 1000),
        **settings,
    )
    try:
        partition = kafka.TopicPartition(place.topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found = [next(consumer) for _ in range(count)]
    finally:
        consumer.close()
    return [
        Row(one.key, one.value, tuple((k, bytes(v)) for k, v in one.headers), one.timestamp)
        for one in found
    ]


# aiokafka


def write_aiokafka(place: Place, rows: Iterable[Row], codec: str, **settings: Any) -> None:
    async def write() -> None:
        producer = imported("aiokafka").AIOKafkaProducer(
            bootstrap_servers=place.kafka,
            compression_type=None if codec == "none" else codec,
            **settings,
        )
        await producer.start()
        try:
            sent = [
                await producer.send(
                    place.topic,
                    row.value,
                    row.key,
                    partition=0,
                    timestamp_ms=row.timestamp_ms,
                    headers=list(row.headers),
                )
                for row in rows
            ]
            await asyncio.wait_for(asyncio.gather(*sent), WAIT_S)
        finally:
            await producer.stop()

    asyncio.run(write())


def read_aiokafka(place: Place, count: int, **settings: Any) -> list[Row]:
    async def read() -> list[Any]:
        aiokafka = imported("aiokafka")
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=place.kafka, **settings)
        await consumer.start()
        try:
            partition = aiokafka.TopicPartition(place.topic, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            return [await asyncio.wait_for(consumer.getone(), WAIT_S) for _ in range(count)]
        finally:
            await consumer.stop()

    return [
        Row(one.key, one.value, tuple(one.headers), one.timestamp) for one in asyncio.run(read())
    ]


# Ours


def write_native(place: Place, rows: Iterable[Row], codec: str, **settings: Any) -> None:
    with odradek.Producer(
        place.native, compression_type=None if codec == "none" else codec, **settings
    ) as producer:
        for row in rows:
            producer.send(
                place.topic,
                row.value,
                key=row.key,
                partition=0,
                headers=list(row.headers),
                timestamp_ms=row.timestamp_ms,
            )
        producer.flush(timeout=WAIT_S)


def read_native(place: Place, count: int) -> list[Row]:
    found: list[Any] = []
    with odradek.Consumer(bootstrap_servers=place.native, auto_offset_reset="earliest") as consumer:
        consumer.assign([(place.topic, 0)])
        while len(found) < count:
            polled = consumer.poll(WAIT_S * 1000)
            assert polled, f"{len(found)} of {count}"
            found += [record for records in polled.values() for record in records]
    return [Row(one.key, one.value, tuple(one.headers), one.timestamp_ms) for one in found]


Write = Callable[..., None]
Read = Callable[[Place, int], list[Row]]

WRITERS: dict[str, Write] = {
    "confluent-kafka": write_confluent,
    "kafka-python": write_kafka_python,
    "aiokafka": write_aiokafka,
    "odradek": write_native,
}
READERS: dict[str, Read] = {
    "confluent-kafka": read_confluent,
    "kafka-python": read_kafka_python,
    "aiokafka": read_aiokafka,
    "odradek": read_native,
}
