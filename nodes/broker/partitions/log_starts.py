"""Where logs begin, written down and synced before anybody counts on it: what is deleted stays so.

One file for all logs that begin later than at 0; the newest state is written by the disk pool, one
write at a time.  Until then a replica begins later for its readers, but tells nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from nodes.broker.context import BrokerContext
from nodes.broker.logs.checkpoints import (
    LOG_STARTS,
    read_checkpoint,
    still_noted,
    write_checkpoint,
)
from nodes.broker.partitions.replica import Replica
from nodes.core.partition.events import StartSettled
from nodes.storage.disk import StorageError
from transport.kernel import Now
from transport.wire.ids import Offset, TopicPartition

AGAIN_AFTER_MS = 1_000
"""After a write that the disk has refused."""


class LogStarts:
    """Of the replicas of one broker."""

    def __init__(
        self,
        context: BrokerContext,
        replicas: Callable[[], Iterable[Replica]],
        unmet: set[TopicPartition],
    ) -> None:
        """Reads what the last process has left, and makes it durable. Raises StorageError.

        ``unmet``: see ``upkeep``; the names that are noted here are added.
        """
        self._context = context
        self._replicas = replicas
        self._unmet = unmet
        self._written = read_checkpoint(context.disk, LOG_STARTS)
        unmet.update(self._written)
        if self._written:
            context.disk.sync_folder("")
        self._lock = threading.Lock()
        self._turn = 0
        """Of the newest state that was given to be written: an older one must not follow it."""
        self._under_way: Mapping[TopicPartition, Offset] | None = None
        """The state that the pool has to write, or has written by now."""
        self._changed = False

    def noted(self, name: TopicPartition) -> Offset:
        """Return the offset noted as a partition's first, or about to be; 0 when there is none."""
        under_way = self._under_way or {}
        return max(self._written.get(name, Offset(0)), under_way.get(name, Offset(0)))

    def changed(self) -> None:
        """A log begins later than before."""
        self._changed = True

    def end_turn(self, now: Now) -> None:
        """Have what has changed written, unless that is under way: then after it."""
        if not self._changed or self._under_way is not None:
            return
        self._changed = False
        self._turn += 1
        present, turn = self._present(), self._turn
        self._under_way = present

        def done(result: bool | BaseException, now: Now) -> None:
            self._under_way = None
            if isinstance(result, BaseException):
                self._context.report("checkpoints_failed", str(result))
                self._context.timers.after(now, AGAIN_AFTER_MS, lambda _now: self.changed())
            elif result and turn == self._turn:
                self._settle(present, now)
            else:
                self.changed()  # The newer state may have been refused.

        self._context.ports.pool.submit(lambda: self._write(present, turn), done)

    def write_now(self) -> bool:
        """Write what differs from what was written, or is about to be, in this thread; False: the disk
        refuses."""
        present = self._present()
        if present == self._written and self._under_way is None:
            return True
        self._turn += 1
        try:
            self._write(present, self._turn)
        except StorageError as error:
            self._context.report("checkpoints_failed", str(error))
            return False
        return True

    def _write(self, present: Mapping[TopicPartition, Offset], turn: int) -> bool:
        """Return whether it was written: not where a newer state is, or was to be."""
        with self._lock:
            if turn == self._turn:
                write_checkpoint(self._context.disk, LOG_STARTS, present, durable=True)
                self._written = dict(present)
            return turn == self._turn

    def _settle(self, present: Mapping[TopicPartition, Offset], now: Now) -> None:
        for replica in self._replicas():
            core = replica.core
            start = present.get(replica.name)
            if core is not None and start is not None and start > core.settled_start:
                replica.step(StartSettled(start), now)

    def _present(self) -> dict[TopicPartition, Offset]:
        """Of a log that is not open what was noted stays."""
        found = still_noted(self._written, self._unmet)
        for replica in self._replicas():
            log = replica.log
            start = self.noted(replica.name) if log is None else log.log_start_offset
            if start > 0:
                found[replica.name] = start
        return found
