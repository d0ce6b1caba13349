"""The same listener where brokers coordinate themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from odradek.testing import Cluster
from tests.conformance.kafka_clients import READERS, WRITERS, Place
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
