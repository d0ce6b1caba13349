"""S22, S23: nobody reads past the high watermark, and no reader is told that it has gone back.

Watched on the leaders: the largest high watermark that any leader ever had is the bound for reads
(S22); and what a leader tells of it is never below what it, or a leader of an earlier epoch, has
told before (S23).
"""

from __future__ import annotations

from tests.simulation.checkers.committed_replicated import LedPartition
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require

READS_COMMITTED = "S22"
FORWARD = "S23"


class Watermarks:
    """The high watermarks of every partition, by leader epoch."""

    def __init__(self) -> None:
        self._told: dict[tuple[bytes, Partition], dict[int, int]] = {}
        self._largest: dict[Partition, int] = {}

    def look(self, led: LedPartition, *, told: bool) -> None:
        """Take a leader's after a turn; ``told``: it tells it to readers."""
        partition, epoch, watermark = led.partition, led.leader_epoch, led.high_watermark
        if watermark > self._largest.get(partition, -1):
            self._largest[partition] = watermark
        if not told:
            return
        epochs = self._told.setdefault((led.topic_id, partition), {})
        before = max((mark for known, mark in epochs.items() if known <= epoch), default=-1)
        story = f"{partition}: the leader of epoch {epoch} tells {watermark} after {before}"
        require(watermark >= before, FORWARD, story)
        epochs[epoch] = watermark

    def largest(self, partition: Partition) -> int:
        """Return the largest high watermark that any leader ever had, 0 when there was none."""
        return self._largest.get(partition, 0)

    def forget(self, partition: Partition) -> None:
        """Its logs have lost their tails: nothing known holds any more."""
        for key in [key for key in self._told if key[1] == partition]:
            del self._told[key]

    def note_read(self, reader: str, partition: Partition, offset: int) -> None:
        """A reader was given the record at ``offset``."""
        largest = self._largest.get(partition, -1)
        story = reader, "read", offset, "of", partition, "of which are committed only", largest
        require(offset < largest, READS_COMMITTED, *story)
