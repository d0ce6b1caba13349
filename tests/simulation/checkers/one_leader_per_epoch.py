"""S25: a partition's leader epoch has at most one leader, and of that one process: by every image,
and by who acts as one.

A broker's next process may lack what the one before had under that leader epoch.
"""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S25"


class OneLeaderPerEpoch:
    """(topic id, partition, leader epoch) -> which broker's which incarnation led in it, or was said to."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[bytes, int, int], tuple[int, int]] = {}

    def look(
        self, topic_id: bytes, partition: int, epoch: int, leader: int, incarnation: int
    ) -> None:
        """Somebody leads, or an image says so."""
        process = leader, incarnation
        known = self._leaders.setdefault((topic_id, partition, epoch), process)
        where = "partition", partition, "of", topic_id, "in leader epoch", epoch
        story = "lead (broker, incarnation)"
        require(known == process, NUMBER, known, "and", process, story, *where)
