"""S38: who has lost a partition commits for it no more."""

from __future__ import annotations

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.group_offsets import OffsetCommitResponse

NUMBER = "S38"


def check_refused(partition: Partition, member: str, answer: Message) -> None:
    """Judge the answer to the commit of a member that is not the owner any more."""
    if isinstance(answer, OffsetCommitResponse) and answer.error == ErrorCode.NONE:
        (outcome,) = answer.outcomes
        story = f"{member} has lost {partition}, and commits for it"
        require(outcome.error != ErrorCode.NONE, NUMBER, story)
