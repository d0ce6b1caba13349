"""Replicas that move and brokers that leave, with real replicas on simulated disks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.partition_fleet import PartitionFleet, make_batch, values_of
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, PartitionKey
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    ElectLeadersRequest,
    HandOverRequest,
    HandOverResponse,
    ListReassignmentsRequest,
    Reassignment,
)
from transport.wire.messages.topics import CreateTopicsRequest, DescribeTopicsRequest, NewTopic


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(4, leader_balance_interval_ms=60_000, min_insync_replicas=2)
    fleet.settle()
    return fleet


def create(fleet: PartitionFleet, *replicas: int) -> PartitionKey:
    placed = tuple(NodeId(node) for node in replicas)
    request = CreateTopicsRequest((NewTopic("t", assignments=(placed,)),), 5_000)
    (outcome,) = fleet.ask(1, request).topics
    assert outcome.error == ErrorCode.NONE, outcome
    key = PartitionKey(outcome.topic_id, 0)
    fleet.leader(key)
    return key


def move(fleet: PartitionFleet, *replicas: int, asked: int = 1) -> None:
    target = tuple(NodeId(node) for node in replicas) or None
    request = AlterReassignmentsRequest((Reassignment("t", 0, target),), 5_000)
    (outcome,) = fleet.ask(asked, request).partitions
    assert outcome.error == ErrorCode.NONE, outcome


def record(fleet: PartitionFleet, key: PartitionKey) -> PartitionRecord:
    images = [fleet.server(number).context.image for number in fleet.started()]
    found = max(images, key=lambda image: image.position).partition(key)
    assert found is not None
    return found


def ongoing(fleet: PartitionFleet) -> Any:
    return fleet.ask(2, ListReassignmentsRequest()).partitions


def hosts(fleet: PartitionFleet, key: PartitionKey) -> list[int]:
    return [number for number in fleet.alive() if fleet.hosted(number).find(key) is not None]


def test_a_partition_moves_with_all_it_has_and_its_old_logs_go(fleet: PartitionFleet) -> None:
    key = create(fleet, 1, 2)
    for number in range(5):
        fleet.write(key, b"%d" % number)
    move(fleet, 3, 4)
    fleet.wait(lambda: record(fleet, key).replicas == (3, 4))
    assert fleet.leader(key) == 3
    fleet.write(key, b"5")
    fleet.wait(lambda: hosts(fleet, key) == [3, 4])
    assert ongoing(fleet) == ()
    body, payload = fleet.fetch(3, key)
    assert body.error == ErrorCode.NONE
    assert values_of(payload[0]) == [b"%d" % number for number in range(6)]
    folders = [name for name in fleet.disks[1].list("") if name.startswith("t-0")]
    assert folders == []


def test_a_single_replica_takes_writes_while_others_are_added(fleet: PartitionFleet) -> None:
    key = create(fleet, 1)
    fleet.write(key, b"0")
    fleet.kill(3)
    fleet.settle()
    move(fleet, 2, 3)
    fleet.wait(lambda: set(record(fleet, key).isr) == {1, 2})
    assert record(fleet, key).adding == (2, 3)
    fleet.write(key, b"1")
    fleet.kill(2)
    fleet.settle()
    assert record(fleet, key).isr == (1,)
    fleet.write(key, b"2")
    fleet.start(2)
    fleet.start(3)
    fleet.wait(lambda: record(fleet, key).replicas == (2, 3))
    fleet.write(key, b"3")


def test_what_is_on_its_way_waits_for_the_new_broker_and_can_be_cancelled(
    fleet: PartitionFleet,
) -> None:
    key = create(fleet, 1, 2)
    fleet.write(key, b"0")
    fleet.kill(4)
    fleet.settle()
    move(fleet, 1, 4)
    (one,) = ongoing(fleet)
    assert (one.topic, one.partition, one.adding, one.removing) == ("t", 0, (4,), (2,))
    fleet.write(key, b"1")
    described = fleet.ask(1, DescribeTopicsRequest((key.topic_id,))).partitions[0]
    assert described.replica_ends[2] == 2
    assert described.replica_ends[4] == -1
    move(fleet)
    assert ongoing(fleet) == ()
    assert set(record(fleet, key).replicas) == {1, 2}
    move(fleet, 1, 4)
    fleet.start(4)
    fleet.wait(lambda: record(fleet, key).replicas == (1, 4))
    assert fleet.isr(key) == (1, 4)


def test_the_preferred_leader_leads_again_on_demand(fleet: PartitionFleet) -> None:
    key = create(fleet, 1, 2, 3)
    fleet.kill(1)
    fleet.settle()
    assert fleet.leader(key) == 2
    fleet.start(1)
    fleet.wait(lambda: fleet.isr(key) == (1, 2, 3))
    answer = fleet.ask(3, ElectLeadersRequest(0, None, 5_000))
    assert [one.error for one in answer.partitions] == [ErrorCode.NONE]
    assert fleet.leader(key) == 1
    fleet.write(key, b"led again")


def test_leaderships_go_back_by_themselves() -> None:
    fleet = PartitionFleet(3, leader_balance_interval_ms=500)
    fleet.settle()
    key = create(fleet, 1, 2, 3)
    fleet.kill(1)
    fleet.settle()
    assert fleet.leader(key) == 2
    fleet.start(1)
    fleet.wait(lambda: fleet.isr(key) == (1, 2, 3))
    fleet.wait(lambda: record(fleet, key).leader == 1)


def test_a_broker_hands_over_before_it_stops_and_takes_part_again_after(
    fleet: PartitionFleet,
) -> None:
    key = create(fleet, 1, 2, 3)
    fleet.write(key, b"0")
    answer = fleet.ask(1, HandOverRequest(), door="peers")
    assert isinstance(answer, HandOverResponse)
    assert (answer.error, answer.remaining) == (ErrorCode.NONE, 0)
    assert not fleet.replica(1, key).is_leader, "it knows so itself when it answers"
    assert fleet.leader(key) == 2
    assert fleet.isr(key) == (1, 2, 3)
    fleet.write(key, b"1")
    fleet.kill(1)
    fleet.settle()
    fleet.start(1)
    fleet.settle()
    assert not fleet.server(1).context.image.is_retreating(NodeId(1))


def test_who_left_an_isr_that_is_too_small_is_elected_with_all_that_was_acked(
    fleet: PartitionFleet,
) -> None:
    key = create(fleet, 1, 2)
    fleet.write(key, b"0")
    fleet.kill(2)
    fleet.settle()
    assert (record(fleet, key).isr, record(fleet, key).elr) == ((1,), (2,))
    refused = fleet.produce(1, key, make_batch(b"refused"))
    assert refused.error == ErrorCode.NOT_ENOUGH_REPLICAS
    fleet.kill(1)
    fleet.settle()
    fleet.start(2)
    fleet.wait(lambda: record(fleet, key).leader == 2)
    assert (record(fleet, key).isr, record(fleet, key).elr) == ((2,), (1,))
    fleet.start(1)
    fleet.wait(lambda: fleet.isr(key) == (1, 2))
    assert record(fleet, key).elr == ()
    fleet.write(key, b"1")
    read = [values_of(fleet.fetch(2, key, offset)[1][0])[0] for offset in range(2)]
    assert read == [b"0", b"1"]
