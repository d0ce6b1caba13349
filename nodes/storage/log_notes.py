"""The small files beside a log's segments: whose it is, its leader epochs, its producers.

All but the topic id are caches: what is missing or torn is read off the batches again.  A snapshot of
the producers is of all batches before the offset that names it; it is none of this log's any more
once the log is cut below that.  Names as Kafka's; a snapshot's content is the broker's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from nodes.storage.disk import DiskFull
from nodes.storage.log_files import (
    EPOCHS_NAME,
    METADATA_NAME,
    EpochEntry,
    encode_epochs,
    encode_metadata,
    snapshot_name,
)
from nodes.storage.log_folder import LogFolder
from transport.wire.checksum import crc32c
from transport.wire.ids import Offset, TopicId

_CRC = Struct(">I")
_NOTHING = Offset(-1)


class Note(NamedTuple):
    """What is known of a log at one moment, on its way to the disk."""

    end_offset: Offset
    producers: bytes
    """Of all batches before ``end_offset``."""
    epochs: list[EpochEntry]
    high_watermark: Offset
    generation: int


class LogNotes:
    """Of one log. Raises StorageError as the disk does."""

    __slots__ = ("_folder", "_has_metadata", "_metadata_dirty", "_snapshots", "topic_id")

    def __init__(
        self,
        folder: LogFolder,
        topic_id: TopicId | None,
        snapshots: Iterable[Offset],
        *,
        has_metadata: bool,
    ) -> None:
        self._folder = folder
        self._has_metadata = has_metadata
        self._metadata_dirty = folder.exists
        self._snapshots = sorted(snapshots)
        self.topic_id = topic_id

    # Whose it is

    def name_log(self) -> None:
        """Write the topic id, if it is not there; before the first segment."""
        if not self._has_metadata:
            self._write_metadata(durable=False)

    def settle_name(self) -> None:
        """Make the topic id durable, if it is not."""
        if self._metadata_dirty:
            self._write_metadata(durable=True)

    def _write_metadata(self, *, durable: bool) -> None:
        if self.topic_id is not None:
            self._folder.write(METADATA_NAME, encode_metadata(self.topic_id), durable=durable)
            self._has_metadata = True
        self._metadata_dirty = not durable

    # Leader epochs

    def write_epochs(self, epochs: list[EpochEntry]) -> None:
        """Write the leader epochs; never synced."""
        self._folder.write(EPOCHS_NAME, encode_epochs(epochs), durable=False)

    def cut_epochs(self, epochs: list[EpochEntry]) -> None:
        """Write what a cut has left of them; a full disk keeps nobody from that: without the file they
        are read off the batches."""
        try:
            self.write_epochs(epochs)
        except DiskFull:
            self._folder.remove(EPOCHS_NAME)

    # Producers

    def load_snapshot(self, start: Offset, end: Offset) -> tuple[Offset, bytes] | None:
        """Return (offset, content) of the newest whole snapshot within these offsets."""
        for offset in reversed(self._snapshots):
            if start <= offset <= end:
                data = self._folder.read(snapshot_name(offset)) or b""
                if len(data) >= _CRC.size and _CRC.unpack_from(data)[0] == crc32c(
                    data[_CRC.size :]
                ):
                    return offset, data[_CRC.size :]
        return None

    def write_snapshot(
        self, offset: Offset, content: bytes, settled: Offset, *, durable: bool
    ) -> None:
        """Write a snapshot, then remove those that nobody would begin with.

        Beside the newest that is the newest of what is ``settled``, which no loss of power and no
        cut takes away: what it does not hold is read from there, and not from the log's first record.
        """
        data = _CRC.pack(crc32c(content)) + content
        self._folder.write(snapshot_name(offset), data, durable=durable)
        there = sorted({*self._snapshots, offset})
        safe = max((one for one in there if one <= settled), default=None)
        self._snapshots = [one for one in there if one in (safe, there[-1])]
        for one in there:
            if one not in self._snapshots:
                self._folder.remove(snapshot_name(one))

    def forget_snapshots(self, beyond: Offset = _NOTHING) -> bool:
        """Remove the snapshots of more than what is before an offset; tell whether there was one.

        Before the log is cut there.  Only once the folder is synced are they gone for good.
        """
        gone = [offset for offset in self._snapshots if offset > beyond]
        for offset in reversed(gone):
            self._folder.remove(snapshot_name(offset))
            self._snapshots.remove(offset)
        return bool(gone)
