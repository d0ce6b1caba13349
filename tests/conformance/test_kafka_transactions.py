"""Transactions of Kafka's own clients: whole or not at all, once, fenced, through a lost coordinator."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import confluent_kafka
import kafka
import pytest

import odradek
from odradek import AdminClient, NewTopic
from odradek.testing import Cluster

WAIT_S = 20.0
PARTITIONS = 2
LAST = b"last"
ROUNDS = ((b"one", True), (b"void", False), (b"two", True))
"""What is written in each transaction, and whether that is committed."""
DESCRIBE = (sys.executable, "-P", "-m", "supervisor", "transaction", "describe")


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name.replace("[", "-").rstrip("]"))
    make(cluster, name)
    return name


def make(cluster: Cluster, name: str) -> None:
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=3)])


def confluent_producer(cluster: Cluster, transactional_id: str) -> confluent_kafka.Producer:
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": cluster.kafka_bootstrap,
            "transactional.id": transactional_id,
            "log_level": 2,
        }
    )
    producer.init_transactions(WAIT_S)
    return producer


def confluent_consumer(cluster: Cluster, topic: str, **settings: Any) -> confluent_kafka.Consumer:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": cluster.kafka_bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 2,
            **settings,
        }
    )
    consumer.subscribe([topic])
    return consumer


def take(consumer: confluent_kafka.Consumer, count: int) -> list[confluent_kafka.Message]:
    until_s = time.monotonic() + WAIT_S
    found: list[confluent_kafka.Message] = []
    while len(found) < count:
        assert time.monotonic() < until_s, [one.value() for one in found]
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            found.append(message)
    return found


def values(messages: list[confluent_kafka.Message]) -> list[bytes]:
    return sorted(one.value() or b"" for one in messages)


def read_by_ours(cluster: Cluster, topic: str, isolation_level: str) -> list[bytes]:
    """Read everything there is: up to a last record that is written to each partition for it."""
    keys = [odradek.TopicPartition(topic, number) for number in range(PARTITIONS)]
    with odradek.Producer(bootstrap_servers=cluster.bootstrap) as producer:
        for key in keys:
            producer.send(topic, LAST, partition=key.partition)
    found: list[bytes] = []
    with odradek.Consumer(
        bootstrap_servers=cluster.bootstrap, isolation_level=isolation_level
    ) as consumer:
        consumer.assign(keys)
        consumer.seek_to_beginning(*keys)
        until_s = time.monotonic() + WAIT_S
        ended: set[odradek.TopicPartition] = set()
        ends = consumer.end_offsets(keys)
        while len(ended) < PARTITIONS:
            assert time.monotonic() < until_s, found
            for key, records in consumer.poll(timeout_ms=100).items():
                found += [record.value or b"" for record in records if record.value != LAST]
                if records[-1].offset == ends[key] - 1:
                    ended.add(key)
    return sorted(found)


# Written by three libraries


def _write(
    producer: Any,
    send: Callable[[bytes, int], object],
    wait: tuple[float, ...] = (),
) -> None:
    """What two libraries call the same."""
    for word, commits in ROUNDS:
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            send(word, partition)
        producer.flush(WAIT_S)
        (producer.commit_transaction if commits else producer.abort_transaction)(*wait)


def _confluent(cluster: Cluster, topic: str) -> None:
    producer = confluent_producer(cluster, topic)
    _write(
        producer, lambda word, number: producer.produce(topic, word, partition=number), (WAIT_S,)
    )


def _kafka_python(cluster: Cluster, topic: str) -> None:
    producer = kafka.KafkaProducer(
        bootstrap_servers=cluster.kafka_bootstrap, transactional_id=topic
    )
    producer.init_transactions()
    _write(producer, lambda word, number: producer.send(topic, word, partition=number))
    producer.close()


def _aiokafka(cluster: Cluster, topic: str) -> None:
    from aiokafka import AIOKafkaProducer

    async def write() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=cluster.kafka_bootstrap, transactional_id=topic
        )
        await producer.start()
        for word, commits in ROUNDS:
            await producer.begin_transaction()
            for partition in range(PARTITIONS):
                await producer.send_and_wait(topic, word, partition=partition)
            await (producer.commit_transaction if commits else producer.abort_transaction)()
        await producer.stop()

    asyncio.run(asyncio.wait_for(write(), 2 * WAIT_S))


@pytest.mark.parametrize("write", [_confluent, _kafka_python, _aiokafka])
def test_a_transaction_is_seen_whole_or_not_at_all(
    cluster: Cluster, topic: str, write: Callable[[Cluster, str], None]
) -> None:
    write(cluster, topic)
    committed = [b"one"] * PARTITIONS + [b"two"] * PARTITIONS
    consumer = confluent_consumer(cluster, topic)
    assert values(take(consumer, len(committed))) == committed
    consumer.close()
    assert read_by_ours(cluster, topic, "read_committed") == committed
    everything = sorted([*committed, *[b"void"] * PARTITIONS])
    assert read_by_ours(cluster, topic, "read_uncommitted") == everything


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_is_read_and_written_together_counts_once(
    cluster: Cluster, topic: str, protocol: str
) -> None:
    """Consume, transform, produce; the first try is aborted, and its reader begins again."""
    result = f"{topic}-result"
    make(cluster, result)
    plain = confluent_kafka.Producer({"bootstrap.servers": cluster.kafka_bootstrap})
    for number in range(10):
        plain.produce(topic, b"%d" % number, partition=number % PARTITIONS)
    plain.flush(WAIT_S)
    for commits in (False, True):
        producer = confluent_producer(cluster, topic)
        consumer = confluent_consumer(cluster, topic, **{"group.protocol": protocol})
        read = take(consumer, 10)
        producer.begin_transaction()
        for message in read:
            producer.produce(result, b"<%s>" % (message.value() or b""))
        positions = consumer.position(consumer.assignment())
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(positions, metadata, WAIT_S)
        if commits:
            producer.commit_transaction(WAIT_S)
            told = consumer.committed(consumer.assignment(), WAIT_S)
            assert sorted(one.offset for one in told) == [5, 5]
        else:
            producer.abort_transaction(WAIT_S)
        consumer.close()
    expected = sorted(b"<%d>" % number for number in range(10))
    assert read_by_ours(cluster, result, "read_committed") == expected
    with AdminClient(bootstrap_servers=cluster.bootstrap) as ours:
        found = ours.list_consumer_group_offsets(topic)
    assert [one.offset for one in found.values()] == [5, 5]


def test_a_newer_producer_fences_the_older_one(cluster: Cluster, topic: str) -> None:
    older = confluent_producer(cluster, topic)
    older.begin_transaction()
    older.produce(topic, b"void", partition=0)
    older.flush(WAIT_S)
    newer = confluent_producer(cluster, topic)
    with pytest.raises(confluent_kafka.KafkaException) as raised:
        older.commit_transaction(WAIT_S)
    assert raised.value.args[0].code() == confluent_kafka.KafkaError._FENCED
    newer.begin_transaction()
    newer.produce(topic, b"one", partition=0)
    newer.commit_transaction(WAIT_S)
    assert read_by_ours(cluster, topic, "read_committed") == [b"one"]
    ours = odradek.Producer(bootstrap_servers=cluster.bootstrap, transactional_id=topic)
    with ours:
        ours.init_transactions()
        newer.begin_transaction()
        newer.produce(topic, b"void", partition=0)
        with pytest.raises(confluent_kafka.KafkaException):
            newer.commit_transaction(WAIT_S)
        with ours.transaction():
            ours.send(topic, b"two", partition=0)
    assert read_by_ours(cluster, topic, "read_committed") == [b"one", b"two"]


def test_a_transaction_outlives_its_coordinator(cluster: Cluster, topic: str) -> None:
    producer = confluent_producer(cluster, topic)
    producer.begin_transaction()
    producer.produce(topic, b"one", partition=0)
    producer.flush(WAIT_S)
    described = subprocess.run(
        [*DESCRIBE, topic, "--bootstrap", cluster.bootstrap],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Ongoing" in described.stdout
    leader = cluster.leader("__transaction_state", coordinator_partition(cluster, topic))
    assert leader is not None
    cluster.kill(leader)
    producer.commit_transaction(WAIT_S)
    cluster.wait_ready()
    assert read_by_ours(cluster, topic, "read_committed") == [b"one"]


def coordinator_partition(cluster: Cluster, transactional_id: str) -> int:
    from transport.wire.checksum import crc32c

    count = len(cluster.partitions("__transaction_state"))
    return int(crc32c(transactional_id.encode()) % count)
