"""Reassignments of replicas: begun, replaced, cancelled, ended; and many of them by chance."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nodes.core.controller.events import Asked, ControllerSettings, LiveBrokers
from tests.unit.controller.cluster import Cluster, broker
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages.metadata import (
    PartitionRecord,
)
from transport.wire.messages.reassignments import AlterReassignmentsRequest, Reassignment

BROKERS = (1, 2, 3, 4, 5)


def five(**settings: Any) -> tuple[Cluster, TopicId]:
    cluster = Cluster(settings=ControllerSettings(**settings))
    cluster.live(*map(broker, BROKERS), takeover=True)
    topic_id = cluster.create("t", 1, 3)
    assert cluster.partition(topic_id).replicas == (1, 2, 3)
    return cluster, topic_id


def move(cluster: Cluster, *replicas: int, cancel: bool = False, number: int = 0) -> Any:
    target = None if cancel else tuple(NodeId(node) for node in replicas)
    request = AlterReassignmentsRequest((Reassignment("t", number, target),), 1000)
    (outcome,) = cluster.ask(request).partitions
    return outcome


def join(cluster: Cluster, topic_id: TopicId, *isr: int) -> int:
    return int(cluster.propose(cluster.partition(topic_id), isr).error)


def test_old_replicas_go_when_the_new_are_all_in_sync() -> None:
    cluster, topic_id = five()
    assert move(cluster, 1, 4, 5).error == ErrorCode.NONE
    record = cluster.partition(topic_id)
    assert (record.replicas, record.adding, record.removing) == ((1, 4, 5, 2, 3), (4, 5), (2, 3))
    assert (record.isr, record.leader) == ((1, 2, 3), 1)
    assert join(cluster, topic_id, 1, 2, 3, 4) == ErrorCode.NONE
    assert cluster.partition(topic_id).removing == (2, 3), "one of two is not enough"
    assert join(cluster, topic_id, 1, 2, 3, 4, 5) == ErrorCode.NONE
    record = cluster.partition(topic_id)
    assert (record.replicas, record.isr, record.leader) == ((1, 4, 5), (1, 4, 5), 1)
    assert (record.adding, record.removing) == ((), ())


def test_a_leader_that_goes_is_told_that_another_was_elected() -> None:
    cluster, topic_id = five()
    before = cluster.partition(topic_id).leader_epoch
    move(cluster, 4, 5)
    assert join(cluster, topic_id, 1, 2, 3, 4, 5) == ErrorCode.NEW_LEADER_ELECTED
    record = cluster.partition(topic_id)
    assert (record.replicas, record.leader, record.leader_epoch) == ((4, 5), 4, before + 1)


def test_fewer_replicas_or_another_order_need_nobody_to_catch_up() -> None:
    cluster, topic_id = five()
    move(cluster, 3, 2, 1)
    record = cluster.partition(topic_id)
    assert (record.replicas, record.leader, record.adding) == ((3, 2, 1), 1, ())
    move(cluster, 3, 2)
    record = cluster.partition(topic_id)
    assert (record.replicas, set(record.isr), record.leader) == ((3, 2), {2, 3}, 3)


def test_a_reassignment_is_cancelled_and_replaced() -> None:
    cluster, topic_id = five()
    move(cluster, 1, 2, 4)
    assert move(cluster, 1, 2, 5).error == ErrorCode.NONE
    record = cluster.partition(topic_id)
    assert (record.replicas, record.adding, record.removing) == ((1, 2, 5, 3), (5,), (3,))
    assert move(cluster, cancel=True).error == ErrorCode.NONE
    record = cluster.partition(topic_id)
    assert (set(record.replicas), record.adding, record.removing) == ({1, 2, 3}, (), ())
    assert move(cluster, cancel=True).error == ErrorCode.NO_REASSIGNMENT_IN_PROGRESS


@pytest.mark.parametrize(
    ("replicas", "error", "text"),
    [
        ((), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "from 1"),
        ((1, 1), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "twice"),
        ((1, 9), ErrorCode.INVALID_REPLICA_ASSIGNMENT, "no broker 9"),
    ],
)
def test_replicas_that_may_not_be(replicas: tuple[int, ...], error: ErrorCode, text: str) -> None:
    cluster, topic_id = five()
    before = cluster.partition(topic_id)
    outcome = move(cluster, *replicas)
    assert outcome.error == error
    assert text in outcome.text
    assert cluster.partition(topic_id) == before
    assert move(cluster, 1, number=7).error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_the_last_in_sync_is_not_given_up_by_a_cancel() -> None:
    cluster, topic_id = five()
    move(cluster, 1, 4)
    join(cluster, topic_id, 1)
    move(cluster, 4, 5)
    join(cluster, topic_id, 1, 4)
    cluster.live(broker(4), broker(5))
    record = cluster.partition(topic_id)
    assert (record.leader, record.isr, record.adding) == (4, (4,), (4, 5))
    outcome = move(cluster, cancel=True)
    assert outcome.error == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert cluster.partition(topic_id) == record


def test_the_last_in_sync_and_alive_is_not_given_up_while_a_death_is_decided_upon() -> None:
    cluster, topic_id = five(piece_records=1)
    move(cluster, 1, 4, 5)
    join(cluster, topic_id, 1, 4)
    live = tuple(broker(node) for node in (2, 3, 4, 5))
    (death,) = cluster.step(LiveBrokers(live)).append
    cancel = AlterReassignmentsRequest((Reassignment("t", 0, None),), 1000)
    cluster.step(Asked(cancel, "cancel"))
    effects = cluster.commit(death)
    assert cluster.partition(topic_id).isr == (1, 4), "its turn has not come"
    while effects.append:
        effects = cluster.commit(effects.append[0])
    answer: Any = cluster.replies["cancel"]
    assert answer.partitions[0].error == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    record = cluster.partition(topic_id)
    assert (record.leader, record.isr) == (4, (4,)), "who has everything goes on"


def test_an_end_does_not_take_the_isr_below_the_least() -> None:
    cluster, topic_id = five(min_insync_replicas=2)
    join(cluster, topic_id, 1, 2)
    move(cluster, 3, 4)
    assert join(cluster, topic_id, 1, 2, 4) == ErrorCode.NONE
    assert cluster.partition(topic_id).removing == (1, 2), "3 is not in sync: 4 would be alone"
    join(cluster, topic_id, 1, 2, 3, 4)
    assert cluster.partition(topic_id).replicas == (3, 4)


def test_who_is_still_to_come_does_not_count_for_the_least() -> None:
    cluster = Cluster(settings=ControllerSettings(min_insync_replicas=2))
    cluster.live(*map(broker, BROKERS), takeover=True)
    topic_id = cluster.create("t", 1, 1)
    assert move(cluster, 2, 3, 1).error == ErrorCode.NONE
    assert join(cluster, topic_id, 1, 2) == ErrorCode.NONE
    assert join(cluster, topic_id, 1) == ErrorCode.NONE
    record = cluster.partition(topic_id)
    assert record.elr == (), "the leader went on without it: what was one replica needs one"
    join(cluster, topic_id, 1, 2, 3)
    join(cluster, topic_id, 1)
    assert cluster.partition(topic_id).elr == (2, 3), "three need two"


def test_whoever_takes_over_ends_what_is_due() -> None:
    cluster, topic_id = five()
    move(cluster, 1, 2, 4)
    record = cluster.partition(topic_id)
    heir = Cluster(cluster.image, epoch=2)
    heir.live(*map(broker, BROKERS), takeover=True)
    assert heir.partition(topic_id) == record
    join(heir, topic_id, 1, 2, 3, 4)
    assert heir.partition(topic_id).replicas == (1, 2, 4)


def holders(record: PartitionRecord) -> set[int]:
    """Who has all that was acknowledged, by the rules: the ISR, and the ELR."""
    return {*record.isr, *record.elr}


@pytest.mark.parametrize("seed", range(20))
def test_by_chance_nobody_is_lost_on_the_way(seed: int) -> None:
    """Whatever happens, somebody who had everything before is still there, and who leads had it."""
    random = Random(seed)
    cluster, topic_id = five(min_insync_replicas=2)
    epochs = dict.fromkeys(BROKERS, 100)
    alive = set(BROKERS)
    for step in range(200):
        before = cluster.partition(topic_id)
        had = holders(before)
        deed = random.randrange(4)
        if deed == 0:
            target = random.sample(BROKERS, random.randint(1, 4))
            move(cluster, *target, cancel=random.random() < 0.2)
        elif deed == 1 and before.leader != -1:
            candidates = [node for node in before.replicas if node in alive]
            chosen = {before.leader, *random.sample(candidates, random.randint(0, len(candidates)))}
            had |= chosen  # whoever joins has caught up first
            join(cluster, topic_id, *sorted(chosen))
        elif deed == 2:
            node = random.choice(BROKERS)
            if node in alive:
                alive.discard(node)
            else:
                alive.add(node)
                epochs[node] = 1_000 + step
            live = [broker(one, epochs[one] + one) for one in sorted(alive)]
            cluster.live(*live)
        after = cluster.partition(topic_id)
        assert holders(after) <= had, "nobody is believed to have everything who has not"
        assert holders(after), "somebody with everything is kept"
        assert after.leader in {-1, *had}, "only who has everything leads"
