"""S24: what a leader calls committed, every in-sync replica that lives has in its log.

Nor does it call anything committed while fewer replicas than ``min.insync.replicas`` are in sync.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require

NUMBER = "S24"


class LedPartition(NamedTuple):
    """A leader's view of its partition after a turn."""

    host: str
    topic_id: bytes
    partition: Partition
    leader_epoch: int
    partition_epoch: int
    isr: tuple[int, ...]
    wanted: int
    """How many replicas must be in sync for anything to be committed."""
    high_watermark: int


def check_replicated(led: LedPartition, ends: Iterable[tuple[int, int]]) -> None:
    """Compare the high watermark with the log ends (node, offset) of the other replicas."""
    for node, end in ends:
        if node in led.isr:
            story = led.host, "calls", led.partition, "committed up to", led.high_watermark
            require(end >= led.high_watermark, NUMBER, *story, "in-sync", node, "ends at", end)


class MinInsync:
    """Watches that the high watermark stands still while too few are in sync."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes, Partition], LedPartition] = {}

    def look(self, led: LedPartition) -> None:
        """Take a leader's view after a turn."""
        before = self._seen.get(led[:3])
        self._seen[led[:3]] = led
        if before is None or before[:-1] != led[:-1] or len(led.isr) >= led.wanted:
            return
        story = f"{led.host} moved the high watermark of {led.partition} with ISR {led.isr}, "
        story += f"not {led.wanted}"
        require(led.high_watermark <= before.high_watermark, NUMBER, story)

    def restarted(self, host: str) -> None:
        """A new process begins with the high watermark that was last written down."""
        for key in [key for key in self._seen if key[0] == host]:
            del self._seen[key]
