"""Encoding records into a RecordBatch v2, for producers. Knows nothing of topics or networks.

A record is ``length, attributes, timestamp delta, offset delta, key length, key, value length,
value, header count, headers``, all numbers zigzag varints.  ``extend`` writes a thousand of them
with a handful of calls into C: what stands between keys and values depends on lengths only and
comes out of small tables, and one ``join`` puts all together.  To save a piece per record, a piece
begins with the (zero) header count of the record *before* it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import add, getitem
from typing import Any

from transport.wire import varint
from transport.wire.batch import (
    CONTROL,
    CRC_FROM,
    HEADER,
    HEADER_BYTES,
    LENGTH_PREFIX_BYTES,
    MAGIC,
    NO_SEQUENCE,
    NO_TIMESTAMP_MS,
    TRANSACTIONAL,
)
from transport.wire.batch_reader import decode_rows
from transport.wire.checksum import crc32c
from transport.wire.compression import NONE, compress
from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId

Parts = Sequence[bytes | None]
"""The keys, or the values, of records."""
Headers = Sequence[tuple[str, bytes | None]]
Stamps = int | Sequence[int]
"""The timestamp of all records, or of each, in milliseconds."""

NO_PRODUCER_EPOCH = ProducerEpoch(-1)
BATCH_BYTES_MAX = 0x7FFFFFFF

_CRC_BYTES = 4
_RUN_RECORDS = 1024
"""Records encoded by one join: enough to make the calls' own cost small."""
_NO_HEADERS = b"\x00"
_NULL = b"\x01"
_ATTRIBUTES = b"\x00"
_NO_DELTA = b"\x00"
_TABLE_ENTRIES_MAX = 16_384
"""Above this many different lengths a table is begun anew."""
_OFFSET_DELTAS_MAX = 65_536
"""The varints of offset deltas up to here are kept: at most 2.5 MB, in producers only."""


class _Lengths(dict[int, bytes]):
    """``prefix`` and varint(length), by length; filled as lengths are met."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: bytes) -> None:
        super().__init__()
        self.prefix = prefix

    def __missing__(self, length: int) -> bytes:
        found = self[length] = self.prefix + varint.encode(length)
        return found


class _Weights(dict[int, int]):
    """Bytes that a key or value of some length takes, its length's varint included."""

    __slots__ = ()

    def __missing__(self, length: int) -> int:
        found = self[length] = length + varint.size(length)
        return found


class _Fronts(dict[int, bytes]):
    """What stands before a record's offset delta, by the weight of its key and value.

    That is: the header count of the record before; then length, attributes, timestamp delta.
    """

    __slots__ = ("fixed_bytes", "timestamp_delta")

    def __init__(self, timestamp_delta: bytes, offset_delta_bytes: int) -> None:
        super().__init__()
        self.timestamp_delta = timestamp_delta
        self.fixed_bytes = (
            len(_ATTRIBUTES) + len(timestamp_delta) + offset_delta_bytes + len(_NO_HEADERS)
        )

    def front(self, weight: int) -> bytes:
        length = varint.encode(self.fixed_bytes + weight)
        return _NO_HEADERS + length + _ATTRIBUTES + self.timestamp_delta

    def __missing__(self, weight: int) -> bytes:
        found = self[weight] = self.front(weight)
        return found


class _FrontsWithoutKey(_Fronts):
    """The same for records without a key, by the length of the value."""

    __slots__ = ()

    def __missing__(self, length: int) -> bytes:
        found = self[length] = self.front(len(_NULL) + varint.size(length) + length)
        return found


_lengths = _Lengths(b"")
_value_lengths = _Lengths(_NULL)
_weights = _Weights()
_offset_deltas: list[bytes] = []
# Of records of the batch's first instant, which are most; by the size of the offset delta.
_fronts_at_base: dict[type[_Fronts], list[_Fronts]] = {
    kind: [kind(_NO_DELTA, size) for size in range(varint.VARINT_BYTES_MAX + 1)]
    for kind in (_Fronts, _FrontsWithoutKey)
}


def _offset_deltas_of(first: int, count: int) -> list[bytes]:
    end = first + count
    if end > _OFFSET_DELTAS_MAX:
        return list(map(varint.encode, range(first, end)))
    have = len(_offset_deltas)
    if have < end:
        _offset_deltas.extend(map(varint.encode, range(have, end + _RUN_RECORDS)))
    return _offset_deltas[first:end]


def _same_size_until(delta: int) -> int:
    """Return the first delta above this one whose varint is longer."""
    return int(1 << (7 * varint.size(delta) - 1))


def _sized(parts: Sequence[bytes | None]) -> list[bytes]:
    """Return each with its length before it."""
    return [_NULL if part is None else _lengths[len(part)] + part for part in parts]


def _keep_small(table: dict[int, bytes] | dict[int, int]) -> None:
    if len(table) > _TABLE_ENTRIES_MAX:
        table.clear()


