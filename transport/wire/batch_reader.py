"""Decoding the records of a RecordBatch v2, for consumers. Knows nothing of topics or networks.

What a peer sent is never trusted: whatever is wrong inside a batch becomes a RecordError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast, overload

from transport.wire import varint
from transport.wire.batch import (
    CRC_FROM,
    HEADER_BYTES,
    BatchHeader,
    RecordError,
    iterate_headers,
    read_header,
)
from transport.wire.checksum import crc32c
from transport.wire.codec import Buffer
from transport.wire.compression import DECOMPRESSED_BYTES_MAX, NONE, decompress
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset
from transport.wire.regular_run import read_run
from transport.wire.varint import INT64_MAX, INT64_MIN, VARLONG_BYTES_MAX

RecordHeaders = tuple[tuple[str, bytes | None], ...]
Row = tuple[Offset, int, bytes | None, bytes | None, RecordHeaders]
"""(offset, timestamp in milliseconds, key, value, headers): a Record without its class."""

_PlainRow = tuple[int, int, bytes | None, bytes | None, RecordHeaders]
_SMALLEST_RECORD_BYTES = 7
_FROM_THE_START = Offset(0)


class Record(NamedTuple):
    """One record as it stands in a log."""

    offset: Offset
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RecordHeaders


_make_record = partial(tuple.__new__, Record)


def decode_batch(
    batch: Buffer,
    *,
    check_crc: bool = True,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> list[Record]:
    """Return the records of one whole batch.

    Raises RecordError: CORRUPT_MESSAGE (CRC, damaged compression), INVALID_RECORD (records that
    contradict themselves), MESSAGE_TOO_LARGE (a decompression bomb).
    """
    rows = decode_rows(batch, check_crc=check_crc, decompressed_bytes_max=decompressed_bytes_max)
    return list(map(_make_record, rows))


def decode_rows(
    batch: Buffer,
    *,
    check_crc: bool = True,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> list[Row]:
    """Return the records of one whole batch as plain tuples; raises as ``decode_batch``.

    The lean path: for callers that make rows of their own class from them.
    """
    header, data, position = open_batch(
        batch, check_crc=check_crc, decompressed_bytes_max=decompressed_bytes_max
    )
    rows: list[_PlainRow] = []
    try:
        position = _read_runs(header, data, position, rows)
        end = _read_rows(header, data, position, rows)
    except (IndexError, ValueError) as error:
        raise _damaged(header, f"record {len(rows)}: {error}") from None
    if end != len(data):
        raise _damaged(header, f"{len(data) - end} bytes are left after {len(rows)} records")
    if header.is_log_append_time:
        append_ms = header.max_timestamp_ms
        rows = [(offset, append_ms, key, value, more) for offset, _, key, value, more in rows]
    # Calling a NewType costs a tenth of the decoding of a record.
    return cast("list[Row]", rows)


def decode_values(
    batch: Buffer,
    *,
    check_crc: bool = True,
    decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
) -> list[bytes | None]:
    """Return only the values of one whole batch; raises as ``decode_batch``."""
    rows = decode_rows(batch, check_crc=check_crc, decompressed_bytes_max=decompressed_bytes_max)
    return [row[3] for row in rows]


def open_batch(
    batch: Buffer, *, check_crc: bool, decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> tuple[BatchHeader, bytes, int]:
    """Return the header, the uncompressed bytes, and where in them the records begin.

    Raises as ``decode_batch``.
    """
    header = read_header(batch)
    if header.size_bytes != len(batch):
        text = f"says it has {header.size_bytes} bytes, and has {len(batch)}"
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, f"the batch at {header.base_offset} {text}")
    if check_crc and crc32c(memoryview(batch)[CRC_FROM:]) != header.crc:
        text = f"the batch at offset {header.base_offset} fails its CRC"
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
    if header.codec == NONE:
        data, position = bytes(batch), HEADER_BYTES
    else:
        packed = memoryview(batch)[HEADER_BYTES:]
        data, position = decompress(header.codec, packed, decompressed_bytes_max), 0
    if not 0 <= header.record_count <= (len(data) - position) // _SMALLEST_RECORD_BYTES:
        raise _damaged(header, f"{header.record_count} records cannot be in {len(data)} bytes")
    return header, data, position


def _damaged(header: BatchHeader, text: str) -> RecordError:
    return RecordError(
        ErrorCode.INVALID_RECORD, f"the batch at offset {header.base_offset}: {text}"
    )


def _read_runs(header: BatchHeader, data: bytes, position: int, rows: list[_PlainRow]) -> int:
    """Append the rows of records that are alike, as far as they are; return where they end."""
    while True:
        left = min(header.record_count, header.last_offset_delta + 1) - len(rows)
        run, position = read_run(
            data, position, left, len(rows), header.base_offset, header.base_timestamp_ms
        )
        if not run:
            return position
        rows += run


# One long function on purpose: a call per number would triple the time per record.  Numbers are
# read inline while they have at most two bytes, as nearly all do, and are kept in zigzag form
# (twice the value, odd when negative) until they are known to be sound.
def _read_rows(  # noqa: C901, PLR0912, PLR0915 - see above
    header: BatchHeader, data: bytes, p: int, rows: list[_PlainRow]
) -> int:
    """Append a row per record from position ``p`` on; return where the last one ends."""
    base_offset, base_ms = header.base_offset, header.base_timestamp_ms
    previous, last = (len(rows) << 1) - 2, header.last_offset_delta << 1
    for _ in range(header.record_count - len(rows)):
        low, high = data[p], data[p + 1]
        if low < 0x80:
            length, start = low, p + 1
        elif high < 0x80:
            length, start = (high << 7) | (low & 0x7F), p + 2
        else:
            length, start = varint.decode_unsigned(data, p)
        p = start + 1
        if data[p]:
            timestamp_ms, p = _read_time(data, p, base_ms)
        else:
            timestamp_ms, p = base_ms, p + 1
        low, high = data[p], data[p + 1]
        if low < 0x80:
            delta, p = low, p + 1
        elif high < 0x80:
            delta, p = (high << 7) | (low & 0x7F), p + 2
        else:
            delta, p = varint.decode_unsigned(data, p)
        low, key = data[p], None
        if low == 1:
            p += 1
        elif low < 0x80 and not low & 1:
            p += 1
            key = data[p : p + (low >> 1)]
            p += low >> 1
        else:
            key, p = _read_bytes(data, p)
        low, high = data[p], data[p + 1]
        if low & 1 or low >= 0x80 <= high:
            value, p = _read_bytes(data, p)
        elif low < 0x80:
            p += 1
            value = data[p : p + (low >> 1)]
            p += low >> 1
        else:
            low = (high << 6) | (low & 0x7F) >> 1
            p += 2
            value = data[p : p + low]
            p += low
        headers: RecordHeaders = ()
        if data[p]:
            headers, p = _read_headers(data, p)
        else:
            p += 1
        if (p - start) << 1 != length:
            raise ValueError("its length is not that of its parts")
        if not previous < delta <= last or delta & 1:
            raise ValueError(f"offset delta {delta / 2} does not fit")
        previous = delta
        rows.append((base_offset + (delta >> 1), timestamp_ms, key, value, headers))
    return p


def _read_time(data: bytes, position: int, base_ms: int) -> tuple[int, int]:
    delta_ms, position = varint.decode(data, position, VARLONG_BYTES_MAX)
    timestamp_ms = base_ms + delta_ms
    if INT64_MIN <= timestamp_ms <= INT64_MAX:
        return timestamp_ms, position
    return varint.wrapped(timestamp_ms), position


def _read_bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    size, position = varint.decode(data, position)
    if size < 0:
        if size != -1:
            raise ValueError(f"a key or value of {size} bytes")
        return None, position
    return data[position : position + size], position + size


def _read_headers(data: bytes, position: int) -> tuple[RecordHeaders, int]:
    count, position = varint.decode(data, position)
    if not 0 <= count <= len(data) - position:
        raise ValueError(f"{count} headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, position = _read_bytes(data, position)
        if name is None:
            raise ValueError("a header without a name")
        content, position = _read_bytes(data, position)
        headers.append((name.decode(), content))
    return tuple(headers), position


class RecordBatchView(Sequence[Record]):
    """The records of one whole batch from ``from_offset`` on; decoded when first touched.

    ``len`` costs nothing unless compaction has taken records out of the batch that ``from_offset``
    lies in.  Touching it may raise RecordError, as ``decode_batch``.
    """

    __slots__ = ("_batch", "_records", "from_offset", "header")

    def __init__(
        self, batch: Buffer, header: BatchHeader, from_offset: Offset = _FROM_THE_START
    ) -> None:
        self._batch: Buffer | None = batch
        self._records: list[Record] = []
        self.header = header
        self.from_offset = from_offset

    @property
    def next_offset(self) -> Offset:
        """Where to read on after this batch."""
        return self.header.next_offset

    def rows(self) -> list[Row]:
        """Return the records as plain tuples, decoded anew: for who reads them once."""
        if self._batch is None:
            return list(self._records)
        rows = decode_rows(self._batch, check_crc=False)
        if self.from_offset > self.header.base_offset:
            return [row for row in rows if row[0] >= self.from_offset]
        return rows

    def _decoded(self) -> list[Record]:
        if self._batch is not None:
            self._records = list(map(_make_record, self.rows()))
            self._batch = None
        return self._records

    def __len__(self) -> int:
        skipped = self.from_offset - self.header.base_offset
        if self._batch is None or (
            skipped > 0 and self.header.record_count <= self.header.last_offset_delta
        ):
            return len(self._decoded())
        return max(0, self.header.record_count - max(0, skipped))

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._decoded()[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._decoded())

    def __repr__(self) -> str:
        return f"RecordBatchView({len(self)} records before offset {self.next_offset})"


def view_batches(
    buffer: Buffer, from_offset: Offset = _FROM_THE_START, *, check_crc: bool = True
) -> Iterator[RecordBatchView]:
    """Give views of the batches in a fetched buffer that hold records from ``from_offset`` on.

    CRCs are checked on the way, records are decoded later; control batches are among them, a partial
    last batch is left out.  Raises RecordError where there is damage, behind what is before it:
    CORRUPT_MESSAGE, UNSUPPORTED_FOR_MESSAGE_FORMAT.
    """
    whole = memoryview(buffer)
    for position, header in iterate_headers(buffer):
        if header.next_offset <= from_offset:
            continue
        batch = whole[position : position + header.size_bytes]
        if check_crc and crc32c(batch[CRC_FROM:]) != header.crc:
            text = f"the batch at offset {header.base_offset} fails its CRC"
            raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
        yield RecordBatchView(batch, header, from_offset)
