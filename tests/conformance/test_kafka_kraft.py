"""The same listener where brokers coordinate themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator

import kafka
import pytest

from odradek.testing import Cluster
from tests.conformance.kafka_clients import READERS, WAIT_S, WRITERS, Place
from tests.conformance.test_kafka_failover import row


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes, each broker and controller."""
    settings = {"broker": {"auto_create_topics": True, "num_partitions": 1}}
    with Cluster.start(mode="kraft", settings=settings) as one:
        yield one


@pytest.mark.parametrize("client", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_each_client_writes_and_reads(cluster: Cluster, client: str) -> None:
    place = Place(cluster.kafka_bootstrap, cluster.bootstrap, f"by-{client}")
    rows = [row(number) for number in range(100)]
    WRITERS[client](place, rows, "gzip")
    assert READERS[client](place, len(rows)) == rows


def test_a_reader_with_a_fetch_session_goes_on_at_the_next_leader(cluster: Cluster) -> None:
    """kafka-python names only what is new (KIP-227); what it pauses it takes out."""
    place = Place(cluster.kafka_bootstrap, cluster.bootstrap, "in-session")
    WRITERS["odradek"](place, [row(number) for number in range(3)], "none")
    cluster.wait_full_isr(place.topic)
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=place.kafka.split(","), auto_offset_reset="earliest"
    )
    partition = kafka.TopicPartition(place.topic, 0)
    consumer.assign([partition])

    def take(count: int) -> list[bytes]:
        until_s = time.monotonic() + WAIT_S
        found: list[bytes] = []
        while len(found) < count:
            assert time.monotonic() < until_s, found
            for records in consumer.poll(100).values():
                found += [record.value for record in records]
        return found

    try:
        assert take(3) == [row(number).value for number in range(3)]
        consumer.pause(partition)
        WRITERS["odradek"](place, [row(3)], "none")
        assert consumer.poll(300) == {}
        consumer.resume(partition)
        assert take(1) == [row(3).value]
        cluster.kill_leader(place.topic, 0)
        WRITERS["odradek"](place, [row(4)], "none")
        assert take(1) == [row(4).value]
        consumer.seek(partition, 0)
        assert take(5) == [row(number).value for number in range(5)]
    finally:
        consumer.close()


def test_a_writer_goes_on_when_the_controller_that_leads_dies(cluster: Cluster) -> None:
    place = Place(cluster.kafka_bootstrap, cluster.bootstrap, "moves")
    WRITERS["odradek"](place, [row(0)], "none")
    cluster.wait_full_isr(place.topic)

    def rows() -> Iterator[object]:
        for number in range(1, 200):
            if number == 100:
                cluster.kill_leader(place.topic, 0)
            yield row(number)

    WRITERS["confluent-kafka"](place, rows(), "none", enable_idempotence=True)
    assert READERS["odradek"](place, 200) == [row(number) for number in range(200)]
