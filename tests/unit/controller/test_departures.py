"""Brokers that leave at the same time: what they lead goes to who stays, and once."""

from __future__ import annotations

from itertools import permutations

import pytest

from nodes.core.controller.events import Asked, ControllerSettings, LiveBrokers
from tests.unit.controller.cluster import Cluster, begin, broker, epoch_of, finish, three
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages.metadata import (
    PartitionRecord,
)
from transport.wire.messages.reassignments import (
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    DrainBrokerRequest,
)

PARTITIONS = 90


def leave(cluster: Cluster, node: int) -> ControlledShutdownRequest:
    return ControlledShutdownRequest(NodeId(node), epoch_of(cluster, node))


def records(cluster: Cluster, topic_id: TopicId) -> list[PartitionRecord]:
    return list(cluster.image.partitions[topic_id].values())


def shrink(cluster: Cluster, topic_id: TopicId, lagging: int) -> None:
    """Let a broker be in sync only where it leads."""
    for record in records(cluster, topic_id):
        if record.leader != lagging:
            cluster.propose(record, (node for node in record.isr if node != lagging))


def remaining(cluster: Cluster, token: object) -> int:
    answer = cluster.replies[token]
    assert isinstance(answer, ControlledShutdownResponse)
    assert answer.error == ErrorCode.NONE
    return answer.remaining


def test_of_two_that_leave_the_second_gets_no_more_of_the_first_once_it_is_known() -> None:
    cluster = three(ControllerSettings(piece_records=4))
    topic_id = cluster.create("t", PARTITIONS, 3)
    delta = begin(cluster, Asked(leave(cluster, 1), 1))
    cluster.step(Asked(leave(cluster, 2), 2))
    finish(cluster, delta)
    assert all(record.leader == 3 for record in records(cluster, topic_id))
    assert (remaining(cluster, 1), remaining(cluster, 2)) == (0, 0)
    moved_twice = [record for record in records(cluster, topic_id) if record.leader_epoch > 1]
    assert len(moved_twice) <= 2 * 4, "what was handed over before"


def test_nothing_is_handed_to_who_leaves_too() -> None:
    """It was handed to and fro, and both were told that they lead nothing any more."""
    cluster = three()
    topic_id = cluster.create("t", PARTITIONS, 3)
    shrink(cluster, topic_id, 3)
    cluster.run(Asked(leave(cluster, 1), 1))
    before = records(cluster, topic_id)
    cluster.run(Asked(leave(cluster, 2), 2))
    assert records(cluster, topic_id) == before, (
        "only broker 1, about to stop, is in sync with what broker 2 leads"
    )
    led = [record.leader for record in before]
    assert (led.count(NodeId(2)), led.count(NodeId(3))) == (60, 30)
    assert (remaining(cluster, 1), remaining(cluster, 2)) == (0, 60)


def test_who_is_drained_leads_what_nobody_else_can_when_another_leaves() -> None:
    cluster = three()
    topic_id = cluster.create("t", PARTITIONS, 3)
    shrink(cluster, topic_id, 3)
    cluster.ask(DrainBrokerRequest(NodeId(1), True, 1_000))
    cluster.run(Asked(leave(cluster, 2), 2))
    assert remaining(cluster, 2) == 0
    assert {record.leader for record in records(cluster, topic_id)} == {1, 3}


@pytest.mark.parametrize("order", list(permutations(("leave 1", "leave 2", "stop 1", "stop 2"))))
@pytest.mark.parametrize("lagging", [0, 3])
def test_whoever_stays_in_sync_leads_in_the_end_in_whatever_order_two_leave_and_stop(
    order: tuple[str, ...], lagging: int
) -> None:
    cluster = three(ControllerSettings(piece_records=2))
    topic_id = cluster.create("t", 12, 3)
    if lagging:
        shrink(cluster, topic_id, lagging)
    alive = {node: broker(node) for node in (1, 2, 3)}
    in_flight = None
    for token, (what, node) in enumerate((act.split()[0], int(act.split()[1])) for act in order):
        if what == "stop":
            del alive[node]
            effects = cluster.step(LiveBrokers(tuple(alive.values())))
        else:
            effects = cluster.step(Asked(leave(cluster, node), token))
        for delta in effects.append:
            in_flight = delta
    assert in_flight is not None
    finish(cluster, in_flight)
    for record in records(cluster, topic_id):
        assert record.leader == (3 if 3 in record.isr else -1), record
    cluster.core.check()
