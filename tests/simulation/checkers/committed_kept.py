"""S3: what was committed once, anywhere, is committed everywhere and for good, across restarts.

An index that any member has called committed keeps its term and contents; at the end every member
has all of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from nodes.core.raft.member import Member
from tests.simulation.checkers.violation import require
from transport.wire.messages.raft import Entry

NUMBER = "S3"
PATIENCE_MS = 3_000
"""What a healed follower may be behind: some heartbeats of the slowest settings."""

OnCommitted = Callable[[Entry], None]


class CommittedKept:
    """The committed entries by index. ``on_committed`` hears of each once, in order."""

    def __init__(self, on_committed: OnCommitted = lambda _: None) -> None:
        self.entries: list[tuple[Entry, int]] = []
        """From index 1 on: the entry, and a term in which it was committed (or a later one)."""
        self._when_ms: list[int] = []
        self._told: dict[str, int] = {}
        self._on_committed = on_committed

    def restarted(self, host: str) -> None:
        """The host learns anew what is committed."""
        self._told.pop(host, None)

    def look(self, host: str, member: Member, now_ms: int = 0) -> None:
        """Take what a member has newly called committed."""
        told = max(self._told.get(host, 0), int(member.log.base_index))
        commit = int(member.commit_index)
        self._told[host] = max(told, commit)
        if commit <= told:
            return
        for entry in member.log.between(told + 1, commit):
            if entry.index <= len(self.entries):
                known = self.entries[entry.index - 1][0]
                story = "entry", entry.index, "was committed with term", known.term
                require(known == entry, NUMBER, *story, "on", host, "with term", entry.term)
            elif entry.index == len(self.entries) + 1:
                self.entries.append((entry, member.term))
                self._when_ms.append(now_ms)
                self._on_committed(entry)

    def finish(self, host: str, member: Member, now_ms: int) -> None:
        """After everything has healed: the member has all that was committed until lately."""
        newest = bisect_right(self._when_ms, now_ms - PATIENCE_MS)
        story = f"{newest} entries were committed, {host} has {member.commit_index}"
        require(member.commit_index >= newest, NUMBER, story)
