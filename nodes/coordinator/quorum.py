"""Runs the Raft core: its messages, its disk, its ticks; and tells the server what it decided.

Knows nothing of znodes: what is committed is bytes to it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, cast

from nodes.config import EXIT_ENVIRONMENT, REBUILD_MARK
from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.journal import Journal
from nodes.coordinator.peers import Peers
from nodes.core.raft.core import RaftCore
from nodes.core.raft.events import (
    ChangeVoters,
    Contact,
    DiskSynced,
    Forget,
    Gap,
    HardState,
    Membership,
    Propose,
    RaftEffects,
    RaftEvent,
    Received,
    Rejoined,
    Role,
    Stored,
)
from nodes.core.raft.quorum import majority
from nodes.storage import rebuild
from nodes.storage.disk import StorageError
from nodes.storage.raft_log import RaftLog
from transport.driver.ports import LinkId
from transport.kernel import TICK, Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages import Message
from transport.wire.messages.ensemble import DescribeQuorumResponse
from transport.wire.messages.raft import Entry, RaftMessage

_logger = logging.getLogger("odradek.quorum")


class QuorumUser(Protocol):
    """Who is told what the quorum decided. Called within a step: it must not step in turn."""

    def on_leader(self, now: Now) -> None:
        """The known leader, its term, or this member's own role is another one now."""
        ...

    def on_committed(self, entries: Sequence[Entry], now: Now) -> None:
        """Apply these."""
        ...

    def on_reads(
        self, reads: Sequence[tuple[int, LogIndex]], failed: Sequence[int], now: Now
    ) -> None:
        """ReadIndex tokens answered, with the index to have applied, and failed ones."""
        ...

    def on_rejected(self, count: int, now: Now) -> None:
        """So many proposals were not taken."""
        ...

    def on_install(self, last_index: LogIndex, last_term: Term, data: bytes) -> None:
        """Take over this snapshot, durably, then report SnapshotInstalled."""
        ...

    def on_snapshot_wanted(self) -> None:
        """Report SnapshotReady."""
        ...


