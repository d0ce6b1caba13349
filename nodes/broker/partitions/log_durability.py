"""What the disk pool does for the log of a replica: syncs, and notes for a start after a crash.

Owns what is under way: one sync, and one note.  Knows neither when a log must be synced nor what is
to follow from it: whoever has the log says when, and is told how it ended.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.producer_snapshot import encode_producers
from nodes.storage.disk import DiskFull
from nodes.storage.partition_log import PartitionLog
from transport.kernel import Now
from transport.wire.ids import Offset

NOTE_SHARE = 64
"""Of what is appended, the notes are at most this part: many producers are noted less often."""
NOTE_LEAST_BYTES = 64 * 1024
"""Less is read sooner than it is noted."""

AGAIN_AFTER_MS = 1_000
"""A sync that found no room for the small files beside the log."""

OnSynced = Callable[[PartitionLog, Offset | BaseException, Now], object]
"""Takes the log, and up to where it is durable now."""
OnFailed = Callable[[PartitionLog, BaseException, Now], None]


def is_unsynced(log: PartitionLog) -> bool:
    """Tell whether something written has not reached the disk."""
    return log.recovery_point < log.log_end_offset


class LogDurability:
    """Of one replica, which may go on with another log: each call names the present one."""

    __slots__ = (
        "_context",
        "_latest",
        "_note_bytes",
        "_noting",
        "is_held",
        "is_put_off",
        "is_syncing",
    )

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.is_syncing = False
        """A sync is under way."""
        self.is_put_off = False
        """The last one has found the disk full, and none is begun for a while."""
        self.is_held = False
        """None is begun: what is durable stays so much for the moment."""
        self._latest = 0
        """The number of the latest sync: one that was put off is not tried again after another."""
        self._noting = False
        self._note_bytes = 0
        """What the producers took in the last note."""

    # Syncs

    def sync(self, log: PartitionLog, then: OnSynced) -> None:
        """Have what is written synced; one sync at a time, the next one takes the rest.

        Where the disk is full it is put off: what the log holds was written, and its indexes have no room.
        """
        is_free = not (self.is_syncing or self.is_held or self.is_put_off)
        if is_free and is_unsynced(log):
            self._submit(log, then, must_end=False)

    def settle(self, log: PartitionLog, then: OnSynced) -> None:
        """Have a log synced with its name and all, whatever is known to be durable of it; on a full
        disk as soon as there is room.  It is this log from now on: what was put off was another one's."""
        assert not self.is_syncing, "one sync at a time"
        self.is_put_off = False
        self._submit(log, then, must_end=True)

    def _submit(self, log: PartitionLog, then: OnSynced, *, must_end: bool) -> None:
        self.is_syncing = True
        self._latest += 1
        number = self._latest

        def done(result: Offset | BaseException, now: Now) -> None:
            if isinstance(result, DiskFull):
                self._context.count("syncs_put_off")
                self.is_syncing, self.is_put_off = must_end, not must_end
                self._context.timers.after(now, AGAIN_AFTER_MS, again)
            else:
                self.is_syncing = False
                then(log, result, now)

        def again(_now: Now) -> None:
            if number != self._latest:
                return
            self.is_put_off = False
            if must_end:
                self._submit(log, then, must_end=True)
            else:
                self.sync(log, then)

        self._context.ports.pool.submit(log.sync, done)

    # Notes

    def owes_note(self, log: PartitionLog) -> bool:
        """Tell whether so much was appended that a start would have to read long."""
        least_bytes = self._context.config.log.recovery_note_bytes
        return log.unnoted_bytes >= max(least_bytes, NOTE_SHARE * self._note_bytes)

    def is_worth_noting(self, log: PartitionLog) -> bool:
        """Tell whether so much was appended that a note saves time, where there is time to write it."""
        return log.unnoted_bytes >= min(
            NOTE_LEAST_BYTES, self._context.config.log.recovery_note_bytes
        )

    def note(
        self, log: PartitionLog, core: PartitionCore, failed: OnFailed, *, durable: bool
    ) -> None:
        """Have all that a start would read the log for written down, as it is now."""
        if self._noting:
            return
        self._noting = True
        note = log.begin_note(encode_producers(core.producers), core.high_watermark)
        self._note_bytes = len(note.producers)

        def done(result: BaseException | None, now: Now) -> None:
            self._noting = False
            if isinstance(result, DiskFull):
                self._context.count("notes_not_written")
            elif isinstance(result, BaseException):
                failed(log, result, now)

        self._context.ports.pool.submit(lambda: log.write_note(note, durable=durable), done)
