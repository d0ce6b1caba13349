"""What is written down from time to time: checkpoints, syncs, and the mark of an orderly stop.

Owns the checkpoint files.  The recovery points move when a sync in the pool has ended; the high
watermarks are noted every few seconds, so that a broker that starts again need not begin at zero;
where logs begin is the business of ``log_starts``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from nodes.broker.context import BrokerContext
from nodes.broker.logs.checkpoints import (
    CLEANED,
    HIGH_WATERMARKS,
    RECOVERY_POINTS,
    UNKNOWN_SUM,
    mark_clean_stop,
    read_checkpoint,
    still_noted,
    take_clean_stop,
    write_checkpoint,
)
from nodes.broker.partitions.log_starts import LogStarts
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.broker.partitions.rounds import TURN_AFTER_MS, Rounds
from nodes.storage.disk import StorageError
from transport.kernel import Now
from transport.wire.ids import Offset, TopicPartition

HIGH_WATERMARK_INTERVAL_MS = 5_000
"""Kafka's replica.high.watermark.checkpoint.interval.ms."""

SYNCED_A_TURN = 500
"""Logs that are looked at in one turn, whether anything of them is to be synced."""
NOTED_AT_ONCE = 1_000
"""With more partitions every checkpoint file is written in a turn of its own."""

Offsets = dict[TopicPartition, Offset]


def _high_watermark(replica: Replica) -> Offset | None:
    core, log = replica.core, replica.log
    if core is None or log is None or replica.state is not ReplicaState.ONLINE:
        return None
    return min(core.high_watermark, log.log_end_offset)  # Of a cut its core hears only then.


_PRESENT: dict[str, Callable[[Replica], Offset | None]] = {
    CLEANED: lambda replica: None if replica.log is None else replica.log.cleaned_to,
    HIGH_WATERMARKS: _high_watermark,
    RECOVERY_POINTS: lambda replica: None if replica.log is None else replica.log.recovery_point,
}
"""By file: what is to be noted of a replica; None: its log is not open yet, or cannot be read."""


