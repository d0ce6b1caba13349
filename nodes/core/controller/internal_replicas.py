"""How many replicas the cluster's own topics have: as many as configured, once there are the brokers.

They are made on first use, with no more replicas than there are brokers then.  When brokers join,
each of their partitions is on its way to the number that is configured, by a reassignment like any
other (KIP-455): it takes in those that are being added already, gives nobody up, and leaves the
leader and the preferred one where they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.core.controller.elections import Elections
from nodes.core.controller.events import ControllerSettings
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import CONSUMER_OFFSETS, TRANSACTION_STATE
from nodes.core.controller.partitions import cluster_load
from nodes.core.controller.placement import Load, Placement
from nodes.core.controller.reassignments import reassigned
from transport.wire.messages.metadata import PartitionRecord, TopicRecord


class InternalReplicas:
    """Decides on further replicas of internal topics; how they get in sync is the elections' to know."""

    def __init__(self, elections: Elections, settings: ControllerSettings) -> None:
        self._elections = elections
        self._factors = {
            CONSUMER_OFFSETS: settings.offsets_topic_replication_factor,
            TRANSACTION_STATE: settings.transaction_state_replication_factor,
        }

    def decide_growth(self, image: ClusterImage) -> Iterator[PartitionRecord]:
        """Yield the partitions that lack replicas for which there are brokers, with these added.

        A function of the image alone, so that a successor, or the next look, goes on where it ended.
        Other decisions may come between any two records.  Brokers that retreat get nothing.
        """
        for name, factor in self._factors.items():
            topic = image.topic(name)
            if topic is not None:
                yield from self._grown(image, topic, factor)

    def _grown(
        self, image: ClusterImage, topic: TopicRecord, factor: int
    ) -> Iterator[PartitionRecord]:
        brokers = image.placeable_brokers()
        factor = min(factor, len(brokers))
        lacking = [
            record
            for record in image.partitions[topic.topic_id].values()
            if _remaining(record) < factor
        ]
        if not lacking:
            return
        own = Load(image.partitions[topic.topic_id].values())
        placement = Placement(brokers, own, cluster_load(image))
        for seen in lacking:
            record = image.newest(seen)
            if record is None or _remaining(record) >= factor:
                continue
            if image.placeable_brokers() != brokers:
                return  # somebody has come or gone since: that is looked at next
            stay = tuple(node for node in record.replicas if node not in record.removing)
            wanted = reassigned(record, placement.extend(stay, factor))
            after = self._elections.settled(image, record, wanted)
            assert after is not None, "it has further replicas"
            yield after


def _remaining(record: PartitionRecord) -> int:
    """Return how many replicas it has when the reassignment under way, if there is one, has ended."""
    return len(record.replicas) - len(record.removing)
