"""Groups of Kafka's own clients: shared out, handed over, mixed with ours, through a lost coordinator."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka
import kafka
import pytest
from confluent_kafka.admin import AdminClient as ConfluentAdmin
from kafka.coordinator.assignors.range import RangePartitionAssignor

import odradek
from odradek import AdminClient, NewTopic, Producer, TopicPartition
from odradek.testing import Cluster

DESCRIBE = (sys.executable, "-P", "-m", "supervisor", "group", "describe")
WAIT_S = 20.0
SESSION_MS = 6_000
HEARTBEAT_MS = 200
PARTITIONS = 4
RECORDS = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.start(brokers=3, coordinators=1) as cluster:
        yield cluster


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own, with records."""
    name = request.node.name.replace("[", "-").rstrip("]")
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=3)])
    fill(cluster, name)
    return str(name)


def fill(cluster: Cluster, topic: str) -> None:
    with Producer(bootstrap_servers=cluster.bootstrap) as producer:
        for number in range(RECORDS):
            producer.send(topic, b"%d" % number, partition=number % PARTITIONS)
        producer.flush()


class Confluent:
    """A consumer of librdkafka, as the tests poll all of them."""

    def __init__(self, cluster: Cluster, topic: str, **settings: Any) -> None:
        if settings.get("group.protocol", "classic") == "classic":
            settings["heartbeat.interval.ms"] = HEARTBEAT_MS
        self.lost: list[int] = []
        self.got: list[bytes | None] = []
        self.errors: list[confluent_kafka.KafkaError] = []
        self.consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": cluster.kafka_bootstrap,
                "group.id": topic,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "log_level": 2,
                **settings,
            }
        )
        self.consumer.subscribe([topic], on_revoke=self._on_revoke)

    def _on_revoke(self, _consumer: object, partitions: list[Any]) -> None:
        self.lost += [one.partition for one in partitions]

    def poll(self) -> None:
        message = self.consumer.poll(0.02)
        if message is None:
            return
        error = message.error()
        if error is None:
            self.got.append(message.value())
        else:
            self.errors.append(error)

    def has(self) -> set[int]:
        return {one.partition for one in self.consumer.assignment()}

    def stands(self) -> list[int]:
        """Return the next offset of each of its partitions."""
        return [one.offset for one in self.consumer.position(self.consumer.assignment())]

    def close(self) -> None:
        self.consumer.close()


class Polled:
    """A consumer of kafka-python, or ours: they have the same words."""

    consumer: Any

    def poll(self) -> None:
        self.consumer.poll(timeout_ms=20)

    def has(self) -> set[int]:
        return {one.partition for one in self.consumer.assignment()}

    def close(self) -> None:
        self.consumer.close()


