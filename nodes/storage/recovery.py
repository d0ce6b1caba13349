"""Bringing a segment back after a process or a machine has stopped in the middle of a write.

Reads a segment's batches in order, checks the CRC of those past the recovery point, and decides
what the first bad one is: the torn tail of an interrupted write, which is cut, or damage, which
nobody may cut away silently: bytes that were written whole are different now.  The sign of damage
is a valid batch behind the bad one.  Source: Apache Kafka, LogSegment.recover; Raft practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nodes.storage.disk import Damaged, Disk, File
from nodes.storage.log_files import (
    INDEX,
    LOG,
    SWAP_SUFFIX,
    TIME_INDEX,
    base_offsets,
    segment_stem,
    swap_offsets,
)
from nodes.storage.segment import NO_LEADER_EPOCH, OFFSETS_MAX, Segment, walk_headers
from transport.wire.batch import CRC_FROM, HEADER_BYTES, BatchHeader, RecordError, read_header
from transport.wire.checksum import crc32c
from transport.wire.ids import Offset

_WINDOW_BYTES = 1024 * 1024
_MAGIC_AT = 16
_MAGIC = b"\x02"


class Scanned(NamedTuple):
    """What a scan of a segment found."""

    cut_bytes: int
    """Of a torn tail, cut away."""
    whole_but_wrong: bool
    """The tail was a batch of full length that fails its CRC: not what a torn write leaves."""


def scan_segment(segment: Segment, recovery_point: Offset) -> Scanned:
    """Read a segment, rebuild its indexes, and cut a torn tail off.

    CRCs are checked of batches that end past ``recovery_point``.  Raises Damaged, naming file and
    position, when a valid batch stands behind a bad one.
    """
    file = segment.file()
    size_bytes = file.size_bytes()
    segment.begin_scan()
    walk = _Walk(segment, size_bytes)
    for header in walk.batches(recovery_point):
        segment.note(header)
    cut_bytes = size_bytes - segment.size_bytes
    if cut_bytes:
        _refuse_damage(file, segment.size_bytes, size_bytes, walk)
        file.truncate(segment.size_bytes)
    return Scanned(cut_bytes, walk.whole_but_wrong)


class _Walk:
    """One pass over a file's batches; ends at the first that is not sound."""

    __slots__ = (
        "_end",
        "_file",
        "_segment",
        "expected",
        "fault",
        "last_epoch",
        "lowest",
        "whole_but_wrong",
    )

    def __init__(self, segment: Segment, end: int) -> None:
        self._segment = segment
        self._file = segment.file()
        self._end = end
        self.expected = self.lowest = segment.base_offset
        """What the next batch begins with or above, by the last one; ``lowest``: by those before
        it, for the last one's own offset may be what is wrong."""
        self.last_epoch = NO_LEADER_EPOCH
        self.fault = ""
        self.whole_but_wrong = False

    def batches(self, recovery_point: Offset) -> Iterator[BatchHeader]:
        position, start, window = 0, 0, b""
        while position < self._end:
            if position - start + HEADER_BYTES > len(window):
                window, start = self._file.read(position, _WINDOW_BYTES), position
            try:
                header = read_header(window, position - start)
            except RecordError as error:
                self.fault = error.text
                return
            self.fault = self._contradiction(header, position)
            if self.fault:
                return
            if header.next_offset > recovery_point:
                inside = position - start + header.size_bytes <= len(window)
                if not inside and header.size_bytes <= _WINDOW_BYTES:
                    window, start, inside = self._file.read(position, _WINDOW_BYTES), position, True
                body = memoryview(window)[position - start + CRC_FROM :]
                body = body[: header.size_bytes - CRC_FROM]
                crc = crc32c(body) if inside else crc_of(self._file, position, header.size_bytes)
                if crc != header.crc:
                    self.fault, self.whole_but_wrong = "it fails its CRC", True
                    return
            self.lowest, self.expected = self.expected, header.next_offset
            self.last_epoch = header.leader_epoch
            yield header
            position += header.size_bytes

    def _contradiction(self, header: BatchHeader, position: int) -> str:
        if position + header.size_bytes > self._end:
            return "it is cut short"
        if not self._segment.can_follow(header):
            return f"its offset is {header.base_offset}, after {self.expected - 1}"
        if header.leader_epoch < self.last_epoch:
            return f"its leader epoch is {header.leader_epoch}, after {self.last_epoch}"
        return ""


def finish_swaps(disk: Disk, folder: str, names: list[str]) -> None:
    """Put cleaned segments that were whole when the process ended in their places.

    Each says by its last batch where its range ends; what is left of the segments in that range goes.
    """
    swaps = swap_offsets(names)
    for base in swaps:
        stem = f"{folder}/{segment_stem(base)}"
        swap = f"{stem}{LOG}{SWAP_SUFFIX}"
        file = disk.open(swap)
        end = base
        for _, header in walk_headers(file, 0, file.size_bytes()):
            end = header.next_offset
        file.close()
        for other in base_offsets(names):
            if base <= other < end:
                for ending in (LOG, INDEX, TIME_INDEX):
                    disk.remove(f"{folder}/{segment_stem(other)}{ending}")
        disk.rename(swap, stem + LOG)
    if swaps:
        disk.sync_folder(folder)


def crc_of(file: File, position: int, size_bytes: int) -> int:
    """Return the CRC-32C of a batch in a file, read in pieces: its length may be a lie."""
    crc, at, end = 0, position + CRC_FROM, position + size_bytes
    while at < end:
        piece = file.read(at, min(_WINDOW_BYTES, end - at))
        if not piece:
            break
        crc = crc32c(piece, crc)
        at += len(piece)
    return crc


def _refuse_damage(file: File, position: int, end: int, walk: _Walk) -> None:
    """Raise Damaged if a valid batch stands behind the bad one at ``position``, or in its place."""
    at = position
    while end - at >= HEADER_BYTES:
        window = file.read(at, _WINDOW_BYTES)
        found = window.find(_MAGIC, _MAGIC_AT)
        while 0 <= found <= len(window) - (HEADER_BYTES - _MAGIC_AT):
            there = at + found - _MAGIC_AT
            later = _later_batch(file, there, end, window, found - _MAGIC_AT, walk.lowest)
            if later is not None:
                raise Damaged(
                    f"{file.path} is damaged at position {position} ({walk.fault}): a whole"
                    f" batch at offset {later} follows at position {there}"
                )
            found = window.find(_MAGIC, found + 1)
        # The next window begins where a header may have been cut by the end of this one.
        at += max(len(window) - HEADER_BYTES, 1) if len(window) == _WINDOW_BYTES else len(window)


def _later_batch(
    file: File, there: int, end: int, window: bytes, position: int, lowest: Offset
) -> Offset | None:
    """Return the base offset of the sound batch at ``there``, if there is one."""
    try:
        header = read_header(window, position)
    except RecordError:
        return None
    if not lowest <= header.base_offset < lowest + OFFSETS_MAX:
        return None
    if there + header.size_bytes > end:
        return None
    return header.base_offset if crc_of(file, there, header.size_bytes) == header.crc else None
