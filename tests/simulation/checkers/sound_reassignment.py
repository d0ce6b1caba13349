"""S35: a reassignment gives a replica up only when all that it adds are in sync.

And who is electable beside the ISR is a replica outside it.
"""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require
from transport.wire.messages.metadata import PartitionRecord

NUMBER = "S35"

Key = tuple[bytes, int]


class Reassigned:
    """The newest record of each partition, whoever told it, compared with the one before."""

    def __init__(self) -> None:
        self._newest: dict[Key, PartitionRecord] = {}

    def look(self, host: str, image: ClusterImage) -> None:
        """Judge every partition of one image."""
        for topic_id, partitions in image.partitions.items():
            for number, record in partitions.items():
                story = f"by {host}'s image {image.position} {record}"
                outside = set(record.replicas) - set(record.isr)
                require(set(record.elr) <= outside, NUMBER, story)
                before = self._newest.get((topic_id, number))
                if before is None or record.partition_epoch > before.partition_epoch:
                    self._newest[topic_id, number] = record
                    if before is not None and record.partition_epoch == before.partition_epoch + 1:
                        _judge(before, record, f"{story}, before: {before}")


def _judge(before: PartitionRecord, after: PartitionRecord, story: str) -> None:
    """A record whose epoch follows directly is one change: nothing can have come between."""
    gone = set(before.replicas) - set(after.replicas)
    if before.adding and gone and gone <= set(before.removing) and not after.adding:
        require(set(before.adding) <= set(after.isr), NUMBER, story)
