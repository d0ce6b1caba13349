"""Moving replicas between the log directories of this broker: one after the other, while they serve.

A copy is filled in the new directory, in steps in the disk pool, each bounded and paced; when it
lacks little, syncs of the replica wait, what may be believed of a name is noted (``log_swap``), and
within one turn the copy gets the rest, its name, and the replica.  The old folder goes once the new
one has its name for good.  A process that ends leaves the old log, or the new one; a copy without
its name is thrown away at the next start.

Source: KIP-113; Apache Kafka, ReplicaManager.alterReplicaLogDirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nodes.broker.context import BrokerContext
from nodes.broker.logs.directories import LogDirectory, OnDirectoryFailed
from nodes.broker.logs.folders import set_aside
from nodes.broker.logs.swap import Swap, clear_swap, write_swap
from nodes.broker.partitions.cleaner import LogCleaner
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.core.controller.broker_configs import MOVE_THROTTLE
from nodes.core.throttle import Throttle
from nodes.storage.disk import DiskFull, StorageError
from nodes.storage.log_copy import LogCopy, SourceFailed, Step
from nodes.storage.log_files import DELETED_SUFFIX, FUTURE_SUFFIX
from transport.driver.timers import Timer
from transport.kernel import Now
from transport.wire.ids import Offset

PAUSE_MS = 2
"""After each step but the last ones: others who want the disk have their turn."""
LOOK_MS = 1_000
"""A move that waits for its rate looks so often whether it is still wanted."""


class Arrival(NamedTuple):
    """A replica's copy that is not in its place yet."""

    replica: Replica
    directory: LogDirectory
    size_bytes: int
    end_offset: Offset


class _NotNoted(Exception):
    """The data directory has not taken the note; neither log directory has failed."""


class _Move:
    """One replica on its way."""

    __slots__ = ("began", "copy", "given_up", "noted", "replica", "source", "target")

    def __init__(self, context: BrokerContext, replica: Replica, target: LogDirectory) -> None:
        assert replica.log is not None, "only a log that works is moved"
        self.replica = replica
        self.source = replica.log
        self.target = target
        folder = target.folder_of(replica.name) + FUTURE_SUFFIX
        piece_bytes = context.config.log.move_piece_bytes
        self.copy = LogCopy(context.disk, self.source, folder, piece_bytes=piece_bytes)
        self.began = False
        self.noted = False
        """The note says that it may be in its new directory."""
        self.given_up = ""
        """Why nobody wants it any more."""


