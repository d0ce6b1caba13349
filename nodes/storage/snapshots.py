"""Snapshots of a replicated state machine on disk: whole or not there.

A snapshot is one file, named by the entry it reaches, with a CRC over everything in it; the newest
two are kept.  Knows nothing of what is inside.
"""

from __future__ import annotations

import struct

from nodes.storage.disk import Damaged, Disk
from transport.wire.checksum import crc32c
from transport.wire.ids import LogIndex, Term

KEPT = 2
"""The newest, and one before it in case the newest is found damaged."""
_PREFIX, _SUFFIX = "snapshot-", ".bin"
_FORMAT = 1
_HEADER = struct.Struct("<4sIQQQI")  # Magic, format, last index, its term, length, CRC.
_MAGIC = b"\xf5Rs\x01"


def save(disk: Disk, folder: str, last_index: LogIndex, last_term: Term, data: bytes) -> None:
    """Write a snapshot durably and atomically; then remove all but the newest two.

    Raises StorageError; the snapshots before stay as they were then.
    """
    disk.make_folder(folder)
    header = _HEADER.pack(
        _MAGIC, _FORMAT, last_index, last_term, len(data), _checksum(last_index, last_term, data)
    )
    path = f"{folder}/{_PREFIX}{last_index:020d}{_SUFFIX}"
    disk.write_file(path, header + data, durable=True)
    for name in _newest_first(disk, folder)[KEPT:]:
        disk.remove(f"{folder}/{name}")


def load_newest(disk: Disk, folder: str) -> tuple[LogIndex, Term, bytes | memoryview] | None:
    """Return (last index, its term, data) of the newest whole snapshot; None if none was ever made.

    A damaged one is passed over for the one before it. Raises Damaged when none is whole.
    """
    faults = []
    for name in _newest_first(disk, folder):
        found = _parse(disk.read_file(f"{folder}/{name}") or b"")
        if not isinstance(found, str):
            return found
        faults.append(f"{name}: {found}")
    if faults:
        raise Damaged(f"no snapshot in {folder} is whole ({'; '.join(faults)})")
    return None


def _newest_first(disk: Disk, folder: str) -> list[str]:
    names = [n for n in disk.list(folder) if n.startswith(_PREFIX) and n.endswith(_SUFFIX)]
    return sorted(names, reverse=True)


def _checksum(last_index: int, last_term: int, data: bytes | memoryview) -> int:
    return crc32c(data, crc32c(struct.pack("<IQQQ", _FORMAT, last_index, last_term, len(data))))


def _parse(content: bytes) -> tuple[LogIndex, Term, bytes | memoryview] | str:
    """Return the snapshot, or what is wrong with it."""
    if len(content) < _HEADER.size:
        return "shorter than its header"
    magic, version, last_index, last_term, length, checksum = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        return "not a snapshot"
    if version != _FORMAT:
        return f"written by another version (format {version})"
    data = memoryview(content)[_HEADER.size :]  # not copied: it may be large
    if len(data) != length:
        return f"{len(data)} bytes instead of {length}"
    if _checksum(last_index, last_term, data) != checksum:
        return "its checksum does not fit"
    return LogIndex(last_index), Term(last_term), data
