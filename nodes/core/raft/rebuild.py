"""A member that lost its disk: how it becomes whole again without breaking what it had promised.

Such a member has forgotten its votes, and entries that count as committed because it acknowledged
them.  It may not vote, campaign or count for anything until neither can matter:

1. its answers carry the number of the loss, drawn anew for each; by it the leader knows;
2. the leader appends an entry for this very loss, and commits it by the others alone: from then on
   a majority without this member holds an entry newer than whatever it ever voted for, so that no
   candidate can still win with that vote, and every later leader has all that it ever acknowledged;
3. it holds that entry and all before it, durably, has made its vote in this term its leader's, and
   removes its mark, durably.  Then it answers as a whole member.

docs/decisions/ has the argument why less (a majority's terms, or a commit index) is not enough.
"""

from __future__ import annotations

from nodes.core.raft.events import Rejoined, Role
from nodes.core.raft.member import Member
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import AppendRequest


class Rebuild:
    """How far a rebuilding member is; idle on a whole one."""

    __slots__ = ("_asked", "_goal", "_member")

    def __init__(self, member: Member) -> None:
        self._member = member
        self._goal: tuple[NodeId, Term, LogIndex] | None = None
        """(leader, its term, index): what to hold before rejoining."""
        self._asked = False
        """The driver was told to remove the mark."""

    def on_append(self, message: AppendRequest) -> None:
        """Take the leader's word of what must be held."""
        loss = self._member.rebuilding
        if loss and message.rebuilding == loss and message.rejoin_index > 0:
            self._goal = (message.sender, message.term, message.rejoin_index)

    def advance(self) -> None:
        """Bind this term's vote, then let the mark go; called at the end of a step."""
        member = self._member
        if not member.rebuilding or self._goal is None or self._asked:
            return
        leader, term, index = self._goal
        if (leader, term) != (member.raft_leader, member.term):
            return  # Another will name another goal.
        if min(member.commit_index, member.durability.index) < index:
            return
        if member.voted_for == NO_NODE:
            member.promise(term, leader)
        elif not member.durability.hard_state_pending and member.effects.hard_state is None:
            self._asked = member.effects.rejoined = True

    def on_rejoined(self, _: Rejoined) -> None:
        """The mark is gone: a whole member again."""
        assert self._asked, "nobody asked for that"
        self._member.rebuilding = 0
        self._goal = None

    def check(self) -> None:
        """Assert that a rebuilding member only follows."""
        member = self._member
        if member.rebuilding:
            assert member.role is Role.FOLLOWER, "a member without memory campaigns"
            if self._goal is None:
                assert member.voted_for == NO_NODE or not self._asked
