"""The log of one partition replica: a folder of segments, as one run of record batches.

Owns offsets: where the log begins and ends, where each leader epoch begins, how far all is durable,
and in which order things reach the disk for that.  Which segments there are is the row's to know,
and whether the disk can be trusted the folder's.  Knows nothing of roles, replicas or high
watermarks, and never opens a batch, but to find a record by its time.  Made lazily: a log that was
never written to has no folder.

Everything is called on one thread but what says that it is for the disk pool: ``sync``, above all,
which runs there while appends go on.  A power loss leaves what was synced and some part of the rest;
see ``recovery``.

Source: Apache Kafka, "Log" in its design documentation; KIP-101 for leader epochs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from nodes.storage import log_times
from nodes.storage.disk import Buffer, Disk, StorageError
from nodes.storage.log_files import EpochEntry
from nodes.storage.log_folder import LogFolder
from nodes.storage.log_notes import LogNotes, Note
from nodes.storage.log_opening import Opened, open_segments
from nodes.storage.log_reading import Extent, extent_at, is_recent
from nodes.storage.log_settings import LogSettings
from nodes.storage.log_times import TimedOffset
from nodes.storage.retention import start_after
from nodes.storage.segment import NO_LEADER_EPOCH, Batch, Segment
from nodes.storage.segment_row import SegmentRow
from nodes.storage.segment_swap import SegmentSwap
from transport.wire.batch import HEADER_BYTES, BatchHeader
from transport.wire.ids import LeaderEpoch, Offset, TopicId

RESTS = 2
"""The first call of ``rest`` after a use tells nothing of how long ago that was."""
_BEGINNING = Offset(0)


class OffsetOutOfRange(Exception):
    """The offset is before the log's start or after its end."""