def _encode_record(
    timestamp_delta_ms: int,
    offset_delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> bytes:
    _keep_small(_lengths)
    body = b"".join(
        (
            _ATTRIBUTES,
            varint.encode(timestamp_delta_ms) if timestamp_delta_ms else _NO_DELTA,
            _lengths[offset_delta],
            _NULL if key is None else _lengths[len(key)] + key,
            _NULL if value is None else _lengths[len(value)] + value,
            _lengths[len(headers)] if headers else _NO_HEADERS,
        )
    )
    for name, content in headers:
        body += b"".join(_sized((name.encode(), content)))
    return _lengths[len(body)] + body


class BatchBuilder:
    """One growing batch.

    ``size_bytes`` is that of the batch if it were built uncompressed.  An empty builder takes one
    record of any size, as a batch cannot be smaller; whoever sends it checks its own limit.
    """

    __slots__ = (
        "_base_timestamp_ms",
        "_compressed",
        "_max_timestamp_ms",
        "_runs",
        "record_count",
        "size_bytes",
    )

    def __init__(self) -> None:
        self._runs: list[bytes] = []
        self._compressed: tuple[int, int, bytes] | None = None
        self._base_timestamp_ms = NO_TIMESTAMP_MS
        self._max_timestamp_ms = NO_TIMESTAMP_MS
        self.record_count = 0
        self.size_bytes = HEADER_BYTES

    @property
    def max_timestamp_ms(self) -> int:
        """Largest timestamp so far; −1 in an empty builder."""
        return self._max_timestamp_ms

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int,
        size_bytes_max: int = BATCH_BYTES_MAX,
    ) -> int:
        """Add one record; return by how many bytes the batch grew, or 0 if it would not fit.

        Raises TypeError for a key or value that is not bytes; nothing is added then.
        """
        delta_ms = timestamp_ms - self._base_timestamp_ms if self.record_count else 0
        record = _encode_record(delta_ms, self.record_count, key, value, headers)
        if self.record_count and self.size_bytes + len(record) > size_bytes_max:
            return 0
        self._add(record, 1, timestamp_ms)
        return len(record)

    def extend(
        self,
        keys: Parts,
        values: Parts,
        timestamp_ms: Stamps,
        size_bytes_max: int,
        start: int = 0,
    ) -> int:
        """Add records from index ``start`` on while the batch is within the limit.

        ``timestamp_ms`` is that of all, or of each.
        Returns how many were taken; at least one if the builder was empty and there is one.
        Raises TypeError for a key or value that is not bytes; ``record_count`` has grown by what
        was taken before it.
        """
        position = start
        while position < len(values):
            # As many as would fit if all were like the first; what is encoded beyond is wasted.
            like_this = (size_bytes_max - self.size_bytes) // self._size_of(
                keys[position], values[position]
            )
            if like_this < 1 and self.record_count:
                break
            count = min(max(like_this, 1), _RUN_RECORDS, self._deltas_of_one_size())
            end = position + count
            stamps = timestamp_ms
            if not isinstance(stamps, int):
                stamps = stamps[position:end]
                if stamps.count(stamps[0]) == len(stamps):
                    stamps = stamps[0]
            taken = self._extend_run(
                keys[position:end], values[position:end], stamps, size_bytes_max
            )
            position += taken
            if position < min(end, len(values)):
                break
        return position - start

    def build(
        self,
        codec: int = NONE,
        producer_id: ProducerId = NO_PRODUCER_ID,
        producer_epoch: ProducerEpoch = NO_PRODUCER_EPOCH,
        base_sequence: int = NO_SEQUENCE,
        *,
        transactional: bool = False,
        control: bool = False,
    ) -> bytes:
        """Return the batch. May be called again, as with a new producer epoch."""
        assert self.record_count > 0, "a batch has at least one record"
        runs = self._runs if codec == NONE else [self._compress(codec)]
        bits = (TRANSACTIONAL if transactional else 0) | (CONTROL if control else 0)
        header = HEADER.pack(
            0,
            HEADER_BYTES - LENGTH_PREFIX_BYTES + sum(map(len, runs)),
            -1,
            MAGIC,
            0,
            codec | bits,
            self.record_count - 1,
            self._base_timestamp_ms,
            self._max_timestamp_ms,
            producer_id,
            producer_epoch,
            base_sequence,
            self.record_count,
        )
        crc = crc32c(header[CRC_FROM:])
        for run in runs:
            crc = crc32c(run, crc)
        before = header[: CRC_FROM - _CRC_BYTES]
        return b"".join((before, crc.to_bytes(_CRC_BYTES, "big"), header[CRC_FROM:], *runs))

    def split(self, size_bytes_max: int) -> list[BatchBuilder]:
        """Return builders of the same records in order, each within the limit or of one record."""
        parts = [BatchBuilder()]
        for _, timestamp_ms, key, value, headers in decode_rows(self.build(), check_crc=False):
            if not parts[-1].append(key, value, headers, timestamp_ms, size_bytes_max):
                parts.append(BatchBuilder())
                parts[-1].append(key, value, headers, timestamp_ms, size_bytes_max)
        return parts

    def _compress(self, codec: int) -> bytes:
        kept = self._compressed
        if kept is None or kept[:2] != (codec, self.record_count):
            kept = (codec, self.record_count, compress(codec, b"".join(self._runs)))
            self._compressed = kept
        return kept[2]

    def _add(
        self, run: bytes, record_count: int, timestamp_ms: int, newest_ms: int | None = None
    ) -> None:
        if self.record_count == 0:
            self._base_timestamp_ms = timestamp_ms
        newest_ms = timestamp_ms if newest_ms is None else newest_ms
        self._max_timestamp_ms = max(self._max_timestamp_ms, newest_ms)
        self._runs.append(run)
        self.record_count += record_count
        self.size_bytes += len(run)

    def _size_of(self, *parts: bytes | None) -> int:
        """Return the size of the next record, the timestamp delta taken as one byte."""
        weight = sum(1 if part is None else _weights[len(part)] for part in parts)
        length = 3 + varint.size(self.record_count) + weight
        return length + varint.size(length)

    def _deltas_of_one_size(self) -> int:
        return _same_size_until(self.record_count) - self.record_count

    def _extend_run(
        self, keys: Parts, values: Parts, timestamp_ms: Stamps, size_bytes_max: int
    ) -> int:
        """Take as many of these as fit; all their offset deltas are varints of one size."""
        if None in values or (None in keys and keys.count(None) != len(keys)):
            columns = self._mixed_columns(keys, values, timestamp_ms)
        else:
            columns = self._columns(keys, values, timestamp_ms)
        pieces = list(chain.from_iterable(zip(*columns, strict=True)))
        pieces.append(_NO_HEADERS)
        encoded = b"".join(pieces)[1:]
        count = len(values)
        room_bytes = size_bytes_max - self.size_bytes
        if len(encoded) > room_bytes:
            ends = list(accumulate(map(len, pieces)))[len(columns) - 1 :: len(columns)]
            count = bisect_right(ends, room_bytes) or (0 if self.record_count else 1)
            if count == 0:
                return 0
            encoded = b"".join([*pieces[: count * len(columns)], _NO_HEADERS])[1:]
        if isinstance(timestamp_ms, int):
            self._add(encoded, count, timestamp_ms)
        else:
            self._add(encoded, count, timestamp_ms[0], max(timestamp_ms[:count]))
        return count

    def _columns(
        self, keys: Sequence[Any], values: Sequence[Any], timestamp_ms: Stamps
    ) -> list[Iterable[bytes]]:
        """Return the pieces of a run's records, a column each; either no or all keys are None."""
        deltas = _offset_deltas_of(self.record_count, len(keys))
        value_sizes = list(map(len, values))
        if keys[0] is None:
            heads = self._heads(_FrontsWithoutKey, timestamp_ms, deltas, value_sizes)
            return [heads, deltas, map(_value_lengths.__getitem__, value_sizes), values]
        key_sizes = list(map(len, keys))
        weigh, sizes = _weights.__getitem__, _lengths.__getitem__
        weights = map(add, map(weigh, key_sizes), map(weigh, value_sizes))
        heads = self._heads(_Fronts, timestamp_ms, deltas, weights)
        return [heads, deltas, map(sizes, key_sizes), keys, map(sizes, value_sizes), values]

    def _mixed_columns(
        self, keys: Sequence[bytes | None], values: Sequence[bytes | None], timestamp_ms: Stamps
    ) -> list[Iterable[bytes]]:
        """The same where some of the keys or values are missing."""
        deltas = _offset_deltas_of(self.record_count, len(keys))
        sized_keys, sized_values = _sized(keys), _sized(values)
        weights = map(add, map(len, sized_keys), map(len, sized_values))
        heads = self._heads(_Fronts, timestamp_ms, deltas, weights)
        return [heads, deltas, sized_keys, sized_values]

    def _heads(
        self,
        kind: type[_Fronts],
        timestamp_ms: Stamps,
        deltas: Sequence[bytes],
        weights: Iterable[int],
    ) -> Iterable[bytes]:
        """Return what stands before each record's offset delta."""
        size = len(deltas[0])
        if isinstance(timestamp_ms, int):
            return map(self._fronts(kind, timestamp_ms, size).__getitem__, weights)
        base_ms = self._base_timestamp_ms if self.record_count else timestamp_ms[0]
        by_time = {
            stamp_ms: self._fronts(kind, stamp_ms, size, base_ms) for stamp_ms in set(timestamp_ms)
        }
        fronts = map(by_time.__getitem__, timestamp_ms)
        return list(map(getitem, fronts, weights))

    def _fronts(
        self,
        kind: type[_Fronts],
        timestamp_ms: int,
        offset_delta_bytes: int,
        base_ms: int | None = None,
    ) -> _Fronts:
        for table in (_lengths, _value_lengths, _weights):
            _keep_small(table)
        if base_ms is None:
            base_ms = self._base_timestamp_ms if self.record_count else timestamp_ms
        delta_ms = timestamp_ms - base_ms
        if delta_ms:
            return kind(varint.encode(delta_ms), offset_delta_bytes)
        fronts = _fronts_at_base[kind][offset_delta_bytes]
        _keep_small(fronts)
        return fronts
