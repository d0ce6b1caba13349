"""Linearizable reads without an entry: ReadIndex (thesis §6.4).

A leader answers with its commit index, once an entry of its own term is committed and a round of
contact that began afterwards was answered by a majority.  One round serves all reads gathered
before it.  A follower asks its leader, for all its gathered reads at once.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.core.raft.events import ReadIndex, Role
from nodes.core.raft.member import Member
from nodes.core.raft.replication import Replication
from transport.wire.ids import NO_NODE, LogIndex, NodeId
from transport.wire.messages.raft import ReadIndexRequest, ReadIndexResponse

READS_WAITING_MAX = 100_000
"""Of this member's own; more are failed at once."""
REMOTE_READS_WAITING_MAX = 1_024
"""A follower has one request in flight: more are a peer's mistake."""


class _Read(NamedTuple):
    requester: NodeId
    token: int


class Reads:
    """Reads waiting on this member, as leader or as follower."""

    __slots__ = (
        "_asked",
        "_asked_due_ms",
        "_asked_index",
        "_asked_round",
        "_gathered",
        "_member",
        "_number",
        "_remote",
        "_replication",
    )

    def __init__(self, member: Member, replication: Replication) -> None:
        self._member = member
        self._replication = replication
        self._gathered: list[_Read] = []
        """Waiting for the next round (leader) or request (follower)."""
        self._asked: list[_Read] = []
        """Waiting for the answer to the round or request under way."""
        self._asked_index = LogIndex(0)
        self._asked_round = 0
        self._asked_due_ms = 0
        self._remote = 0
        # Numbers of requests start anywhere, so that an answer to an earlier process of this
        # member is not taken for one to this.
        self._number = member.random.getrandbits(40)

    def on_read(self, event: ReadIndex) -> None:
        """Take a read of this member's own clients."""
        member = self._member
        if member.raft_leader == NO_NODE or len(self._gathered) >= READS_WAITING_MAX:
            member.effects.reads_failed.append(event.token)
        else:
            self._gathered.append(_Read(member.node, event.token))

    def on_request(self, message: ReadIndexRequest) -> None:
        """Take a follower's request."""
        member = self._member
        full = self._remote >= REMOTE_READS_WAITING_MAX
        if member.role is not Role.LEADER or message.term != member.term or full:
            self._answer(_Read(message.sender, message.token), LogIndex(0))
            return
        self._remote += 1
        self._gathered.append(_Read(message.sender, message.token))

    def on_response(self, message: ReadIndexResponse) -> None:
        """Take the leader's answer to our request."""
        member = self._member
        expected = (member.raft_leader, member.term, self._number)
        if (message.sender, message.term, message.token) != expected or not self._asked:
            return
        if message.index > 0:
            member.effects.reads += [(read.token, message.index) for read in self._asked]
        else:
            member.effects.reads_failed += [read.token for read in self._asked]
        self._asked = []

    def on_tick(self) -> None:
        """Give up on a request that the leader has not answered in time."""
        if self._is_late() and self._member.now_ms >= self._asked_due_ms:
            self._fail(self._asked)
            self._asked = []

    def fail_all(self) -> None:
        """The leader, or the link to it, is another now: nothing that waits can be answered."""
        self._fail(self._asked)
        self._fail(self._gathered)
        self._asked, self._gathered, self._remote = [], [], 0

    def advance(self) -> None:
        """Answer what is confirmed and start on what has gathered; called at the end of a step."""
        if self._member.role is Role.LEADER:
            if self._asked and self._replication.confirmed_round() >= self._asked_round:
                self._serve()
            if self._gathered and not self._asked and self._replication.has_committed_in_term:
                self._begin_round()
        elif self._gathered and not self._asked:
            self._ask_leader()

    def next_deadline_ms(self) -> int | None:
        """Return when a request to the leader is given up."""
        return self._asked_due_ms if self._is_late() else None

    def _is_late(self) -> bool:
        return bool(self._asked) and self._member.role is not Role.LEADER

    def _begin_round(self) -> None:
        self._asked, self._gathered = self._gathered, []
        self._asked_index = self._member.commit_index
        self._asked_round = self._replication.begin_round()
        if self._replication.confirmed_round() >= self._asked_round:  # A quorum of one.
            self._serve()

    def _serve(self) -> None:
        asked, self._asked = self._asked, []
        for read in asked:
            self._answer(read, self._asked_index)
            self._remote -= read.requester != self._member.node

    def _ask_leader(self) -> None:
        member = self._member
        self._asked, self._gathered = self._gathered, []
        self._number += 1
        self._asked_due_ms = member.now_ms + member.config.election_timeout_min_ms
        request = ReadIndexRequest(member.node, member.term, self._number)
        member.answer(member.raft_leader, request)

    def _fail(self, reads: list[_Read]) -> None:
        for read in reads:
            self._answer(read, LogIndex(0))

    def _answer(self, read: _Read, index: LogIndex) -> None:
        member = self._member
        if read.requester != member.node:
            response = ReadIndexResponse(member.node, member.term, read.token, index)
            member.answer(read.requester, response)
        elif index > 0:
            member.effects.reads.append((read.token, index))
        else:
            member.effects.reads_failed.append(read.token)

    def check(self) -> None:
        """Assert that reads wait only where somebody can answer them."""
        if self._member.raft_leader == NO_NODE:
            assert not self._asked, "a read waits for nobody"
            assert not self._gathered, "a read waits for nobody"
        assert 0 <= self._remote <= REMOTE_READS_WAITING_MAX
