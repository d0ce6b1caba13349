"""Who leads a partition and who is in sync, as brokers come and go.

Everything here is a function of the image, so doing it again, or by a successor, is harmless.

Elections are clean: from the ISR, else from the eligible leader replicas (ELR, KIP-966).  Those have
left an ISR that fell below the least number of replicas that ``acks=all`` needs; from then on the
high watermark stands still (P9), so they have all that was acknowledged.  An unclean election,
which can lose records, comes last and only where the topic allows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from nodes.core.controller.events import ControllerSettings, LiveBrokers
from nodes.core.controller.formats import formats_in
from nodes.core.controller.image import ClusterImage
from nodes.core.topic_configs import (
    FLUSH_COMMIT,
    FLUSH_POLICY,
    MIN_INSYNC_REPLICAS,
    UNCLEAN_LEADER_ELECTION,
)
from transport.wire.ids import NO_NODE, LeaderEpoch, NodeId, PartitionEpoch
from transport.wire.messages.metadata import BrokerRecord, PartitionRecord, TopicRecord


class Elections:
    """Decides by the image, and by the cluster's default where a topic says nothing."""

    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings

    # Brokers that come and go

    def decide_liveness(
        self, image: ClusterImage, event: LiveBrokers
    ) -> Iterator[BrokerRecord | PartitionRecord]:
        """Mark the dead, move what they led; then take in the new, and give them what lacks a leader.

        Other decisions may come between any two records: each partition is looked at when its turn
        comes.  In between a broker that is marked dead still leads, as it did while nobody knew; it
        is given nothing, since everybody asks the image who is alive, and a broker that may have
        lost tails is marked alive only when it is out of every ISR that it must leave.

        A registration of a later epoch ends the earlier one first, also where the death in between
        went unnoticed: the new process knows nothing of what its predecessor led.  So does a takeover
        sweep everything before it takes anybody in: a death may have been left half done.  Who cannot
        read the image is not taken in.
        """
        needed = formats_in(image)
        seen = {record.id: record for record in event.registered if record.formats >= needed}
        gone = [broker for broker in image.live_brokers() if _has_gone(broker, seen.get(broker.id))]
        for seen_alive in gone:
            broker = image.brokers[seen_alive.id]  # draining, or about to leave, since
            yield replace(broker, alive=False)
        if gone or event.takeover:
            touched = None if event.takeover else frozenset(broker.id for broker in gone)
            yield from self.repairs(image, touched)
        back = [seen[node] for node in sorted(seen) if _is_new(image.brokers.get(node), seen[node])]
        for broker in back:  # before any of them lives: an ISR has no dead beside who lives
            if not broker.intact:
                yield from self._demotions(image, broker)
        for broker in back:
            if broker.formats < formats_in(image):
                continue  # something of a later kind has come in between
            known = image.brokers.get(broker.id)
            draining = known is not None and known.draining
            yield replace(broker, alive=True, draining=draining)
        if back:
            yield from self.repairs(image, frozenset(broker.id for broker in back))

    def _demotions(self, image: ClusterImage, broker: BrokerRecord) -> Iterator[PartitionRecord]:
        """Take a broker that may have lost the tails of its logs, or whole ones, out of every ISR and ELR.

        Whoever else is there, though dead at present, may have all that was acknowledged: it is
        waited for (KIP-966's unclean shutdown).  The last one stays: nobody has more.  Of a topic
        that acknowledges only what is synced on every member, a lost tail can have held nothing.
        """
        node = broker.id
        held = [
            record
            for topic_id, partitions in image.partitions.items()
            if broker.lost or image.topics[topic_id].configs.get(FLUSH_POLICY) != FLUSH_COMMIT
            for record in partitions.values()
            if node in record.isr or node in record.elr
        ]
        for seen in held:
            record = image.newest(seen)
            if record is None or node not in (*record.isr, *record.elr):
                continue
            isr = tuple(member for member in record.isr if member != node)
            elr = tuple(member for member in record.elr if member != node)
            if not isr:
                if not elr:
                    continue
                live = tuple(member for member in elr if image.is_alive(member))
                isr, elr = live or elr, ()
            elif node in record.isr:
                elr = self.eligible(image, record, isr, lost=(node,))
            assert record.leader != node, "its death came first"
            yield stepped(record, replace(record, isr=isr, elr=elr))

    def repairs(
        self, image: ClusterImage, nodes: frozenset[NodeId] | None
    ) -> Iterator[PartitionRecord]:
        """Yield the repaired records of partitions with a replica on ``nodes`` (None: of all).

        Those without a live leader come first, as they are met: they are what clients wait for, and
        to look at all before the first is repaired would hold everybody up.
        """
        live = frozenset(broker.id for broker in image.live_brokers())
        later: list[PartitionRecord] = []
        for record in image.each_partition():
            if _is_sound(record, live) or not (
                nodes is None or not nodes.isdisjoint(record.replicas)
            ):
                continue
            if record.leader in live:
                later.append(record)
            elif better := self.settled(image, record, record):
                yield better
        for seen in later:
            newest = image.newest(seen)
            if newest is not None and (better := self.settled(image, newest, newest)):
                yield better

    # One partition

    def without(
        self, image: ClusterImage, record: PartitionRecord, node: NodeId
    ) -> PartitionRecord | None:
        """Return the record that does not count on a replica whose log has failed, though its broker
        lives; None: it is not counted on, or nobody else is there who has all that was acknowledged (or
        may lead without)."""
        isr = tuple(member for member in record.isr if member != node)
        elr = tuple(member for member in record.elr if member != node)
        if node in record.isr:
            if any(image.is_alive(member) for member in isr):
                elr = self.eligible(image, record, isr, lost=(node,))
            else:
                isr, elr = tuple(member for member in elr if image.is_alive(member)), ()
                if not isr and self.allows_unclean(image, image.topics[record.topic_id]):
                    present = [member for member in record.replicas if image.is_alive(member)]
                    isr = tuple(member for member in present if member != node)[:1]
        elif elr == record.elr:
            return None
        if not isr:
            return None
        wanted = replace(record, isr=isr, elr=elr)
        return self.settled(image, record, wanted) or stepped(record, wanted)

    def settled(
        self, image: ClusterImage, record: PartitionRecord, wanted: PartitionRecord
    ) -> PartitionRecord | None:
        """Return what ``record`` becomes when it is to be ``wanted``; None: what it is already.

        It gets a live leader, no dead ISR members, and the end of its reassignment if that is due.
        """
        after = self._completed(image, self._led(image, wanted))
        return None if after == record else stepped(record, after)

    def _led(self, image: ClusterImage, record: PartitionRecord) -> PartitionRecord:
        """Without anybody to elect there is no leader, and the ISR stays: every member of it had
        all that was acknowledged, so each is eligible when it returns."""
        live = tuple(node for node in record.isr if image.is_alive(node))
        if live:
            leader = record.leader
            if leader not in live:
                leader = successor(image, record.replicas, live)
            elr = record.elr
            if live != record.isr or elr:
                elr = self.eligible(image, record, live)
            return replace(record, leader=leader, isr=live, elr=elr)
        eligible = tuple(node for node in record.elr if image.is_alive(node))
        if eligible:
            leader = successor(image, record.replicas, eligible)
            isr = (leader,)
            return replace(record, leader=leader, isr=isr, elr=self.eligible(image, record, isr))
        present = tuple(node for node in record.replicas if image.is_alive(node))
        if present and self.allows_unclean(image, image.topics[record.topic_id]):
            leader = successor(image, record.replicas, present)
            return replace(record, leader=leader, isr=(leader,), elr=())
        return replace(record, leader=NO_NODE)

    def _completed(self, image: ClusterImage, record: PartitionRecord) -> PartitionRecord:
        """End a reassignment whose new replicas are all in sync (KIP-455).

        Not at the price of more ISR members than ``acks=all`` can do without.
        """
        if not (record.adding or record.removing) or not set(record.adding) <= set(record.isr):
            return record
        stay = tuple(node for node in record.replicas if node not in record.removing)
        isr = tuple(node for node in record.isr if node in stay)
        live = tuple(node for node in isr if image.is_alive(node))
        least = min(self._least(image, record, len(stay)), len(record.isr))
        if not live or len(isr) < least:
            return record
        return replace(
            record,
            replicas=stay,
            isr=isr,
            elr=tuple(node for node in record.elr if node in stay),
            leader=record.leader if record.leader in isr else successor(image, stay, live),
            adding=(),
            removing=(),
        )

    def eligible(
        self,
        image: ClusterImage,
        record: PartitionRecord,
        isr: Sequence[NodeId],
        lost: Sequence[NodeId] = (),
    ) -> tuple[NodeId, ...]:
        """Return who beside the new ISR has all that was acknowledged, and will have while the
        high watermark stands still: nobody, unless the ISR is below the least number."""
        if len(isr) >= self._least(image, record, record.replication_factor):
            return ()
        had = {*record.isr, *record.elr} - {*isr, *lost}
        return tuple(node for node in record.replicas if node in had)

    def _least(self, image: ClusterImage, record: PartitionRecord, replicas: int) -> int:
        text = image.topics[record.topic_id].configs.get(MIN_INSYNC_REPLICAS)
        if text is None:
            default = str(self._settings.min_insync_replicas)
            text = image.cluster_config(MIN_INSYNC_REPLICAS, default)
        return min(int(text), replicas)

    def allows_unclean(self, image: ClusterImage, topic: TopicRecord) -> bool:
        """Tell whether a leader may be elected that lacks acknowledged records."""
        default = image.cluster_config(UNCLEAN_LEADER_ELECTION, "false")
        return topic.configs.get(UNCLEAN_LEADER_ELECTION, default) == "true"


