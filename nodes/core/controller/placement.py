"""Which brokers get the replicas of a new partition, or further ones; the first leads by preference.

Leaders rotate evenly over the brokers within the topic, then within the cluster; the replicas of a
partition are on different brokers and, as far as there are racks, in different racks.  No chance is
involved: equal choices fall to the next broker in the ring, and the ring's stride grows with each
round, so that a broker's followers are not always the same neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from transport.wire.ids import NodeId
from transport.wire.messages.metadata import BrokerRecord, PartitionRecord


class Load:
    """How many preferred leaderships and replicas each broker has."""

    def __init__(self, records: Iterable[PartitionRecord] = ()) -> None:
        self.leaders: Counter[NodeId] = Counter()
        self.replicas: Counter[NodeId] = Counter()
        for record in records:
            self.add(record.replicas)

    def add(self, replicas: Sequence[NodeId]) -> None:
        """Count one partition's replicas."""
        self.leaders[replicas[0]] += 1
        self.replicas.update(replicas)


class Placement:
    """Places the partitions of one topic, one after the other."""

    def __init__(
        self,
        brokers: Sequence[BrokerRecord],
        topic: Load,
        cluster: Load,
        away: Sequence[BrokerRecord] = (),
    ) -> None:
        """``away``: get what replicas ``brokers`` are too few for."""
        assert brokers, "placing needs a live broker"
        self._ring = _ring(brokers)
        self._away = _ring(away) if away else []
        self._racks = {broker.id: broker.rack for broker in (*brokers, *away)}
        self._topic = topic
        self._cluster = cluster
        self._placed = sum(topic.leaders.values())

    def place(self, replication_factor: int) -> tuple[NodeId, ...]:
        """Return the brokers of the next partition; needs that many brokers."""
        ring = self._ring
        assert 1 <= replication_factor <= len(ring) + len(self._away)
        turn, stride = self._placed % len(ring), self._placed // len(ring)
        first = min(range(len(ring)), key=lambda i: self._leader_cost(i, turn))
        chosen = [ring[first]]
        self._add_followers(chosen, replication_factor, first + 1 + stride)
        self._placed += 1
        self._topic.add(chosen)
        self._cluster.add(chosen)
        return tuple(chosen)

    def extend(self, replicas: Sequence[NodeId], replication_factor: int) -> tuple[NodeId, ...]:
        """Return a partition's replicas with more behind them, up to that many; needs the brokers."""
        chosen = list(replicas)
        self._add_followers(chosen, replication_factor, self._placed)
        self._placed += 1
        added = chosen[len(replicas) :]
        self._topic.replicas.update(added)
        self._cluster.replicas.update(added)
        return tuple(chosen)

    def _add_followers(self, chosen: list[NodeId], replication_factor: int, start: int) -> None:
        while len(chosen) < replication_factor:
            ring = self._ring
            free = [i for i in range(len(ring)) if ring[i] not in chosen]
            if not free:
                ring = self._away
                free = [i for i in range(len(ring)) if ring[i] not in chosen]
            used_racks = Counter(self._racks[node] for node in chosen if node in self._racks)
            cost_of = partial(self._follower_cost, ring, start, used_racks)
            chosen.append(ring[min(free, key=cost_of)])

    def _leader_cost(self, i: int, turn: int) -> tuple[int, int, int]:
        node = self._ring[i]
        distance = (i - turn) % len(self._ring)
        return self._topic.leaders[node], self._cluster.leaders[node], distance

    def _follower_cost(
        self, ring: Sequence[NodeId], start: int, used_racks: Counter[str], i: int
    ) -> tuple[int, int, int, int]:
        node = ring[i]
        distance = (i - start) % len(ring)
        rack = used_racks[self._racks[node]]
        return rack, self._topic.replicas[node], self._cluster.replicas[node], distance


def _ring(brokers: Sequence[BrokerRecord]) -> list[NodeId]:
    """Order brokers by id, taking one of each rack in turn."""
    racks: dict[str, list[NodeId]] = {}
    for broker in sorted(brokers, key=lambda broker: broker.id):
        racks.setdefault(broker.rack, []).append(broker.id)
    ring: list[NodeId] = []
    for depth in range(max(len(nodes) for nodes in racks.values())):
        ring.extend(racks[rack][depth] for rack in sorted(racks) if depth < len(racks[rack]))
    return ring
