"""Taking records out of a RecordBatch v2: what stays, stays byte for byte, at its offset.

A batch keeps its base offset, its last offset, its producer and its sequence, however few of its
records are left; with none left it is a header alone, of no transaction.  A *delete horizon* stands in the place of the
base timestamp, and the records' time deltas are rewritten to it.

Source: Apache Kafka documentation, "Message Format"; KIP-534 (delete horizon).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from transport.wire import varint
from transport.wire.batch import (
    CODEC_MASK,
    CRC_FROM,
    DELETE_HORIZON,
    HEADER_BYTES,
    NO_TIMESTAMP_MS,
    TRANSACTIONAL,
    BatchHeader,
    RecordError,
    encode_header,
)
from transport.wire.batch_reader import open_batch
from transport.wire.checksum import crc32c
from transport.wire.codec import Buffer
from transport.wire.compression import NONE, compress
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset
from transport.wire.varint import VARLONG_BYTES_MAX

RECORDS_OPENED_MAX = 100_000
"""Of one batch. A few kilobytes can say that they are millions, and would take a minute; a batch of so
many is not taken into a compacted log, and stays as it is in one that was not compacted before."""


class RawRecord(NamedTuple):
    """One record as it lies in the uncompressed bytes."""

    offset: Offset
    timestamp_ms: int
    key: bytes | None
    is_tombstone: bool
    encoded: bytes
    """The whole record, its length included."""
    rest: bytes
    """What follows its time delta."""


def raw_records(batch: Buffer, *, check_crc: bool = True) -> Iterator[RawRecord]:
    """Give the records of a whole batch; raises RecordError as ``decode_batch``."""
    yield from records_of(*open_batch(batch, check_crc=check_crc))


def records_of(header: BatchHeader, data: bytes, position: int) -> Iterator[RawRecord]:
    """Give the records of a batch that :func:`open_batch` has opened; raises INVALID_RECORD."""
    try:
        for _ in range(header.record_count):
            record, position = _read(header, data, position)
            yield record
    except (IndexError, ValueError) as error:
        text = f"the batch at offset {header.base_offset}: {error}"
        raise RecordError(ErrorCode.INVALID_RECORD, text) from None


def _read(header: BatchHeader, data: bytes, start: int) -> tuple[RawRecord, int]:
    length, after_length = varint.decode(data, start)
    end = after_length + length
    if length < 0 or end > len(data):
        raise ValueError(f"a record of {length} bytes")
    delta_ms, after_time = varint.decode(data, after_length + 1, VARLONG_BYTES_MAX)
    offset_delta, position = varint.decode(data, after_time)
    key_bytes, position = varint.decode(data, position)
    key = None if key_bytes < 0 else data[position : position + key_bytes]
    value_bytes, _ = varint.decode(data, position + max(0, key_bytes))
    if not 0 <= offset_delta <= header.last_offset_delta:
        raise ValueError(f"offset delta {offset_delta} does not fit")
    offset = Offset(header.base_offset + offset_delta)
    timestamp_ms = varint.wrapped(header.base_timestamp_ms + delta_ms)
    encoded, rest = data[start:end], data[after_time:end]
    return RawRecord(offset, timestamp_ms, key, value_bytes < 0, encoded, rest), end


def filtered(
    header: BatchHeader, kept: Sequence[RawRecord], delete_horizon_ms: int | None = None
) -> tuple[bytes, BatchHeader]:
    """Return the batch with only the records ``kept``, and its header.

    ``delete_horizon_ms``: set the horizon, where the batch has none yet.
    """
    if delete_horizon_ms is None or header.delete_horizon_ms is not None:
        records = b"".join([record.encoded for record in kept])
    else:
        header = replace(
            header,
            attributes=header.attributes | DELETE_HORIZON,
            base_timestamp_ms=delete_horizon_ms,
        )
        records = b"".join([_retimed(record, delete_horizon_ms) for record in kept])
    if not header.is_log_append_time or not kept:
        newest_ms = max((record.timestamp_ms for record in kept), default=NO_TIMESTAMP_MS)
        header = replace(header, max_timestamp_ms=newest_ms)
    if not kept:
        # Nothing to decompress, and nothing that a transaction would have to decide.
        bare = header.attributes & ~(CODEC_MASK | TRANSACTIONAL)
        header = replace(header, attributes=bare)
    elif header.codec != NONE:
        records = compress(header.codec, records)
    header = replace(header, size_bytes=HEADER_BYTES + len(records), record_count=len(kept))
    crc = crc32c(records, crc32c(encode_header(header)[CRC_FROM:]))
    header = replace(header, crc=crc)
    return encode_header(header) + records, header


def _retimed(record: RawRecord, base_timestamp_ms: int) -> bytes:
    delta_ms = varint.wrapped(record.timestamp_ms - base_timestamp_ms)
    body = b"\x00" + varint.encode(delta_ms) + record.rest
    return varint.encode(len(body)) + body