class Upkeep:
    """Keeps the checkpoints of this broker's replicas."""

    def __init__(self, context: BrokerContext, replicas: Callable[[], Iterable[Replica]]) -> None:
        """Reads what the last process has left; StorageError when that cannot be read."""
        self._context = context
        self._replicas = replicas
        disk = context.disk
        sums = take_clean_stop(disk)
        self._sums: Mapping[TopicPartition, int] = sums or {}
        self.was_clean = sums is not None
        """The last process has synced everything and written nothing since."""
        self._written = {file: read_checkpoint(disk, file) for file in _PRESENT}
        self._unmet = {name for written in self._written.values() for name in written}
        """Partitions that the last process had, and this one has not had yet: what is noted of them
        stays, for whoever stops, or writes a checkpoint, before it knows the cluster."""
        self._moved: set[Replica] = set()
        """What may be noted of no other than these has changed since the last checkpoint."""
        self._look_at_all = True
        """Replicas have come or gone since, or something could not be written."""
        self._noting = False
        """Some files of a checkpoint are written, others will be in a moment."""
        self.log_starts = LogStarts(context, replicas, self._unmet)
        self._syncs = Rounds(
            context,
            replicas,
            self._sync,
            a_turn=SYNCED_A_TURN,
            interval_ms=lambda: context.config.log.recovery_checkpoint_interval_ms,
        )
        self._started = False
        self._is_settled = True
        """Nothing is due to be durable that the disk has refused."""

    def start(self, now: Now) -> None:
        """Begin to keep time; again does nothing."""
        if not self._started:
            self._started = True
            self._context.timers.after(now, HIGH_WATERMARK_INTERVAL_MS, self._on_checkpoint)
            self._syncs.start(now)

    # What was written down

    def high_watermark(self, name: TopicPartition) -> Offset:
        """Return the high watermark noted for a partition, 0 when there is none."""
        return self._written[HIGH_WATERMARKS].get(name, Offset(0))

    def recovery_point(self, name: TopicPartition) -> Offset:
        """Return the offset noted as synced for a partition, 0 when there is none."""
        return self._written[RECOVERY_POINTS].get(name, Offset(0))

    def log_start_offset(self, name: TopicPartition) -> Offset:
        """Return the offset noted as a partition's first, 0 when there is none."""
        return self.log_starts.noted(name)

    def cleaned_to(self, name: TopicPartition) -> Offset:
        """Return the offset up to which a partition was noted as compacted, 0 when none is."""
        return self._written[CLEANED].get(name, Offset(0))

    def indexes_sum(self, name: TopicPartition) -> int:
        """Return the checksum of a log's indexes as they were closed; UNKNOWN_SUM when it was not noted."""
        return self._sums.get(name, UNKNOWN_SUM)

    def meet(self, name: TopicPartition) -> None:
        """A partition has its replica here: from now on that one says what is noted."""
        self._unmet.discard(name)
        self._look_at_all = True

    def moved(self, replicas: Iterable[Replica]) -> None:
        """What is to be noted of these may have changed."""
        self._moved.update(replicas)

    def unmet(self) -> list[TopicPartition]:
        """Return the partitions that something was noted of, and that had no replica here yet."""
        return list(self._unmet)

    # Writing it down

    def note_all(self) -> None:
        """Write the checkpoints that differ from what was written last, durably.

        Where the disk refuses, nothing may be appended before ``settle`` has made up for it.
        """
        again = not self._is_settled
        noted = [
            self._note(file, self._all_of(file), durable=True, again=again) for file in _PRESENT
        ]
        self._is_settled = self.log_starts.write_now() and all(noted)

    def settle(self) -> bool:
        """Have everything durable that must be before an append; False: the disk refuses still."""
        if not self._is_settled:
            self.note_all()
        return self._is_settled

    def note_cut(self, replica: Replica) -> None:
        """Write down, before a log is written to, that less of it is synced, committed or compacted than
        was noted, or that it begins earlier."""
        log, name = replica.log, replica.name
        if log is not None and (
            log.recovery_point < self.recovery_point(name)
            or log.log_end_offset < self.high_watermark(name)
            or log.cleaned_to < self.cleaned_to(name)
            or log.log_start_offset < self.log_start_offset(name)
        ):
            self.note_all()

    def _note(
        self, file: str, present: Offsets, *, durable: bool = False, again: bool = False
    ) -> bool:
        """Write a checkpoint, also one that is written already if ``again``; False: the disk refuses."""
        if present == self._written[file] and not again:
            return True
        try:
            write_checkpoint(self._context.disk, file, present, durable=durable)
        except StorageError as error:
            self._context.report("checkpoints_failed", str(error))
            self._look_at_all = True
            return False
        self._written[file] = present
        return True

    def _all_of(self, file: str) -> Offsets:
        """Of a log that is not open yet, or cannot be read, what was noted stays."""
        written, offset_of = self._written[file], _PRESENT[file]
        found = still_noted(written, self._unmet)
        for replica in self._replicas():
            offset = offset_of(replica)
            if offset is None:
                offset = written.get(replica.name, Offset(0))
            if offset > 0:
                found[replica.name] = offset
        return found

    def _with(self, file: str, moved: Iterable[Replica]) -> Offsets:
        """Return what was noted, and what has become of these."""
        written, offset_of = self._written[file], _PRESENT[file]
        present = dict(written)
        for replica in moved:
            offset = offset_of(replica)
            if offset:
                present[replica.name] = offset
            elif offset == 0:
                present.pop(replica.name, None)
        return present

    # Time

    def _on_checkpoint(self, now: Now) -> None:
        moved, self._moved = self._moved, set()
        look_at_all, self._look_at_all = self._look_at_all, False
        if look_at_all or any(one.state is not ReplicaState.ONLINE for one in moved):
            self._note_next(list(_PRESENT), self._all_of, now)
        elif moved:
            self._note_next(list(_PRESENT), lambda file: self._with(file, moved), now)
        self._context.timers.after(now, HIGH_WATERMARK_INTERVAL_MS, self._on_checkpoint)

    def _note_next(self, files: list[str], present: Callable[[str], Offsets], now: Now) -> None:
        """Each file is of one moment; that they are of several does no harm."""
        while files:
            file = files.pop(0)
            self._note(file, present(file))
            self._noting = bool(files)
            if files and len(self._written[HIGH_WATERMARKS]) > NOTED_AT_ONCE:
                self._context.timers.after(
                    now, TURN_AFTER_MS, lambda later: self._note_next(files, present, later)
                )
                return

    def _sync(self, replicas: Sequence[Replica], _now: Now) -> None:
        for replica in replicas:
            replica.checkpoint()

    def stop(self, *, opened_all: bool) -> None:
        """Sync and close every log, note everything, and mark the stop as clean if all went well.

        ``opened_all``: there is no log that an earlier process may have left without a sync, and
        this one has not opened.
        """
        clean = opened_all or self.was_clean
        for replica in self._replicas():
            if replica.state in (ReplicaState.OPENING, ReplicaState.OFFLINE):
                # What a failed log has lost of its tail must not be taken for synced.
                clean = False
            elif replica.log is not None:
                clean = replica.flush() and clean
        self.note_all()
        sums = {name: self._sums[name] for name in self._unmet if name in self._sums}
        for replica in self._replicas():
            indexes_sum = replica.close()
            if indexes_sum is not None:
                sums[replica.name] = indexes_sum
        try:
            if clean:
                mark_clean_stop(self._context.disk, sums)
        except StorageError as error:
            self._context.report("checkpoints_failed", str(error))

    def check(self) -> None:
        """Assert that nothing to be noted has changed of a replica that was not said to have moved."""
        if self._look_at_all or self._noting:
            return
        for replica in self._replicas():
            if (
                replica in self._moved or replica.is_syncing
            ):  # a sync tells of itself when it has ended
                continue
            for file, offset_of in _PRESENT.items():
                offset = offset_of(replica)
                noted = self._written[file].get(replica.name, Offset(0))
                assert offset in (None, noted), f"{file} does not hear of {replica.name}"
