"""S32: only voters are elected, and what is committed stands on the disks of a majority of them.

A learner (an observer, or a member that was removed) counts for nothing.  Voters change one at a
time, each change committed before the next (thesis §4).
"""

from __future__ import annotations

from itertools import pairwise

from nodes.core.raft.events import Role
from nodes.core.raft.member import Member
from nodes.core.raft.quorum import majority
from tests.simulation.checkers.violation import require
from transport.wire.ids import NodeId

NUMBER = "S32"


class VotersDecide:
    """What each member's disk has had, and where each leader's commit index stood."""

    def __init__(self) -> None:
        self._durable: dict[int, int] = {}
        self._commits: dict[tuple[int, int], int] = {}
        self._voters: dict[tuple[int, int], tuple[NodeId, ...]] = {}
        """Of each leader, after its last turn."""

    def look(self, member: Member) -> None:
        """Take a member as it stands after a turn."""
        self._durable[member.node] = int(member.durability.index)
        if member.role is not Role.LEADER:
            return
        reign = (member.term, member.node)
        before = self._commits.get(reign)
        self._commits[reign] = commit = int(member.commit_index)
        voters = self._voters.get(reign, member.voters)
        self._voters[reign] = member.voters
        if before != commit:
            self._judge(member, commit, before, voters)

    def forget(self, node: int) -> None:
        """The member was given an empty disk."""
        self._durable[node] = 0

    def _judge(
        self, member: Member, commit: int, before: int | None, earlier: tuple[NodeId, ...]
    ) -> None:
        """``earlier``: the voters as the turn began. What is committed before a change is appended, in
        the same turn, is theirs to commit."""
        voters = member.voters
        who = f"leader {member.node} of term {member.term}"
        if before is None:
            # Who is removed may have to lead until that is committed (thesis §4.2.2).
            leaving = member.voters_index > commit
            story = f"{who} is no voter: {voters} are"
            require(member.node in voters or leaving, NUMBER, story)
        else:
            having = [node for node, index in self._durable.items() if index >= commit]
            story = f"{who} committed {commit}, which only {having} of {voters} have"
            decided = any(
                len(set(having) & set(deciding)) >= majority(len(deciding))
                for deciding in (voters, earlier)
            )
            require(decided, NUMBER, story)
        since = member._voters_since
        pending = [one for index, one in since if index > commit]
        # What an earlier leader has left behind may be committed already without our knowing.
        own = member.log.term_at(member.voters_index) == member.term
        story = f"{who} began a change of the voters before another was committed: {pending}"
        require(len(pending) <= 1 or not own, NUMBER, story)
        for (_, voted), (_, vote) in pairwise(since):
            changed = sorted(set(voted) ^ set(vote))
            require(len(changed) == 1, NUMBER, f"{who} changes {changed} at once")
