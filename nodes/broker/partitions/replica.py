"""One hosted replica: its core, its log, and the orders of the one carried out on the other.

States: OPENING (the pool reads the log) → ONLINE → OFFLINE (the log has failed) or GONE (deleted).
Knows nothing of requests: who waits for what is the business of its host.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from msgspec.structs import replace

from nodes.broker.context import BrokerContext
from nodes.broker.logs.directories import LogDirectory
from nodes.broker.logs.folders import OpenedLog, known_producers, log_settings, read_batches
from nodes.broker.partitions.log_durability import LogDurability, is_unsynced
from nodes.broker.partitions.seen import NOTHING_SEEN, Seen, look_at
from nodes.broker.partitions.topic_settings import TopicSettings
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import (
    Appended,
    AppendFailed,
    Assigned,
    Fetched,
    LetGo,
    LogFailed,
    OutOfRange,
    PartitionEffects,
    PartitionEvent,
    Produce,
    Produced,
    ProducersRebuilt,
    Reset,
    Synced,
    Truncated,
)
from nodes.storage.disk import Damaged, DiskFull, StorageError
from nodes.storage.log_reading import Extent
from nodes.storage.partition_log import PartitionLog
from transport.kernel import Now
from transport.wire.batch import NO_TIMESTAMP_MS
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, PartitionKey, TopicPartition
from transport.wire.messages.metadata import PartitionChange, PartitionRecord
from transport.wire.records import BatchHeader, stamp, stamp_with_time

FetchedBatch = tuple[BatchHeader, Buffer]
"""A whole batch as its leader sent it, stamped by that leader."""


class OnSettled(Protocol):
    """Called when a log has its new place for good, or could not get it."""

    def __call__(self, now: Now, *, well: bool) -> None:
        """Take the outcome."""
        ...


class ReplicaState(Enum):
    """See the module."""

    OPENING = "opening"
    ONLINE = "online"
    OFFLINE = "offline"
    GONE = "gone"


class ProduceToken:
    """Goes with a produce through the core, and comes back with its outcome."""

    __slots__ = ()

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        """Take the outcome. Must not call back into the replica at once."""
        raise NotImplementedError


class ReplicaHost(Protocol):
    """What a replica tells its host. Nothing of it calls back into the replica at once."""

    def on_propose(self, replica: Replica, change: PartitionChange) -> None:
        """An ISR change for the controller."""
        ...

    def on_cut(self, replica: Replica) -> None:
        """The log was cut: a recovery point noted above its end is wrong before the next append."""
        ...

    def may_append(self) -> bool:
        """Tell whether all is noted that must be before an append; tries what the disk has refused."""
        ...

    def on_begun_later(self, replica: Replica) -> None:
        """The log begins later than before: that must be noted before anybody relies on it."""
        ...

    def on_directory_failed(self, replica: Replica, error: StorageError) -> None:
        """The device has failed, not this log alone."""
        ...

    def on_moved(self, replica: Replica) -> None:
        """Log end, high watermark, role or state may be others now."""
        ...


class Replica:
    """One replica of one partition on this broker."""

    def __init__(
        self,
        context: BrokerContext,
        host: ReplicaHost,
        key: PartitionKey,
        name: TopicPartition,
        record: PartitionRecord,
        settings: TopicSettings,
    ) -> None:
        self._context = context
        self._host = host
        self.key = key
        self.name = name
        self.record = record
        """The newest one of the image."""
        self.settings = settings
        self.state = ReplicaState.OPENING
        self.directory = context.directories.home(name)
        """What its log is in, or will be."""
        self.core: PartitionCore | None = None
        self._log: PartitionLog | None = None
        self._durability = LogDurability(context)
        self.failure = ""
        """Why it is offline."""
        self.is_damaged = False
        """It is offline because its bytes are wrong; fetched again, they can be right."""
        self.is_moving = False
        """Its log is being copied to another directory; the host's."""
        self.seen = NOTHING_SEEN
        """What it was at the end of the last turn; the host's."""

    # Life

    def opened(self, opened: OpenedLog, now: Now) -> None:
        """Begin with the log as it was found."""
        assert self.state is ReplicaState.OPENING, "opened once"
        self._log = opened.log
        self.core = PartitionCore(self._context.id, opened.facts, opened.producers)
        self.state = ReplicaState.ONLINE
        self.step(Assigned(self.record, self.settings.partition), now)

    def assign(self, record: PartitionRecord, settings: TopicSettings, now: Now) -> None:
        """Take over what the image says now."""
        goes_on = (record, settings.partition) == (self.record, self.settings.partition)
        self.record = record
        self.settings = settings
        if self._log is not None:
            self._log.settings = log_settings(settings.log)
        if self.core is not None and not goes_on:
            self.step(Assigned(record, settings.partition), now)

    def fail(self, error: BaseException, now: Now) -> None:
        """Take this replica offline: its log cannot be used."""
        self.state = ReplicaState.OFFLINE
        self.failure = f"{self.name}: {error}"
        self._context.report("replicas_failed", f"replica offline: {self.failure}")
        if isinstance(error, Damaged):
            self._context.count("logs_damaged")
            self.is_damaged = True
        elif isinstance(error, StorageError) and not isinstance(error, DiskFull):
            self._host.on_directory_failed(self, error)
        self._end(ErrorCode.KAFKA_STORAGE_ERROR, now)

    def retire(self, error: ErrorCode, now: Now) -> None:
        """End: whoever waits is told ``error``. The folder is the host's to keep or remove."""
        self.state = ReplicaState.GONE
        self._end(error, now)

    def _end(self, error: ErrorCode, now: Now) -> None:
        if self.core is not None:
            self._carry_out(self.core.step(LogFailed(error), now), now)
        self.close()
        self._host.on_moved(self)

    def flush(self) -> bool:
        """Sync now, in this thread; False: not everything has reached the disk."""
        if self._log is None:
            return True
        try:
            if self.sync_pending:
                self._log.sync()
        except StorageError as error:
            self._context.report("syncs_failed", f"{self.name}: {error}")
            return False
        return not self.is_syncing

    def close(self) -> int | None:
        """Give the files back; the broker ends. Nobody is told anything.  Returns as the log's ``close``."""
        if self._log is not None:
            log, self._log = self._log, None
            try:
                return log.close()
            except StorageError as error:
                self._context.report("replicas_not_closed", f"{self.name}: {error}")
        return None

    def check(self) -> None:
        """Assert the invariants of the core, and that the log is where the core believes it."""
        if self.core is not None:
            self.core.check()
        if self.core is not None and self._log is not None:
            assert self.core.log_end_offset == self._log.log_end_offset, "core and log agree"
            durability = self._durability
            idle = not (durability.is_syncing or durability.is_held or durability.is_put_off)
            if self.settings.partition.flush_commit and idle:
                assert not self.sync_pending, "L8: what is written is being synced"

    # What others ask

    def look(self) -> Seen:
        """Return what others may wait for."""
        return look_at(self.core, tells_durable=self.settings.partition.flush_commit)

    @property
    def is_leader(self) -> bool:
        """It leads its partition."""
        return self.core is not None and self.core.is_leader

    @property
    def absence(self) -> ErrorCode:
        """Why there is no core, or none that works."""
        if self.state is ReplicaState.OFFLINE:
            return ErrorCode.KAFKA_STORAGE_ERROR
        return ErrorCode.NOT_LEADER_OR_FOLLOWER

    @property
    def log(self) -> PartitionLog | None:
        """The log while it is usable; for reading only."""
        return self._log

    @property
    def is_unmade(self) -> bool:
        """Its log has no files yet: the next append makes them."""
        return self._log is not None and self._log.segment_count == 0

    @property
    def lag(self) -> int:
        """How many offsets it lacks of what it knows to be committed."""
        core = self.core
        return 0 if core is None else max(0, core.high_watermark - core.log_end_offset)

    @property
    def sync_pending(self) -> bool:
        """Something written has not reached the disk."""
        return self._log is not None and is_unsynced(self._log)

    @property
    def is_syncing(self) -> bool:
        """A sync is under way."""
        return self._durability.is_syncing

    def read(self, offset: Offset, size_bytes_max: int, up_to: Offset, now: Now) -> bytes | None:
        """Return whole batches from ``offset`` on; None: the log has failed, and is offline."""
        if self._log is None:
            return None
        try:
            return self._log.read(offset, size_bytes_max, up_to)
        except StorageError as error:
            self.fail(error, now)
            return None

    def read_recent(
        self, offset: Offset, size_bytes_max: int, up_to: Offset, now: Now
    ) -> bytes | bytearray | Extent | None:
        """Read like ``read`` what stands near the log's end; of the rest, return where it is."""
        if self._log is None:
            return None
        try:
            return self._log.read_recent(offset, size_bytes_max, up_to)
        except StorageError as error:
            self.fail(error, now)
            return None

    def read_cached(self, extent: Extent, now: Now) -> bytes | bytearray | Extent | None:
        """Read what ``read_recent`` has found, or return it: it must be waited for."""
        try:
            data = extent.read_cached()
        except StorageError as error:
            self.fail(error, now)
            return None
        return extent if data is None else data

    # Retention

    def let_go(self, now: Now) -> list[str]:
        """Let go of what retention ends, and of what is deleted; return files to remove."""
        log, core = self._log, self.core
        if log is None or core is None:
            return []
        try:
            start = log.retained_start(now.wall_ms, core.high_watermark)
            if start > core.log_start_offset:
                self.step(LetGo(start), now)
            log.roll_before(core.log_start_offset, now.wall_ms)
            return log.set_aside()
        except StorageError as error:
            self._context.count("retentions_failed")
            if not isinstance(error, DiskFull):
                self.fail(error, now)
            return []

    def cleaned(self, to: Offset) -> None:
        """Note that the log is compacted up to there."""
        assert self._log is not None, "it has been compacted"
        self._log.cleaned_to = max(self._log.cleaned_to, to)
        self._host.on_moved(self)

    # Steps

    def step(self, event: PartitionEvent, now: Now) -> None:
        """Step the core with an event that orders no append."""
        if self.core is not None:
            self._carry_out(self.core.step(event, now), now)

    def produce(
        self,
        event: Produce,
        header: BatchHeader,
        batch: Buffer,
        now: Now,
        *,
        append_time_ms: int = NO_TIMESTAMP_MS,
    ) -> None:
        """Step the core with a checked batch of a producer, and append it if so ordered.

        ``append_time_ms``: the time that its records are to bear; −1: their own.
        """
        core = self.core
        if core is None or self._log is None:  # the broker ends, at the latest
            self._end_produce(Produced(event.token, self.absence), now)
            return
        effects = core.step(event, now)
        self._carry_out(effects, now)
        if effects.append:
            (order,) = effects.append
            place = order.base_offset, order.leader_epoch
            if append_time_ms == NO_TIMESTAMP_MS:
                stamped = replace(header, base_offset=place[0], leader_epoch=place[1])
                buffers = stamp(*place, batch)
            else:
                buffers, stamped = stamp_with_time(*place, batch, header, append_time_ms)
            self._append([(buffers, stamped)], now)

    def take_fetched(
        self, event: Fetched | OutOfRange, batches: Sequence[FetchedBatch], now: Now
    ) -> bool:
        """Step the core with the leader's answer; False: it did not fit, or was not written."""
        core = self.core
        if core is None:
            return False
        effects = core.step(event, now)
        self._carry_out(effects, now)
        if effects.append and self._log is not None:
            return self._append([((batch,), header) for header, batch in batches], now)
        return not (effects.append or effects.refused)

    def _append(self, batches: Sequence[tuple[Sequence[Buffer], BatchHeader]], now: Now) -> bool:
        core, log = self.core, self._log
        assert core is not None, "it has ordered this"
        assert log is not None, "it has a core"
        self._context.appended_ms = now.mono_ms
        self._context.appended_bytes += sum(header.size_bytes for _, header in batches)
        try:
            if not self._host.may_append():
                raise DiskFull(f"{self.name}: what must be noted before could not be")
            log.append_all(batches, now.wall_ms)
        except StorageError as error:
            self._context.count("appends_failed")
            self._carry_out(core.step(AppendFailed(), now), now)
            # A full disk is waited for: what is there can still be read.
            if not isinstance(error, DiskFull):
                self.fail(error, now)
            return False
        self._carry_out(core.step(Appended(), now), now)
        if self._durability.owes_note(log):
            self._note(durable=False)
        return True

    def _carry_out(self, effects: PartitionEffects, now: Now) -> None:
        if effects.truncate_to is not None:
            self._truncate(effects.truncate_to, now)
        if effects.reset_to is not None:
            self._reset(effects.reset_to, now)
        if effects.start_at is not None and self._log is not None:
            self._log.start_at(effects.start_at)
            self._host.on_begun_later(self)
        if effects.rebuild_producers:
            self._rebuild_producers(now)
        for produced in effects.produced:
            self._end_produce(produced, now)
        if effects.propose is not None:
            self._host.on_propose(self, effects.propose)
        self._keep_synced()
        self._host.on_moved(self)

    def _end_produce(self, produced: Produced, now: Now) -> None:
        assert isinstance(produced.token, ProduceToken), "given by whoever has produced"
        produced.token.ended(self, produced, now)

    def _truncate(self, end: Offset, now: Now) -> None:
        assert self.core is not None, "it has ordered this"
        assert self._log is not None, "it has a core"
        self._context.count("logs_truncated")
        try:
            self._log.truncate_to(end)
        except StorageError as error:
            self.fail(error, now)
            return
        self._host.on_cut(self)
        self._carry_out(self.core.step(Truncated(self._log.log_end_offset), now), now)

    def _reset(self, start: Offset, now: Now) -> None:
        assert self.core is not None, "it has ordered this"
        assert self._log is not None, "it has a core"
        self._context.count("logs_begun_anew")
        try:
            self._log.reset_to(start)
        except StorageError as error:
            self.fail(error, now)
            return
        self._host.on_cut(self)
        self._carry_out(self.core.step(Reset(start), now), now)

    def _rebuild_producers(self, now: Now) -> None:
        assert self.core is not None, "it has ordered this"
        assert self._log is not None, "it has a core"
        try:
            known = known_producers(self._log)
            batches = tuple(read_batches(self._log, known.end_offset))
        except StorageError as error:
            self.fail(error, now)
            return
        self.core.step(ProducersRebuilt(batches, known.producers), now)

    # Durability

    def checkpoint(self) -> None:
        """Sync what is written, and note what a start after a crash would read the log for.

        A log that nobody uses gives back what it holds.
        """
        log = self._log
        if log is None:
            return
        self._durability.sync(log, self._synced)
        if self._durability.is_worth_noting(log):
            self._note(durable=True)
        log.rest()

    def _note(self, *, durable: bool) -> None:
        if self._log is not None and self.core is not None:
            self._durability.note(self._log, self.core, self._not_noted, durable=durable)

    def _not_noted(self, log: PartitionLog, error: BaseException, now: Now) -> None:
        if self._log is log:
            self.fail(error, now)

    def _keep_synced(self) -> None:
        """With ``flush.policy=commit`` sync what is written, by whomever: also what was found when
        the log was opened, or when the policy was set."""
        is_kept = self.settings.partition.flush_commit and self.state is ReplicaState.ONLINE
        if is_kept and self._log is not None:
            self._durability.sync(self._log, self._synced)

    def _synced(self, log: PartitionLog, result: Offset | BaseException, now: Now) -> bool:
        """Take the outcome of a sync; False: the log is not usable any more."""
        if self._log is not log:
            return False
        if isinstance(result, BaseException):
            self.fail(result, now)
            return False
        # Not the outcome: of what was cut since, and written anew, it knows nothing.
        self.step(Synced(log.recovery_point), now)
        return True

    # Another directory

    def hold_syncs(self) -> None:
        """Begin no sync: what is durable of this log stays so much for the moment."""
        self._durability.is_held = True

    def release_syncs(self) -> None:
        """Sync again, and what has waited for it at once."""
        self._durability.is_held = False
        self._keep_synced()

    def move_to(self, log: PartitionLog, directory: LogDirectory, settled: OnSettled) -> None:
        """Go on with a copy of the log in another directory, which has all that this one has.

        ``settled`` once the copy, with its name, is durable, or can not be.
        """
        assert self._log is not None, "there is one to be copied"
        assert not self.is_syncing, "nothing was told since that only this log has"
        before, self._log, self.directory = self._log, log, directory
        try:
            before.close()
        except StorageError as error:
            self._context.report("replicas_not_closed", f"{self.name}: {error}")

        def done(log: PartitionLog, result: Offset | BaseException, now: Now) -> None:
            well = self._synced(log, result, now)
            if well:
                self._note(durable=True)
            settled(now, well=well)

        self._durability.settle(log, done)
