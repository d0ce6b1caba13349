"""S37: a commit that was answered is not lost, and a group's offsets do not go back."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require

NUMBER = "S37"


def check_commits(before: Mapping[Partition, int], found: Mapping[Partition, int]) -> None:
    """Compare what was answered before a question with its answer."""
    for partition, offset in before.items():
        told = found.get(partition, -1)
        require(
            told >= offset, NUMBER, f"{partition}: {offset} was committed, and now it is {told}"
        )
