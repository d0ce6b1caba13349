"""Snapshots of the state machine: recovered from at start, taken now and then, sent and installed.

A snapshot is durable before the log entries that it covers may go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.replica import Replica
from nodes.core.raft.events import Compacted, SnapshotInstalled, SnapshotReady
from nodes.storage import snapshots
from nodes.storage.disk import StorageError
from nodes.storage.raft_log import RaftLog
from transport.kernel import Now
from transport.wire.ids import LogIndex, Term

LOG_FOLDER = "raft"
SNAPSHOTS_FOLDER = "snapshots"

_logger = logging.getLogger("odradek.checkpoints")


class Checkpoints:
    """The snapshots of this coordinator, and the log as far as snapshots cut it."""

    def __init__(self, context: CoordinatorContext, replica: Replica) -> None:
        self._context = context
        self._replica = replica
        self._log: RaftLog
        self._quorum: Quorum
        self._saving = False
        self._wanted = False
        self._previous = (LogIndex(0), Term(0))
        """The newest durable snapshot, as (last index, its term)."""

    # At start

    def recover(self) -> RaftLog:
        """Stand on the newest snapshot and open the log after it; raises StorageError."""
        disk = self._context.disk
        newest = snapshots.load_newest(disk, SNAPSHOTS_FOLDER)
        if newest is not None:
            self._replica.restore(*newest)
        index, term = self._previous = self._replica.applied_index, self._replica.applied_term
        self._log = RaftLog.open(disk, LOG_FOLDER, snapshot_index=index, snapshot_term=term)
        return self._log

    def attach(self, quorum: Quorum) -> None:
        """Give this its quorum, once there is one."""
        self._quorum = quorum

    # Taking

    def end_turn(self, now: Now) -> None:
        """Take a snapshot if it is time; give one to the Raft core if it asked."""
        if self._wanted:
            self._wanted = False
            index, term = self._replica.applied_index, self._replica.applied_term
            data = self._context.core.to_snapshot()
            self._quorum.step(SnapshotReady(index, term, data), now)
        limit = self._context.config.coordinator.snapshot_entries
        if self._replica.applied_since_snapshot >= limit and not self._saving:
            self._take()

    def _take(self) -> None:
        replica, disk = self._replica, self._context.disk
        index, term = replica.applied_index, replica.applied_term
        replica.applied_since_snapshot = 0
        data = self._context.core.to_snapshot()
        self._saving = True

        def save() -> None:
            snapshots.save(disk, SNAPSHOTS_FOLDER, index, term, data)

        def saved(outcome: object, now: Now) -> None:
            self._saving = False
            if isinstance(outcome, BaseException):
                self._quorum.failed(outcome)
            else:
                _logger.info("snapshot up to entry %d: %d bytes", index, len(data))
                self._compact(index, term, now)

        self._context.ports.pool.submit(save, saved)

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
        """A follower needs a snapshot: give one at the end of the turn."""
        self._wanted = True

    def install(
        self, index: LogIndex, term: Term, data: bytes, installed: Callable[[], None]
    ) -> None:
        """Save a snapshot of the leader, then stand on it; ``installed`` is called in between."""
        disk = self._context.disk

        def save() -> None:
            snapshots.save(disk, SNAPSHOTS_FOLDER, index, term, data)

        def saved(outcome: object, now: Now) -> None:
            if isinstance(outcome, BaseException):
                self._quorum.failed(outcome)
                return
            try:
                self._replica.restore(index, term, data)
                self._log.reset(index, term)
            except StorageError as error:
                self._quorum.failed(error)
                return
            self._previous = (index, term)
            installed()
            self._quorum.step(SnapshotInstalled(index, term), now)

        self._context.ports.pool.submit(save, saved)
