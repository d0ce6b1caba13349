"""The two sparse indexes of a segment, in Kafka's formats; in memory as arrays, on disk as a cache.

``.index``: (offset relative to the segment's base i32, position i32) of one batch per index
interval; the offset is the batch's *last* one.  ``.timeindex``: (timestamp i64, relative offset
i32): nothing up to that offset is newer than that timestamp.  Both grow strictly.

They hold nothing that the log does not: a file that is missing, torn or impossible is no error,
and is built anew from batch headers.  Source: Apache Kafka, OffsetIndex and TimeIndex.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from operator import lt
from struct import Struct

from transport.wire.ids import Offset

_LITTLE = sys.byteorder == "little"
_TIME_ENTRY = Struct(">qi")
NO_TIMESTAMP_MS = -1


def _grows(numbers: array[int]) -> bool:
    return all(map(lt, numbers, islice(numbers, 1, None)))


class OffsetIndex:
    """Where in the file to begin looking for an offset."""

    __slots__ = ("_base_offset", "_offsets", "_positions")
    ENTRY_BYTES = 8

    def __init__(self, base_offset: Offset) -> None:
        self._base_offset = base_offset
        self._offsets = array("i")
        self._positions = array("i")

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.ENTRY_BYTES * len(self._offsets)

    @classmethod
    def decode(cls, data: bytes | None, base_offset: Offset, size_bytes: int) -> OffsetIndex | None:
        """Read a file's bytes; None when they cannot be of a segment of ``size_bytes``."""
        if data is None or len(data) % cls.ENTRY_BYTES:
            return None
        numbers = array("i", data)
        if _LITTLE:
            numbers.byteswap()
        found = cls(base_offset)
        found._offsets, found._positions = numbers[0::2], numbers[1::2]
        if not (_grows(found._offsets) and _grows(found._positions)):
            return None
        if found._positions and not 0 < found._positions[0] <= found._positions[-1] < size_bytes:
            return None
        return None if found._offsets and found._offsets[0] < 0 else found

    def encode(self, first: int = 0) -> bytes:
        """Return the file's bytes, from an entry on. Another thread may append meanwhile."""
        end = len(self._positions)
        offsets, positions = self._offsets[first:end], self._positions[first:end]
        numbers = array("i", bytes(self.ENTRY_BYTES * len(positions)))
        numbers[0::2], numbers[1::2] = offsets, positions
        if _LITTLE:
            numbers.byteswap()
        return numbers.tobytes()

    def append(self, last_offset: Offset, position: int) -> None:
        """Note the batch that ends with ``last_offset`` and begins at ``position``."""
        self._offsets.append(last_offset - self._base_offset)
        self._positions.append(position)

    def lookup(self, offset: Offset) -> int:
        """Return the position of a batch at or before the one that holds ``offset``."""
        entry = bisect_right(self._offsets, offset - self._base_offset) - 1
        return self._positions[entry] if entry >= 0 else 0

    def position_before(self, position: int) -> int:
        """Return the largest known beginning of a batch at or before ``position``."""
        entry = bisect_right(self._positions, position) - 1
        return self._positions[entry] if entry >= 0 else 0

    def truncate(self, size_bytes: int) -> None:
        """Forget what lies beyond ``size_bytes``."""
        keep = bisect_left(self._positions, size_bytes)
        del self._positions[keep:]
        del self._offsets[keep:]


class TimeIndex:
    """After which offset to begin looking for a timestamp."""

    __slots__ = ("_base_offset", "_offsets", "_timestamps")
    ENTRY_BYTES = 12

    def __init__(self, base_offset: Offset) -> None:
        self._base_offset = base_offset
        self._timestamps = array("q")
        self._offsets = array("i")

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.ENTRY_BYTES * len(self._offsets)

    @classmethod
    def decode(cls, data: bytes | None, base_offset: Offset) -> TimeIndex | None:
        """Read a file's bytes; None when they cannot be a time index."""
        if data is None or len(data) % cls.ENTRY_BYTES:
            return None
        found = cls(base_offset)
        for timestamp_ms, offset in _TIME_ENTRY.iter_unpack(data):
            found._timestamps.append(timestamp_ms)
            found._offsets.append(offset)
        if not (_grows(found._timestamps) and _grows(found._offsets)):
            return None
        return None if found._offsets and found._offsets[0] < 0 else found

    def encode(self, first: int = 0) -> bytes:
        """Return the file's bytes, from an entry on. Another thread may append meanwhile."""
        end = len(self._offsets)
        offsets, timestamps = self._offsets[first:end], self._timestamps[first:end]
        return b"".join(map(_TIME_ENTRY.pack, timestamps, offsets))

    def append(self, timestamp_ms: int, offset: Offset) -> None:
        """Note that nothing up to ``offset`` is newer; nothing to do unless both have grown."""
        relative = offset - self._base_offset
        if not self._timestamps or (
            timestamp_ms > self._timestamps[-1] and relative > self._offsets[-1]
        ):
            self._timestamps.append(timestamp_ms)
            self._offsets.append(relative)

    def lookup(self, timestamp_ms: int) -> Offset:
        """Return an offset before which everything is older than ``timestamp_ms``."""
        entry = bisect_left(self._timestamps, timestamp_ms) - 1
        relative = self._offsets[entry] + 1 if entry >= 0 else 0
        return Offset(self._base_offset + relative)

    def newest(self) -> tuple[int, Offset]:
        """Return the last entry, or (−1, base offset)."""
        if not self._timestamps:
            return NO_TIMESTAMP_MS, self._base_offset
        return self._timestamps[-1], Offset(self._base_offset + self._offsets[-1])

    def newest_before(self, end_offset: Offset) -> tuple[int, Offset]:
        """Return the last entry before ``end_offset``, or (−1, base offset)."""
        entry = bisect_left(self._offsets, end_offset - self._base_offset) - 1
        if entry < 0:
            return NO_TIMESTAMP_MS, self._base_offset
        return self._timestamps[entry], Offset(self._base_offset + self._offsets[entry])

    def truncate(self, end_offset: Offset) -> None:
        """Forget what speaks of ``end_offset`` or later."""
        keep = bisect_left(self._offsets, end_offset - self._base_offset)
        del self._timestamps[keep:]
        del self._offsets[keep:]
