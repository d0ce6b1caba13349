"""Leaders die under Kafka's own clients: nothing acknowledged is lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from odradek.testing import Cluster
from tests.conformance.kafka_clients import READERS, WAIT_S, WRITERS, Place, Row

ROWS = 600
BASE_MS = 1_700_000_000_000
IDEMPOTENT = {"enable_idempotence": True, "acks": "all"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three brokers, three coordinators."""
    settings = {"broker": {"auto_create_topics": True, "num_partitions": 1}}
    with Cluster.start(settings=settings) as one:
        yield one


def row(number: int) -> Row:
    return Row(None, b"%d" % number, (), BASE_MS + number)


@pytest.mark.parametrize("writer", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_an_idempotent_writer_goes_on_at_the_next_leader(cluster: Cluster, writer: str) -> None:
    place = Place(cluster.kafka_bootstrap, cluster.bootstrap, f"by-{writer}")
    WRITERS["odradek"](place, [row(0)], "none")
    cluster.wait_full_isr(place.topic)

    def rows() -> Iterator[Row]:
        for number in range(1, ROWS):
            if number == ROWS // 2:
                cluster.kill_leader(place.topic, 0)
            yield row(number)

    WRITERS[writer](place, rows(), "lz4", **IDEMPOTENT)
    assert READERS["odradek"](place, ROWS) == [row(number) for number in range(ROWS)]
    cluster.wait_full_isr(place.topic)


def test_a_reader_goes_on_at_the_next_leader(cluster: Cluster) -> None:
    from confluent_kafka import Consumer, TopicPartition

    place = Place(cluster.kafka_bootstrap, cluster.bootstrap, "read-on")
    WRITERS["odradek"](place, map(row, range(ROWS)), "none")
    cluster.wait_full_isr(place.topic)
    settings = {"bootstrap.servers": place.kafka, "group.id": "unused", "log_level": 2}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(place.topic, 0, 0)])
        found: list[bytes | None] = []
        while len(found) < 2 * ROWS:
            if len(found) == ROWS:
                cluster.kill_leader(place.topic, 0)
                WRITERS["odradek"](place, map(row, range(ROWS)), "none")
            message = consumer.poll(WAIT_S)
            assert message is not None, f"{len(found)} of {2 * ROWS}"
            if message.error() is None:
                found.append(message.value())
    finally:
        consumer.close()
    assert found == 2 * [row(number).value for number in range(ROWS)]
