"""Who leads: time-outs, pre-votes, votes, stickiness, death notices (Raft §5.2, §5.4.1; thesis §9.6).

A member campaigns in two steps: a pre-vote, which promises nothing and asks whether a vote would be
given, then the vote in a new term.  A member in contact with a leader refuses both, unless they are
``forced``: by a transfer of leadership, or by the notice that the leader's process is dead.
"""

from __future__ import annotations

from nodes.core.raft.events import Gap, PeerDied, Role
from nodes.core.raft.member import Member
from nodes.core.raft.quorum import majority
from nodes.core.raft.replication import Replication
from transport.wire.ids import NO_NODE, NodeId, Term
from transport.wire.messages.raft import TimeoutNow, VoteRequest, VoteResponse

DEATH_STAGGER_MS = 20
"""Between the starts of two survivors of a dead leader: the next one has been asked by then, and
gives way, though a loaded machine told it of the death some milliseconds sooner."""
DEATH_RETRY_MIN_MS = 40
DEATH_RETRY_MAX_MS = 120
"""After a split vote over a dead leader: longer than a vote's two syncs."""
DEATH_RETRIES = 4
"""Then patience: the others may be dead as well."""


class Election:
    """Campaigns of this member, and its votes for others."""

    __slots__ = ("_forced", "_forced_left", "_member", "_replication", "_vote_sequence", "_votes")

    def __init__(self, member: Member, replication: Replication) -> None:
        self._member = member
        self._replication = replication
        self._votes: dict[NodeId, bool] = {}
        self._forced = False
        self._forced_left = 0
        self._vote_sequence: int | None = None
        """The disk batch of our vote for ourselves, until it is durable."""

    # Time and notices

    def on_tick(self) -> None:
        """Campaign when the leader has been silent for the whole time-out."""
        member = self._member
        if member.role is Role.LEADER or member.now_ms < member.campaign_due_ms:
            return
        if member.installing or not member.may_campaign:
            member.restart_timeout()
        elif self._vote_sequence is not None and member.role is Role.CANDIDATE:
            # Our own vote is still on its way to a slow disk: another term would begin it anew, and
            # a member that is alone, which waits for nobody, would never get there.
            member.election_due_ms = member.now_ms + member.config.election_timeout_min_ms
        else:
            forced = self._forced_left > 0
            self._forced_left -= forced
            self._pre_campaign(forced=forced)

    def on_gap(self, gap: Gap) -> None:
        """The loop was away: the leader may have spoken, it is judged that much later."""
        if self._member.role is not Role.LEADER:
            self._member.election_due_ms += max(gap.gap_ms, 0)

    def on_peer_died(self, died: PeerDied) -> None:
        """Nobody need wait for a dead leader: campaign when it is this survivor's turn.

        The order is known to all, so that no two of them split the votes.  The first in it does not
        wait; one that is dead too, or lacks entries, costs the next one a stagger.
        """
        member = self._member
        if died.node != member.raft_leader or died.node == member.node:
            return
        member.dead_leader = (died.node, member.term)
        member.dead_until_ms = member.now_ms + member.config.election_timeout_min_ms
        member.become_follower(member.term)
        member.election_due_ms = member.now_ms + self._place_after(died.node) * DEATH_STAGGER_MS
        self._forced_left = DEATH_RETRIES

    def _place_after(self, dead: NodeId) -> int:
        """Return how many voters come before this one, in the ring that begins behind the dead one."""
        member = self._member
        ring = sorted(voter for voter in member.voters if voter > dead)
        ring += sorted(voter for voter in member.voters if voter < dead)
        return ring.index(member.node) if member.node in ring else len(ring)

    def leader_heard(self) -> None:
        """A leader lives: an earlier one's death matters no more."""
        self._forced_left = 0

    def on_timeout_now(self, message: TimeoutNow) -> None:
        """The leader hands over to us: no pre-vote, no waiting."""
        member = self._member
        if message.term != member.term or message.sender != member.raft_leader:
            return
        if not member.installing and member.may_campaign:
            self._forced = True
            self._campaign()

    def on_peer_up(self, peer: NodeId) -> None:
        """A link came up in the middle of a campaign: ask again who has not answered."""
        member = self._member
        campaigns = member.role in (Role.PRE_CANDIDATE, Role.CANDIDATE)
        if campaigns and peer in member.voters and peer not in self._votes:
            self._ask(peer)

    # Campaigning

    def _pre_campaign(self, *, forced: bool) -> None:
        member = self._member
        member.become_follower(member.term)
        member.role = Role.PRE_CANDIDATE
        self._forced = forced
        self._vote_sequence = None
        if forced:
            delay_ms = member.random.randint(DEATH_RETRY_MIN_MS, DEATH_RETRY_MAX_MS)
            member.election_due_ms = member.now_ms + delay_ms
        else:
            member.draw_timeout()
        self._votes = {member.node: True}
        self._ask_all()
        self._tally()

    def _campaign(self) -> None:
        member = self._member
        member.become_follower(Term(member.term + 1))
        member.promise(member.term, member.node)
        member.role = Role.CANDIDATE
        if not self._forced_left:
            member.draw_timeout()
        self._votes = {}
        # Our own vote counts when it is durable, as any other. The batch gets its number at the
        # end of this step.
        self._vote_sequence = member.durability.sequence + 1
        self._ask_all()

    def _ask_all(self) -> None:
        for voter in self._member.voters:
            if voter != self._member.node:
                self._ask(voter)

    def _ask(self, peer: NodeId) -> None:
        member = self._member
        pre = member.role is Role.PRE_CANDIDATE
        request = VoteRequest(
            member.node,
            Term(member.term + 1) if pre else member.term,
            member.log.last_index,
            member.log.last_term,
            pre,
            self._forced,
        )
        if pre:
            member.send(peer, request)
        else:
            # Term, vote and the log that the request boasts of must survive us.
            member.send_after_sync(peer, request)

    def on_synced(self, sequence: int) -> None:
        """Count our own vote once it is durable."""
        if self._vote_sequence is not None and sequence >= self._vote_sequence:
            self._vote_sequence = None
            if self._member.role is Role.CANDIDATE:
                self._votes[self._member.node] = True
                self._tally()

    def on_vote_response(self, message: VoteResponse) -> None:
        """Count a vote or a pre-vote of ours."""
        member = self._member
        if message.pre and message.granted:
            expected, role = Term(member.term + 1), Role.PRE_CANDIDATE
        else:
            if message.term > member.term:
                member.become_follower(message.term)
                return
            expected = member.term
            role = Role.PRE_CANDIDATE if message.pre else Role.CANDIDATE
        voter = message.sender in member.voters
        if voter and member.role is role and message.term == expected:
            self._votes.setdefault(message.sender, message.granted)
            self._tally()

    def _tally(self) -> None:
        member = self._member
        needed = majority(len(member.voters))
        votes = [self._votes[voter] for voter in member.voters if voter in self._votes]
        granted = sum(votes)
        if granted >= needed:
            if member.role is Role.PRE_CANDIDATE:
                self._campaign()
            else:
                member.role = Role.LEADER
                member.raft_leader = member.node
                self._forced_left = 0
        elif len(votes) - granted > len(member.voters) - needed:
            member.become_follower(member.term)

    # Voting

    def on_vote_request(self, message: VoteRequest) -> None:
        """Give a vote, or say whether one would be given."""
        member = self._member
        if message.pre:
            granted = self._would_vote(message)
            term = message.term if granted else member.term
            if granted and message.forced and self._forced_left:
                # Give way to the survivor that was quicker. Only once per death: somebody who is
                # heard but cannot hear must not hold us back for ever.
                self._forced_left -= 1
                retry_ms = member.random.randint(DEATH_RETRY_MIN_MS, DEATH_RETRY_MAX_MS)
                member.election_due_ms = member.now_ms + retry_ms
            member.answer(message.sender, VoteResponse(member.node, term, granted, True))
            return
        granted = self._would_vote(message)
        if message.term > member.term and (granted or not self._sticks(message)):
            member.become_follower(message.term)
        if granted:
            member.promise(member.term, message.sender)
            member.restart_timeout()
        response = VoteResponse(member.node, member.term, granted, False)
        if granted:
            member.send_after_sync(message.sender, response)
        else:
            member.answer(message.sender, response)

    def _would_vote(self, message: VoteRequest) -> bool:
        member = self._member
        if member.rebuilding:
            return False  # What was promised and acknowledged before is not known any more.
        if message.term < member.term or self._sticks(message):
            return False
        if message.term == member.term:
            free = member.voted_for == NO_NODE and member.raft_leader == NO_NODE
            if member.voted_for != message.sender and not free:
                return False
        return member.log.is_behind(message.last_index, message.last_term)

    def _sticks(self, message: VoteRequest) -> bool:
        """Tell whether a leader that is alive keeps us from voting (thesis §4.2.3)."""
        member = self._member
        if message.forced or message.term == member.term:
            return False
        if member.role is Role.LEADER:
            return self._replication.has_quorum_contact(member.now_ms)
        if member.raft_leader == NO_NODE or member.heard_ms is None:
            return False
        return member.now_ms - member.heard_ms < member.config.election_timeout_min_ms

    def check(self) -> None:
        """Assert that roles and votes go together."""
        member = self._member
        if member.role is Role.CANDIDATE:
            assert member.voted_for == member.node, "a candidate votes for itself"
        if member.role is Role.LEADER:
            assert member.voted_for == member.node, "a leader voted for itself"
            assert member.raft_leader == member.node, "a leader knows itself"
        else:
            assert member.raft_leader != member.node, "only a leader is its own leader"
