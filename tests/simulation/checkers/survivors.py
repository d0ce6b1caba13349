"""Which partitions still promise what was acknowledged: some in-sync log kept its tail.

No property of its own, but the small print of G1: a power cut takes what was not synced.  A log that
lost its tail counts again once its replica has left the ISR and caught up.  When every in-sync log
of a partition is harmed at one time, the partition is excused for good.  With
``flush.policy=commit`` what is acknowledged is synced everywhere: only a lost disk harms it.

And that of L3: who was out of the ISR may have missed a tombstone that went meanwhile.
"""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from nodes.core.topic_configs import FLUSH_COMMIT, FLUSH_POLICY
from tests.simulation.checkers.log_history import Partition


class Survivors:
    """Harmed logs by partition, and the partitions that are excused."""

    def __init__(self) -> None:
        self.excused: set[Partition] = set()
        self._isrs: dict[Partition, tuple[int, ...]] = {}
        self._synced: set[Partition] = set()
        """Of topics that acknowledge only what is synced."""
        self._harmed: dict[Partition, set[int]] = {}
        self._away: dict[Partition, set[int]] = {}
        """Who was out of the ISR at some time."""
        self._version = -1

    def take_image(self, image: ClusterImage) -> None:
        """Take an image that some broker has; only the newest counts."""
        if image.position.version <= self._version:
            return
        self._version = int(image.position.version)
        self._isrs = {}
        self._synced = set()
        for topic_id, partitions in image.partitions.items():
            topic = image.topics[topic_id]
            for number, record in partitions.items():
                partition = (topic.name, number)
                if topic.configs.get(FLUSH_POLICY) == FLUSH_COMMIT:
                    self._synced.add(partition)
                self._isrs[partition] = record.isr
                if len(record.isr) < len(record.replicas):
                    away = set(record.replicas) - set(record.isr)
                    self._away.setdefault(partition, set()).update(away)
                harmed = self._harmed.get(partition)
                if harmed:
                    harmed.intersection_update(record.isr)

    def harm(self, node: int, *, synced: bool) -> None:
        """A broker's logs lost what was not synced, or what was as well."""
        for partition, isr in self._isrs.items():
            if node in isr and (synced or partition not in self._synced):
                harmed = self._harmed.setdefault(partition, set())
                harmed.add(node)
                if harmed.issuperset(isr):
                    self.excused.add(partition)

    def is_excused(self, partition: Partition) -> bool:
        """Tell whether it promises nothing any more."""
        return partition in self.excused

    def was_away(self, partition: Partition, node: int) -> bool:
        """Tell whether this replica was out of the ISR at some time."""
        return node in self._away.get(partition, ())

    def is_harmed(self, partition: Partition, node: int) -> bool:
        """Tell whether this replica's log may lack what is committed.

        So may one that has left the ISR, though a leader that is slow has not heard of it yet.
        """
        isr = self._isrs.get(partition)
        out = isr is not None and node not in isr
        return out or node in self._harmed.get(partition, ())
