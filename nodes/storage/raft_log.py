"""The Raft log on disk: entries, term and vote in one stream of records, so that one sync covers all.

A folder of numbered segments.  Each write is one record, framed and with a CRC over its place and
content; it carries the term and vote of its time, so the newest whole record tells them.  Every
segment but the last is durable whole: it was synced before the next was begun.  So damage is a torn
tail, and is cut, only at the end of the last segment with no whole record after it; anywhere else
it is reported.  Knows nothing of elections, commitment or snapshots' content.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from nodes.storage.disk import Damaged, Disk, File
from transport.wire.checksum import crc32c
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import Entry

SEGMENT_BYTES = 16 * 1024 * 1024
"""Small enough that compaction gives space back soon, large enough that files change seldom."""
_FORMAT = 1
_SUFFIX = ".raftlog"
_MAGIC = b"\xf5Rl\x01"
_FRAME = struct.Struct("<4sII")  # Magic, length of the payload, CRC of place and payload.
_PLACE = struct.Struct("<QQI")  # Segment number, position, length: a record is valid only there.

# Kinds of records
_OPENING = 0
"""Begins a segment: the log ends at the named base here."""
_RESET = 1
"""Begins a segment: nothing before the named base, or of earlier segments, counts any more."""
_WRITE = 2


_START = (LogIndex(0), Term(0))
"""Before the first entry."""


class _Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    kind: int
    term: Term
    voted_for: NodeId
    index: LogIndex
    """The base of a segment; of a write, where the log was cut before its entries (0: nowhere)."""
    base_term: Term = Term(0)
    entries: tuple[Entry, ...] = ()
    format: int = _FORMAT


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Record)


class StoredLog(NamedTuple):
    """What the disk held when the log was opened; fits what the Raft core is started with."""

    hard_state: tuple[Term, NodeId]
    snapshot_index: LogIndex
    snapshot_term: Term
    entries: list[Entry]
    """From ``snapshot_index + 1`` on."""


class _Segment(NamedTuple):
    number: int
    last_index: LogIndex
    """No entry above this was ever written in it, nor in those before it since the last reset."""


class RaftLog:
    """Writes on the loop's thread, syncs on the pool's."""

    def __init__(self, disk: Disk, folder: str, segment_bytes: int) -> None:
        self._disk = disk
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._hard_state = (Term(0), NO_NODE)
        self._base = _START
        self._entries: list[Entry] = []
        """As recovered; let go with the first write."""
        self._covered = _START[0]
        """What the snapshot covers is recovered without its data: nobody asks for it any more."""
        self._last = _START
        self._closed: list[_Segment] = []
        """Before the current segment, oldest first."""
        self._obsolete: list[int] = []
        self._number = 0
        self._file: File | None = None
        self._highest = LogIndex(0)
        self._lock = threading.Lock()
        """Held while syncing, and while the current file is changed for another."""
        self._folder_changed = False

    @classmethod
    def open(
        cls,
        disk: Disk,
        folder: str,
        *,
        snapshot_index: LogIndex = _START[0],
        snapshot_term: Term = _START[1],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> RaftLog:
        """Recover the log in ``folder`` (made when missing), to go on from a durable snapshot.

        A log that does not contain the snapshot's last entry is dropped: the snapshot overtook it.
        Raises Damaged when bytes before the torn tail are not what was written, or when the log
        begins after the snapshot.
        """
        if not disk.exists(folder):
            disk.make_folder(folder)
        if not disk.list(folder):  # new, or from a start that failed before this was durable
            disk.sync_folder(folder.rpartition("/")[0])
        log = cls(disk, folder, segment_bytes)
        log._covered = snapshot_index
        log._recover()
        log._align(snapshot_index, snapshot_term)
        log._remove_obsolete()
        return log

    def stored(self) -> StoredLog:
        """Return what was found. To be asked before the first write."""
        return StoredLog(self._hard_state, *self._base, self._entries)

    # Writing

    def write(
        self,
        truncate_from: LogIndex | None,
        entries: Sequence[Entry],
        hard_state: tuple[Term, NodeId] | None,
    ) -> None:
        """Write one batch of the core's disk orders; durable after a ``sync`` begun later.

        Raises StorageError, after which this log must not be written any more.
        """
        assert entries or truncate_from is None, "the core cuts only to put something else there"
        file = self._file
        if file is None or file.size_bytes() >= self._segment_bytes:
            file = self._roll(_OPENING)
        self._entries = []
        if hard_state is not None:
            self._hard_state = hard_state
        term, voted_for = self._hard_state
        record = _Record(
            _WRITE, term, voted_for, truncate_from or LogIndex(0), entries=tuple(entries)
        )
        self._append(file, record)
        if entries:
            last = entries[-1]
            self._last = (last.index, last.term)
            self._highest = max(self._highest, last.index)

    def sync(self) -> None:
        """Make everything written before this call durable. Runs in the disk pool."""
        with self._lock:
            if self._folder_changed:
                self._folder_changed = False
                self._disk.sync_folder(self._folder)
            if self._file is not None:
                self._file.sync()

    def compact(self, last_index: LogIndex, last_term: Term) -> None:
        """Drop whole segments that hold nothing after ``last_index``, whose term is ``last_term``.

        The server has a durable snapshot up to there; what cannot be dropped yet stays.
        """
        while self._closed and self._closed[0].last_index <= last_index:
            self._disk.remove(self._path(self._closed[0].number))
            del self._closed[0]

    def reset(self, last_index: LogIndex, last_term: Term) -> None:
        """Forget every entry: the log goes on after an installed, durable snapshot.

        Durable when this returns, term and vote included.
        """
        self._entries = []
        self._base = self._last = (last_index, last_term)
        self._highest = last_index
        self._roll(_RESET)
        self.sync()
        self._drop_closed()
        self._remove_obsolete()

    def close(self) -> None:
        """Give the descriptor back; nothing is synced by it."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _roll(self, kind: int) -> File:
        """Begin a segment; the one before is durable whole then."""
        with self._lock:
            if self._file is not None:
                self._file.sync()
                self._file.close()
                self._closed.append(_Segment(self._number, self._highest))
            self._number += 1
            self._file = file = self._disk.open(self._path(self._number))
            self._folder_changed = True
            if file.size_bytes():  # Begun by a process that died at once.
                file.truncate(0)
            term, voted_for = self._hard_state
            self._append(file, _Record(kind, term, voted_for, *self._last))
            return file

    def _append(self, file: File, record: _Record) -> None:
        payload = _encode(record)
        checksum = _checksum(self._number, file.size_bytes(), payload)
        file.append((_FRAME.pack(_MAGIC, len(payload), checksum), payload))

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:020d}{_SUFFIX}"

    def _remove_obsolete(self) -> None:
        for number in self._obsolete:
            self._disk.remove(self._path(number))
        self._obsolete.clear()

    # Recovery

    def _recover(self) -> None:
        numbers = [
            int(name.removesuffix(_SUFFIX))
            for name in self._disk.list(self._folder)
            if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdigit()
        ]
        for number in numbers:
            if self._number not in (0, number - 1):
                # Segments are dropped oldest first: those before a gap should be gone as well.
                self._drop_closed()
                self._number = 0
            self._read_segment(number, is_last=number == numbers[-1])
        if self._file is not None:
            # A killed process leaves what it wrote to the page cache: from here on it counts as
            # durable, so it has to be.
            self._folder_changed = True
            self.sync()

    def _read_segment(self, number: int, *, is_last: bool) -> None:
        """Replay a segment; of the last one cut the torn tail and keep it open."""
        path = self._path(number)
        file = self._disk.open(path)
        data = file.read(0, file.size_bytes())
        end = 0
        for position, record in _records(number, data, path):
            self._replay(record, path, opens=end == 0)
            self._number, end = number, position
        if end < len(data):
            if not is_last or _whole_record_after(number, data, end):
                raise Damaged(f"{path} is damaged at byte {end}, before records that are whole")
            file.truncate(end)
        if end == 0:  # Begun, and nothing of it reached the disk.
            file.close()
            if not is_last:
                raise Damaged(f"{path} is empty, and others follow it")
            self._disk.remove(path)
        elif is_last:
            self._file = file
        else:
            file.close()
            self._closed.append(_Segment(number, self._highest))

    def _replay(self, record: _Record, path: str, *, opens: bool) -> None:
        if record.format > _FORMAT:
            raise Damaged(f"{path} was written by a later version (format {record.format})")
        if opens != (record.kind in (_OPENING, _RESET)):
            raise Damaged(f"{path} does not begin as a segment does")
        self._hard_state = (record.term, record.voted_for)
        if opens:
            self._open_segment(record, path)
            return
        if record.index:
            keep = record.index - self._base[0] - 1
            if keep > len(self._entries):
                raise Damaged(f"{path} cuts the log at {record.index}, beyond its end")
            if keep < 0:
                # What is cut was in segments that are gone: a snapshot covers all of this.
                self._base, keep = (LogIndex(record.index - 1), Term(0)), 0
            del self._entries[keep:]
        for entry in record.entries[:1]:
            if entry.index != self._base[0] + len(self._entries) + 1:
                raise Damaged(f"{path} goes on at entry {entry.index}: entries before it are lost")
        self._entries.extend(
            Entry(entry.term, entry.index, entry.kind, b"")
            if entry.index <= self._covered
            else entry
            for entry in record.entries
        )
        if record.entries:
            self._highest = max(self._highest, record.entries[-1].index)
        self._note_end()

    def _open_segment(self, record: _Record, path: str) -> None:
        if record.kind == _RESET or self._number == 0:
            # The first that is left stands on its base; a reset makes those before it void.
            self._entries = []
            self._base = (record.index, record.base_term)
            self._highest = record.index
            self._drop_closed()
            self._note_end()
        elif record.index != self._last[0]:
            raise Damaged(
                f"{path} goes on after entry {record.index}, the log before it ends at "
                f"{self._last[0]}: a segment is missing"
            )

    def _drop_closed(self) -> None:
        """Nothing in the segments before counts any more; they go once all else is in order."""
        self._obsolete += [segment.number for segment in self._closed]
        self._closed.clear()

    def _note_end(self) -> None:
        if self._entries:
            self._last = (self._entries[-1].index, self._entries[-1].term)
        else:
            self._last = self._base

    def _align(self, snapshot_index: LogIndex, snapshot_term: Term) -> None:
        """Go on from the snapshot: drop what it covers, or all if it overtook the log."""
        base_index, base_term = self._base
        if snapshot_index < base_index:
            raise Damaged(
                f"the log in {self._folder} begins after entry {base_index}, the newest whole "
                f"snapshot reaches {snapshot_index}: what is between is lost"
            )
        covered = snapshot_index - base_index
        if covered == 0:
            if snapshot_term != base_term:
                raise Damaged(f"the log in {self._folder} does not belong to its snapshot")
        elif covered <= len(self._entries) and self._entries[covered - 1].term == snapshot_term:
            self._entries = self._entries[covered:]
            self._base = (snapshot_index, snapshot_term)
        else:
            self.reset(snapshot_index, snapshot_term)


