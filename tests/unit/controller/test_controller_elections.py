"""Eligible leader replicas, unclean elections, preferred leaders, balance, brokers about to leave."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from nodes.core.controller.events import Asked, BalanceDue, ControllerSettings
from tests.unit.controller.cluster import NOW, Cluster, broker, three
from transport.kernel import TICK
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId, TopicId
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)
from transport.wire.messages.metadata import (
    BrokerRecord,
    PartitionRecord,
)
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    ELECT_UNCLEAN,
    ControlledShutdownRequest,
    DrainBrokerRequest,
    ElectLeadersRequest,
    UnregisterBrokerRequest,
)

SAFE = ControllerSettings(min_insync_replicas=2)


def set_config(cluster: Cluster, kind: int, name: str, config: str, value: str) -> None:
    change = ConfigChange(config, ConfigOp.SET, value)
    request = AlterConfigsRequest((AlteredConfigs(kind, name, (change,)),), 1000)
    (outcome,) = cluster.ask(request).resources
    assert outcome.error == ErrorCode.NONE, outcome


def elect(cluster: Cluster, kind: int, number: int | None = 0) -> Any:
    partitions = None if number is None else (("t", number),)
    return cluster.ask(ElectLeadersRequest(kind, partitions, 1000)).partitions


def shape(record: PartitionRecord) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return record.leader, record.isr, record.elr


def propose(cluster: Cluster, topic_id: TopicId, *isr: int, lost: tuple[int, ...] = ()) -> Any:
    return cluster.propose(cluster.partition(topic_id), isr, lost)


# Eligible leader replicas


def test_who_leaves_an_isr_below_the_least_stays_electable_and_is_elected() -> None:
    cluster = three(SAFE)
    topic_id = cluster.create("t", 1, 3)
    assert cluster.partition(topic_id).replicas == (1, 2, 3)
    cluster.live(broker(1), broker(2))
    assert shape(cluster.partition(topic_id)) == (1, (1, 2), ()), "enough are in sync"
    cluster.live(broker(1))
    assert shape(cluster.partition(topic_id)) == (1, (1,), (2,)), "3 may lack what came since"
    cluster.live()
    assert shape(cluster.partition(topic_id)) == (-1, (1,), (2,))
    cluster.live(broker(3, 200))
    assert cluster.partition(topic_id).leader == -1, "3 is not eligible"
    cluster.live(broker(3, 200), broker(2, 200))
    assert shape(cluster.partition(topic_id)) == (2, (2,), (1,)), "clean: it has everything"
    propose(cluster, topic_id, 2, 3)
    assert shape(cluster.partition(topic_id)) == (2, (2, 3), ())


def test_a_leaders_word_shrinks_the_isr_into_the_elr_but_for_those_who_lost() -> None:
    cluster = three(SAFE)
    topic_id = cluster.create("t", 1, 3)
    propose(cluster, topic_id, 1, 2)
    propose(cluster, topic_id, 1)
    assert shape(cluster.partition(topic_id)) == (1, (1,), (2,))
    propose(cluster, topic_id, 1, lost=(2,))
    assert shape(cluster.partition(topic_id)) == (1, (1,), ())
    propose(cluster, topic_id, 1, 2)
    propose(cluster, topic_id, 1, lost=(2,))
    assert shape(cluster.partition(topic_id)) == (1, (1,), ())


def test_who_may_have_lost_its_tail_is_not_electable_while_others_are() -> None:
    cluster = three(SAFE)
    topic_id = cluster.create("t", 1, 3)
    cluster.live(broker(1), broker(2))
    cluster.live(broker(1))
    cluster.live()
    assert shape(cluster.partition(topic_id)) == (-1, (1,), (2,))
    cluster.live(replace(broker(1, 200), intact=False))
    assert shape(cluster.partition(topic_id)) == (-1, (2,), ()), "2 has what 1 may have lost"
    cluster.live(replace(broker(1, 200), intact=False), broker(2, 200))
    assert cluster.partition(topic_id).leader == 2


def test_no_isr_is_left_with_the_dead_beside_who_lives_when_several_are_back() -> None:
    cluster = three(ControllerSettings(piece_records=1))
    topic_id = cluster.create("t", 1, 3)
    cluster.live()
    assert shape(cluster.partition(topic_id)) == (-1, (1, 2, 3), ())
    begun = len(cluster.deltas)
    cluster.live(broker(1, 200), replace(broker(2, 200), intact=False))
    alive = set()
    for record in (record for delta in cluster.deltas[begun:] for record in delta.records):
        if isinstance(record, BrokerRecord):
            alive.add(record.id)
        elif isinstance(record, PartitionRecord):
            assert alive.isdisjoint(record.isr) or alive.issuperset(record.isr), record
    assert shape(cluster.partition(topic_id)) == (1, (1,), ())


@pytest.mark.parametrize("lost", [False, True])
def test_where_all_is_synced_before_it_is_acknowledged_only_lost_logs_count(lost: bool) -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2, flush_policy="commit")
    one, two = cluster.partition(topic_id).replicas
    rest = [broker(node) for node in (1, 2, 3) if node not in (one, two)]
    cluster.live(*rest)
    assert cluster.partition(topic_id).isr == (one, two)
    cluster.live(*rest, replace(broker(one, 500), intact=False, lost=lost))
    expected = (-1, (two,), ()) if lost else (one, (one,), ())
    assert shape(cluster.partition(topic_id)) == expected


def test_the_last_who_may_have_it_leads_though_it_lost_power() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 1)
    cluster.live(broker(2), broker(3))
    cluster.live(replace(broker(1, 200), intact=False), broker(2), broker(3))
    assert shape(cluster.partition(topic_id)) == (1, (1,), ())


def test_a_lower_least_ends_the_elr_of_a_topic_and_of_all() -> None:
    for kind, name in ((RESOURCE_TOPIC, "t"), (RESOURCE_BROKER, "")):
        cluster = three(SAFE)
        topic_id = cluster.create("t", 1, 2)
        cluster.live(broker(1), broker(3))
        assert shape(cluster.partition(topic_id)) == (1, (1,), (2,))
        set_config(cluster, kind, name, "min.insync.replicas", "1")
        assert shape(cluster.partition(topic_id)) == (1, (1,), ())


# Unclean elections


def test_unclean_elections_happen_where_the_topic_allows_them() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    other = cluster.create("u", 1, 2)
    assert cluster.partition(other).replicas[0] == 2
    propose(cluster, topic_id, 1)
    cluster.live(broker(2), broker(3))
    assert shape(cluster.partition(topic_id)) == (-1, (1,), ())
    refused = elect(cluster, ELECT_UNCLEAN)[0]
    assert refused.error == ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE
    assert "unclean.leader.election.enable" in refused.text
    set_config(cluster, RESOURCE_TOPIC, "t", "unclean.leader.election.enable", "true")
    assert shape(cluster.partition(topic_id)) == (2, (2,), ())
    assert elect(cluster, ELECT_UNCLEAN)[0].error == ErrorCode.ELECTION_NOT_NEEDED
    cluster.live()
    assert cluster.partition(topic_id).leader == -1
    assert elect(cluster, ELECT_UNCLEAN)[0].error == ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE


def test_the_default_of_all_brokers_allows_it_for_every_topic() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    propose(cluster, topic_id, 1)
    set_config(cluster, RESOURCE_BROKER, "", "unclean.leader.election.enable", "true")
    cluster.live(broker(2), broker(3))
    assert cluster.partition(topic_id).leader == 2


# Preferred leaders


def test_the_preferred_leader_is_elected_on_demand_when_it_is_in_sync() -> None:
    cluster = three()
    topic_id = cluster.create("t", 2, 2)
    assert elect(cluster, ELECT_PREFERRED)[0].error == ErrorCode.ELECTION_NOT_NEEDED
    cluster.live(broker(2), broker(3))
    assert cluster.partition(topic_id).leader == 2
    unavailable = ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    assert elect(cluster, ELECT_PREFERRED)[0].error == unavailable
    cluster.live(broker(1, 200), broker(2), broker(3))
    assert elect(cluster, ELECT_PREFERRED)[0].error == unavailable, "not in sync"
    propose(cluster, topic_id, 2, 1)
    epoch = cluster.partition(topic_id).leader_epoch
    told = elect(cluster, ELECT_PREFERRED, None)
    assert [(one.partition, one.error) for one in told] == [(0, ErrorCode.NONE)]
    after = cluster.partition(topic_id)
    assert (after.leader, after.leader_epoch, after.isr) == (1, epoch + 1, (1, 2))
    assert elect(cluster, ELECT_PREFERRED, 7)[0].error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_none_to_elect_is_not_all() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1, 200), broker(2), broker(3))
    propose(cluster, topic_id, 2, 1)
    assert cluster.ask(ElectLeadersRequest(ELECT_PREFERRED, (), 1000)).partitions == ()
    assert cluster.partition(topic_id).leader == 2


def test_leaderships_go_back_in_time_unless_somebody_forbids_it() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1, 200), broker(2), broker(3))
    cluster.run(BalanceDue())
    assert cluster.partition(topic_id).leader == 2, "not in sync yet"
    propose(cluster, topic_id, 2, 1)
    set_config(cluster, RESOURCE_BROKER, "", "auto.leader.rebalance.enable", "false")
    cluster.run(BalanceDue())
    assert cluster.partition(topic_id).leader == 2
    set_config(cluster, RESOURCE_BROKER, "", "auto.leader.rebalance.enable", "true")
    cluster.run(BalanceDue(), BalanceDue())
    assert cluster.partition(topic_id).leader == 1


# Brokers about to leave


def leave(cluster: Cluster, node: int, epoch: int | None = None) -> Any:
    known = BrokerEpoch(100 + node if epoch is None else epoch)
    return cluster.ask(ControlledShutdownRequest(NodeId(node), known))


def test_a_broker_about_to_stop_hands_over_and_leads_nothing_until_it_is_back() -> None:
    cluster = three()
    topic_id = cluster.create("t", 3, 3)
    alone = cluster.create("alone", 1, 1)
    node = cluster.partition(alone).leader
    answer = leave(cluster, node)
    assert (answer.error, answer.remaining) == (ErrorCode.NONE, 1), "nobody else has that one"
    assert answer.version == cluster.image.position.version
    for record in cluster.image.partitions[topic_id].values():
        assert record.leader != node
        assert record.isr == record.replicas, "it goes on following"
    cluster.run(BalanceDue())
    assert all(record.leader != node for record in cluster.image.partitions[topic_id].values())
    new = cluster.create("new", 3, 2)
    assert all(node not in r.replicas for r in cluster.image.partitions[new].values())
    assert leave(cluster, node, 1).error == ErrorCode.STALE_BROKER_EPOCH
    others = [broker(other) for other in (1, 2, 3) if other != node]
    cluster.live(*others)
    cluster.live(*others, broker(node, 200))
    assert not cluster.image.is_retreating(node)


def test_a_drained_broker_stays_drained_when_it_starts_again() -> None:
    cluster = three()
    topic_id = cluster.create("t", 3, 3)
    drain = DrainBrokerRequest(NodeId(1), True, 1000)
    assert cluster.ask(drain).error == ErrorCode.NONE
    assert all(record.leader != 1 for record in cluster.image.partitions[topic_id].values())
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1, 200), broker(2), broker(3))
    assert cluster.image.is_retreating(NodeId(1))
    for last in (2, 3):
        answer = cluster.ask(DrainBrokerRequest(NodeId(last), True, 1000))
    assert answer.error == ErrorCode.INVALID_REQUEST
    assert "last" in answer.text
    assert cluster.ask(DrainBrokerRequest(NodeId(1), False, 1000)).error == ErrorCode.NONE
    assert not cluster.image.is_retreating(NodeId(1))
    unknown = cluster.ask(DrainBrokerRequest(NodeId(9), True, 1000))
    assert unknown.error == ErrorCode.BROKER_ID_NOT_REGISTERED


def test_a_broker_is_forgotten_when_it_is_stopped_and_has_nothing() -> None:
    cluster = three()
    cluster.create("t", 1, 1)

    def remove(node: int) -> Any:
        return cluster.ask(UnregisterBrokerRequest(NodeId(node), 1000))

    assert "alive" in remove(3).text
    cluster.live(broker(2))
    assert "1 replicas" in remove(1).text
    assert remove(3).error == ErrorCode.NONE
    assert sorted(cluster.image.brokers) == [1, 2]
    assert remove(3).error == ErrorCode.BROKER_ID_NOT_REGISTERED


def test_what_was_set_for_a_broker_goes_with_it_also_within_one_commit() -> None:
    cluster = three()
    cluster.live(broker(1), broker(2))
    change = ConfigChange("log.retention.ms", ConfigOp.SET, "60000")
    altered = AlteredConfigs(RESOURCE_BROKER, "3", (change,))
    for token, request in enumerate(
        (
            DrainBrokerRequest(NodeId(3), True, 1000),
            AlterConfigsRequest((altered,), 1000),
            UnregisterBrokerRequest(NodeId(3), 1000),
        )
    ):
        cluster.core.step(Asked(request, token), NOW)
    (delta,) = cluster.core.step(TICK, NOW).append
    cluster.commit(delta)
    assert 3 not in cluster.image.brokers
    assert cluster.image.configs == {}, "as the next broker 3 would find them"
