"""S38: who has lost a partition commits for it no more."""

from __future__ import annotations

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require
from transport.wire.errors import ErrorCode

NUMBER = "S38"


def check_refused(partition: Partition, member: str, error: int) -> None:
    """Judge the answer to the commit of a member that is not the owner any more."""
    story = f"{member} has lost {partition}, and commits for it"
    require(error != ErrorCode.NONE, NUMBER, story)
