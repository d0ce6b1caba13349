"""The cluster's own topics get the replicas that are configured as brokers join."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from nodes.core.controller.events import Asked, BalanceDue, ControllerSettings, LiveBrokers
from nodes.core.controller.names import CONSUMER_OFFSETS, TRANSACTION_STATE
from tests.unit.controller.cluster import Cluster, broker
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    DrainBrokerRequest,
    Reassignment,
)
from transport.wire.messages.topics import CreateTopicsRequest, NewTopic


def begun(*brokers: int, partitions: int = 1, **settings: Any) -> tuple[Cluster, TopicId]:
    """A cluster of few brokers in which groups have committed offsets."""
    cluster = Cluster(settings=ControllerSettings(**settings))
    cluster.live(*map(broker, brokers), takeover=True)
    new = NewTopic(CONSUMER_OFFSETS, partitions, 3, {"cleanup.policy": "compact"})
    (made,) = cluster.ask(CreateTopicsRequest((new,), 1_000, clamp=True)).topics
    return cluster, made.topic_id


def records(cluster: Cluster, topic_id: TopicId) -> list[PartitionRecord]:
    return list(cluster.image.partitions[topic_id].values())


def in_sync(cluster: Cluster, record: PartitionRecord) -> None:
    """The leader tells that all replicas are in sync."""
    cluster.propose(record, record.replicas)


def test_each_broker_that_joins_adds_a_replica_up_to_what_is_configured() -> None:
    cluster, topic_id = begun(1)
    assert cluster.partition(topic_id).replicas == (1,)
    cluster.live(broker(1), broker(2))
    record = cluster.partition(topic_id)
    assert (record.replicas, record.adding, record.removing) == ((1, 2), (2,), ())
    assert (record.leader, record.isr) == (1, (1,)), "it leads on; the new one has nothing yet"
    cluster.live(broker(1), broker(2), broker(3))
    record = cluster.partition(topic_id)
    assert (record.replicas, record.adding) == ((1, 2, 3), (2, 3)), "both are on their way"
    in_sync(cluster, record)
    record = cluster.partition(topic_id)
    assert (record.replicas, record.isr, record.adding) == ((1, 2, 3), (1, 2, 3), ())
    cluster.live(*map(broker, (1, 2, 3, 4)))
    assert cluster.partition(topic_id) == record, "three are configured"


def test_transactions_have_a_number_of_their_own() -> None:
    cluster, _ = begun(1, transaction_state_replication_factor=2)
    new = NewTopic(TRANSACTION_STATE, 1, 2)
    cluster.ask(CreateTopicsRequest((new,), 1_000, clamp=True))
    cluster.live(*map(broker, (1, 2, 3)))
    image = cluster.image
    counts = {
        name: len(cluster.partition(image.topic_ids[name]).replicas)
        for name in (CONSUMER_OFFSETS, TRANSACTION_STATE)
    }
    assert counts == {CONSUMER_OFFSETS: 3, TRANSACTION_STATE: 2}


def test_other_topics_stay_as_they_were_made() -> None:
    cluster, _ = begun(1)
    new = NewTopic("t", 1, 3)
    (made,) = cluster.ask(CreateTopicsRequest((new,), 1_000, clamp=True)).topics
    cluster.live(*map(broker, (1, 2, 3)))
    assert cluster.partition(made.topic_id).replicas == (1,)


def test_the_new_replicas_are_spread_over_brokers_and_racks() -> None:
    cluster, topic_id = begun(1, partitions=12, offsets_topic_replication_factor=2)
    cluster.live(*map(broker, (1, 2, 3, 4)))
    assert Counter(record.replicas[1] for record in records(cluster, topic_id)) == {
        NodeId(node): 4 for node in (2, 3, 4)
    }
    cluster, topic_id = begun(1, partitions=4)
    racks = {2: "a", 3: "a", 4: "b"}
    cluster.live(broker(1), *(broker(node, rack=rack) for node, rack in racks.items()))
    assert all(NodeId(4) in record.replicas for record in records(cluster, topic_id))


def test_a_move_by_hand_goes_on_and_takes_the_new_replicas_along() -> None:
    cluster, topic_id = begun(1, 2, partitions=1)
    cluster.ask(
        AlterReassignmentsRequest((Reassignment(CONSUMER_OFFSETS, 0, (NodeId(2),)),), 1_000)
    )
    assert cluster.partition(topic_id).replicas == (2,), "nobody had to catch up"
    cluster.run(BalanceDue())
    assert cluster.partition(topic_id).replicas == (2, 1), "one is too few while two are there"
    in_sync(cluster, cluster.partition(topic_id))
    cluster.live(*map(broker, (1, 2, 3, 4)))
    in_sync(cluster, cluster.partition(topic_id))
    before = cluster.partition(topic_id)
    (free,) = {1, 2, 3, 4} - set(before.replicas)
    target = (NodeId(2), NodeId(free))
    cluster.ask(AlterReassignmentsRequest((Reassignment(CONSUMER_OFFSETS, 0, target),), 1_000))
    cluster.run(BalanceDue())
    record = cluster.partition(topic_id)
    assert record.replicas[:2] == target
    assert free in record.adding
    assert len(record.replicas) - len(record.removing) == 3


def test_a_broker_that_is_drained_gets_none_until_it_is_wanted_again() -> None:
    cluster, topic_id = begun(1)
    cluster.live(broker(1), broker(2))
    cluster.ask(DrainBrokerRequest(NodeId(2), True, 1_000))
    cluster.ask(AlterReassignmentsRequest((Reassignment(CONSUMER_OFFSETS, 0, None),), 1_000))
    cluster.run(BalanceDue())
    assert cluster.partition(topic_id).replicas == (1,)
    cluster.ask(DrainBrokerRequest(NodeId(2), False, 1_000))
    cluster.run(BalanceDue())
    assert cluster.partition(topic_id).replicas == (1, 2)


def test_a_broker_that_is_drained_meanwhile_gets_no_more() -> None:
    cluster, topic_id = begun(1, partitions=5, piece_records=1)
    effects = cluster.step(LiveBrokers((broker(1), broker(2))))
    while not cluster.partition(topic_id).adding:
        effects = cluster.commit(effects.append[0])
    cluster.step(Asked(DrainBrokerRequest(NodeId(2), True, 1_000), "drain"))
    while effects.append:
        effects = cluster.commit(effects.append[0])
    added = [record for record in records(cluster, topic_id) if record.adding]
    assert len(added) == 2, "the one that was committed, and the one on its way"
    cluster.ask(DrainBrokerRequest(NodeId(2), False, 1_000))
    cluster.run(BalanceDue())
    assert {record.replicas for record in records(cluster, topic_id)} == {(1, 2)}


def test_a_successor_goes_on_where_the_last_one_ended() -> None:
    cluster, topic_id = begun(1, partitions=4)
    lowered = ControllerSettings(offsets_topic_replication_factor=1)
    kept = Cluster(cluster.image, lowered, epoch=2)
    kept.live(broker(1), broker(2), takeover=True)
    assert {len(record.replicas) for record in records(kept, topic_id)} == {1}
    successor = Cluster(kept.image, epoch=3)
    successor.live(broker(1), broker(2), takeover=True)
    assert {len(record.replicas) for record in records(successor, topic_id)} == {2}


@pytest.mark.parametrize("seed", range(40))
def test_whoever_comes_and_goes_in_between(seed: int) -> None:
    random = Random(seed)
    cluster, topic_id = begun(1, partitions=5, piece_records=random.choice((1, 2, 200)))
    epochs = {1: 101}
    for epoch in range(200, 260):
        node = random.randint(1, 5)
        if node not in epochs:
            epochs[node] = epoch
        elif len(epochs) > 1:
            del epochs[node]
        live = set(epochs)
        cluster.live(*(broker(n, epochs[n]) for n in sorted(live)))
        for record in records(cluster, topic_id):
            if record.leader in live and live.issuperset(record.replicas) and random.random() < 0.7:
                in_sync(cluster, record)
    cluster.live(*(broker(n, epochs.get(n, 300)) for n in range(1, 6)))
    for _ in range(2):  # who was away catches up, then who was added
        for record in records(cluster, topic_id):
            in_sync(cluster, record)
    for record in records(cluster, topic_id):
        assert len(record.replicas) == 3, record
        assert set(record.isr) == set(record.replicas)
        assert not record.adding
