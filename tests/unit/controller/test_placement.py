"""Where new replicas go."""

from __future__ import annotations

from collections import Counter

import pytest

from nodes.core.controller.placement import Load, Placement
from transport.wire.ids import BrokerEpoch, Incarnation, NodeId, NodeName
from transport.wire.messages.metadata import BrokerRecord


def broker(node: int, rack: str = "") -> BrokerRecord:
    name = NodeName(f"broker-{node}")
    return BrokerRecord(
        NodeId(node), name, BrokerEpoch(node), Incarnation(1), "", "", "", rack, True
    )


def place(
    brokers: list[BrokerRecord], partitions: int, factor: int, cluster: Load | None = None
) -> list[tuple[NodeId, ...]]:
    placement = Placement(brokers, Load(), cluster or Load())
    return [placement.place(factor) for _ in range(partitions)]


@pytest.mark.parametrize("brokers", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("partitions", [1, 4, 12, 50])
def test_leaders_differ_by_one_and_replicas_by_two_at_most(brokers: int, partitions: int) -> None:
    factor = min(3, brokers)
    placed = place([broker(n) for n in range(1, brokers + 1)], partitions, factor)
    leaders = Counter(replicas[0] for replicas in placed)
    replicas = Counter(node for each in placed for node in each)
    for counts, bound in ((leaders, 1), (replicas, 2)):
        of_each = [counts[NodeId(n)] for n in range(1, brokers + 1)]
        assert max(of_each) - min(of_each) <= bound, of_each
    assert all(len(set(each)) == factor for each in placed)


def test_topics_of_one_partition_rotate_too() -> None:
    brokers = [broker(n) for n in (1, 2, 3)]
    cluster = Load()
    leaders = [place(brokers, 1, 1, cluster)[0][0] for _ in range(6)]
    assert sorted(leaders) == [1, 1, 2, 2, 3, 3]


def test_each_partition_spans_the_racks() -> None:
    racks = {1: "a", 2: "a", 3: "a", 4: "b", 5: "b", 6: "c"}
    brokers = [broker(node, rack) for node, rack in racks.items()]
    for replicas in place(brokers, 30, 3):
        assert {racks[node] for node in replicas} == {"a", "b", "c"}


def test_a_leader_has_not_always_the_same_follower() -> None:
    placed = place([broker(n) for n in range(1, 7)], 30, 2)
    followers = {second for first, second in placed if first == 1}
    assert len(followers) >= 3


def test_more_replicas_than_racks_fill_up_evenly() -> None:
    brokers = [broker(1, "a"), broker(2, "a"), broker(3, "b"), broker(4, "b")]
    for replicas in place(brokers, 8, 3):
        assert len(set(replicas)) == 3
        racks = Counter("a" if node <= 2 else "b" for node in replicas)
        assert max(racks.values()) == 2
