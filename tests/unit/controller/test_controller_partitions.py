"""Partitions added to a topic, and placements made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from nodes.core.controller.events import Asked, ControllerSettings
from nodes.core.controller.partitions import ASSIGNMENTS_MAX
from tests.unit.controller.cluster import Cluster, broker, three
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId
from transport.wire.messages import Refusal
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    ControlledShutdownRequest,
    DrainBrokerRequest,
    Reassignment,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    NewPartitions,
    NewTopic,
)


def placed(*replicas: tuple[int, ...]) -> tuple[tuple[NodeId, ...], ...]:
    return tuple(tuple(NodeId(node) for node in nodes) for nodes in replicas)


def add(cluster: Cluster, count: int, *replicas: tuple[int, ...], only: bool = False) -> Any:
    request = CreatePartitionsRequest((NewPartitions("t", count, placed(*replicas)),), 1000, only)
    answer: CreatePartitionsResponse = cluster.ask(request)
    (outcome,) = answer.topics
    return outcome


def test_partitions_are_added_where_there_is_room_and_start_in_sync() -> None:
    cluster = three()
    topic_id = cluster.create("t", 2, 3)
    before = cluster.image.partitions[topic_id].copy()
    assert add(cluster, 6).error == ErrorCode.NONE
    records = cluster.image.partitions[topic_id]
    assert cluster.image.topics[topic_id].partition_count == len(records) == 6
    assert {number: records[number] for number in before} == before, "the old ones stay"
    assert sorted(record.leader for record in records.values()) == [1, 1, 2, 2, 3, 3]
    assert all(
        record.isr == record.replicas and len(record.isr) == 3 for record in records.values()
    )


def test_partitions_added_while_a_broker_is_away_have_it_among_their_replicas() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 3)
    cluster.live(broker(1), broker(2))
    assert add(cluster, 4).error == ErrorCode.NONE
    for number in range(1, 4):
        record = cluster.partition(topic_id, number)
        assert set(record.replicas) == {1, 2, 3}, "or it would have two for good"
        assert record.replicas[2] == 3, "who is there is preferred"
        assert record.isr == record.replicas[:2]
        assert record.leader == record.replicas[0]
    cluster.live(broker(1), broker(2), broker(3, 200))
    leaving = ControlledShutdownRequest(NodeId(2), BrokerEpoch(102))
    assert cluster.ask(leaving).error == ErrorCode.NONE
    add(cluster, 5)
    assert set(cluster.partition(topic_id, 4).isr) == {1, 2, 3}, "who is about to leave, too"
    cluster.live(broker(2, 300), broker(3, 200))
    assert cluster.ask(DrainBrokerRequest(NodeId(1), True, 1000)).error == ErrorCode.NONE
    add(cluster, 6)
    assert set(cluster.partition(topic_id, 5).replicas) == {2, 3}, "who is drained gets nothing"


def test_partitions_added_have_as_many_replicas_as_the_topic_was_given_since() -> None:
    cluster = three()
    topic_id = cluster.create("t", 2, 1)
    for number in range(2):
        target = placed((1, 2, 3))[0]
        cluster.ask(AlterReassignmentsRequest((Reassignment("t", number, target),), 1000))
    assert cluster.partition(topic_id).adding, "on its way"
    add(cluster, 3)
    assert len(cluster.partition(topic_id, 2).replicas) == 3
    shrunk = cluster.create("u", 1, 3)
    cluster.ask(AlterReassignmentsRequest((Reassignment("u", 0, placed((2,))[0]),), 1000))
    cluster.ask(CreatePartitionsRequest((NewPartitions("u", 2),), 1000))
    assert len(cluster.partition(shrunk, 1).replicas) == 1


def test_the_count_is_raised_after_the_partitions_so_that_a_successor_can_go_on() -> None:
    cluster = three(ControllerSettings(commit_bytes_max=2_000))
    topic_id = cluster.create("t", 1, 2)
    request = CreatePartitionsRequest((NewPartitions("t", 40),), 1000)
    effects = cluster.step(Asked(request, "a"))
    cluster.image.apply(effects.append[0])
    left = len(cluster.image.partitions[topic_id])
    assert 1 < left < 40
    assert cluster.image.topics[topic_id].partition_count == 1
    heir = Cluster(cluster.image, epoch=2)
    heir.live(broker(1), broker(2), broker(3), takeover=True)
    assert cluster.image.topics[topic_id].partition_count == 1, "what nobody was told is not shown"
    assert add(heir, 40).error == ErrorCode.NONE
    assert heir.image.topics[topic_id].partition_count == 40
    assert len(heir.image.partitions[topic_id]) == 40


def test_what_an_unfinished_addition_left_behind_gives_way_to_a_placement() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    left = replace(cluster.partition(topic_id), partition=1)
    cluster.image.apply_record(left)
    heir = Cluster(cluster.image, epoch=2)
    heir.live(broker(1), broker(2), broker(3), takeover=True)
    assert add(heir, 2, (3, 1)).error == ErrorCode.NONE
    record = heir.partition(topic_id, 1)
    assert record.replicas == record.isr == (3, 1)
    assert record.leader_epoch == left.leader_epoch + 1


@pytest.mark.parametrize(
    ("count", "replicas", "error", "text"),
    [
        (3, (), ErrorCode.INVALID_PARTITIONS, "has 3 partitions"),
        (2, (), ErrorCode.INVALID_PARTITIONS, "from 4"),
        (100_001, (), ErrorCode.INVALID_PARTITIONS, "100000"),
        (5, ((1, 2),), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "2 partitions are new"),
        (4, ((1, 1),), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "twice"),
        (4, ((1, 9),), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "no broker 9"),
        (4, ((),), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "from 1"),
        (5, ((1, 2), (3,)), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "same number"),
        (4, ((1, 2, 3),), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "t has 2 replicas"),
    ],
)
def test_partitions_that_may_not_be(
    count: int, replicas: tuple[tuple[int, ...], ...], error: ErrorCode, text: str
) -> None:
    cluster = three()
    cluster.create("t", 3, 2)
    version = cluster.image.position.version
    outcome = add(cluster, count, *replicas)
    assert (outcome.error, cluster.image.position.version) == (error, version)
    assert text in outcome.text


def test_unknown_and_repeated_topics_are_refused_each_by_itself() -> None:
    cluster = three()
    cluster.create("t", 1, 1)
    names = ("t", "u", "v", "t")
    request = CreatePartitionsRequest(tuple(NewPartitions(name, 2) for name in names), 1000)
    answer: CreatePartitionsResponse = cluster.ask(request)
    unknown, twice = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.INVALID_REQUEST
    assert [topic.error for topic in answer.topics] == [twice, unknown, unknown, twice]


def test_validation_changes_nothing() -> None:
    cluster = three()
    cluster.create("t", 1, 1)
    version = cluster.image.position.version
    assert add(cluster, 4, only=True).error == ErrorCode.NONE
    request = CreateTopicsRequest((NewTopic("u", 3, 3),), 1000, validate_only=True)
    assert cluster.ask(request).topics[0].error == ErrorCode.NONE
    assert cluster.image.position.version == version


def test_a_topic_is_placed_by_hand_and_who_is_away_joins_later() -> None:
    cluster = three()
    cluster.live(broker(1), broker(2))
    new = NewTopic("t", assignments=placed((2, 1), (3, 1)))
    assert cluster.ask(CreateTopicsRequest((new,), 1000)).topics[0].error == ErrorCode.NONE
    topic_id = cluster.image.topic_ids["t"]
    first, second = cluster.partition(topic_id, 0), cluster.partition(topic_id, 1)
    assert (first.replicas, first.isr, first.leader) == ((2, 1), (2, 1), 2)
    assert (second.replicas, second.isr, second.leader) == ((3, 1), (1,), 1)
    topic = cluster.image.topics[topic_id]
    assert (topic.partition_count, topic.replication_factor) == (2, 2)


def test_a_placement_beside_numbers_or_on_the_dead_is_refused() -> None:
    cluster = three()
    cluster.live(broker(1), broker(2))
    both = NewTopic("t", 1, -1, assignments=placed((1,)))
    dead = NewTopic("u", assignments=placed((3,)))
    answer = cluster.ask(CreateTopicsRequest((both, dead), 1000))
    assert [topic.error for topic in answer.topics] == [
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    ]


def test_what_is_placed_by_hand_is_one_commit() -> None:
    cluster = three()
    most = placed(*[(1, 2, 3)] * ASSIGNMENTS_MAX)
    first = cluster.step(Asked(CreateTopicsRequest((NewTopic("a"),), 1000), "a"))
    cluster.step(Asked(CreateTopicsRequest((NewTopic("b"),), 1000), "b"))
    request = CreateTopicsRequest((NewTopic("t", assignments=most),), 1000)
    cluster.step(Asked(request, "t"))
    between = cluster.commit(first.append[0])
    whole = cluster.commit(between.append[0])
    (delta,) = whole.append
    parts = [record for record in delta.records if isinstance(record, PartitionRecord)]
    assert len(parts) == ASSIGNMENTS_MAX
    assert len(delta.records) == ASSIGNMENTS_MAX + 1
    cluster.commit(delta)
    many = NewTopic("u", assignments=(*most, *placed((1,))))
    assert isinstance(cluster.ask(CreateTopicsRequest((many,), 1000)), Refusal)
