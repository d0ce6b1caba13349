"""S6: a leader counts for a follower only what that follower's disk really has (Raft §5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nodes.core.raft.member import Member
from nodes.core.raft.progress import Progress
from tests.simulation.checkers.violation import Violation
from transport.wire.ids import NodeId

NUMBER = "S6"


def check_acknowledged(
    leader: Member,
    progress: Mapping[NodeId, Progress],
    members: Mapping[NodeId, Member],
    lives: Callable[[NodeId], bool],
) -> None:
    """Compare what the leader believes of its followers with what they have synced, while they live."""
    for node, known in progress.items():
        follower = members.get(node)
        if follower is None or known.match_index <= follower.durability.index:
            continue
        synced = follower.durability.index
        if follower.term == leader.term and not follower.installing and lives(node):
            story = f"leader {leader.node} counts on entry {known.match_index} at {node}, "
            raise Violation(NUMBER, story + f"which has synced up to {synced}")
