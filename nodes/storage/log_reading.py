"""Finding what a read is to return: which bytes of which segment, mostly without reading any.

Knows nothing of where a log begins or of high watermarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodes.storage.disk import Buffer, Damaged
from nodes.storage.segment import Segment
from transport.wire.batch import RecordError, check_batches
from transport.wire.ids import Offset


class Extent(NamedTuple):
    """Whole batches that stand together in a file."""

    segment: Segment
    position: int
    size_bytes: int
    checked: bool
    """An earlier process has written them: their CRCs are looked at."""

    def read(self) -> bytes:
        """Return them; raises Damaged where a CRC fails."""
        data = self.segment.file().read(self.position, self.size_bytes)
        if self.checked:
            _check(data, f"{self.segment.path} at position {self.position}")
        return data

    def read_cached(self) -> bytes | bytearray | None:
        """Return them like ``read``; None: they are not in the page cache."""
        data = self.segment.file().read_cached(self.position, self.size_bytes)
        if self.checked and data is not None:
            _check(data, f"{self.segment.path} at position {self.position}")
        return data


def extent_at(
    segments: Iterable[Segment],
    offset: Offset,
    size_bytes_max: int,
    up_to: Offset,
    *,
    checked: bool,
) -> Extent | None:
    """Return the batches from the one that holds ``offset`` on, of one of these segments.

    None reaches beyond ``up_to``; at most ``size_bytes_max``, but for the first, which comes whole
    all the same.  None at all: there is nothing before ``up_to``.
    """
    for segment in segments:
        start = segment.position_of(offset)
        stop = segment.position_of(up_to)
        if start >= stop:
            if up_to <= segment.next_offset:
                return None
            continue
        limit = start + size_bytes_max
        if stop > limit:
            stop = segment.boundary_before(limit, start)
        if stop <= start:
            stop = start + next(segment.headers(start))[1].size_bytes
        return Extent(segment, start, stop - start, checked)
    return None


def is_recent(segments: Sequence[Segment], extent: Extent, recent_bytes: int) -> bool:
    """Tell whether an extent stands so near the end of its log."""
    left_bytes = recent_bytes + extent.position
    for segment in reversed(segments):
        left_bytes -= segment.size_bytes
        if segment is extent.segment or left_bytes < 0:
            break
    return left_bytes >= 0


def _check(data: Buffer, where: str) -> None:
    try:
        check_batches(data)
    except RecordError as error:
        raise Damaged(f"{where}: {error.text}") from None