def _checksum(number: int, position: int, payload: bytes) -> int:
    return crc32c(payload, crc32c(_PLACE.pack(number, position, len(payload))))


def _record_at(number: int, data: bytes, position: int) -> bytes | None:
    """Return the payload of the record at ``position``, or None where no whole one is."""
    start = position + _FRAME.size
    if start > len(data):
        return None
    magic, length, checksum = _FRAME.unpack_from(data, position)
    payload = data[start : start + length]
    if magic != _MAGIC or len(payload) < length:
        return None
    return payload if _checksum(number, position, payload) == checksum else None


def _records(number: int, data: bytes, path: str) -> Iterator[tuple[int, _Record]]:
    """Yield (position after it, record) for each whole record up to the first that is not."""
    position = 0
    while (payload := _record_at(number, data, position)) is not None:
        try:
            record = _decoder.decode(payload)
        except msgspec.DecodeError as error:
            raise Damaged(f"{path}: the record at byte {position} is no record: {error}") from None
        position += _FRAME.size + len(payload)
        yield position, record


def _whole_record_after(number: int, data: bytes, position: int) -> bool:
    """Tell whether any whole record starts after ``position``."""
    place = data.find(_MAGIC, position + 1)
    while place >= 0:
        if _record_at(number, data, place) is not None:
            return True
        place = data.find(_MAGIC, place + 1)
    return False
