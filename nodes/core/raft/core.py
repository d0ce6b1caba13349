"""The one door of the Raft core: events in, effects out.

Owns: the tables of handlers, the judgement of senders, and the order in which the parts see a
change.  The parts (election, replication, follower, reads, transfer) never call this.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from random import Random
from typing import Any

from nodes.core.raft.change import Change
from nodes.core.raft.election import Election
from nodes.core.raft.events import (
    ChangeVoters,
    Compacted,
    Contact,
    DiskSynced,
    Forget,
    Found,
    Gap,
    Membership,
    PeerDied,
    Propose,
    RaftEffects,
    RaftEvent,
    ReadIndex,
    Received,
    Rejoined,
    Role,
    SnapshotInstalled,
    SnapshotReady,
    TransferLeadership,
)
from nodes.core.raft.follower import Follower
from nodes.core.raft.member import Member
from nodes.core.raft.read_index import Reads
from nodes.core.raft.rebuild import Rebuild
from nodes.core.raft.replication import Replication
from nodes.core.raft.timing import Timing
from nodes.core.raft.transfer import Transfer
from transport.kernel import Now, Tick, earliest
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.ensemble import QuorumMember
from transport.wire.messages.raft import (
    AppendRequest,
    AppendResponse,
    Entry,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotRequest,
    SnapshotResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)

TERM_MAX = 2**48
"""Two hundred years of an election per 20 µs: a greater term is a mistake, and would be final."""


class RaftCore:
    """One member of a quorum. See the package's docstring for what its driver must do."""

    def __init__(
        self,
        node: NodeId,
        membership: Membership,
        config: Timing,
        stored: Found,
        random: Random,
        now: Now,
        rebuilding: int = 0,
    ) -> None:
        """``rebuilding``: the number of the loss that this member recovers from; 0: it is whole."""
        self._member = member = Member(node, membership, config, stored, random, now, rebuilding)
        self._replication = Replication(member)
        self._election = Election(member, self._replication)
        self._follower = Follower(member)
        self._rebuild = Rebuild(member)
        self._change = Change(member, self._replication)
        self._reads = Reads(member, self._replication)
        self._transfer = Transfer(member, self._replication)
        self._on_event: dict[type, Callable[[Any], None]] = {
            Received: self._on_received,
            Propose: self._replication.on_propose,
            ReadIndex: self._reads.on_read,
            DiskSynced: self._on_synced,
            PeerDied: self._election.on_peer_died,
            Contact: self._on_contact,
            TransferLeadership: self._transfer.on_transfer,
            ChangeVoters: self._change.on_change,
            Forget: self._change.on_forget,
            Gap: self._election.on_gap,
            Compacted: self._on_compacted,
            SnapshotReady: self._replication.on_snapshot_ready,
            SnapshotInstalled: self._follower.on_installed,
            Rejoined: self._rebuild.on_rejoined,
            Tick: self._on_tick,
        }
        self._on_message: dict[type, Callable[[Any], None]] = {
            VoteRequest: self._election.on_vote_request,
            VoteResponse: self._election.on_vote_response,
            AppendRequest: self._on_append,
            AppendResponse: self._replication.on_append_response,
            SnapshotRequest: self._on_snapshot,
            SnapshotResponse: self._replication.on_snapshot_response,
            TimeoutNow: self._election.on_timeout_now,
            ReadIndexRequest: self._reads.on_request,
            ReadIndexResponse: self._reads.on_response,
        }

    def step(self, event: RaftEvent, now: Now) -> RaftEffects:
        """Take one fact and return the orders that follow from it."""
        member = self._member
        member.now_ms = now.mono_ms
        member.effects = effects = RaftEffects()
        role, term, leader = member.role, member.term, member.raft_leader
        self._on_event[type(event)](event)
        if member.role is not role or member.term != term or member.raft_leader != leader:
            self._settle(role)
            effects.role = member.role if member.role is not role else None
            effects.raft_leader = member.raft_leader if member.raft_leader != leader else None
        self._finish()
        if effects.append or effects.hard_state is not None or effects.truncate_from is not None:
            effects.sequence = member.durability.issue(
                member.log.last_index, hard_state=effects.hard_state is not None
            )
        return effects

    def _settle(self, role_before: Role) -> None:
        """Role, term or leader changed: let the parts begin or end what hangs on them."""
        self._reads.fail_all()
        if role_before is Role.LEADER:
            self._replication.end()
            self._transfer.end()
        if self._member.role is Role.LEADER:
            self._replication.begin()

    def _finish(self) -> None:
        """Draw the conclusions that any event can lead to; what commits first may unlock reads."""
        leads = self._member.role is Role.LEADER
        if leads:
            self._replication.commit()
        self._member.commit_slice()
        if leads:
            self._transfer.advance()
            self._reads.advance()
            self._replication.tell_commit()
        else:
            self._rebuild.advance()
            self._reads.advance()

    # Events of more than one part

    def _on_received(self, event: Received) -> None:
        message, member = event.message, self._member
        handler = self._on_message.get(type(message))
        known = message.sender in member.peers
        if handler is None or not known or not 0 <= message.term <= TERM_MAX:
            member.rejected_messages += 1
            return
        handler(message)

    def _on_append(self, message: AppendRequest) -> None:
        if self._is_of_leader(message):
            self._rebuild.on_append(message)
            self._follower.on_append(message)

    def _on_snapshot(self, message: SnapshotRequest) -> None:
        if self._is_of_leader(message):
            self._follower.on_snapshot(message)

    def _is_of_leader(self, message: AppendRequest | SnapshotRequest) -> bool:
        """Refuse who claims a term that another already leads."""
        member = self._member
        if message.term == member.term and member.raft_leader not in (NO_NODE, message.sender):
            member.rejected_messages += 1
            return False
        if message.term >= member.term and not member.is_dead(message.sender, message.term):
            self._election.leader_heard()
        return True

    def _on_synced(self, event: DiskSynced) -> None:
        self._member.durability.synced(event.sequence)
        self._election.on_synced(event.sequence)
        if self._member.role is Role.LEADER:
            self._replication.own_log_synced()

    def _on_contact(self, event: Contact) -> None:
        if event.up:
            self._election.on_peer_up(event.node)
        elif event.node == self._member.raft_leader:
            self._reads.fail_all()
        self._replication.on_contact(event)

    def _on_compacted(self, event: Compacted) -> None:
        assert event.last_index <= self._member.commit_index, "compaction beyond the commit index"
        if event.last_index > self._member.log.base_index:
            self._member.compact(event.last_index)

    def _on_tick(self, _: Tick) -> None:
        self._change.on_tick()
        self._transfer.on_tick()
        self._replication.on_tick()
        self._election.on_tick()
        self._reads.on_tick()

    # What a driver may ask

    def next_deadline_ms(self) -> int | None:
        """Return the monotonic time at which this core wants a Tick, or None."""
        member = self._member
        if member.commit_index < member.commit_known:
            return member.now_ms
        if member.role is Role.LEADER:
            return earliest(self._replication.next_deadline_ms(), self._transfer.next_deadline_ms())
        return earliest(member.campaign_due_ms, self._reads.next_deadline_ms())

    @property
    def role(self) -> Role:
        """The present role."""
        return self._member.role

    @property
    def term(self) -> Term:
        """The present term, durable or about to be."""
        return self._member.term

    @property
    def raft_leader(self) -> NodeId:
        """The leader of this term as far as known here; −1: none."""
        return self._member.raft_leader

    @property
    def commit_index(self) -> LogIndex:
        """Everything up to here is committed; never falls."""
        return self._member.commit_index

    @property
    def has_caught_up(self) -> bool:
        """True when all that its leader has committed, by its last word, is committed here too."""
        member = self._member
        known = member.commit_known if member.role is Role.LEADER else member.leader_commit
        return known is not None and member.commit_index >= known

    @property
    def last_index(self) -> LogIndex:
        """The index of the newest entry, committed or not."""
        return self._member.log.last_index

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """Who votes now, ascending: as the newest entry about it says, committed or not."""
        return self._member.voters

    @property
    def voters_committed(self) -> bool:
        """True when the entry that says who votes is committed."""
        return self._member.voters_index <= self._member.commit_index

    def committed(self) -> list[Entry]:
        """Return the committed entries that are held: since the newest snapshot, and some before."""
        log = self._member.log
        return log.between(log.base_index + 1, self._member.commit_index)

    def voters_at(self, index: LogIndex) -> tuple[NodeId, ...]:
        """Return who voted as of the entry at ``index``: what a snapshot up to it must say."""
        return self._member.voters_at(index)

    @property
    def rebuilding(self) -> bool:
        """True while this member makes good for a lost disk: it neither votes nor counts."""
        return self._member.rebuilding != 0

    @property
    def rejected_messages(self) -> int:
        """How many messages of peers made no sense and were passed over."""
        return self._member.rejected_messages

    def has_quorum_contact(self, now: Now) -> bool:
        """Tell whether this member is part of a working quorum, as far as it can know.

        A leader: a majority answered a round begun within the shortest election time-out.
        A follower: it heard its leader (which keeps itself to the above) within that time.
        """
        member = self._member
        if member.role is Role.LEADER:
            return self._replication.has_quorum_contact(now.mono_ms)
        if member.raft_leader == NO_NODE or member.heard_ms is None:
            return False
        return now.mono_ms - member.heard_ms < member.config.election_timeout_min_ms

    def standings(self, now: Now) -> tuple[QuorumMember, ...]:
        """Return how far every member is, ascending; nobody where this one does not lead."""
        member = self._member
        if member.role is not Role.LEADER:
            return ()
        here = QuorumMember(member.node, member.node in member.voters, member.durability.index)
        others = (
            QuorumMember(
                node,
                node in member.voters,
                progress.match_index,
                max(0, now.mono_ms - progress.contact_ms),
            )
            for node, progress in self._replication.progress.items()
        )
        return tuple(sorted((here, *others), key=attrgetter("node")))

    def term_at(self, index: LogIndex) -> Term | None:
        """Return the term of the entry at ``index``, or None when it is not held (any more)."""
        return self._member.log.term_at(index)

    def check(self) -> None:
        """Assert every invariant that one member can see alone."""
        member = self._member
        log = member.log
        log.check()
        member.durability.check(log.last_index)
        assert log.base_index <= member.commit_index, "compacted what is not committed"
        assert member.commit_index <= member.commit_known, "committed what may not be"
        assert member.commit_known <= log.last_index, "committed what is not there"
        assert log.last_term <= member.term, "an entry of a term to come"
        self._election.check()
        self._replication.check()
        self._reads.check()
        self._rebuild.check()