class LogMoves:
    """Of one broker."""

    def __init__(
        self, context: BrokerContext, cleaner: LogCleaner, on_failed: OnDirectoryFailed
    ) -> None:
        self._context = context
        self._cleaner = cleaner
        self._on_failed = on_failed
        self._moves: list[_Move] = []
        """The first is under way."""
        self._busy = False
        self._timer: Timer | None = None
        self._throttle = Throttle()
        self.is_unsettled = False
        """An old folder could not be removed: the next start has to know of it, and of no other."""

    def start(self) -> None:
        """Remove the old folders of what had moved when the last process ended."""
        directories, disk = self._context.directories, self._context.disk
        replaced, directories.replaced = directories.replaced, []
        paths = [directory.path for directory in directories.all if directory.is_online]
        if not replaced:
            return

        def remove() -> None:
            # That a log has its name in its new directory may not be durable yet.
            for path in paths:
                disk.sync_folder(path)
            for folder in replaced:
                disk.remove(folder)
            for path in paths:
                disk.sync_folder(path)
            clear_swap(disk)

        self._busy = True
        self._context.ports.pool.submit(remove, self._on_removed)

    # What others ask

    def begin(self, replica: Replica, target: LogDirectory, now: Now) -> None:
        """Move a replica to a directory, instead of where it is on its way to; or leave it where it is."""
        move = self._find(replica)
        if move is not None and move.target is target:
            return
        if move is not None:
            move.given_up = "it was cancelled"
            if move is not self._moves[0]:
                self._moves.remove(move)  # nothing of it is on the disk: one at most waits for each
        replica.is_moving = replica.directory is not target
        if replica.is_moving:
            self._moves.append(_Move(self._context, replica, target))
        self._wait(0, now)

    def arrivals(self) -> Iterator[Arrival]:
        """Give what is on its way, or waits for it."""
        for move in self._moves:
            if not move.given_up:
                copy = move.copy
                yield Arrival(move.replica, move.target, copy.size_bytes, copy.end_offset)

    def on_cut(self, replica: Replica) -> None:
        """Its log was cut, or has begun anew."""
        move = self._find(replica)
        if move is not None:
            move.copy.cut()

    def _find(self, replica: Replica) -> _Move | None:
        found = (move for move in self._moves if move.replica is replica and not move.given_up)
        return next(found, None)

    # Steps

    def _go_on(self, now: Now) -> None:
        if self._busy or not self._moves:
            return
        move = self._moves[0]
        if obstacle := self._obstacle(move):
            self._give_up(move, obstacle, now)
            return
        wait_ms = 0 if move.noted else self._throttle.take(0, self._rate(), now.mono_ms)
        if self._cleaner.is_at(move.replica) or wait_ms:
            self._wait(min(wait_ms or PAUSE_MS, LOOK_MS), now)
            return
        move.began = True
        try:
            self._take_step(move, now)
        except SourceFailed as failure:
            self._source_failed(move, failure.error, now)

    def _obstacle(self, move: _Move) -> str:
        replica, target = move.replica, move.target
        if move.given_up:
            return move.given_up
        if replica.log is not move.source or replica.state is not ReplicaState.ONLINE:
            return "its log is not here any more"
        if not target.is_online:
            return f"{target.path} is offline"
        folder = target.folder_of(replica.name)
        if not move.began and self._context.disk.exists(folder):
            return f"{folder} is in the way; remove it if nobody needs it"
        return ""

    def _take_step(self, move: _Move, now: Now) -> None:
        copy, replica = move.copy, move.replica
        if not copy.is_close:
            replica.release_syncs()
            self._run(move, copy.next_step(now.wall_ms), now)
            return
        replica.hold_syncs()
        step = copy.next_step(now.wall_ms)
        if not move.noted:
            self._run(move, self._closing(move, step), now)
        elif copy.is_durable and not replica.is_syncing:
            self._swap(move, now)
        elif step is None:
            self._wait(PAUSE_MS, now)
        else:
            self._run(move, step, now)

    def _closing(self, move: _Move, step: Step | None) -> Step:
        swap = Swap(str(move.replica.name), move.target.path)

        def close() -> None:
            if step is not None:
                step()
            try:
                write_swap(self._context.disk, swap)
            except StorageError as error:
                raise _NotNoted(str(error)) from error
            move.noted = True

        return close

    def _run(self, move: _Move, step: Step | None, now: Now) -> None:
        assert step is not None, "what lacks something has a next step"
        before_bytes = move.copy.size_bytes

        def done(result: BaseException | None, now: Now) -> None:
            self._busy = False
            if isinstance(result, SourceFailed):
                self._source_failed(move, result.error, now)
            elif isinstance(result, _NotNoted):
                self._give_up(move, str(result), now)
            elif isinstance(result, StorageError):
                self._target_failed(move, result, now)
            elif result is not None:
                raise result
            else:
                copied_bytes = max(0, move.copy.size_bytes - before_bytes)
                self._throttle.take(copied_bytes, self._rate(), now.mono_ms)
                self._wait(0 if move.noted else PAUSE_MS, now)

        self._busy = True
        self._context.ports.pool.submit(step, done)

    def _wait(self, wait_ms: int, now: Now) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._context.timers.after(now, wait_ms, self._go_on)

    def _rate(self) -> int | None:
        text = self._context.image.broker_configs(self._context.id).get(MOVE_THROTTLE)
        return None if text is None else int(text)

    def _source_failed(self, move: _Move, error: StorageError, now: Now) -> None:
        if move.copy.is_there() and move.replica.log is move.source:
            move.replica.fail(error, now)
        # Else it was cut, or has let go of what was read.
        self._wait(PAUSE_MS, now)

    def _target_failed(self, move: _Move, error: StorageError, now: Now) -> None:
        if not isinstance(error, DiskFull):
            self._on_failed(move.target, error)
        self._give_up(move, str(error), now)

    # The end

    def _swap(self, move: _Move, now: Now) -> None:
        """Let the copy take the log's place, within this turn."""
        replica, before = move.replica, move.replica.directory
        try:
            log = move.copy.finish(move.target.folder_of(replica.name), now.wall_ms)
        except StorageError as error:
            self._target_failed(move, error, now)
            return
        self._busy = True
        self._moves.remove(move)
        self._context.directories.move(replica.name, move.target)
        try:
            self._context.directories.note()
        except StorageError as error:
            self._context.report("checkpoints_failed", str(error))

        def settled(now: Now, *, well: bool) -> None:
            if well or replica.state is ReplicaState.GONE:
                self._remove_old(replica, before, now)
            else:
                self._on_removed(StorageError(f"{log.folder} could not be synced"), now)

        replica.is_moving = False
        replica.move_to(log, move.target, settled)
        replica.release_syncs()
        self._context.count("replicas_moved")
        self._context.tell(f"{replica.name} has moved from {before.path} to {move.target.path}")

    def _remove_old(self, replica: Replica, before: LogDirectory, now: Now) -> None:
        """The new folder has its name for good: remove the old one, unless another log is in it."""
        disk, aside = self._context.disk, ""
        folder = before.folder_of(replica.name)
        try:
            if not self._context.directories.is_home(replica.name, before) and disk.exists(folder):
                aside = set_aside(disk, folder, DELETED_SUFFIX)
        except StorageError as error:
            self._on_removed(error, now)
            return

        def remove() -> None:
            if aside:
                disk.sync_folder(before.path)
                disk.remove(aside)
            clear_swap(disk)

        self._context.ports.pool.submit(remove, self._on_removed)

    def _on_removed(self, result: BaseException | None, now: Now) -> None:
        self._busy = False
        if isinstance(result, StorageError):
            self.is_unsettled = True
            self._context.report("folders_not_removed", f"what has moved is not settled: {result}")
        elif result is not None:
            raise result
        self._go_on(now)

    def _give_up(self, move: _Move, why: str, now: Now) -> None:
        """Throw the copy away."""
        replica, copy, disk = move.replica, move.copy, self._context.disk
        move.given_up = why
        replica.is_moving = self._find(replica) is not None
        replica.release_syncs()
        text = f"{replica.name} is not moved to {move.target.path}: {why}"
        self._context.report("moves_given_up", text)

        def discard() -> None:
            copy.discard()
            if move.noted:
                clear_swap(disk)

        def done(result: BaseException | None, now: Now) -> None:
            self._busy = False
            self._moves.remove(move)
            if isinstance(result, StorageError):
                self._context.report("folders_not_removed", str(result))
            elif result is not None:
                raise result
            self._go_on(now)

        self._busy = True
        self._context.ports.pool.submit(discard, done)
