"""What a broker's coming and going does to partitions: clean elections only.

Everything here is a function of the image, so doing it again, or by a successor, is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from nodes.core.controller.events import Decision, LiveBrokers
from nodes.core.controller.image import ClusterImage
from nodes.core.topic_configs import FLUSH_COMMIT, FLUSH_POLICY
from transport.wire.ids import NO_NODE, LeaderEpoch, NodeId, PartitionEpoch
from transport.wire.messages.metadata import BrokerRecord, PartitionRecord


def decide_liveness(image: ClusterImage, event: LiveBrokers) -> Decision:
    """Mark the dead, move what they led; then take in the new, and give them what lacks a leader.

    A registration of a later epoch ends the earlier one first, also where the death in between went
    unnoticed: the new process knows nothing of what its predecessor led.
    """
    seen = {record.id: record for record in event.registered}
    gone = [broker for broker in image.live_brokers() if _has_gone(broker, seen.get(broker.id))]
    for broker in gone:
        yield replace(broker, alive=False)
    if gone:
        yield from repairs(image, frozenset(broker.id for broker in gone))
    back = [seen[node] for node in sorted(seen) if _is_new(image.brokers.get(node), seen[node])]
    for broker in back:
        if not broker.intact:
            yield from _demotions(image, broker.id)
        yield replace(broker, alive=True)
    if back or event.takeover:
        touched = None if event.takeover else frozenset(broker.id for broker in back)
        yield from repairs(image, touched)
    return None


def _demotions(image: ClusterImage, node: NodeId) -> Iterator[PartitionRecord]:
    """Take a broker that may have lost the tails of its logs out of every ISR with another member.

    Whoever else is in that ISR, though dead at present, may have all that was acknowledged: it is
    waited for (KIP-966's unclean shutdown).  The last member stays: nobody has more.  Of a topic
    that acknowledges only what is synced on every member, nothing can have been lost.
    """
    held = [
        record
        for topic_id, partitions in image.partitions.items()
        if image.topics[topic_id].configs.get(FLUSH_POLICY) != FLUSH_COMMIT
        for record in partitions.values()
        if node in record.isr and len(record.isr) > 1
    ]
    for record in held:
        assert record.leader != node, "its death came first"
        yield replace(
            record,
            isr=tuple(member for member in record.isr if member != node),
            partition_epoch=PartitionEpoch(record.partition_epoch + 1),
        )


def _has_gone(known: BrokerRecord, seen: BrokerRecord | None) -> bool:
    return seen is None or seen.epoch > known.epoch


def _is_new(known: BrokerRecord | None, seen: BrokerRecord) -> bool:
    """An epoch that has died never comes back: only a later one is news."""
    return known is None or seen.epoch > known.epoch


def repairs(image: ClusterImage, nodes: frozenset[NodeId] | None) -> Iterator[PartitionRecord]:
    """Yield the repaired records of partitions with a replica on ``nodes`` (None: of all).

    Changes of leader come first: they are what clients wait for.
    """
    touched = [
        record
        for partitions in image.partitions.values()
        for record in partitions.values()
        if nodes is None or not nodes.isdisjoint(record.replicas)
    ]
    shrunk: list[PartitionRecord] = []
    for record in touched:
        better = repaired(image, record)
        if better is None:
            continue
        if better.leader != record.leader:
            yield better
        else:
            shrunk.append(better)
    yield from shrunk


def repaired(image: ClusterImage, record: PartitionRecord) -> PartitionRecord | None:
    """Return the record with a live leader and without dead ISR members; None if it is right.

    Without a live member there is no leader, and the ISR stays: every member of it had all that was
    acknowledged, so each is eligible when it returns.
    """
    live = tuple(node for node in record.isr if image.is_alive(node))
    leader, isr = record.leader, live
    if not live:
        leader, isr = NO_NODE, record.isr
    elif leader not in live:
        leader = next(node for node in record.replicas if node in live)
    if (leader, isr) == (record.leader, record.isr):
        return None
    return replace(
        record,
        isr=isr,
        leader=leader,
        leader_epoch=LeaderEpoch(record.leader_epoch + (leader != record.leader)),
        partition_epoch=PartitionEpoch(record.partition_epoch + 1),
    )
