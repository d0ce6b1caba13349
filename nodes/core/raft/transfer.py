"""Handing over leadership before a planned stop (thesis §3.10).

The leader takes no more proposals, waits until its successor has the whole log, and tells it to
campaign at once.  If nothing comes of it within an election time-out, it goes on leading.
"""

from __future__ import annotations

from nodes.core.raft.events import Role, TransferLeadership
from nodes.core.raft.member import Member
from nodes.core.raft.replication import Replication
from transport.wire.ids import NO_NODE, NodeId
from transport.wire.messages.raft import TimeoutNow


class Transfer:
    """The hand-over under way, if any."""

    __slots__ = ("_due_ms", "_member", "_replication", "_told", "to")

    def __init__(self, member: Member, replication: Replication) -> None:
        self._member = member
        self._replication = replication
        self._due_ms = 0
        self._told = False
        self.to = NO_NODE
        """Who shall lead; −1: no hand-over is under way."""

    def on_transfer(self, event: TransferLeadership) -> None:
        """Begin; nothing happens unless this member leads and the successor is one of its peers."""
        member = self._member
        to = self._most_advanced() if event.to is None else event.to
        progress = self._replication.progress.get(to)
        if member.role is not Role.LEADER or progress is None or not progress.counts:
            return
        self.to = to
        self._told = False
        self._due_ms = member.now_ms + member.config.election_timeout_min_ms
        self._replication.closed = True

    def _most_advanced(self) -> NodeId:
        """Return the follower with the longest log that was in contact last; −1: there is none."""
        progress = self._replication.progress
        ranked = [(p.match_index, p.contact_ms, -peer) for peer, p in progress.items() if p.counts]
        return NodeId(-max(ranked)[2]) if ranked else NO_NODE

    def advance(self) -> None:
        """Tell the successor as soon as it has everything; called at the end of a step."""
        if self.to == NO_NODE or self._told:
            return
        member = self._member
        if self._replication.progress[self.to].match_index == member.log.last_index:
            self._told = True
            member.send(self.to, TimeoutNow(member.node, member.term))

    def on_tick(self) -> None:
        """Give up after an election time-out."""
        if self.to != NO_NODE and self._member.now_ms >= self._due_ms:
            self.end()
            self._replication.closed = False

    def end(self) -> None:
        """Forget the hand-over: it succeeded, or another leads."""
        self.to = NO_NODE

    def next_deadline_ms(self) -> int | None:
        """Return when the hand-over is given up."""
        return self._due_ms if self.to != NO_NODE else None
