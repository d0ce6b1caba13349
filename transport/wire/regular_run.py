"""Reading records that are all of one layout, as those of one size are, by columns instead of bytes.

Records without headers whose keys have one length and whose values have another, with consecutive
offsets, stand in a batch at a fixed distance.  Each byte before a key is then a column that one
comparison in C checks for all records, and keys and values are slices: a fifth of the time of reading
them one by one.  Whatever is not exactly so is left to the general reader, byte for byte.
"""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

RECORDS_MIN = 16
"""Fewer are not worth the trouble."""
_BASE_MS_MAX = 2**63 - 100
_ONE_BYTE_DELTAS = 64
_TWO_BYTE_DELTAS = 8_192
_DOUBLED = [delta << 1 for delta in range(_TWO_BYTE_DELTAS)]
# The varints of offset deltas, a column for each of their bytes.
_SHORT = bytes(_DOUBLED[:_ONE_BYTE_DELTAS])
_LOW = bytes(double & 0x7F | 0x80 for double in _DOUBLED)
_HIGH = bytes(double >> 7 for double in _DOUBLED)

Row = tuple[int, int, bytes | None, bytes | None, tuple[()]]


class Layout(NamedTuple):
    """Where the parts of a record stand, from its beginning."""

    length_bytes: int
    delta_bytes: int
    key_at: int
    key_bytes: int
    """−1: there is no key."""
    value_at: int
    value_bytes: int
    size_bytes: int


def read_run(
    data: bytes, start: int, records: int, delta: int, base_offset: int, base_ms: int
) -> tuple[list[Row], int]:
    """Read the records from ``start`` on that are of one layout, the first at offset ``delta``.

    At most ``records``.  Returns their rows, and where they end; no rows: not worth it, or not so.
    """
    if records < RECORDS_MIN or delta >= _TWO_BYTE_DELTAS:
        return [], start
    layout = _layout(data, start, 1 if delta < _ONE_BYTE_DELTAS else 2)
    if layout is None:
        return [], start
    size_bytes = layout.size_bytes
    until = _ONE_BYTE_DELTAS if layout.delta_bytes == 1 else _TWO_BYTE_DELTAS
    count = min(records, until - delta, (len(data) - start) // size_bytes)
    if count < RECORDS_MIN:
        return [], start
    end = start + count * size_bytes
    times = _times(data, start + layout.length_bytes + 1, end, layout, base_ms)
    if times is None or not _is_regular(data, start, end, delta, count, layout):
        return [], start
    at, stop = start + layout.value_at, layout.value_bytes
    values = [data[p : p + stop] for p in range(at, end, size_bytes)]
    keys: list[bytes] | repeat[None] = repeat(None)
    if layout.key_bytes >= 0:
        at, stop = start + layout.key_at, layout.key_bytes
        keys = [data[p : p + stop] for p in range(at, end, size_bytes)]
    offsets = range(base_offset + delta, base_offset + delta + count)
    return list(zip(offsets, times, keys, values, repeat(()))), end


def _layout(data: bytes, start: int, delta_bytes: int) -> Layout | None:
    """Return the layout of the record at ``start``; None: it has headers, no value, or is large."""
    try:
        length, p = _size(data, start)
        after_length = p
        p += 2 + delta_bytes  # attributes, time, offset
        key_bytes = -1
        if data[p] == 1:
            key_at = p = p + 1
        else:
            key_bytes, key_at = _size(data, p)
            p = key_at + key_bytes
        value_bytes, value_at = _size(data, p)
        end = value_at + value_bytes + 1
        if data[end - 1] or end - after_length != length:
            return None
    except (IndexError, ValueError):
        return None
    return Layout(
        after_length - start,
        delta_bytes,
        key_at - start,
        key_bytes,
        value_at - start,
        value_bytes,
        end - start,
    )


def _size(data: bytes, p: int) -> tuple[int, int]:
    """Read a size of at most two bytes; ValueError for another, or one below zero."""
    low, high = data[p], data[p + 1]
    if low & 1 or (low >= 0x80 and high >= 0x80):
        raise ValueError
    if low < 0x80:
        return low >> 1, p + 1
    return (high << 6) | (low & 0x7F) >> 1, p + 2


def _times(
    data: bytes, at: int, end: int, layout: Layout, base_ms: int
) -> list[int] | repeat[int] | None:
    """Return each record's time; None where one takes more than a byte, or might not fit 64 bits."""
    column = data[at : end : layout.size_bytes]
    if not any(column):
        return repeat(base_ms)
    if not column.isascii() or abs(base_ms) > _BASE_MS_MAX:
        return None
    return [base_ms + ((byte >> 1) ^ -(byte & 1)) for byte in column]


def _is_regular(data: bytes, start: int, end: int, delta: int, count: int, layout: Layout) -> bool:
    """Compare every byte that is neither attributes, time, key nor value, in all records."""
    size_bytes = layout.size_bytes
    delta_at = layout.length_bytes + 2
    fixed = [
        *range(layout.length_bytes),
        *range(delta_at + layout.delta_bytes, layout.key_at),
        *range(layout.key_at + max(0, layout.key_bytes), layout.value_at),
        size_bytes - 1,
    ]
    if any(
        data[start + at : end : size_bytes] != data[start + at : start + at + 1] * count
        for at in fixed
    ):
        return False
    columns = (_SHORT,) if layout.delta_bytes == 1 else (_LOW, _HIGH)
    return all(
        data[start + delta_at + place : end : size_bytes] == column[delta : delta + count]
        for place, column in enumerate(columns)
    )
