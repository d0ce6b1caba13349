"""The two index files of one segment: filled as batches are appended, and kept on the disk as a cache.

Owns when a batch is due an entry, the newest timestamp for that, and how much of all this the files
have.  They live in memory, loaded when first needed, and are written when the segment is synced or
closed, not at every append: what a crash takes of them is made anew from batch headers, by the
segment, for nothing here reads a batch.

The log's thread alone changes them; another one may write them to the disk meanwhile.
"""

from __future__ import annotations

from nodes.storage.disk import Disk
from nodes.storage.index import NO_TIMESTAMP_MS, OffsetIndex, TimeIndex
from nodes.storage.log_files import DELETED_SUFFIX, INDEX, TIME_INDEX
from transport.wire.batch import BatchHeader
from transport.wire.checksum import crc32c
from transport.wire.ids import Offset


class SegmentIndexes:
    """Of one segment, whose files are ``stem`` and an ending."""

    __slots__ = (
        "_base_offset",
        "_bytes_since_entry",
        "_disk",
        "_interval_bytes",
        "_kept",
        "_max_timestamp_ms",
        "_max_timestamp_offset",
        "_offsets",
        "_times",
        "is_dirty",
        "is_durable",
        "is_sealed",
        "stem",
    )

    def __init__(self, disk: Disk, stem: str, base_offset: Offset, interval_bytes: int) -> None:
        self._disk = disk
        self._base_offset = base_offset
        self._interval_bytes = interval_bytes
        self._offsets: OffsetIndex | None = None
        self._times: TimeIndex | None = None
        self._kept = 0, 0
        """How many entries of the two indexes their files have."""
        self._bytes_since_entry = 0
        self._max_timestamp_ms = NO_TIMESTAMP_MS
        self._max_timestamp_offset = base_offset
        self.stem = stem
        self.is_dirty = False
        """The files are not those of this segment."""
        self.is_durable = False
        """The files are known to be on the disk, as they were written last."""
        self.is_sealed = False
        """Nothing is added to them in memory: another thread may write them."""

    # In memory

    def begin(self) -> None:
        """Be empty, whatever the files hold."""
        self._offsets = OffsetIndex(self._base_offset)
        self._times = TimeIndex(self._base_offset)
        self._bytes_since_entry = 0
        self._max_timestamp_ms = NO_TIMESTAMP_MS
        self._max_timestamp_offset = self._base_offset
        self.is_dirty = True

    def load(self, size_bytes: int) -> bool:
        """Have both in memory; False: they are not to be had for a log file of that size."""
        if self._offsets is not None and self._times is not None:
            return True
        data = self._disk.read_file(self.stem + INDEX)
        offsets = OffsetIndex.decode(data, self._base_offset, size_bytes)
        times = TimeIndex.decode(self._disk.read_file(self.stem + TIME_INDEX), self._base_offset)
        if offsets is None or times is None:
            return False
        self._offsets, self._times = offsets, times
        self._kept = len(offsets), len(times)
        return True

    def load_positions(self, size_bytes: int) -> bool:
        """Load like ``load`` the one that positions are found by; the other is large, and seldom needed."""
        if self._offsets is None:
            data = self._disk.read_file(self.stem + INDEX)
            self._offsets = OffsetIndex.decode(data, self._base_offset, size_bytes)
        return self._offsets is not None

    def resume(self, size_bytes: int) -> int:
        """Return where in the log file to go on: the batches from there on are to be entered again."""
        assert self._offsets is not None
        assert self._times is not None
        self._bytes_since_entry = 0
        self._max_timestamp_ms, self._max_timestamp_offset = self._times.newest()
        return self._offsets.position_before(size_bytes)

    def enter(self, header: BatchHeader, position: int) -> None:
        """Take in a batch, and give it its entries if it is due any."""
        if header.max_timestamp_ms > self._max_timestamp_ms:
            self._max_timestamp_ms = header.max_timestamp_ms
            self._max_timestamp_offset = header.last_offset
        if self._bytes_since_entry > self._interval_bytes:
            assert self._offsets is not None
            assert self._times is not None
            self._offsets.append(header.last_offset, position)
            if self._max_timestamp_ms > NO_TIMESTAMP_MS:
                self._times.append(self._max_timestamp_ms, self._max_timestamp_offset)
            self._bytes_since_entry = 0
            self.is_dirty = True
        self._bytes_since_entry += header.size_bytes

    def cut(self, position: int, end_offset: Offset) -> None:
        """Forget what the log file does not hold any more; ``resume`` follows."""
        assert self._offsets is not None
        assert self._times is not None
        self._offsets.truncate(position)
        self._times.truncate(end_offset)

    def seal(self) -> None:
        """Complete the time index: the segment is full, or being closed."""
        assert self._times is not None
        before = len(self._times)
        if self._max_timestamp_ms > NO_TIMESTAMP_MS:
            self._times.append(self._max_timestamp_ms, self._max_timestamp_offset)
        self.is_dirty |= len(self._times) > before
        # Also where nothing was added: a process that was killed has left the files, and not synced them.
        self.is_sealed, self.is_durable = True, False

    def forget(self) -> None:
        """Hold nothing in memory, written or not."""
        self._offsets = self._times = None

    def release(self) -> None:
        """Give memory back, unless it must still be written."""
        if not self.is_dirty:
            self.forget()

    # Looking up; loaded before

    @property
    def size_bytes(self) -> int:
        """Size of the larger of the two, as far as they are in memory."""
        if self._offsets is None or self._times is None:
            return 0
        return max(self._offsets.size_bytes, self._times.size_bytes)

    def position_of(self, offset: Offset) -> int:
        """Return the position of a batch at or before the one that holds ``offset``."""
        assert self._offsets is not None
        return self._offsets.lookup(offset)

    def position_before(self, position: int) -> int:
        """Return the largest known beginning of a batch at or before ``position``."""
        assert self._offsets is not None
        return self._offsets.position_before(position)

    def offset_at_time(self, timestamp_ms: int) -> Offset:
        """Return an offset before which everything is older than ``timestamp_ms``."""
        assert self._times is not None
        return self._times.lookup(timestamp_ms)

    def newest(self) -> tuple[int, Offset]:
        """Return (largest timestamp, last offset of a batch that has it); −1 when there is none."""
        assert self._times is not None
        known = self._max_timestamp_ms, self._max_timestamp_offset
        return max(known, self._times.newest(), key=lambda entry: entry[0])

    def newest_before(self, offset: Offset) -> tuple[int, Offset]:
        """Return the same of the last entry that speaks of nothing at or after ``offset``."""
        assert self._times is not None
        return self._times.newest_before(offset)

    # The files

    def write(self, *, durable: bool) -> None:
        """Write the files as they are in memory; a sealed segment's in any thread.

        Those that lack nothing are synced where they are, if that is asked for and was not done.
        """
        if self._offsets is None or self._times is None or not self.is_dirty:
            if durable and not self.is_durable:
                self._sync_files()
            return
        # The times first: where the index goes further than they do, their largest would be wrong.
        self._disk.write_file(self.stem + TIME_INDEX, self._times.encode(), durable=durable)
        self._disk.write_file(self.stem + INDEX, self._offsets.encode(), durable=durable)
        self._kept = len(self._offsets), len(self._times)
        self.is_dirty, self.is_durable = False, durable

    def _sync_files(self) -> None:
        for path in (self.stem + TIME_INDEX, self.stem + INDEX):
            if self._disk.exists(path):
                file = self._disk.open(path, create=False)
                try:
                    file.sync()
                finally:
                    file.close()
        self._disk.sync_folder(self.stem.rpartition("/")[0])
        self.is_durable = True

    def keep(self) -> None:
        """Add to the files what they lack, not durably: after a kill they need not be made anew.

        In any thread, while batches are appended, but not while the segment is cut.
        """
        if self._offsets is None or self._times is None or not self.is_dirty:
            return
        # The times first, as in ``write``.
        added = self._times.encode(self._kept[1])
        self._add_to(TIME_INDEX, added)
        self._kept = self._kept[0], self._kept[1] + len(added) // TimeIndex.ENTRY_BYTES
        added = self._offsets.encode(self._kept[0])
        self._add_to(INDEX, added)
        self._kept = self._kept[0] + len(added) // OffsetIndex.ENTRY_BYTES, self._kept[1]

    def _add_to(self, ending: str, data: bytes) -> None:
        file = self._disk.open(self.stem + ending)
        try:
            file.append([data])
        finally:
            file.close()

    def checksum(self) -> int | None:
        """Return the CRC-32C of what stands in the two files; None where one is missing."""
        offsets = self._disk.read_file(self.stem + INDEX)
        times = self._disk.read_file(self.stem + TIME_INDEX)
        return None if offsets is None or times is None else crc32c(times, crc32c(offsets))

    def set_aside(self) -> list[str]:
        """Rename the files, so that nobody takes them for a segment's; return the new names."""
        self._kept, self.is_dirty = (0, 0), True
        aside = []
        for path in (self.stem + TIME_INDEX, self.stem + INDEX):
            if self._disk.exists(path):
                self._disk.rename(path, path + DELETED_SUFFIX)
                aside.append(path + DELETED_SUFFIX)
        return aside

    def remove_files(self) -> None:
        """Remove the files; what is in memory stays, to be added to."""
        self._disk.remove(self.stem + INDEX)
        self._disk.remove(self.stem + TIME_INDEX)
        self._kept = 0, 0
        self.is_dirty = True
        self.is_sealed = False
