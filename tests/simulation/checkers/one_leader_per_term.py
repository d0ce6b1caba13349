"""S1: a term has at most one Raft leader, and a member gives at most one vote in it, for good."""

from __future__ import annotations

from nodes.core.raft.events import Role
from nodes.core.raft.member import Member
from tests.simulation.checkers.violation import require
from transport.wire.ids import NO_NODE

NUMBER = "S1"


class OneLeaderPerTerm:
    """Who led which term, and whom each member voted for, as far as its disk knows of it."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}
        """Term -> member."""
        self.since_ms: dict[int, int] = {}
        """Term -> when its leader was first seen to lead."""
        self._votes: dict[tuple[int, int], int] = {}

    def look(self, member: Member, now_ms: int) -> None:
        """Take a member as it stands after a turn."""
        term, node = member.term, member.node
        if member.role is Role.LEADER:
            self.since_ms.setdefault(term, now_ms)
            leader = self.leaders.setdefault(term, node)
            require(leader == node, NUMBER, "members", leader, "and", node, "both lead term", term)
        if member.durability.hard_state_pending:
            return
        vote = self._votes.get((node, term), NO_NODE)
        if vote == NO_NODE:
            self._votes[node, term] = member.voted_for
        else:
            now = member.voted_for
            require(now == vote, NUMBER, node, "voted for", vote, "in term", term, "now for", now)

    def forget(self, node: int) -> None:
        """The member was given an empty disk: what it had promised is gone, with its consent."""
        for key in [key for key in self._votes if key[0] == node]:
            del self._votes[key]
