"""Raft members in one process, with a network, disks and a clock that only move when told.

The driver's side of the core's contract, as small as it can be: used by the transcripts (every
step by hand) and by the randomised tests (every step by chance).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random

from nodes.config import RaftConfig
from nodes.core.raft.core import RaftCore
from nodes.core.raft.events import (
    Compacted,
    DiskSynced,
    HardState,
    Membership,
    RaftEffects,
    RaftEvent,
    Received,
    Rejoined,
    Role,
    SnapshotInstalled,
    SnapshotReady,
    Stored,
)
from transport.kernel import Now, Outgoing
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import ENTRY_DATA, Entry, RaftMessage


@dataclass(slots=True)
class Batch:
    """Disk orders of one step, written and not yet durable."""

    sequence: int
    truncate_from: LogIndex | None
    entries: list[Entry]
    hard_state: HardState | None


@dataclass(slots=True)
class DiskModel:
    """What survives a crash, and what is on its way there."""

    hard_state: HardState = HardState(Term(0), NO_NODE)
    snapshot: tuple[LogIndex, Term, bytes] = (LogIndex(0), Term(0), b"[[], []]")
    """The state is (who voted, what was applied), as JSON; nobody: as at the start."""
    entries: list[Entry] = field(default_factory=list)
    base: dict[int, Term] = field(default_factory=lambda: {0: Term(0)})
    """Index and term before the first entry."""
    pending: list[Batch] = field(default_factory=list)

    def sync(self, batches: int) -> int:
        """Make the oldest ``batches`` durable; return the sequence of the last."""
        done, self.pending = self.pending[:batches], self.pending[batches:]
        for batch in done:
            if batch.truncate_from is not None:
                first = batch.truncate_from
                self.entries = [entry for entry in self.entries if entry.index < first]
            if batch.entries and self.entries:
                assert batch.entries[0].index == self.entries[-1].index + 1, "a gap on disk"
            self.entries += batch.entries
            if batch.hard_state is not None:
                self.hard_state = batch.hard_state
        return done[-1].sequence

    def stored(self) -> Stored:
        """Return what a restarted member finds; a log that the snapshot outran is dropped."""
        index, term, _ = self.snapshot
        held = {entry.index: entry.term for entry in self.entries}
        if held.get(index, self.base.get(index)) != term:
            self.entries.clear()
            self.base = {index: term}
        entries = [entry for entry in self.entries if entry.index > index]
        return Stored(self.hard_state, index, term, entries)

    def has(self, entry: Entry) -> bool:
        """Tell whether an entry is durable here, in the log or under the snapshot."""
        return entry.index <= self.snapshot[0] or any(
            entry.index == mine.index and entry.term == mine.term for mine in self.entries
        )


@dataclass(slots=True)
class Host:
    """A member with its disk and its state machine (the list of what was applied)."""

    node: NodeId
    disk: DiskModel
    core: RaftCore | None = None
    applied: list[str] = field(default_factory=list)
    applied_index: int = 0
    applied_term: Term = Term(0)
    waiting: list[tuple[int, Outgoing]] = field(default_factory=list)
    """(sequence, message) that may leave once that batch is durable."""
    lives: int = 0
    loss: int = 0
    """The number of the loss of its disk that it is recovering from; 0: none."""
    losses: int = 0
    lost: set[tuple[int, Term]] = field(default_factory=set)
    """Entries (index, term) that were durable here before a loss."""


def _picture(host: Host) -> bytes:
    """Return a snapshot of what is applied."""
    assert host.core is not None
    voters = host.core.voters_at(LogIndex(host.applied_index))
    return json.dumps([voters, host.applied]).encode()


class Watcher:
    """Sees everything; tests override what they want to judge."""

    def event(self, node: NodeId, event: RaftEvent) -> None:
        """An event is about to be given to a member."""

    def effects(self, node: NodeId, effects: RaftEffects) -> None:
        """A member answered with these."""

    def sent(self, source: NodeId, outgoing: Outgoing) -> None:
        """A message really left."""


class Ensemble:
    """Members 1…n, and everything between them."""

    def __init__(
        self,
        voters: list[int],
        *,
        learners: list[int] | None = None,
        seed: int = 1,
        config: RaftConfig,
        watcher: Watcher,
    ) -> None:
        self.voters = tuple(NodeId(voter) for voter in voters)
        self.config = config
        self.seed = seed
        self.watcher = watcher
        self.now_ms = 1_000
        self.wire: list[tuple[NodeId, NodeId, RaftMessage]] = []
        self.cut: set[tuple[int, int]] = set()
        self.learners = tuple(NodeId(learner) for learner in learners or ())
        self.members = (*self.voters, *self.learners)
        self.hosts = {member: Host(member, DiskModel()) for member in self.members}
        self.hold_snapshots = False
        for member in self.members:
            self.start(member)

    @property
    def now(self) -> Now:
        """The clocks."""
        return Now(self.now_ms, 1_700_000_000_000 + self.now_ms)

    def alive(self) -> list[Host]:
        """Return the running members in order."""
        return [host for host in self.hosts.values() if host.core is not None]

    # Life and death

    def start(self, node: NodeId) -> None:
        """Start a member from what its disk holds."""
        host = self.hosts[node]
        host.lives += 1
        stored = host.disk.stored()
        voters, host.applied = json.loads(host.disk.snapshot[2])
        host.applied_index, host.applied_term = stored.snapshot_index, stored.snapshot_term
        chance = Random(self.seed * 1_000_003 + node * 1_009 + host.lives)
        voters = tuple(NodeId(voter) for voter in voters or self.voters)
        members = Membership(voters, tuple(m for m in self.members if m not in voters))
        host.core = RaftCore(
            node, members, self.config, stored, chance, self.now, rebuilding=host.loss
        )

    def crash(self, node: NodeId, keep_batches: int = 0) -> None:
        """Kill a member: what was not synced is gone, but for ``keep_batches`` by luck."""
        host = self.hosts[node]
        host.core = None
        if keep_batches and host.disk.pending:
            host.disk.sync(keep_batches)
        host.disk.pending.clear()
        host.waiting.clear()

    def wipe(self, node: NodeId) -> None:
        """Lose a member's disk; what it sent before may still arrive, what comes to it does not."""
        host = self.hosts[node]
        self.crash(node)
        host.lost |= {(entry.index, entry.term) for entry in host.disk.entries}
        host.lost |= {(index, Term(-1)) for index in range(1, host.disk.snapshot[0] + 1)}
        host.disk = DiskModel()
        host.losses += 1
        host.loss = node * 1_000 + host.losses
        self.wire = [message for message in self.wire if message[1] != node]

    # Steps

    def step(self, node: NodeId, event: RaftEvent) -> RaftEffects:
        """Give a member an event and carry out what it orders."""
        host = self.hosts[node]
        assert host.core is not None, f"{node} is down"
        self.watcher.event(node, event)
        effects = host.core.step(event, self.now)
        host.core.check()
        self._write(host, effects)
        self.watcher.effects(node, effects)
        for outgoing in effects.send_now:
            self._send(node, outgoing)
        needed = host.disk.pending[-1].sequence if host.disk.pending else 0
        for outgoing in effects.send_after_sync:
            if needed:
                host.waiting.append((needed, outgoing))
            else:
                self._send(node, outgoing)
        self._apply(host, effects)
        return effects

    def _write(self, host: Host, effects: RaftEffects) -> None:
        if effects.sequence:
            host.disk.pending.append(
                Batch(
                    effects.sequence, effects.truncate_from, effects.append[:], effects.hard_state
                )
            )

    def _apply(self, host: Host, effects: RaftEffects) -> None:
        for entry in effects.committed:
            assert entry.index == host.applied_index + 1, "applied out of order"
            host.applied_index, host.applied_term = entry.index, entry.term
            if entry.kind == ENTRY_DATA:
                host.applied.append(entry.data.decode())
        if effects.rejoined:
            host.loss = 0
            self.step(host.node, Rejoined())
        if effects.snapshot_wanted and not self.hold_snapshots:
            self.give_snapshot(host.node)
        if effects.install is not None:
            self.install(host, *effects.install)

    def give_snapshot(self, node: NodeId) -> None:
        """Answer ``snapshot_wanted`` with the state as applied."""
        host = self.hosts[node]
        data = _picture(host)
        ready = SnapshotReady(LogIndex(host.applied_index), host.applied_term, data)
        self.step(node, ready)

    def install(self, host: Host, index: LogIndex, term: Term, data: bytes) -> None:
        """Take over a received snapshot, durably, as a server does."""
        self.sync(host.node)  # The log is written anew with the newest term and vote.
        voters, host.applied = json.loads(data)
        host.applied_index, host.applied_term = index, term
        host.disk.snapshot = (index, term, data)
        host.disk.entries.clear()
        host.disk.base = {index: term}
        voted = tuple(NodeId(voter) for voter in voters)
        self.step(host.node, SnapshotInstalled(index, term, voted))

    def compact(self, node: NodeId) -> None:
        """Write a snapshot of what is applied, and drop the log before it."""
        host = self.hosts[node]
        index = LogIndex(host.applied_index)
        data = _picture(host)
        host.disk.snapshot = (index, host.applied_term, data)
        self.step(node, Compacted(index))

    def sync(self, node: NodeId, batches: int | None = None) -> None:
        """Let the disk finish its oldest batches, all by default."""
        host = self.hosts[node]
        if host.disk.pending:
            sequence = host.disk.sync(len(host.disk.pending) if batches is None else batches)
            self.step(node, DiskSynced(sequence))
            self._synced(host)

    def _synced(self, host: Host) -> None:
        """Let go what waited for batches that are durable now."""
        first_pending = host.disk.pending[0].sequence if host.disk.pending else None
        ready = [o for s, o in host.waiting if first_pending is None or s < first_pending]
        host.waiting = [
            (s, o) for s, o in host.waiting if first_pending is not None and s >= first_pending
        ]
        for outgoing in ready:
            self._send(host.node, outgoing)

    # Network

    def _send(self, source: NodeId, outgoing: Outgoing) -> None:
        message = outgoing.message
        assert isinstance(message, RaftMessage)
        self.watcher.sent(source, outgoing)
        if (source, outgoing.to) not in self.cut:
            self.wire.append((source, outgoing.to, message))

    def deliver(self, place: int, *, again: bool = False) -> None:
        """Deliver one message in flight; ``again``: and leave it there to come once more."""
        source, to, message = self.wire[place] if again else self.wire.pop(place)
        if self.hosts[to].core is not None and (source, to) not in self.cut:
            self.step(to, Received(message))

    def stabilize(self, syncing: list[NodeId] | None = None, turns_max: int = 200) -> None:
        """Sync (the named disks) and deliver, in order, until nothing is left to do."""
        for _ in range(turns_max):
            for host in self.alive():
                if not syncing or host.node in syncing:
                    self.sync(host.node)
            if not self.wire:
                break
            for _ in range(len(self.wire)):
                self.deliver(0)
        assert not self.wire, "the ensemble never comes to rest"


def serves(core: RaftCore, now: Now) -> bool:
    """Tell whether a member leads, with an entry of its term committed, and hears a majority."""
    committed = core.term_at(core.commit_index) == core.term
    return core.role is Role.LEADER and committed and core.has_quorum_contact(now)
