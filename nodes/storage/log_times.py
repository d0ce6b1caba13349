"""Finding records of a log by their time, with the time indexes of its segments.

Opens a batch only to find the record within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, takewhile
from typing import NamedTuple

from nodes.storage.index import NO_TIMESTAMP_MS
from nodes.storage.segment import Segment
from transport.wire.batch import BatchHeader, RecordError
from transport.wire.batch_reader import decode_rows
from transport.wire.ids import LeaderEpoch, Offset


class TimedOffset(NamedTuple):
    """A record found by time."""

    offset: Offset
    timestamp_ms: int
    leader_epoch: LeaderEpoch


def first_not_older(
    segments: Sequence[Segment], timestamp_ms: int, start: Offset, up_to: Offset
) -> TimedOffset | None:
    """Return the first record from ``start`` on and below ``up_to`` of that time or a later one."""
    for segment in segments:
        if segment.next_offset <= start or segment.newest()[0] < timestamp_ms:
            continue
        position = max(segment.position_for_timestamp(timestamp_ms), segment.position_of(start))
        for at, header in segment.headers(position):
            if header.base_offset >= up_to:
                return None
            if header.max_timestamp_ms < timestamp_ms:
                continue
            found = _within(segment, at, header, timestamp_ms, start)
            if found is not None:
                return found if found.offset < up_to else None
    return None


def newest(segments: Sequence[Segment], start: Offset, up_to: Offset) -> TimedOffset | None:
    """Return the first record with the largest timestamp of those in that range."""
    best = -1
    for segment in segments:
        if segment.next_offset <= start:
            continue
        if segment.base_offset >= up_to:
            break
        newest_ms, _ = segment.newest()
        cut = segment.next_offset > up_to or segment.base_offset < start
        if cut and newest_ms > best:
            newest_ms = _newest_within(segment, start, up_to)
        best = max(best, newest_ms)
    return first_not_older(segments, best, start, up_to) if best >= 0 else None


def _newest_within(segment: Segment, start: Offset, up_to: Offset) -> int:
    """Return the largest timestamp of the records in that range of a segment.

    By its indexes, but for what stands between two entries: it may hold millions of batches.
    """
    known_ms, offset, position = segment.newest_before(up_to)
    of_known = segment.locate(offset)
    if of_known is None or of_known[1].base_offset < start:
        known_ms, position = NO_TIMESTAMP_MS, segment.position_of(start)
    rest = takewhile(lambda found: found[1].next_offset <= up_to, segment.headers(position))
    within = (_newest_ms(segment, at, header, start) for at, header in rest)
    return max(chain((known_ms,), within))


def _newest_ms(segment: Segment, position: int, header: BatchHeader, start: Offset) -> int:
    """Return the largest timestamp in a batch of the records from ``start`` on."""
    if header.base_offset >= start:
        return header.max_timestamp_ms
    try:
        rows = decode_rows(segment.file().read(position, header.size_bytes))
    except RecordError:
        return header.max_timestamp_ms
    return max((row[1] for row in rows if row[0] >= start), default=-1)


def _within(
    segment: Segment, position: int, header: BatchHeader, timestamp_ms: int, start: Offset
) -> TimedOffset | None:
    """Find the record within a batch; a batch that cannot be opened counts as one record."""
    try:
        rows = decode_rows(segment.file().read(position, header.size_bytes))
    except RecordError:
        offset = max(header.base_offset, start)
        return TimedOffset(offset, header.max_timestamp_ms, header.leader_epoch)
    for row in rows:
        if row[1] >= timestamp_ms and row[0] >= start:
            return TimedOffset(row[0], row[1], header.leader_epoch)
    return None
