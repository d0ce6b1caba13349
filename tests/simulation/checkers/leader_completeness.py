"""S4: a committed entry is in the log of every leader of a later term (Raft §5.4).

And the rule it rests on: a leader only commits an entry of its own term, and those before it with
it.  It goes through them in slices, so what it knows to be committed is looked at.
"""

from __future__ import annotations

from nodes.core.raft.events import Role
from nodes.core.raft.member import Member
from tests.simulation.checkers.committed_kept import CommittedKept
from tests.simulation.checkers.violation import require

NUMBER = "S4"


class LeaderCompleteness:
    """Looks at each leader when it begins, and at each move of its commit index."""

    def __init__(self, committed: CommittedKept) -> None:
        self._committed = committed
        self._reigns: dict[tuple[int, int], int] = {}
        """(term, leader) -> what it knew to be committed when last looked at."""

    def look(self, member: Member) -> None:
        """Take a member as it stands after a turn, before its commits are noted."""
        if member.role is not Role.LEADER:
            return
        reign = (member.term, member.node)
        before = self._reigns.get(reign)
        known = self._reigns[reign] = int(member.commit_known)
        if before is None:
            self._begin(member)
        elif known > before:
            term = member.log.term_at(member.commit_known)
            story = f"leader {member.node} of term {member.term} committed up to {known}, "
            story += f"an entry of term {term}"
            require(term in (None, member.term), NUMBER, story)

    def _begin(self, member: Member) -> None:
        log = member.log
        for entry, term in self._committed.entries[int(log.base_index) :]:
            if term >= member.term:
                break
            story = f"leader {member.node} of term {member.term} lacks entry {entry.index}, "
            story += f"committed by term {term}"
            require(log.term_at(entry.index) == entry.term, NUMBER, story)
