"""One segment of a partition log: a file of batches, found by offset, position or time.

Owns positions in the file: where it ends, how far it is synced, where the newest batches begin.  What
is older is looked for from where its indexes say.  Knows nothing of other segments, epochs or
recovery points.  The file is opened and the indexes are loaded when first needed, and ``release``
gives both back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from nodes.storage.disk import Buffer, Damaged, Disk, File
from nodes.storage.index import NO_TIMESTAMP_MS
from nodes.storage.log_files import CLEANED_SUFFIX, DELETED_SUFFIX, LOG, segment_stem
from nodes.storage.segment_indexes import SegmentIndexes
from transport.wire.batch import HEADER_BYTES, BatchHeader, RecordError, read_header
from transport.wire.ids import LeaderEpoch, Offset

Batch = tuple[Sequence[Buffer], BatchHeader]
"""A stamped batch in pieces, and its header with its final offsets."""

NO_LEADER_EPOCH = LeaderEpoch(-1)
OFFSETS_MAX = 1 << 31
"""A segment holds no more offsets: its indexes count them from its base in 32 bits."""

_SCAN_BYTES = 64 * 1024
"""Read at once when many headers are walked over."""
_LARGE_BYTES = 8 * 1024
"""Of a batch: another read costs less than reading it."""
_PROBE_BYTES = 8 * 1024
"""Read at once to find one batch between two index entries."""
_RECENT_MAX = 512
"""Batches at the end whose positions are kept exactly: those that followers and tails read."""


def walk_headers(
    file: File, position: int, end: int, window_bytes: int = _SCAN_BYTES
) -> Iterator[tuple[int, BatchHeader]]:
    """Walk over the batches of a file from the one that begins at ``position``; see ``headers``."""
    window, start, last_bytes = b"", position, 0
    while end - position >= HEADER_BYTES:
        if position - start + HEADER_BYTES > len(window):
            # Among large batches reading what lies between the headers is what takes the time.
            wanted = (
                HEADER_BYTES if last_bytes > _LARGE_BYTES else min(window_bytes, end - position)
            )
            window, start = file.read(position, wanted), position
        try:
            header = read_header(window, position - start)
        except RecordError as error:
            raise Damaged(f"{file.path} at position {position}: {error.text}") from None
        if position + header.size_bytes > end:
            return
        yield position, header
        last_bytes = header.size_bytes
        position += last_bytes


class Segment:
    """The batches from ``base_offset`` up to ``next_offset``."""

    __slots__ = (
        "_disk",
        "_file",
        "_newest_ms",
        "_recent_ends",
        "_recent_positions",
        "_stem",
        "base_offset",
        "indexes",
        "last_epoch",
        "next_offset",
        "opened_ms",
        "path",
        "size_bytes",
        "synced_bytes",
    )

    def __init__(
        self, disk: Disk, folder: str, base_offset: Offset, index_interval_bytes: int
    ) -> None:
        self._disk = disk
        self._stem = f"{folder}/{segment_stem(base_offset)}"
        self.path = self._stem + LOG
        """Of the log file."""
        self.indexes = SegmentIndexes(disk, self._stem, base_offset, index_interval_bytes)
        self._file: File | None = None
        self.base_offset = base_offset
        self.next_offset = base_offset
        self.size_bytes = 0
        self.synced_bytes = 0
        """What is known to be durable; −1: not even the file's length is, since it was cut."""
        self.opened_ms: int | None = None
        """Wall time from which its age counts; None: not known yet."""
        self.last_epoch = NO_LEADER_EPOCH
        """Of the last batch of a segment that may still grow."""
        self._newest_ms = NO_TIMESTAMP_MS
        self._recent_ends: list[Offset] = []
        self._recent_positions: list[int] = []

    def file(self) -> File:
        """Return the log file, opened when it is not."""
        if self._file is None:
            self._file = self._disk.open(self.path)
        return self._file

    # Life

    def create(self) -> None:
        """Make the empty file, over whatever an earlier one has left."""
        self.indexes.remove_files()
        self.file().truncate(0)
        self.indexes.begin()

    def create_cleaned(self) -> None:
        """Make the empty file of a segment that will take others' place; see ``rename``."""
        self.path = self._stem + LOG + CLEANED_SUFFIX
        self.file().truncate(0)
        self.indexes.begin()

    def rename(self, ending: str) -> None:
        """Give the log file its name: that of a segment, and ``ending``."""
        self.close()
        path = self._stem + LOG + ending
        self._disk.rename(self.path, path)
        self.path = path

    def relocate(self, folder: str) -> None:
        """Be in a folder that has another name now; closed before that."""
        self._stem = self.indexes.stem = f"{folder}/{segment_stem(self.base_offset)}"
        self.path = self._stem + LOG

    def adopt_size(self, next_offset: Offset) -> None:
        """Take over a closed segment as it lies there, trusting it to end at ``next_offset``."""
        self.size_bytes = self.file().size_bytes()
        self.next_offset = next_offset
        self.release()

    def adopt_noted(self, next_offset: Offset) -> None:
        """Take over like ``adopt_size`` one whose indexes may lack their last entries: they get them.

        Raises Damaged where its last batch is not whole.
        """
        if not self.load_tail():
            raise Damaged(f"{self.path} is cut short, and a segment at {next_offset} follows")
        self.next_offset = next_offset
        self.seal()
        self.release()

    def load_tail(self) -> bool:
        """Find the end of a segment that may still grow, from its last index entry on.

        False when its last batch is not whole: then it must be scanned.
        """
        self.size_bytes = self.file().size_bytes()
        self._load_indexes()
        return self._walk_tail()

    def begin_scan(self) -> None:
        """Forget everything about the content; ``note`` then takes each batch from the first."""
        self.size_bytes = 0
        self.indexes.remove_files()
        self.indexes.begin()
        self._forget_batches()

    def release(self) -> None:
        """Give back the descriptor, and memory unless it must still be written."""
        self.close()
        self.indexes.release()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def set_aside(self) -> list[str]:
        """Rename its files so that nobody takes them for a segment; return the new names.

        The log last: until then it is a segment still, also where the disk refuses in between.
        """
        self.close()
        aside = self.indexes.set_aside()
        if self._disk.exists(self.path):
            self._disk.rename(self.path, self.path + DELETED_SUFFIX)
            aside.append(self.path + DELETED_SUFFIX)
        return aside

    def discard(self) -> None:
        """Remove the log file of one that took nobody's place; the indexes of its name are another's."""
        self.close()
        self._disk.remove(self.path)

    def remove(self) -> None:
        """Remove all its files, the log first: indexes alone mean nothing."""
        self.close()
        self._disk.remove(self.path)
        self.indexes.remove_files()

    def seal(self) -> None:
        """Complete the indexes: the segment is full, or being closed."""
        self._load_indexes()
        self.indexes.seal()

    # Syncing, in another thread

    @property
    def is_dirty(self) -> bool:
        """Some of its batches are not known to be durable."""
        return self.size_bytes > self.synced_bytes

    def open_for_sync(self) -> File:
        """Return a file to hand to ``sync``: the open one, or one more (two threads may open)."""
        return self._file or self._disk.open(self.path)

    def sync(self, file: File) -> int:
        """Make the log file durable as far as it is written now, and return how far that is.

        Whoever knows that it was not cut meanwhile notes it in ``synced_bytes``.
        """
        size_bytes = self.size_bytes
        file.sync()
        if file is not self._file:
            file.close()
        return size_bytes

    # Writing

    def append(self, batches: Sequence[Batch]) -> None:
        """Write batches at the end with one call; all or StorageError."""
        if not self.indexes.load(self.size_bytes):
            self._make_indexes()
        self.file().append([buffer for buffers, _ in batches for buffer in buffers])
        for _, header in batches:
            self.note(header)

    def note(self, header: BatchHeader) -> None:
        """Take over the batch that follows in the file."""
        self._newest_ms = NO_TIMESTAMP_MS
        indexes, position = self.indexes, self.size_bytes
        indexes.enter(header, position)
        indexes.is_dirty = True
        # The size first: a sync that sees the new end must see that there is something to sync.
        self.size_bytes += header.size_bytes
        self._remember(header, position)

    def can_follow(self, header: BatchHeader) -> bool:
        """Tell whether a batch can be the next one; a CRC does not cover where a batch says it is."""
        ends_inside = header.last_offset - self.base_offset < OFFSETS_MAX
        return self.next_offset <= header.base_offset <= header.last_offset and ends_inside

    def truncate(self, position: int, end_offset: Offset) -> None:
        """Cut the file at the beginning of a batch; what is left ends at ``end_offset``."""
        self._load_indexes()
        self.file().truncate(position)
        self.size_bytes = position
        self.synced_bytes = -1
        self.indexes.cut(position, end_offset)
        whole = self._walk_tail()
        assert whole, "a cut is at the beginning of a batch"
        self.indexes.remove_files()

    # Finding

    def locate(self, offset: Offset) -> tuple[int, BatchHeader] | None:
        """Return the first batch that ends after ``offset`` and its position; None at the end."""
        near = self._with_positions().position_of(offset)
        for position, header in self.headers(near, _PROBE_BYTES):
            if header.next_offset > offset:
                return position, header
        return None

    def position_of(self, offset: Offset) -> int:
        """Return where the first batch that ends after ``offset`` begins, or the file's end."""
        if offset >= self.next_offset:
            return self.size_bytes
        recent = bisect_right(self._recent_ends, offset)
        if 0 < recent < len(self._recent_ends):
            return self._recent_positions[recent]
        found = self.locate(offset)
        return found[0] if found else self.size_bytes

    def boundary_before(self, position: int, start: int) -> int:
        """Return an end of a batch at or before ``position``, but not before ``start``.

        The last one, or what the index knows at half the way and more: the file is not looked at.
        """
        if position >= self.size_bytes:
            return self.size_bytes
        recent = bisect_right(self._recent_positions, position) - 1
        if recent >= 0:
            return max(start, self._recent_positions[recent])
        end = max(start, self._with_positions().position_before(position))
        if 2 * (end - start) >= position - start:
            return end
        for at, header in self.headers(end, _PROBE_BYTES):
            if at + header.size_bytes > position:
                break
            end = at + header.size_bytes
        return end

    def headers(
        self, position: int, window_bytes: int = _SCAN_BYTES
    ) -> Iterator[tuple[int, BatchHeader]]:
        """Walk over the batches from the one that begins at ``position``; ends before a torn one.

        Raises Damaged where something else than a batch begins.
        """
        return walk_headers(self.file(), position, self.size_bytes, window_bytes)

    def first_epoch(self) -> LeaderEpoch:
        """Return the leader epoch of the first batch; −1 in an empty segment."""
        for _, header in self.headers(0, HEADER_BYTES):
            return header.leader_epoch
        return NO_LEADER_EPOCH

    def newest(self) -> tuple[int, Offset]:
        """Return (largest timestamp, last offset of a batch that has it); −1 when there is none."""
        self._load_indexes()
        return self.indexes.newest()

    def newest_before(self, offset: Offset) -> tuple[int, Offset, int]:
        """Return (largest timestamp, last offset of a batch that has it) of what ends before ``offset``,
        as far as the indexes tell, and the position from which on they do not; −1 when they name none."""
        self._load_indexes()
        return *self.indexes.newest_before(offset), self.indexes.position_of(Offset(offset - 1))

    def age_from_ms(self, now_ms: int) -> int:
        """Return the wall time from which its age counts: its newest record's, or its beginning.

        Remembered while nothing is added, so that an idle segment's index is read once.
        """
        if self._newest_ms == NO_TIMESTAMP_MS:
            self._newest_ms = self.newest()[0]
        if self._newest_ms > NO_TIMESTAMP_MS:
            return self._newest_ms
        if self.opened_ms is None:
            self.opened_ms = now_ms
        return self.opened_ms

    def position_for_timestamp(self, timestamp_ms: int) -> int:
        """Return the position of a batch before which everything is older."""
        self._load_indexes()
        return self.position_of(self.indexes.offset_at_time(timestamp_ms))

    # Inside

    def _forget_batches(self) -> None:
        self.next_offset = self.base_offset
        self.last_epoch = NO_LEADER_EPOCH
        self._newest_ms = NO_TIMESTAMP_MS
        self._recent_ends.clear()
        self._recent_positions.clear()

    def _remember(self, header: BatchHeader, position: int) -> None:
        self.next_offset = header.next_offset
        self.last_epoch = header.leader_epoch
        self._recent_ends.append(header.next_offset)
        self._recent_positions.append(position)
        if len(self._recent_ends) > _RECENT_MAX:
            del self._recent_ends[: _RECENT_MAX // 2]
            del self._recent_positions[: _RECENT_MAX // 2]

    def _with_positions(self) -> SegmentIndexes:
        """Return the indexes, loaded as far as positions are found by them."""
        if not self.indexes.load_positions(self.size_bytes):
            self._load_indexes()
        return self.indexes

    def _load_indexes(self) -> None:
        if not self.indexes.load(self.size_bytes):
            self._make_indexes()

    def _make_indexes(self) -> None:
        """Make both indexes anew from the batches; raises Damaged where they contradict each other."""
        size_bytes, next_offset = self.size_bytes, self.next_offset
        headers = self.headers(0)
        self.begin_scan()
        try:
            for position, header in headers:
                if not self.can_follow(header):
                    story = f"offset {header.base_offset} follows {self.next_offset - 1}"
                    raise Damaged(f"{self.path} is damaged at position {position}: {story}")
                self.note(header)
            self.seal()
        except Damaged:
            self.indexes.forget()
            raise
        finally:
            self.size_bytes, self.next_offset = size_bytes, next_offset

    def _walk_tail(self) -> bool:
        """Take over the batches after the last index entry; False when the last is not whole."""
        end = self.indexes.resume(self.size_bytes)
        self._forget_batches()
        for position, header in self.headers(end):
            # A process that was killed has left the files without the entries of its last batches.
            self.indexes.enter(header, position)
            self._remember(header, position)
            end = position + header.size_bytes
        return end == self.size_bytes