class KafkaPython(Polled):
    """Of kafka-python."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self.consumer = kafka.KafkaConsumer(
            topic,
            bootstrap_servers=cluster.kafka_bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[RangePartitionAssignor],
            heartbeat_interval_ms=HEARTBEAT_MS,
        )


class Ours(Polled):
    """Our own."""

    def __init__(self, cluster: Cluster, topic: str, group_protocol: str = "classic") -> None:
        self.consumer = odradek.Consumer(
            topic,
            bootstrap_servers=cluster.bootstrap,
            group_id=topic,
            group_protocol=group_protocol,
            partition_assignment_strategy="range",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )


Member = Confluent | Polled


def settle(condition: Callable[[], bool], *members: Member) -> None:
    """Poll all members until the condition holds."""
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s, [one.has() for one in members]
        for one in members:
            one.poll()


def shared(*members: Member, each: int | None = None) -> Callable[[], bool]:
    """Tell whether the members have all partitions, each its own."""

    def told() -> bool:
        parts = [one.has() for one in members]
        sizes = {len(part) for part in parts}
        together = set().union(*parts)
        once = sum(map(len, parts)) == len(together) == PARTITIONS
        return once and (each is None or sizes == {each})

    return told


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_two_members_share_and_one_takes_over(cluster: Cluster, topic: str, protocol: str) -> None:
    settings = {"group.protocol": protocol}
    first, second = (Confluent(cluster, topic, **settings) for _ in range(2))
    settle(shared(first, second, each=2), first, second)
    fill(cluster, topic)
    ends = [2 * RECORDS // PARTITIONS] * 2
    settle(lambda: first.stands() == second.stands() == ends, first, second)
    first.consumer.commit(asynchronous=False)
    second.consumer.commit(asynchronous=False)
    second.close()
    first.got.clear()
    settle(lambda: len(first.has()) == PARTITIONS, first)
    fill(cluster, topic)
    settle(lambda: len(set(first.got)) == RECORDS, first)
    first.close()
    assert len(first.got) == RECORDS, "what was committed is not read again"


def test_members_of_three_libraries_are_one_group(cluster: Cluster, topic: str) -> None:
    theirs = Confluent(cluster, topic, **{"partition.assignment.strategy": "range"})
    python, ours = KafkaPython(cluster, topic), Ours(cluster, topic)
    members = (theirs, python, ours)
    settle(lambda: shared(*members)() and all(one.has() for one in members), *members)
    told = subprocess.run(
        [*DESCRIBE, topic, "--bootstrap", cluster.bootstrap],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("rdkafka-", "kafka-python-", "odradek-consumer-"):
        assert name in told.stdout
    theirs.close()
    settle(shared(python, ours, each=2), python, ours)
    ours.close()
    settle(shared(python, each=4), python)
    python.close()


def test_members_that_are_divided_among_are_one_group_too(cluster: Cluster, topic: str) -> None:
    """KIP-848, theirs and ours; who comes with the other protocol is refused."""
    theirs = Confluent(cluster, topic, **{"group.protocol": "consumer"})
    ours = Ours(cluster, topic, group_protocol="consumer")
    settle(shared(theirs, ours, each=2), theirs, ours)
    other = confluent_kafka.Consumer(
        {"bootstrap.servers": cluster.kafka_bootstrap, "group.id": topic}
    )
    other.subscribe([topic])
    refused: list[str] = []

    def is_refused() -> bool:
        message = other.poll(0.02)
        error = None if message is None else message.error()
        if error is not None:
            refused.append(error.name())
        return refused == ["INCONSISTENT_GROUP_PROTOCOL"]

    settle(is_refused, theirs, ours)
    other.close()
    theirs.close()
    settle(shared(ours, each=PARTITIONS), ours)
    ours.close()


def test_who_keeps_a_partition_goes_on_with_it(cluster: Cluster, topic: str) -> None:
    """cooperative-sticky: only what moves is given up."""
    strategy = {"partition.assignment.strategy": "cooperative-sticky"}
    first = Confluent(cluster, topic, **strategy)
    settle(lambda: len(first.has()) == PARTITIONS, first)
    second = Confluent(cluster, topic, **strategy)
    settle(shared(first, second, each=2), first, second)
    assert set(first.lost) == second.has()
    second.close()
    settle(lambda: len(first.has()) == PARTITIONS, first)
    first.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_static_member_comes_back_to_what_was_its_own(
    cluster: Cluster, topic: str, protocol: str
) -> None:
    settings = {"group.protocol": protocol}
    if protocol == "classic":
        settings["session.timeout.ms"] = str(SESSION_MS)
    stays = Confluent(cluster, topic, **settings, **{"group.instance.id": "stays"})
    goes = Confluent(cluster, topic, **settings, **{"group.instance.id": "goes"})
    settle(shared(stays, goes, each=2), stays, goes)
    before = goes.has()
    stays.lost.clear()
    goes.close()
    goes = Confluent(cluster, topic, **settings, **{"group.instance.id": "goes"})
    settle(lambda: goes.has() == before, stays, goes)
    assert stays.lost == []
    before = stays.has()
    stays.close()
    stays = Confluent(cluster, topic, **settings, **{"group.instance.id": "stays"})
    settle(lambda: stays.has() == before, stays, goes)
    assert goes.lost == [], "whichever of them leads"
    stays.close()
    goes.close()


def test_commits_are_one_whoever_makes_them(cluster: Cluster, topic: str) -> None:
    theirs = kafka.KafkaConsumer(
        bootstrap_servers=cluster.kafka_bootstrap, group_id=topic, enable_auto_commit=False
    )
    key = kafka.TopicPartition(topic, 1)
    theirs.assign([key])
    theirs.commit({key: kafka.OffsetAndMetadata(3, "half way", -1)})
    with AdminClient(bootstrap_servers=cluster.bootstrap) as ours:
        found = ours.list_consumer_group_offsets(topic)
        mine = TopicPartition(topic, 1)
        assert (found[mine].offset, found[mine].metadata) == (3, "half way")
        ours.alter_consumer_group_offsets(topic, {mine: 4})
    assert theirs.committed(key) == 4
    theirs.close()
    admin = ConfluentAdmin({"bootstrap.servers": cluster.kafka_bootstrap})
    asked = [confluent_kafka.ConsumerGroupTopicPartitions(topic)]
    told = admin.list_consumer_group_offsets(asked)[topic].result(WAIT_S)
    assert [(one.partition, one.offset) for one in told.topic_partitions] == [(1, 4)]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_outlives_its_coordinator(cluster: Cluster, topic: str, protocol: str) -> None:
    member = Confluent(cluster, topic, **{"group.protocol": protocol})
    settle(lambda: len(member.got) >= RECORDS, member)
    member.consumer.commit(asynchronous=False)
    admin = ConfluentAdmin({"bootstrap.servers": cluster.kafka_bootstrap})
    described = admin.describe_consumer_groups([topic])[topic].result(WAIT_S)
    cluster.kill(cluster.node_name(described.coordinator.id))
    fill(cluster, topic)
    settle(lambda: len(member.got) >= 2 * RECORDS, member)
    assert len(member.got) == 2 * RECORDS
    member.consumer.commit(asynchronous=False)
    member.close()
    cluster.wait_ready()
    with AdminClient(bootstrap_servers=cluster.bootstrap) as ours:
        lag = ours.consumer_group_lag(topic)
    assert [end - committed.offset for committed, end in lag.values()] == [0] * PARTITIONS


def test_administrators_see_and_remove_groups(cluster: Cluster, topic: str) -> None:
    member = Confluent(cluster, topic)
    settle(lambda: len(member.got) >= RECORDS, member)
    member.consumer.commit(asynchronous=False)
    admin = ConfluentAdmin({"bootstrap.servers": cluster.kafka_bootstrap})
    (one,) = admin.describe_consumer_groups([topic])[topic].result(WAIT_S).members
    assert {part.partition for part in one.assignment.topic_partitions} == set(range(PARTITIONS))
    assert one.host == "127.0.0.1"
    listed = admin.list_consumer_groups(states={confluent_kafka.ConsumerGroupState.STABLE})
    assert topic in {group.group_id for group in listed.result(WAIT_S).valid}
    with pytest.raises(confluent_kafka.KafkaException, match="not empty"):
        admin.delete_consumer_groups([topic])[topic].result(WAIT_S)
    member.close()
    python = kafka.KafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    described = python.describe_groups([topic])
    assert described[topic]["group_state"] == "Empty"
    python.close()
    admin.delete_consumer_groups([topic])[topic].result(WAIT_S)
    with AdminClient(bootstrap_servers=cluster.bootstrap) as ours:
        assert topic not in {group.group_id for group in ours.list_consumer_groups()}


def test_topics_are_found_by_a_pattern_that_the_broker_searches_by(
    cluster: Cluster, topic: str
) -> None:
    consumer = Confluent(cluster, f"^{topic}.*", **{"group.protocol": "consumer"})
    settle(lambda: len(consumer.got) >= RECORDS, consumer)
    later = f"{topic}-later"
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(later, num_partitions=PARTITIONS, replication_factor=3)])
    fill(cluster, later)
    settle(lambda: len(consumer.got) >= 2 * RECORDS, consumer)
    assert {one.topic for one in consumer.consumer.assignment()} == {topic, later}
    consumer.close()
    refused = Confluent(cluster, r"^(t)\1", **{"group.protocol": "consumer"})
    settle(lambda: bool(refused.errors), refused)
    assert "regular expression is not valid" in refused.errors[0].str()
    refused.close()


def test_two_members_of_aiokafka_share(cluster: Cluster, topic: str) -> None:
    asyncio.run(_share_of_aiokafka(cluster, topic))


async def _share_of_aiokafka(cluster: Cluster, topic: str) -> None:
    from aiokafka import AIOKafkaConsumer

    members = [
        AIOKafkaConsumer(
            topic,
            bootstrap_servers=cluster.kafka_bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=HEARTBEAT_MS,
        )
        for _ in range(2)
    ]
    for member in members:
        await member.start()
    got: list[bytes | None] = []
    async with asyncio.timeout(WAIT_S):
        while len(got) < RECORDS or [len(one.assignment()) for one in members] != [2, 2]:
            for member in members:
                found = await member.getmany(timeout_ms=50)
                got += [record.value for records in found.values() for record in records]
        for member in members:
            await member.commit()
            await member.stop()
    assert len(set(got)) == RECORDS