class PartitionLog:
    """One replica's log. ``log_end_offset`` is exclusive, ``log_start_offset`` inclusive."""

    __slots__ = (
        "_disk",
        "_folder",
        "_notes",
        "_one_sync",
        "_rests_left",
        "_row",
        "_syncing",
        "_written_from",
        "cleaned_to",
        "cut_bytes",
        "epochs",
        "log_start_offset",
        "recovery_point",
        "settings",
        "swap",
        "unnoted_bytes",
    )

    def __init__(
        self, disk: Disk, folder: str, settings: LogSettings, opened: Opened, recovery_point: Offset
    ) -> None:
        self._disk = disk
        self._folder = LogFolder(
            disk, folder, exists=opened.has_folder, changed=bool(opened.segments)
        )
        self._row = SegmentRow(opened.segments)
        self._notes = LogNotes(
            self._folder, opened.topic_id, opened.snapshots, has_metadata=opened.has_metadata
        )
        self.swap = SegmentSwap(self._folder, self._row, self._notes)
        """Where whoever cleans the log hands over what it has written."""
        self._one_sync = threading.Lock()
        self._syncing = False
        self._rests_left = RESTS
        """Calls of ``rest`` until it is at rest."""
        self.settings = settings
        self.cut_bytes = opened.cut_bytes
        """Cut off as torn when the log was opened, for the log line about it."""
        self.log_start_offset: Offset = opened.start_offset
        self.epochs: list[EpochEntry] = opened.epochs
        """(leader epoch, offset of its first record), growing. To be read only."""
        self._written_from = opened.end_offset
        """What follows was written by this process, and has not been at rest."""
        self.cleaned_to: Offset = Offset(0)
        """Everything below is compacted; the cleaner's to move."""
        self.recovery_point: Offset = min(recovery_point, opened.end_offset)
        """Everything below is durable."""
        self.unnoted_bytes = 0 if opened.snapshots else self.size_bytes
        """Appended since the last note: what a start after a kill has to read."""

    @classmethod
    def open(
        cls,
        disk: Disk,
        folder: str,
        settings: LogSettings,
        *,
        recovery_point: Offset,
        clean: bool,
        topic_id: TopicId | None = None,
        log_start_offset: Offset = _BEGINNING,
        indexes_sum: int | None = None,
    ) -> PartitionLog:
        """Open the log in ``folder`` (``…/topic-partition``), or an empty one if there is none.

        ``recovery_point``: everything below was synced, as last written down by the caller (who
        must write it down anew after a cut below it, before anything is appended).  ``clean``: the
        log was closed in order, or nothing but the process was lost and no write interrupted;
        then sizes and indexes are trusted.  Otherwise everything past the recovery point is read.
        ``log_start_offset``: as last written down; what is before was deleted. Without
        segments it speaks of another log.  ``indexes_sum``: what ``close`` has returned, before a power
        loss that may have taken what was not synced; None: there was none.

        Raises InconsistentTopicId when the folder belongs to another topic than ``topic_id``,
        Damaged when it was changed in the middle, StorageError when it cannot be read.
        """
        opened = open_segments(
            disk,
            folder,
            settings.index_interval_bytes,
            recovery_point=recovery_point,
            clean=clean,
            topic_id=topic_id,
            indexes_sum=indexes_sum,
        )
        log = cls(disk, folder, settings, opened, recovery_point)
        if log_start_offset > log.log_end_offset and opened.segments:
            # All that a power loss has left was deleted before.
            log.reset_to(log_start_offset)
        elif opened.segments:
            log.log_start_offset = max(log.log_start_offset, log_start_offset)
        return log

    @classmethod
    def begin(
        cls, disk: Disk, folder: str, settings: LogSettings, topic_id: TopicId | None
    ) -> PartitionLog:
        """Return the empty log of a folder that does not exist; nothing on the disk is touched."""
        nothing = Opened([], [], False, False, topic_id)
        return cls(disk, folder, settings, nothing, _BEGINNING)

    # What there is

    @property
    def log_end_offset(self) -> Offset:
        """The offset that the next record will have."""
        return self._row.all[-1].next_offset if self._row else self.log_start_offset

    @property
    def folder(self) -> str:
        """Where it is, or will be once it is written to."""
        return self._folder.path

    @property
    def topic_id(self) -> TopicId | None:
        """Whose log it is; None where nobody has said so."""
        return self._notes.topic_id

    @property
    def last_epoch(self) -> LeaderEpoch:
        """Leader epoch of the last batch; −1 in an empty log."""
        return self.epochs[-1][0] if self.epochs else NO_LEADER_EPOCH

    @property
    def size_bytes(self) -> int:
        """Size of all segments, indexes not counted."""
        return sum(segment.size_bytes for segment in self._row.all)

    @property
    def segment_count(self) -> int:
        """How many segments there are; 0 before the first append."""
        return len(self._row)

    @property
    def segments(self) -> Sequence[Segment]:
        """What the log consists of. To be read only."""
        return self._row.all

    @property
    def generation(self) -> int:
        """Grows with every cut: whoever has read the log in pieces must begin anew."""
        return self._row.generation

    # Writing

    def append(self, batch: Sequence[Buffer], header: BatchHeader, now_ms: int) -> None:
        """Append one stamped batch, given in pieces; ``header`` has its final offsets and epoch.

        All or StorageError (DiskFull: try again later; after another the log takes no more).
        """
        self.append_all(((batch, header),), now_ms)

    def append_all(self, batches: Sequence[Batch], now_ms: int) -> None:
        """Append stamped batches in order, all or none; raises as ``append``."""
        self._rests_left = RESTS
        self._folder.refuse_after_fault()
        before = self.log_end_offset
        waiting: list[Batch] = []
        try:
            segment, end, size_bytes = self._active(now_ms)
            for batch in batches:
                header = batch[1]
                assert header.base_offset >= end, "batches follow each other"
                if self.settings.must_roll(segment, size_bytes, header, now_ms):
                    self._write(segment, waiting)
                    waiting = []
                    segment, size_bytes = self._roll(end, now_ms), 0
                waiting.append(batch)
                size_bytes += header.size_bytes
                end = header.next_offset
            self._write(segment, waiting)
        except StorageError as error:
            self._folder.distrust(error)
            if self.log_end_offset > before:
                self.truncate_to(before)
            raise

    def truncate_to(self, offset: Offset) -> None:
        """Cut the log: no record at or after ``offset`` stays.

        A batch that ``offset`` lies inside goes whole, and compaction may have left nothing just before it,
        so ``log_end_offset`` may be below it after.  Before the log's start: as ``reset_to``.
        """
        if offset >= self.log_end_offset:
            return
        if offset < self.log_start_offset:
            self.reset_to(offset)
            return
        with self._row.lock:
            self._begin_cut(offset)
            self.cleaned_to = min(self.cleaned_to, offset)
            self._drop_segments_from(self._row.index_of(offset) + 1)
            last = self._row.all[-1]
            last.truncate(last.position_of(offset), offset)
            self._cut_epochs()
            self.recovery_point = min(self.recovery_point, self.log_end_offset)
        if self.log_end_offset < self.log_start_offset:
            # It begins within what compaction has emptied: there is nothing left of it.
            self.reset_to(self.log_start_offset)

    def reset_to(self, offset: Offset) -> None:
        """Forget everything; the log is empty and begins at ``offset``."""
        with self._row.lock:
            self._begin_cut()
            self._drop_segments_from(0)
            self.log_start_offset = self.cleaned_to = offset
            self.recovery_point = offset
            self.epochs.clear()
            self._cut_epochs()
            if self._folder.exists:
                # Its name is what remembers the offset when the node starts again.
                self._add_segment(offset)

    def retained_start(self, now_ms: int, up_to: Offset) -> Offset:
        """Return where the log begins once what retention lets go of is gone.

        Nothing at or above ``up_to`` (the high watermark) goes. Wall time.
        """
        start = start_after(self._row.all, self.settings.retention, now_ms, up_to)
        return max(start, self.log_start_offset)

    def start_at(self, offset: Offset) -> None:
        """Let the log begin at ``offset``: what is before is never read again."""
        assert offset <= self.log_end_offset, "a log begins before it ends"
        if offset > self.log_start_offset:
            with self._row.lock:
                self.log_start_offset = offset
                while len(self.epochs) > 1 and self.epochs[1][1] <= offset:
                    del self.epochs[0]

    def set_aside(self) -> list[str]:
        """Take the segments that lie wholly before the start out of the log.

        Returns their files, renamed, for the pool to remove.  The segment that is written to stays,
        and all while one that was cleaned takes others' place.
        """
        with self._row.lock:
            if self.swap.is_under_way:
                return []
            return self._row.set_aside_before(self.log_start_offset)

    def roll_aged(self, age_max_ms: int, now_ms: int) -> None:
        """Fill the segment that is written to no more if it is older than that."""
        if self.log_end_offset > self.log_start_offset:
            segment, end, size_bytes = self._active(now_ms)
            assert segment.opened_ms is not None
            if size_bytes and now_ms - segment.opened_ms > age_max_ms:
                self._roll(end, now_ms)

    def roll_before(self, offset: Offset, now_ms: int) -> None:
        """Fill the segment that is written to no more if it lies wholly before ``offset``."""
        last = self._row.all[-1] if self._row else None
        if last is not None and last.size_bytes and last.next_offset <= offset:
            self._roll(last.next_offset, now_ms)

    # Notes: what a start after a kill would otherwise read the log for

    def begin_note(self, producers: bytes, high_watermark: Offset) -> Note:
        """Take down what is known of everything appended so far, the producers among it.

        What is below ``high_watermark`` is committed: only an unclean election cuts the log there.
        """
        self.unnoted_bytes = 0
        end, epochs = self.log_end_offset, list(self.epochs)
        return Note(end, producers, epochs, high_watermark, self.generation)

    def write_note(self, note: Note, *, durable: bool) -> None:
        """Write it down, unless the log was cut since; in the pool. Costs nothing but time if lost."""
        with self._row.lock:
            is_current = self._row.generation == note.generation and not self.swap.is_under_way
            if self._row.is_closed or not is_current or not self._row:
                return
            for segment in self._row.all:
                segment.indexes.keep()
            self._notes.write_epochs(note.epochs)
            settled = min(self.recovery_point, note.high_watermark)
            self._notes.write_snapshot(note.end_offset, note.producers, settled, durable=durable)

    def noted_producers(self) -> tuple[Offset, bytes] | None:
        """Return the newest snapshot of the producers, and up to where it goes."""
        return self._notes.load_snapshot(self.log_start_offset, self.log_end_offset)

    # Reading

    def read(self, offset: Offset, size_bytes_max: int, up_to: Offset) -> bytes:
        """Return whole batches from the one that holds ``offset``; none reaches beyond ``up_to``.

        At most ``size_bytes_max``, but for the first batch, which comes whole all the same; from
        one segment only.  Empty at the end.  Raises OffsetOutOfRange, and Damaged where what an
        earlier process has written fails its CRC.
        """
        extent = self._extent(offset, size_bytes_max, up_to)
        return b"" if extent is None else extent.read()

    def read_recent(
        self, offset: Offset, size_bytes_max: int, up_to: Offset
    ) -> bytes | bytearray | Extent:
        """Read like ``read`` what stands near the end; of the rest, return where it is.

        So does what an earlier process has written there, and is in no page cache any more.
        """
        extent = self._extent(offset, size_bytes_max, up_to)
        if extent is None:
            return b""
        if not is_recent(self._row.all, extent, self.settings.recent_bytes):
            return extent
        data = extent.read_cached() if extent.checked else extent.read()
        return extent if data is None else data

    def _extent(self, offset: Offset, size_bytes_max: int, up_to: Offset) -> Extent | None:
        self._rests_left = RESTS
        end = self.log_end_offset
        if not self.log_start_offset <= offset <= end:
            raise OffsetOutOfRange(
                f"offset {offset} is not within {self.log_start_offset} and {end}"
            )
        segments = self._row.from_offset(offset)
        by_another = offset < self._written_from
        return extent_at(segments, offset, size_bytes_max, up_to, checked=by_another)

    def headers_from(self, offset: Offset) -> Iterator[BatchHeader]:
        """Give the headers of all batches from the one that holds ``offset`` on."""
        for segment in self._row.from_offset(offset):
            for _, header in segment.headers(segment.position_of(offset)):
                yield header

    def offset_for_timestamp(self, timestamp_ms: int, up_to: Offset) -> TimedOffset | None:
        """Return the first record below ``up_to`` that is not older than ``timestamp_ms``."""
        start = self.log_start_offset
        return log_times.first_not_older(self._row.all, timestamp_ms, start, up_to)

    def max_timestamp(self, up_to: Offset) -> TimedOffset | None:
        """Return the first record below ``up_to`` with the largest timestamp of them."""
        return log_times.newest(self._row.all, self.log_start_offset, up_to)

    # Durability and the end

    def sync(self) -> Offset:
        """Make everything appended so far durable, move and return ``recovery_point``.

        In any thread, while appends go on.  Raises StorageError, after which the log takes no more:
        what a failed sync has lost no later one can bring back.
        """
        with self._one_sync:
            self._syncing = True
            try:
                self._sync()
            finally:
                self._syncing = False
            return self.recovery_point

    def _sync(self) -> None:
        row = self._row
        with row.lock:
            generation, end = row.generation, self.log_end_offset
            if row.is_closed:
                return
            self._folder.refuse_after_fault()
        try:
            row.sync()
            self._folder.sync()
            with row.lock:
                if row.generation == generation:
                    self._notes.settle_name()
                    row.write_full_indexes()
                    self.recovery_point = max(self.recovery_point, end)
        except StorageError as error:
            self._folder.distrust(error)  # What did not fit are caches: nothing was lost.
            if not row.is_closed:
                raise

    def relocate(self, folder: str) -> None:
        """Give the folder, if there is one yet, another name beside its own; no sync may be under way.

        Nothing is reported as durable any more before that name is.
        """
        with self._row.lock:
            for segment in self._row.all:
                segment.close()
            self._folder.rename(folder)
            for segment in self._row.all:
                segment.relocate(folder)

    def release(self) -> None:
        """Give back descriptors and memory, all of which come again when needed.

        Makes an idle log cheap; does nothing while a sync is under way.
        """
        with self._row.lock:
            if not self._syncing:
                for segment in self._row.all:
                    segment.release()

    def rest(self) -> None:
        """Release the log if all of it is durable and nobody has used it since the last call."""
        if self._rests_left > 1:
            self._rests_left -= 1
        elif self._rests_left and self.recovery_point >= self.log_end_offset:
            self._rests_left = 0
            self.release()

    def close(self) -> int | None:
        """Write the caches and give descriptors back; nothing is synced by it.

        Returns the checksum of the indexes of the last segment: all others' were synced with the log.
        None: there are none to be believed.
        """
        with self._row.lock:
            self._row.generation += 1
            self._row.is_closed = True
            try:
                if not self._folder.fault and self._folder.exists:
                    self._notes.write_epochs(self.epochs)
                    for segment in self._row.all:
                        if segment.indexes.is_dirty:
                            segment.seal()
                            segment.indexes.write(durable=False)
                    return self._row.all[-1].indexes.checksum() if self._row else None
                return None
            finally:
                # On a full disk above all: what is removed while it is open frees nothing.
                for segment in self._row.all:
                    segment.close()

    # Inside

    def _active(self, now_ms: int) -> tuple[Segment, Offset, int]:
        if not self._row:
            self._add_segment(self.log_start_offset)
        segment = self._row.all[-1]
        if segment.size_bytes == 0:
            segment.opened_ms = now_ms
        elif segment.opened_ms is None:
            first_ms = next(segment.headers(0, HEADER_BYTES))[1].base_timestamp_ms
            segment.opened_ms = min(now_ms, first_ms) if first_ms > 0 else now_ms
        return segment, segment.next_offset, segment.size_bytes

    def _roll(self, end: Offset, now_ms: int) -> Segment:
        full = self._row.all[-1]
        full.seal()
        if full.is_dirty and full.next_offset <= self.recovery_point:
            # Cut, and not written to since: nobody would ever look again for what was cut off.
            full.synced_bytes = full.sync(full.file())
        # A power loss must not leave the new segment without the one before it.
        self._folder.sync()
        segment = self._add_segment(end)
        segment.opened_ms = now_ms
        return segment

    def _add_segment(self, base_offset: Offset) -> Segment:
        if not self._row:
            self._folder.make()
        self._notes.name_log()
        segment = Segment(self._disk, self.folder, base_offset, self.settings.index_interval_bytes)
        segment.create()
        self._folder.note_change()
        self._row.add(segment)
        return segment

    def _begin_cut(self, end: Offset = _BEGINNING) -> None:
        self._row.generation += 1
        self.swap.end()
        if self._notes.forget_snapshots(end):
            # Before the recovery point passes them again they must be gone for good.
            self._folder.note_change()

    def _drop_segments_from(self, first: int) -> None:
        """Remove segments, the newest first, and make that durable: none may come back alone."""
        if self._row.remove_from(first):
            self._folder.sync_names()

    def _write(self, segment: Segment, batches: Sequence[Batch]) -> None:
        if not batches:
            return
        segment.append(batches)
        for _, header in batches:
            self.unnoted_bytes += header.size_bytes
            if header.leader_epoch > self.last_epoch:
                self.epochs.append((header.leader_epoch, header.base_offset))

    def _cut_epochs(self) -> None:
        while self.epochs and self.epochs[-1][1] >= self.log_end_offset:
            self.epochs.pop()
        if self._folder.exists:
            self._notes.cut_epochs(self.epochs)
