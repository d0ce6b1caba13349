"""S5: neither a member's term nor its commit index ever goes back.

The term also across restarts, as far as it was durable; the commit index within a process's life.
"""

from __future__ import annotations

from nodes.core.raft.member import Member
from tests.simulation.checkers.violation import require

NUMBER = "S5"


class TermsForward:
    """The greatest term and commit index of each host."""

    def __init__(self) -> None:
        self._durable_terms: dict[str, int] = {}
        self._life: dict[str, tuple[int, int]] = {}

    def restarted(self, host: str) -> None:
        """A new process: it may have lost what was not durable."""
        self._life.pop(host, None)

    def look(self, host: str, member: Member) -> None:
        """Take a member as it stands after a turn."""
        durable = self._durable_terms.get(host, 0)
        term, commit = self._life.get(host, (0, 0))
        term = max(term, durable)
        require(member.term >= term, NUMBER, host, "was in term", term, "is in", member.term)
        now = member.commit_index
        require(now >= commit, NUMBER, host, "had committed up to", commit, "now up to", now)
        self._life[host] = (int(member.term), int(member.commit_index))
        if not member.durability.hard_state_pending:
            self._durable_terms[host] = int(member.term)

    def forget(self, host: str) -> None:
        """The host was given an empty disk."""
        self._durable_terms.pop(host, None)