class Quorum:
    """This member of the quorum. Every change of the Raft core goes through :meth:`step`."""

    def __init__(
        self,
        context: CoordinatorContext,
        peers: Peers,
        log: RaftLog,
        user: QuorumUser,
        now: Now,
        rebuilding: int = 0,
        voters: tuple[NodeId, ...] = (),
    ) -> None:
        """``rebuilding``: the number of the loss this member recovers from, as its mark has it.

        ``voters``: as of the snapshot this starts from; empty: whom the settings name.
        """
        config = context.config
        self._context = context
        self._peers = peers
        self._user = user
        members = config.quorum_members()
        named = tuple(node.id for node in members if "observer" not in node.roles)
        voters = voters or named
        learners = tuple(node.id for node in members if node.id not in voters)
        found = log.stored()
        stored = Stored(HardState(*found.hard_state), *found[1:])
        self._raft = RaftCore(
            config.id,
            Membership(voters, learners),
            config.raft,
            stored,
            context.ports.random,
            now,
            rebuilding=rebuilding,
        )
        self._journal = Journal(log, context.ports.pool, self._durable, self.failed)
        self._failed = False
        self._refused = ""
        self._turned_away = 0
        self._linked: set[NodeId] = set()
        """Other members whose links are up."""
        self._standing = (self._raft.role, self._raft.raft_leader, self._raft.term)

    # What others may ask

    @property
    def leader(self) -> NodeId:
        """The Raft leader as far as known here; −1: none."""
        return self._raft.raft_leader

    @property
    def reign(self) -> tuple[NodeId, Term]:
        """The known leader and its term: what one reign was sent, the next may never have seen."""
        return self._raft.raft_leader, self._raft.term

    @property
    def leads(self) -> bool:
        """This member leads."""
        return self._raft.role is Role.LEADER

    @property
    def can_hand_over(self) -> bool:
        """This member leads, and enough others can be reached for one of them to lead."""
        voters = self._raft.voters
        linked = sum(voter in self._linked for voter in voters)
        return self.leads and linked + 1 >= max(majority(len(voters)), 2)

    def can_hand_over_to(self, node: NodeId) -> bool:
        """Tell whether ``node`` is another voter that can be reached."""
        return self.can_hand_over and node in self._linked and node in self.voters

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """Who votes now, ascending."""
        return self._raft.voters

    @property
    def voters_committed(self) -> bool:
        """The newest change of the voters is committed."""
        return self._raft.voters_committed

    def committed(self) -> Sequence[Entry]:
        """Return the committed entries that the log holds."""
        return self._raft.committed()

    def voters_at(self, index: LogIndex) -> tuple[NodeId, ...]:
        """Return who voted as of an applied entry."""
        return self._raft.voters_at(index)

    def change_voters(self, voters: tuple[NodeId, ...], now: Now) -> str:
        """Let others vote from now on, one more or one less; returns why not, where refused."""
        self._refused = ""
        self.step(ChangeVoters(voters), now)
        return self._refused

    def forget(self, node: NodeId, now: Now) -> bool:
        """Have nothing to do any more with a member that is gone for good. False: not yet, it votes as
        far as is known here."""
        if node in self.voters or not self.voters_committed:
            return False
        self._peers.forget(node)
        self._linked.discard(node)
        self.step(Forget(node), now)
        return True

    @property
    def is_durable(self) -> bool:
        """True when everything written to the log is synced."""
        return self._journal.is_durable

    @property
    def has_caught_up(self) -> bool:
        """This member holds, applied, all that its leader has committed by its last word."""
        return self._raft.has_caught_up

    @property
    def is_rebuilding(self) -> bool:
        """This member lost its disk and is not whole again yet: it does not vote."""
        return self._raft.rebuilding

    def hears_leader(self, now: Now) -> bool:
        """Tell whether what is said here has the word of a working quorum behind it."""
        return self._raft.has_quorum_contact(now)

    def describe(self, now: Now) -> DescribeQuorumResponse:
        """Return what the members of the quorum are like, if this one leads it."""
        raft = self._raft
        error = ErrorCode.NONE if self.leads else ErrorCode.NOT_RAFT_LEADER
        members = raft.standings(now)
        return DescribeQuorumResponse(error, *self.reign, raft.commit_index, members)

    def figures(self) -> dict[str, int]:
        """Return what HEALTH shows of the quorum."""
        raft = self._raft
        return {
            "raft_term": raft.term,
            "raft_leader": raft.raft_leader,
            "raft_commit_index": raft.commit_index,
            "raft_last_index": raft.last_index,
            "raft_messages_rejected": raft.rejected_messages,
            "raft_rebuilding": int(raft.rebuilding),
            "raft_voter": int(self._context.id in raft.voters),
        }

    # Events

    def on_message(self, envelope: Envelope, now: Now) -> None:
        """Take a Raft message of a peer."""
        self.step(Received(cast("RaftMessage", envelope.body)), now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> NodeId | None:
        """Take a change of a link; returns the coordinator behind it, or None."""
        node = self._peers.node_of(link)
        if node is not None:
            (self._linked.add if up else self._linked.discard)(node)
            self.step(Contact(node, up), now)
        return node

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """The loop was away: a follower's patience grows, a leader doubts itself at once."""
        self.step(Gap(gap_ms), now)
        self.step(TICK, now)

    def tick(self, now: Now) -> None:
        """Give the core its Tick if it is due."""
        deadline_ms = self._raft.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= now.mono_ms:
            self.step(TICK, now)

    def next_deadline_ms(self) -> int | None:
        """Return when the core wants its next Tick."""
        return self._raft.next_deadline_ms()

    def propose(self, payloads: tuple[bytes, ...], now: Now) -> bool:
        """Append entries to the log, if this member leads. False: none of them was taken."""
        self._turned_away = 0
        self.step(Propose(payloads), now)
        return self._turned_away == 0

    def tell_leader(self, message: Message) -> bool:
        """Send to the leader, which must be another member. False: not sent."""
        return self.leader != NO_NODE and self._peers.send(self.leader, message)

    def step(self, event: RaftEvent, now: Now) -> None:
        """Give the core one fact and carry out its orders."""
        if self._failed:
            return
        effects = self._raft.step(event, now)
        try:
            self._journal.write(effects)
        except StorageError as error:
            self.failed(error)
            return
        # Who waits for an answer goes before the followers, who only hear of what is done.
        self._tell(effects, now)
        self._send(effects)
        self._refused = effects.voters_refused or self._refused
        if effects.rejoined:
            self._rejoin(now)

    def end_turn(self) -> None:
        """All of the turn is written: one sync for it."""
        if not self._failed:
            self._journal.sync()

    def failed(self, error: BaseException) -> None:
        """The disk failed: this process can promise nothing any more."""
        if not isinstance(error, StorageError):
            raise error
        self._failed = True
        _logger.error("the log cannot be written: %s", error)
        self._context.ports.exit(EXIT_ENVIRONMENT)

    def check(self) -> None:
        """Assert the invariants of the Raft core."""
        self._raft.check()

    # Orders

    def _rejoin(self, now: Now) -> None:
        """The log is whole again: let the mark go, then count again."""
        try:
            rebuild.finish(self._context.disk, REBUILD_MARK)
        except StorageError as error:
            self.failed(error)
            return
        _logger.info("rebuilt from the others: this member votes again")
        self.step(Rejoined(), now)

    def _send(self, effects: RaftEffects) -> None:
        for to, message, payload in effects.send_now:
            if not self._peers.send(to, message, payload):
                self._context.count("raft_messages_unsent")
        for to, message, payload in self._journal.hold(effects.send_after_sync):
            self._peers.send(to, message, payload)

    def _tell(self, effects: RaftEffects, now: Now) -> None:
        user = self._user
        # The leader first: what waits for one must be done before later writes are applied.
        standing = (self._raft.role, self._raft.raft_leader, self._raft.term)
        if standing != self._standing:
            self._standing = standing
            _logger.info("%s, raft leader %d, term %d", standing[0].value, *standing[1:])
            user.on_leader(now)
        if effects.committed:
            user.on_committed(effects.committed, now)
        if effects.reads or effects.reads_failed:
            user.on_reads(effects.reads, effects.reads_failed, now)
        if effects.rejected:
            self._turned_away += len(effects.rejected)
            user.on_rejected(len(effects.rejected), now)
        if effects.install is not None:
            user.on_install(*effects.install)
        if effects.snapshot_wanted:
            user.on_snapshot_wanted()

    def _durable(self, sequence: int, now: Now) -> None:
        if self._failed:  # What the core is not told any more is not told to others either.
            return
        for to, message, payload in self._journal.release():
            self._peers.send(to, message, payload)
        self.step(DiskSynced(sequence), now)
