"""S36: a partition has one owner in its group; the next one reads once the last has let go."""

from __future__ import annotations

from tests.simulation.checkers.group_history import GroupHistory
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require

NUMBER = "S36"


def note_told(
    history: GroupHistory, partition: Partition, epoch: int, member: str, still_read_by: str
) -> None:
    """A member is told to read a partition; ``still_read_by``: a live one that has not let go."""
    owner = history.owners.setdefault((partition, epoch), member)
    story = f"{partition} has two owners in epoch {epoch}: {owner} and {member}"
    require(owner == member, NUMBER, story)
    story = f"{partition} is given to {member} while {still_read_by} reads it"
    require(not still_read_by, NUMBER, story)
