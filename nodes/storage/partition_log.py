"""The log of one partition replica: a folder of segments, as one run of record batches.

Owns offsets, segments, the leader epochs found in the batches, and how far all is durable.  Knows
nothing of roles, replicas or high watermarks, and never opens a batch, but to find a record by its
time.  Made lazily: a log that was never written to has no folder.

Everything is called on one thread except ``sync``, which may run in the disk pool while appends go
on.  A power loss leaves what was synced and some part of the rest; see ``recovery``.

Source: Apache Kafka, "Log" in its design documentation; KIP-101 for leader epochs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from nodes.storage import log_times
from nodes.storage.cleaning import Group
from nodes.storage.disk import Buffer, Disk, DiskFull, File, StorageError
from nodes.storage.log_files import SWAP_SUFFIX, EpochEntry
from nodes.storage.log_notes import LogNotes, Note
from nodes.storage.log_opening import Opened, open_segments
from nodes.storage.log_reading import Extent, extent_at, is_recent
from nodes.storage.log_settings import LogSettings
from nodes.storage.log_times import TimedOffset
from nodes.storage.retention import start_after
from nodes.storage.segment import NO_LEADER_EPOCH, Batch, Segment
from nodes.storage.segment_row import SegmentRow
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
        "_closed",
        "_disk",
        "_fault",
        "_folder_dirty",
        "_generation",
        "_has_folder",
        "_lock",
        "_notes",
        "_offered",
        "_one_sync",
        "_rests_left",
        "_segments",
        "_syncing",
        "_written_from",
        "cleaned_to",
        "cut_bytes",
        "epochs",
        "folder",
        "log_start_offset",
        "recovery_point",
        "settings",
        "unnoted_bytes",
    )

    def __init__(
        self, disk: Disk, folder: str, settings: LogSettings, opened: Opened, recovery_point: Offset
    ) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        """Held by a sync as it ends, and by whatever takes away what it has synced."""
        self._one_sync = threading.Lock()
        self._syncing = False
        self._closed = False
        self._rests_left = RESTS
        """Calls of ``rest`` until it is at rest."""
        self._offered: Segment | None = None
        """A cleaned segment on its way to its place."""
        self._generation = 0
        """Grows with every cut: a sync that began before one must not report what it synced."""
        self._fault = ""
        self._segments = SegmentRow(opened.segments)
        self._notes = LogNotes(
            disk,
            folder,
            opened.topic_id,
            opened.snapshots,
            has_folder=opened.has_folder,
            has_metadata=opened.has_metadata,
        )
        self._has_folder = opened.has_folder
        self._folder_dirty = bool(opened.segments)
        self.folder = folder
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
    ) -> PartitionLog:
        """Open the log in ``folder`` (``…/topic-partition``), or an empty one if there is none.

        ``recovery_point``: everything below was synced, as last written down by the caller (who
        must write it down anew after a cut below it, before anything is appended).  ``clean``: the
        log was closed in order, or nothing but the process was lost and no write interrupted;
        then sizes and indexes are trusted.  Otherwise everything past the recovery point is read.
        ``log_start_offset``: as last written down; what is before was deleted. Without
        segments it speaks of another log.

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
        return self._segments.all[-1].next_offset if self._segments else self.log_start_offset

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
        return sum(segment.size_bytes for segment in self._segments.all)

    @property
    def segment_count(self) -> int:
        """How many segments there are; 0 before the first append."""
        return len(self._segments)

    # Writing

    def append(self, batch: Sequence[Buffer], header: BatchHeader, now_ms: int) -> None:
        """Append one stamped batch, given in pieces; ``header`` has its final offsets and epoch.

        All or StorageError (DiskFull: try again later; after another the log takes no more).
        """
        self.append_all(((batch, header),), now_ms)

    def append_all(self, batches: Sequence[Batch], now_ms: int) -> None:
        """Append stamped batches in order, all or none; raises as ``append``."""
        self._rests_left = RESTS
        self._refuse_after_fault()
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
            if not isinstance(error, DiskFull):
                self._fault = str(error)
            if self.log_end_offset > before:
                self.truncate_to(before)
            raise

    def truncate_to(self, offset: Offset) -> None:
        """Cut the log: no record at or after ``offset`` stays.

        A batch that ``offset`` lies inside goes whole, so ``log_end_offset`` may be below it after.
        Before the log's start: as ``reset_to``.
        """
        if offset >= self.log_end_offset:
            return
        if offset < self.log_start_offset:
            self.reset_to(offset)
            return
        with self._lock:
            self._begin_cut(offset)
            self.cleaned_to = min(self.cleaned_to, offset)
            self._drop_segments_from(self._segments.index_of(offset) + 1)
            last = self._segments.all[-1]
            last.truncate(last.position_of(offset), offset)
            self._cut_epochs()
            self.recovery_point = min(self.recovery_point, self.log_end_offset)

    def reset_to(self, offset: Offset) -> None:
        """Forget everything; the log is empty and begins at ``offset``."""
        with self._lock:
            self._begin_cut()
            self._drop_segments_from(0)
            self.log_start_offset = self.cleaned_to = offset
            self.recovery_point = offset
            self.epochs.clear()
            self._cut_epochs()
            if self._has_folder:
                # Its name is what remembers the offset when the node starts again.
                self._add_segment(offset)

    def retained_start(self, now_ms: int, up_to: Offset) -> Offset:
        """Return where the log begins once what retention lets go of is gone.

        Nothing at or above ``up_to`` (the high watermark) goes. Wall time.
        """
        start = start_after(self._segments.all, self.settings.retention, now_ms, up_to)
        return max(start, self.log_start_offset)

    def start_at(self, offset: Offset) -> None:
        """Let the log begin at ``offset``: what is before is never read again."""
        assert offset <= self.log_end_offset, "a log begins before it ends"
        if offset > self.log_start_offset:
            with self._lock:
                self.log_start_offset = offset
                while len(self.epochs) > 1 and self.epochs[1][1] <= offset:
                    del self.epochs[0]

    def set_aside(self) -> list[str]:
        """Take the segments that lie wholly before the start out of the log.

        Returns their files, renamed, for the pool to remove.  The segment that is written to stays,
        and all while one that was cleaned takes others' place.
        """
        if self._offered is not None:
            return []
        with self._lock:
            return self._segments.set_aside_before(self.log_start_offset)

    def roll_aged(self, age_max_ms: int, now_ms: int) -> None:
        """Fill the segment that is written to no more if it is older than that."""
        if self.log_end_offset > self.log_start_offset:
            segment, end, size_bytes = self._active(now_ms)
            assert segment.opened_ms is not None
            if size_bytes and now_ms - segment.opened_ms > age_max_ms:
                self._roll(end, now_ms)

    def roll_before(self, offset: Offset, now_ms: int) -> None:
        """Fill the segment that is written to no more if it lies wholly before ``offset``."""
        last = self._segments.all[-1] if self._segments else None
        if last is not None and last.size_bytes and last.next_offset <= offset:
            self._roll(last.next_offset, now_ms)

    # Cleaning: the pool writes anew what this thread then takes over

    @property
    def segments(self) -> Sequence[Segment]:
        """What the log consists of. To be read only."""
        return self._segments.all

    @property
    def generation(self) -> int:
        """Grows with every cut: whoever has read the log in pieces must begin anew."""
        return self._generation

    def offer(self, group: Group, generation: int) -> bool:
        """Let a cleaned segment wait to take its place, durably; in the pool.

        False: the log has been cut since that ``generation``, or has let some of it go.
        """
        with self._lock:
            known = self._segments.has(group.replaced)
            if self._closed or self._generation != generation or not known:
                return False
            if group.gone_markers and self._notes.forget_snapshots():
                # They know of transactions whose markers are about to go.
                self._disk.sync_folder(self.folder)
            group.cleaned.rename(SWAP_SUFFIX)
            self._offered = group.cleaned
        # From here on a start finishes what a crash interrupts.
        self._disk.sync_folder(self.folder)
        return True

    def take_over(self, group: Group, generation: int) -> list[str] | None:
        """Put an offered segment in its place; return the replaced ones' files, renamed.

        None: the log was cut meanwhile, and the offer with it.
        """
        with self._lock:
            if self._generation != generation:
                return None
            return self._segments.replace(group)

    def settle(self, group: Group) -> None:
        """Make durable that the segment is in its place; in the pool."""
        self._disk.sync_folder(self.folder)
        with self._lock:
            if group.cleaned in self._segments.all:
                group.cleaned.write_indexes(durable=False)
            self._offered = None

    def _begin_cut(self, end: Offset = _BEGINNING) -> None:
        self._generation += 1
        offered, self._offered = self._offered, None
        if offered is not None and offered not in self._segments.all:
            offered.remove()
        if self._notes.forget_snapshots(end):
            # Before the recovery point passes them again they must be gone for good.
            self._folder_dirty = True

    # Notes: what a start after a kill would otherwise read the log for

    def begin_note(self, producers: bytes) -> Note:
        """Take down what is known of everything appended so far, the producers among it."""
        self.unnoted_bytes = 0
        return Note(self.log_end_offset, producers, list(self.epochs), self._generation)

    def write_note(self, note: Note, *, durable: bool) -> None:
        """Write it down, unless the log was cut since; in the pool. Costs nothing but time if lost."""
        with self._lock:
            is_current = self._generation == note.generation and self._offered is None
            if self._closed or not is_current or not self._segments:
                return
            for segment in self._segments.all:
                segment.keep_indexes()
            self._notes.write_epochs(note.epochs)
            self._notes.write_snapshot(
                note.end_offset, note.producers, self.recovery_point, durable=durable
            )

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
        if not is_recent(self._segments.all, extent, self.settings.recent_bytes):
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
        segments = self._segments.from_offset(offset)
        by_another = offset < self._written_from
        return extent_at(segments, offset, size_bytes_max, up_to, checked=by_another)

    def headers_from(self, offset: Offset) -> Iterator[BatchHeader]:
        """Give the headers of all batches from the one that holds ``offset`` on."""
        for segment in self._segments.from_offset(offset):
            for _, header in segment.headers(segment.position_of(offset)):
                yield header

    def offset_for_timestamp(self, timestamp_ms: int, up_to: Offset) -> TimedOffset | None:
        """Return the first record below ``up_to`` that is not older than ``timestamp_ms``."""
        start = self.log_start_offset
        return log_times.first_not_older(self._segments.all, timestamp_ms, start, up_to)

    def max_timestamp(self, up_to: Offset) -> TimedOffset | None:
        """Return the first record below ``up_to`` with the largest timestamp of them."""
        return log_times.newest(self._segments.all, self.log_start_offset, up_to)

    # Durability and the end

    def sync(self) -> Offset:
        """Make everything appended so far durable, move and return ``recovery_point``.

        In any thread, while appends go on.  Raises StorageError, after which the log takes no more: what a
        failed sync has lost no later one can bring back."""
        with self._one_sync:
            self._syncing = True
            try:
                self._sync()
            finally:
                self._syncing = False
            return self.recovery_point

    def _sync(self) -> None:
        with self._lock:
            generation, end = self._generation, self.log_end_offset
            if self._closed:
                return
            self._refuse_after_fault()
        try:
            with self._lock:
                dirty = [segment for segment in self._segments.all if segment.is_dirty]
                handles = [segment.open_for_sync() for segment in dirty]
            for segment, handle in zip(dirty, handles, strict=True):
                self._sync_segment(segment, handle)
            self._sync_folder()
            with self._lock:
                if self._generation == generation:
                    self._finish_sync(end)
        except StorageError as error:
            if not isinstance(error, DiskFull):  # What did not fit are caches: nothing was lost.
                self._fault = str(error)
            if not self._closed:
                raise

    def _sync_segment(self, segment: Segment, handle: File) -> None:
        try:
            segment.sync(handle)
        except StorageError:
            # One that was cut off or let go meanwhile is closed: no fault.
            if segment in self._segments.all:
                raise

    def _refuse_after_fault(self) -> None:
        if self._fault:
            raise StorageError(f"{self.folder} takes no more after this: {self._fault}")

    def _finish_sync(self, end: Offset) -> None:
        self._notes.settle_name()
        for segment in self._segments.all[:-1]:
            if segment.index_dirty and segment.is_sealed:
                segment.write_indexes(durable=True)
        self.recovery_point = max(self.recovery_point, end)

    def relocate(self, folder: str) -> None:
        """Give the folder, if there is one yet, another name beside its own; no sync may be under way.

        Nothing is reported as durable any more before that name is.
        """
        with self._lock:
            for segment in self._segments.all:
                segment.close()
            if self._has_folder:
                self._disk.rename(self.folder, folder)
                self._folder_dirty = True
            for segment in self._segments.all:
                segment.relocate(folder)
            self._notes.relocate(folder)
            self.folder = folder

    def release(self) -> None:
        """Give back descriptors and memory, all of which come again when needed.

        Makes an idle log cheap; does nothing while a sync is under way.
        """
        with self._lock:
            if not self._syncing:
                for segment in self._segments.all:
                    segment.release()

    def rest(self) -> None:
        """Release the log if all of it is durable and nobody has used it since the last call."""
        if self._rests_left > 1:
            self._rests_left -= 1
        elif self._rests_left and self.recovery_point >= self.log_end_offset:
            self._rests_left = 0
            self.release()

    def close(self) -> None:
        """Write the caches and give descriptors back; nothing is synced by it."""
        with self._lock:
            self._generation += 1
            self._closed = True
            if not self._fault and self._has_folder:
                self._notes.write_epochs(self.epochs)
                for segment in self._segments.all:
                    if segment.index_dirty:
                        segment.seal()
                        segment.write_indexes(durable=False)
            for segment in self._segments.all:
                segment.close()

    # Inside

    def _active(self, now_ms: int) -> tuple[Segment, Offset, int]:
        if not self._segments:
            self._add_segment(self.log_start_offset)
        segment = self._segments.all[-1]
        if segment.size_bytes == 0:
            segment.opened_ms = now_ms
        elif segment.opened_ms is None:
            first_ms = next(segment.headers(0, HEADER_BYTES))[1].base_timestamp_ms
            segment.opened_ms = min(now_ms, first_ms) if first_ms > 0 else now_ms
        return segment, segment.next_offset, segment.size_bytes

    def _roll(self, end: Offset, now_ms: int) -> Segment:
        full = self._segments.all[-1]
        full.seal()
        if full.is_dirty and full.next_offset <= self.recovery_point:
            # Cut, and not written to since: nobody would ever look again for what was cut off.
            full.sync(full.file())
        # A power loss must not leave the new segment without the one before it.
        self._sync_folder()
        segment = self._add_segment(end)
        segment.opened_ms = now_ms
        return segment

    def _add_segment(self, base_offset: Offset) -> Segment:
        if not self._segments:
            self._disk.make_folder(self.folder)
            self._has_folder = True
        self._notes.name_log()
        segment = Segment(self._disk, self.folder, base_offset, self.settings.index_interval_bytes)
        segment.create()
        self._folder_dirty = True
        self._segments.add(segment)
        return segment

    def _drop_segments_from(self, first: int) -> None:
        """Remove segments, the newest first, and make that durable: none may come back alone."""
        if self._segments.remove_from(first):
            self._disk.sync_folder(self.folder)

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
        if self._has_folder:
            self._notes.write_epochs(self.epochs)

    def _sync_folder(self) -> None:
        if self._folder_dirty:
            self._folder_dirty = False
            try:
                self._disk.sync_folder(self.folder)
                self._disk.sync_folder(self.folder.rpartition("/")[0])
            except StorageError as error:
                self._fault = str(error)  # The next sync would find nothing to do.
                raise