def _is_sound(record: PartitionRecord, live: frozenset[NodeId]) -> bool:
    """Tell at a glance that there is nothing to settle, as of nearly all partitions at a takeover."""
    led = record.leader in live and live.issuperset(record.isr)
    return led and not (record.elr or record.adding or record.removing)


def _has_gone(known: BrokerRecord, seen: BrokerRecord | None) -> bool:
    return seen is None or seen.epoch > known.epoch


def _is_new(known: BrokerRecord | None, seen: BrokerRecord) -> bool:
    """An epoch that has died never comes back: only a later one is news."""
    return known is None or seen.epoch > known.epoch


def successor(
    image: ClusterImage, replicas: Sequence[NodeId], candidates: Sequence[NodeId]
) -> NodeId:
    """Return the first candidate in the order of preference; who is about to leave comes last."""
    ordered = [node for node in replicas if node in candidates]
    return next((node for node in ordered if not image.is_retreating(node)), ordered[0])


def stepped(before: PartitionRecord, after: PartitionRecord) -> PartitionRecord:
    """Return ``after`` with the epochs that follow those of ``before``."""
    return replace(
        after,
        leader_epoch=LeaderEpoch(before.leader_epoch + (after.leader != before.leader)),
        partition_epoch=PartitionEpoch(before.partition_epoch + 1),
    )
