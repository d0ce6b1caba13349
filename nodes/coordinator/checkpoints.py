"""Snapshots of the state machine: recovered from at start, taken now and then, sent and installed.

A snapshot is durable before the log entries that it covers may go.  It is encoded a slice per turn:
requests wait for a slice of a millisecond or two, never for the whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from nodes.config import REBUILD_MARK
from nodes.coordinator.bundle import Bundle, unpacked
from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.machine import Slices
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.replica import Replica
from nodes.core.raft.events import Compacted, SnapshotInstalled, SnapshotReady
from nodes.storage import rebuild, snapshots
from nodes.storage.disk import Damaged, StorageError
from nodes.storage.raft_log import RaftLog
from transport.kernel import Now
from transport.wire.ids import LogIndex, NodeId, Term

LOG_FOLDER = "raft"
SNAPSHOTS_FOLDER = "snapshots"

_logger = logging.getLogger("odradek.checkpoints")


OnTaken = Callable[[LogIndex], None]
"""Called with the index that the snapshot reaches."""


@dataclass(frozen=True, slots=True)
class _Coming:
    """A snapshot that is being encoded."""

    index: LogIndex
    term: Term
    tree: Slices
    machine: Slices | None

    def step(self) -> bool:
        """Encode one slice; False when there was none left."""
        return (self.machine is not None and self.machine.step()) or self.tree.step()


class Checkpoints:
    """The snapshots of this coordinator, and the log as far as snapshots cut it."""

    def __init__(self, context: CoordinatorContext, replica: Replica) -> None:
        self._context = context
        self._replica = replica
        self._log: RaftLog
        self._quorum: Quorum
        self._coming: _Coming | None = None
        self._saving = False
        self._wanted = False
        """A follower needs a snapshot."""
        self._due = False
        """So many entries were applied since the last that the log should be cut."""
        self._takers: list[tuple[LogIndex, OnTaken]] = []
        """Who waits for a durable snapshot up to an index."""
        self.voters: tuple[NodeId, ...] = ()
        """Who voted as of the snapshot this started from; empty: whom the settings name."""
        self._previous = (LogIndex(0), Term(0))
        """The newest durable snapshot, as (last index, its term)."""

    # At start

    def begin_rebuild(self) -> int:
        """Move a log that is to be filled anew aside; 0: there is none. Raises StorageError."""
        context = self._context
        folders = (LOG_FOLDER, SNAPSHOTS_FOLDER)
        return rebuild.begin(context.disk, REBUILD_MARK, folders, context.ports.random)

    def recover(self, now: Now) -> RaftLog:
        """Stand on the newest snapshot and open the log after it; raises StorageError.

        Of a damaged log it says how to have it filled anew.
        """
        try:
            return self._recover(now)
        except Damaged as error:
            command = f"odradek ensemble rebuild {self._context.config.name}"
            raise Damaged(f"{error}; `{command}` fills it anew from the others") from error

    def _recover(self, now: Now) -> RaftLog:
        disk = self._context.disk
        newest = snapshots.load_newest(disk, SNAPSHOTS_FOLDER)
        if newest is not None:
            index, term, data = newest
            bundle = unpacked(data)
            self.voters = bundle.voters
            self._replica.restore(index, term, bundle, now)
        index, term = self._previous = self._replica.applied_index, self._replica.applied_term
        self._log = RaftLog.open(disk, LOG_FOLDER, snapshot_index=index, snapshot_term=term)
        return self._log

    def attach(self, quorum: Quorum) -> None:
        """Give this its quorum, once there is one."""
        self._quorum = quorum

    # Taking

    def take(self, taken: OnTaken) -> None:
        """Take a snapshot of what is applied now or later; ``taken`` is told when it is durable."""
        self._due = True
        self._takers.append((self._replica.applied_index, taken))

    def end_turn(self, now: Now) -> None:
        """Begin a snapshot if it is time or one is wanted; encode a slice of the one under way."""
        self._due = self._due or self._replica.applied_since_snapshot >= self._entries_max()
        coming = self._coming
        if coming is None:
            if self._wanted or (self._due and not self._saving):
                replica = self._replica
                self._coming = _Coming(
                    replica.applied_index, replica.applied_term, *replica.begin_snapshot()
                )
        elif not coming.step():
            self._coming = None
            self._encoded(coming, now)

    def _entries_max(self) -> int:
        """Return how many entries may follow a snapshot: half as many as it has znodes, or a few.

        So a restart applies less than it reads, and what snapshots cost stays a small part of what
        the entries between them do, however large the tree is.
        """
        config = self._context.config.coordinator
        return max(config.snapshot_entries, len(self._context.core.tree) // 2)

    def next_deadline_ms(self) -> int | None:
        """Return that there is more to encode at once, if there is."""
        return 0 if self._coming is not None else None

    def _encoded(self, coming: _Coming, now: Now) -> None:
        machine = b"" if coming.machine is None else coming.machine.finish()
        voters = self._quorum.voters_at(coming.index)
        data = Bundle(voters, machine, coming.tree.finish()).packed()
        if self._due and not self._saving:
            self._due = False
            self._replica.applied_since_snapshot = self._replica.applied_index - coming.index
            self._save(coming.index, coming.term, data)
        if self._wanted:
            self._wanted = False
            self._quorum.step(SnapshotReady(coming.index, coming.term, data), now)

    def _save(self, index: LogIndex, term: Term, data: bytes) -> None:
        disk = self._context.disk
        self._saving = True

        def save() -> None:
            snapshots.save(disk, SNAPSHOTS_FOLDER, index, term, data)

        def saved(outcome: object, now: Now) -> None:
            self._saving = False
            if isinstance(outcome, BaseException):
                self._quorum.failed(outcome)
            elif index > self._previous[0]:
                _logger.info("snapshot up to entry %d: %d bytes", index, len(data))
                self._compact(index, term, now)
            self._tell_takers()

        self._context.ports.pool.submit(save, saved)

    def _tell_takers(self) -> None:
        reached = self._previous[0]
        takers, self._takers = self._takers, []
        for index, taken in takers:
            if index <= reached:
                taken(reached)
            else:
                self._takers.append((index, taken))
        self._due = self._due or bool(self._takers)

    def _compact(self, index: LogIndex, term: Term, now: Now) -> None:
        """Let entries go: in memory up to this snapshot, on disk up to the one before it.

        Should the newest snapshot ever be found damaged, the one before it and the log still do.
        """
        previous, self._previous = self._previous, (index, term)
        self._quorum.step(Compacted(index), now)
        try:
            self._log.compact(*previous)
        except StorageError as error:
            self._quorum.failed(error)

    # Sending and installing

    def hand_over(self) -> None:
        """A follower needs a snapshot: give one as soon as it is encoded."""
        self._wanted = True

    def install(
        self, index: LogIndex, term: Term, data: bytes, installed: Callable[[], None]
    ) -> None:
        """Save a snapshot of the leader, then stand on it; ``installed`` is called in between."""
        disk = self._context.disk
        self._coming = None  # Of a state that is overtaken.

        def save() -> None:
            snapshots.save(disk, SNAPSHOTS_FOLDER, index, term, data)

        def saved(outcome: object, now: Now) -> None:
            if isinstance(outcome, BaseException):
                self._quorum.failed(outcome)
                return
            bundle = unpacked(data)
            try:
                self._replica.restore(index, term, bundle, now)
                self._log.reset(index, term)
            except StorageError as error:
                self._quorum.failed(error)
                return
            self._previous = (index, term)
            self._tell_takers()
            installed()
            self._quorum.step(SnapshotInstalled(index, term, bundle.voters), now)

        self._context.ports.pool.submit(save, saved)
