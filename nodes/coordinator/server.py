"""The coordinator as a program: wires the quorum, the state machine and its clients to the loop.

Owns the order of things within a turn; every decision is one of its parts'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from nodes.config import EXIT_STOPPED, NodeConfig
from nodes.coordinator.barriers import Barriers
from nodes.coordinator.checkpoints import Checkpoints
from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.departure import Departure
from nodes.coordinator.dispatch import PEERS_ONLY, Asked, Dispatch, OnTold
from nodes.coordinator.guests import Guests
from nodes.coordinator.introductions import Introductions
from nodes.coordinator.lanes import Lanes
from nodes.coordinator.machine import MARK, Machine
from nodes.coordinator.notices import Notices
from nodes.coordinator.openings import Openings
from nodes.coordinator.orders import Orders
from nodes.coordinator.peers import Peers
from nodes.coordinator.presence import Presence
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.replica import Replica
from nodes.coordinator.sweeper import Sweeper
from nodes.coordinator.writes import Writes
from nodes.core.znode.core import Applied
from nodes.core.znode.tree import Tree
from nodes.runtime.measures import Outlook
from nodes.runtime.strangers import Strangers
from nodes.storage.disk import Disk
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DeathNotice,
    DescribeNodeRequest,
    ForgetNodeRequest,
    HealthRequest,
    HealthResponse,
    Heartbeat,
)
from transport.wire.messages.coordination import (
    ForwardWrites,
    OpenSessionRequest,
    OperateRequest,
    PingSessionRequest,
    ProposedWrite,
    TouchSessions,
)
from transport.wire.messages.ensemble import (
    ChangeVotersRequest,
    DescribeQuorumResponse,
    TakeSnapshotRequest,
    TransferLeadershipRequest,
)
from transport.wire.messages.raft import (
    ENTRY_DATA,
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

if TYPE_CHECKING:
    from nodes.coordinator.zookeeper.listener import Listener

RAFT_MESSAGES: tuple[type[Message], ...] = (
    AppendRequest,
    AppendResponse,
    VoteRequest,
    VoteResponse,
    SnapshotRequest,
    SnapshotResponse,
    TimeoutNow,
    ReadIndexRequest,
    ReadIndexResponse,
)
SOON_MS = 20
"""After a proposal was turned away: long enough for what is in the way to move."""


class CoordinatorServer:
    """One coordinator. A ``Program``: see ``transport.driver.ports``."""

    def __init__(self, config: NodeConfig, disk: Disk, machine: Machine | None = None) -> None:
        """``machine``: the second state machine of the log, in mode ``kraft``."""
        self._config = config
        self._disk = disk
        self._machine = machine
        self._started = False
        self._voters_shown: tuple[NodeId, ...] = ()
        self._listener: Listener | None = None

    # The program

    def start(self, ports: Ports, now: Now) -> None:
        """Read the disk, connect to the others. Raises StorageError when the disk is damaged."""
        strangers = Strangers(ports) if self._config.endpoints().zookeeper else None
        context = self._context = CoordinatorContext(self._config, strangers or ports, self._disk)
        self._replica = Replica(context, self, self._machine)
        self._checkpoints = Checkpoints(context, self._replica)
        loss = self._checkpoints.begin_rebuild()
        log = self._checkpoints.recover(now)
        peers = Peers(self._config, ports)
        quorum = self._quorum = Quorum(
            context, peers, log, self, now, loss, self._checkpoints.voters
        )
        self._checkpoints.attach(quorum)
        self._departure = Departure(context, quorum)
        self._barriers = Barriers()
        self._writes = Writes(context, quorum)
        self._lanes = Lanes(context, quorum, self._barriers, self._writes)
        self._presence = Presence(context, quorum, self._writes)
        self._guests = Guests(context, quorum)
        self._openings = Openings(
            context, self._barriers, self._writes, self._lanes, self._presence, self._guests
        )
        self._notices = Notices(context, quorum, self._writes)
        self._introductions = Introductions(context, quorum, self._replica, self._lanes)
        self._orders = Orders(context, quorum, self._checkpoints)
        Sweeper(context, quorum, self._writes).start(now)
        self._dispatch = self._tables()
        if strangers is not None:
            self._listener = self._listen(strangers)
        self._patience_ms = 2 * self._config.raft.election_timeout_max_ms
        self._reign = quorum.reign
        self._show_voters()
        self._started = True
        peers.connect()
        self._offer_late(now)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Take whatever came."""
        self._dispatch.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """A link to another coordinator or to a broker's events changed."""
        node = self._quorum.on_link(link, up, now)
        if up and node is not None and node == self._quorum.leader:
            self._offer_again(now)  # what was on its way over the old connection may be lost

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """This process was away for a while."""
        self._presence.on_gap(gap_ms)
        self._quorum.on_gap(gap_ms, now)
        if self._listener is not None:
            self._listener.on_gap(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Everything of this turn was delivered: judge, ask, propose, sync."""
        self._context.timers.fire(now)
        if self._listener is not None:
            self._listener.end_turn(now)
        self._quorum.tick(now)
        self._lanes.leader_heard(now)
        self._presence.end_turn(now)
        self._openings.end_turn()
        self._barriers.ask(self._quorum, now)
        self._barriers.release(self._replica.applied_index, now)
        self._writes.flush(now)
        if self._writes.take_unsent():
            self._context.timers.after(now, SOON_MS, self._offer_again)
        self._checkpoints.end_turn(now)
        self._departure.end_turn(now)
        self._orders.end_turn()
        self._quorum.end_turn()
        if self._context.stopping and self._quorum.is_durable:
            self._context.ports.exit(EXIT_STOPPED)

    def next_deadline_ms(self) -> int | None:
        """Return when the next turn is due even if nothing comes."""
        return earliest(
            self._barriers.next_deadline_ms(self._quorum),
            self._quorum.next_deadline_ms(),
            self._context.timers.next_deadline_ms(),
            self._presence.next_deadline_ms(),
            self._openings.next_deadline_ms(),
            self._departure.next_deadline_ms(),
            self._checkpoints.next_deadline_ms(),
            None if self._listener is None else self._listener.next_deadline_ms(),
        )

    def stop(self, now: Now) -> None:
        """End in order: another leads, what was written is synced, nothing new is taken."""
        self._departure.begin(now)

    def check(self) -> None:
        """Assert the invariants of every part."""
        if self._started:
            self._quorum.check()
            self._context.core.check()
            self._context.watches.check()
            self._context.history.check(self._context.core.zxid)
            self._lanes.check()
            self._openings.check()
            self._guests.check()
            self._presence.check()
            if self._listener is not None:
                self._listener.check()

    # For the program around this one, in mode kraft

    @property
    def handles(self) -> frozenset[type[Message]]:
        """What this takes at the doors."""
        return self._dispatch.handles

    @property
    def reign(self) -> Term | None:
        """The term in which this member leads; None unless all of earlier terms is applied here."""
        if not self._quorum.leads:
            return None
        leader, term = self._quorum.reign
        mine = leader == self._context.id and self._replica.applied_term == term
        return term if mine else None

    @property
    def leads(self) -> bool:
        """This member leads, whatever it has applied."""
        return self._quorum.leads

    @property
    def known_reign(self) -> tuple[NodeId, Term]:
        """The leader as far as known here (−1: none), and its term."""
        return self._quorum.reign

    @property
    def tree(self) -> Tree:
        """The znodes as applied here. Only to be read."""
        return self._context.core.tree

    def propose(self, data: bytes, now: Now) -> bool:
        """Append an entry of the second machine, if this leads; before ``end_turn``. False: not taken."""
        return self._quorum.propose((MARK + data,), now)

    def machine_entries(self) -> Iterator[bytes]:
        """Yield what the log holds of the second machine's committed entries, without their marks."""
        for entry in self._quorum.committed():
            if entry.kind == ENTRY_DATA and entry.data.startswith(MARK):
                yield entry.data[len(MARK) :]

    def when_current(self, callback: Callable[[Now], None]) -> None:
        """Call back once all that was committed before this call is applied here."""
        self._barriers.want(callback)

    def when_forgotten(self, callback: Callable[[ForgetNodeRequest, Now], None]) -> None:
        """Call back for each node that is gone for good, once its vote is known here to have ended."""
        self._notices.on_forgotten = callback

    def describe_quorum(self, now: Now) -> DescribeQuorumResponse:
        """Return what the members of the quorum are like, if this one leads it."""
        return self._quorum.describe(now)

    def health(self, now: Now) -> HealthResponse:
        """Return what HEALTH shows of this member."""
        return self._introductions.health(now)

    # Told by the quorum, within a step

    def on_leader(self, now: Now) -> None:
        """Another leader, or none: what was on its way to the old one may be lost."""
        self._presence.on_leader(now)
        self._notices.on_leader()
        self._lanes.leader_heard(now)
        if self._quorum.reign != self._reign:
            self._reign = self._quorum.reign
            if self._quorum.leader != NO_NODE:
                self._barriers.on_leader()
                self._offer_again(now)

    def on_committed(self, entries: Sequence[Entry], now: Now) -> None:
        """Apply; before that, what was held back gets its turn to read the state as it was."""
        self._lanes.leader_heard(now)
        self._lanes.begin_commits(now)
        self._show_voters()
        self._replica.apply(entries, now)
        self._lanes.end_commits()
        self._barriers.release(self._replica.applied_index, now)

    def on_reads(
        self, reads: Sequence[tuple[int, LogIndex]], failed: Sequence[int], now: Now
    ) -> None:
        """Barriers were answered; those that are due are released at the end of the turn."""
        self._barriers.on_reads(reads, failed, now)

    def on_rejected(self, count: int, now: Now) -> None:
        """Proposals were turned away: too many at once, or leadership is being handed over."""
        self._context.count("proposals_rejected", count)
        self._writes.unsent = True

    def on_install(self, last_index: LogIndex, last_term: Term, data: bytes) -> None:
        """A snapshot came from the leader: clients attach again once we stand on it."""
        self._checkpoints.install(last_index, last_term, data, self._installed)

    def on_snapshot_wanted(self) -> None:
        """A follower needs what the log no longer has."""
        self._checkpoints.hand_over()

    def _show_voters(self) -> None:
        if self._quorum.voters_committed and self._quorum.voters != self._voters_shown:
            self._voters_shown = self._quorum.voters
            self._context.show_voters(self._voters_shown)

    def _installed(self) -> None:
        self._lanes.detach_all()
        self._presence.restored()

    # Told by the replica, for each entry

    def on_applied(self, write: ProposedWrite, applied: Applied, now: Now) -> None:
        """Events first, then whatever the entry makes due."""
        if self._listener is not None:
            self._listener.on_applied(write)
        for change in applied.changes:
            self._lanes.tell(self._context.watches.fire(change), change)
        for session_id in applied.ended:
            mine = applied.results if session_id == write.session_id else ()
            self._lanes.ended(session_id, dict(mine))
            self._presence.ended(session_id)
            if self._listener is not None:
                self._listener.ended(session_id)
        if write.operations and write.session_id not in applied.ended:
            self._lanes.applied(write.session_id, applied.results, now)
        if applied.opening is not None:
            self._openings.on_applied(applied.opening, now)
        if write.died is not None:
            self._notices.on_applied(write.died)

    # State

    def outlook(self, now: Now) -> Outlook:
        """Return how this coordinator is, for whoever looks in from outside."""
        if not self._started:
            return Outlook("starting", False, False, ())
        outlook = self._introductions.outlook(now)
        if self._listener is None:
            return outlook
        return outlook._replace(measures=(*outlook.measures, *self._listener.measures()))

    # Requests

    def _tables(self) -> Dispatch:
        told: dict[type[Message], OnTold] = dict.fromkeys(RAFT_MESSAGES, self._quorum.on_message)
        told[ForwardWrites] = self._writes.on_forwarded
        told[TouchSessions] = self._presence.on_touched
        return Dispatch(
            self._context,
            {
                OperateRequest: Asked(self._on_operate),
                PingSessionRequest: Asked(self._on_ping),
                OpenSessionRequest: Asked(self._openings.on_open),
                DescribeNodeRequest: Asked(self._introductions.on_describe),
                HealthRequest: Asked(self._introductions.on_health),
                DeathNotice: Asked(self._notices.on_notice, PEERS_ONLY),
                ForgetNodeRequest: Asked(self._notices.on_removal, PEERS_ONLY),
                TransferLeadershipRequest: Asked(self._orders.on_transfer),
                ChangeVotersRequest: Asked(self._orders.on_change),
                TakeSnapshotRequest: Asked(self._orders.on_snapshot),
            },
            told,
            {Heartbeat: self._presence.on_beat},
        )

    def _listen(self, strangers: Strangers) -> Listener:
        """Take ZooKeeper's own clients as well."""
        from nodes.coordinator.zookeeper.listener import Listener

        listener = Listener(
            self._context, strangers, self._quorum, self._lanes, self._dispatch.on_message
        )
        listener.open()
        return listener

    def _on_operate(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, OperateRequest)
        if self._guests.on_operate(request, now):
            return
        if self._lanes.on_operate(request, now):
            self._presence.spoke(body.session_id, now)

    def _on_ping(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, PingSessionRequest)
        if self._guests.on_ping(request, now):
            return
        if self._lanes.on_ping(request, now):
            self._presence.spoke(body.session_id, now)

    # Lost writes

    def _offer_again(self, now: Now) -> None:
        self._openings.propose_again()
        self._lanes.propose_again(now)

    def _offer_late(self, now: Now) -> None:
        """Now and then: a follower cannot know that the leader lost what it was sent."""
        if not self._quorum.leads and self._quorum.leader != NO_NODE:
            self._openings.propose_again()
            self._lanes.propose_again(now, silent_ms=self._patience_ms)
        self._context.timers.after(now, self._patience_ms, self._offer_late)
