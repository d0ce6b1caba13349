"""What a takeover repairs: every partition that needs it, at no cost for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations

import pytest
from msgspec.structs import replace

from nodes.core.controller.elections import Elections, stepped
from nodes.core.controller.events import ControllerSettings
from nodes.core.controller.image import ClusterImage
from tests.unit.controller.cluster import three
from transport.wire.ids import NO_NODE, LeaderEpoch, NodeId, PartitionEpoch, TopicId
from transport.wire.messages.metadata import PartitionRecord

Nodes = tuple[NodeId, ...]
REPLICAS: Nodes = (NodeId(1), NodeId(2), NodeId(3))
DEAD = NodeId(3)


class Counting(Elections):
    """Remembers which partitions it has looked at closely."""

    def __init__(self, least: int) -> None:
        super().__init__(ControllerSettings(min_insync_replicas=least))
        self.looked_at: list[int] = []

    def settled(
        self, image: ClusterImage, record: PartitionRecord, wanted: PartitionRecord
    ) -> PartitionRecord | None:
        self.looked_at.append(record.partition)
        return super().settled(image, record, wanted)


def some_of(nodes: Nodes) -> Iterator[Nodes]:
    return chain.from_iterable(combinations(nodes, size) for size in range(len(nodes) + 1))


def shapes() -> Iterator[tuple[NodeId, Nodes, Nodes, Nodes, Nodes]]:
    """Leader, ISR, ELR, adding and removing, of every kind that there is."""
    for isr in some_of(REPLICAS):
        outside = tuple(node for node in REPLICAS if node not in isr)
        for leader in (NO_NODE, *isr) if isr else ():
            for elr in some_of(outside):
                for adding in some_of(REPLICAS[1:]):
                    for removing in some_of(REPLICAS[:1]):
                        yield leader, isr, elr, adding, removing


@pytest.fixture
def image() -> ClusterImage:
    """Of a topic with a partition of every shape, in a cluster that has lost a broker."""
    cluster = three()
    topic_id: TopicId = cluster.create("t", 1, 3)
    cluster.live(*(one for one in cluster.image.live_brokers() if one.id != DEAD))
    image = cluster.image.copied()
    for number, (leader, isr, elr, adding, removing) in enumerate(shapes(), 1):
        epochs = LeaderEpoch(0), PartitionEpoch(0)
        record = PartitionRecord(
            topic_id, number, REPLICAS, isr, leader, *epochs, elr, adding, removing
        )
        image.apply_record(record)
    return image


@pytest.mark.parametrize("least", [1, 2])
def test_a_takeover_repairs_every_partition_that_needs_it(image: ClusterImage, least: int) -> None:
    """Also what a predecessor with other settings has left."""
    elections = Elections(ControllerSettings(min_insync_replicas=least))
    records = [record for parts in image.partitions.values() for record in parts.values()]
    wanted = {record.partition: elections.settled(image, record, record) for record in records}
    repaired = {record.partition: record for record in elections.repairs(image, None)}
    assert repaired == {number: record for number, record in wanted.items() if record is not None}
    assert 0 < len(repaired) < len(records)


def test_a_takeover_looks_closely_only_at_what_may_need_it(image: ClusterImage) -> None:
    """All but a few of the thousands of partitions of a cluster need nothing."""
    elections = Counting(1)
    list(elections.repairs(image, None))
    for parts in image.partitions.values():
        for record in parts.values():
            is_led = record.leader != NO_NODE and DEAD not in record.isr
            changes = record.elr or record.adding or record.removing
            assert (record.partition not in elections.looked_at) == (is_led and not changes)


def test_the_first_repair_waits_for_no_look_at_the_others(image: ClusterImage) -> None:
    """Of thousands, the first few are a piece of their own: who waits for a leader has one sooner."""
    repairs = Elections(ControllerSettings()).repairs(image, None)
    first = next(repairs)
    parts = image.partitions[first.topic_id]
    later = next(one for one in parts.values() if one.isr == (one.leader,) and not one.elr)
    assert later.partition > first.partition
    image.apply_record(stepped(later, replace(later, isr=(later.leader, DEAD))))
    assert later.partition in {record.partition for record in repairs}
