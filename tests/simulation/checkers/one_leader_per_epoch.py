"""S25: a partition's leader epoch has at most one leader: by every image, and by who acts as one."""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S25"


class OneLeaderPerEpoch:
    """(topic id, partition, leader epoch) -> who was said to lead, or led, in it."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[bytes, int, int], int] = {}

    def look(self, topic_id: bytes, partition: int, epoch: int, leader: int) -> None:
        """Somebody leads, or an image says so."""
        if leader < 0:
            return
        known = self._leaders.setdefault((topic_id, partition, epoch), leader)
        where = "partition", partition, "of", topic_id, "in leader epoch", epoch
        require(known == leader, NUMBER, "brokers", known, "and", leader, "lead", *where)
