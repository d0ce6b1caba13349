"""The header of Kafka's RecordBatch v2: reading, checking, stamping; never the records inside.

Layout (big-endian, 61 bytes): base offset i64, length i32 (of what follows it), partition leader
epoch i32, magic i8, CRC-32C u32 of everything from the attributes on, attributes i16, last offset
delta i32, base timestamp i64, max timestamp i64, producer id i64, producer epoch i16, base sequence
i32, record count i32.  The first 16 bytes lie outside the CRC, so a broker stamps them uncopied.

Source: Apache Kafka documentation, "Message Format" (record batch); KIP-98.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import msgspec
from msgspec.structs import astuple, replace

from transport.wire.checksum import crc32c
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_PRODUCER_ID, LeaderEpoch, Offset, ProducerEpoch, ProducerId

MAGIC = 2
MAGIC_AT = 16
HEADER_BYTES = 61
STAMP_BYTES = 16
"""Base offset, length and leader epoch: what a broker writes over."""
LENGTH_PREFIX_BYTES = 12
"""The base offset and the length itself are not counted by the length."""
CRC_FROM = 21
"""The CRC covers everything from the attributes on."""

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
DELETE_HORIZON = 0x40
CODEC_HIGHEST = 4

NO_TIMESTAMP_MS = -1
NO_SEQUENCE = -1

HEADER = Struct(">qiibIhiqqqhii")
_STAMP = Struct(">qii")

assert HEADER.size == HEADER_BYTES
assert _STAMP.size == STAMP_BYTES


class RecordError(Exception):
    """Bytes that are not a record batch this code takes; ``error`` is the code to answer with."""

    def __init__(self, error: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.text = text


class BatchHeader(msgspec.Struct, frozen=True, gc=False):
    """The 61 bytes before the records."""

    base_offset: Offset
    size_bytes: int
    """Of the whole batch, the 12 bytes before the length's count included."""
    leader_epoch: LeaderEpoch
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    base_sequence: int
    record_count: int

    @property
    def last_offset(self) -> Offset:
        """Offset of the last record, or of the last one before compaction took it."""
        return Offset(self.base_offset + self.last_offset_delta)

    @property
    def next_offset(self) -> Offset:
        """The offset after this batch."""
        return Offset(self.base_offset + self.last_offset_delta + 1)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record; sequences wrap to 0 after 2³¹ − 1. −1: not idempotent."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF

    @property
    def codec(self) -> int:
        """Number of the compression codec; see ``compression.CODECS``."""
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        """Every record's timestamp is ``max_timestamp_ms``, set by the broker."""
        return bool(self.attributes & LOG_APPEND_TIME)

    @property
    def is_transactional(self) -> bool:
        """Part of a transaction."""
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def delete_horizon_ms(self) -> int | None:
        """When tombstones or a marker in it may go (wall time); it stands for the base timestamp."""
        return self.base_timestamp_ms if self.attributes & DELETE_HORIZON else None

    @property
    def is_control(self) -> bool:
        """A commit or abort marker, not a program's records."""
        return bool(self.attributes & CONTROL)


def read_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Read the header at ``position``; the rest of the batch need not be there.

    Raises RecordError: CORRUPT_MESSAGE (too short, an impossible length),
    UNSUPPORTED_FOR_MESSAGE_FORMAT (another magic).
    """
    if len(buffer) - position < HEADER_BYTES:
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, "a record batch is cut short in its header")
    base, length, *rest = HEADER.unpack_from(buffer, position)
    if rest[1] != MAGIC:
        text = f"a record batch of magic {rest[1]}; only {MAGIC} is taken"
        raise RecordError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, text)
    size_bytes = length + LENGTH_PREFIX_BYTES
    if size_bytes < HEADER_BYTES:
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, f"a record batch of length {length}")
    return BatchHeader(base, size_bytes, *rest)


def check_batch(buffer: Buffer, *, size_bytes_max: int) -> BatchHeader:
    """Check one batch of a producer, alone in ``buffer``, without opening its records.

    Raises RecordError: MESSAGE_TOO_LARGE (above ``size_bytes_max``), CORRUPT_MESSAGE (length or
    CRC), UNSUPPORTED_FOR_MESSAGE_FORMAT (magic), INVALID_RECORD (a header that contradicts itself).
    """
    if len(buffer) > size_bytes_max:
        text = f"a record batch of {len(buffer)} bytes is above {size_bytes_max}"
        raise RecordError(ErrorCode.MESSAGE_TOO_LARGE, text)
    if len(buffer) > MAGIC_AT and buffer[MAGIC_AT] != MAGIC:
        # In the old formats it stands there too, and a message may be shorter than our header.
        text = f"records of magic {buffer[MAGIC_AT]}; only {MAGIC} is taken"
        raise RecordError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, text)
    header = read_header(buffer)
    if header.size_bytes != len(buffer):
        text = f"a record batch says it has {header.size_bytes} bytes, and has {len(buffer)}"
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
    if crc32c(memoryview(buffer)[CRC_FROM:]) != header.crc:
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, "a record batch fails its CRC")
    fault = _contradiction(header)
    if fault:
        raise RecordError(ErrorCode.INVALID_RECORD, f"a record batch with {fault}")
    return header


def _contradiction(header: BatchHeader) -> str:
    if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        return f"{header.record_count} records and last offset delta {header.last_offset_delta}"
    if header.is_control:
        return "the control bit, which only brokers set"
    if header.codec > CODEC_HIGHEST:
        return f"unknown compression codec {header.codec}"
    if header.producer_id >= 0:
        if header.producer_epoch < 0 or header.base_sequence < 0:
            return "a producer id but no epoch or sequence"
    elif header.producer_id != NO_PRODUCER_ID:
        return f"producer id {header.producer_id}"
    elif header.is_transactional:
        return "the transactional bit but no producer id"
    return ""


def check_batches(buffer: Buffer) -> list[tuple[int, BatchHeader]]:
    """Check a fetched run of whole batches: lengths, magic, CRCs, and offsets that only rise.

    Returns (position, header) of each.  Raises RecordError when one is damaged or cut short.
    """
    view = memoryview(buffer)
    found: list[tuple[int, BatchHeader]] = []
    position, expected = 0, 0
    while position < len(view):
        header = read_header(view, position)
        end = position + header.size_bytes
        if end > len(view):
            raise RecordError(ErrorCode.CORRUPT_MESSAGE, "a record batch is cut short")
        if crc32c(view[position + CRC_FROM : end]) != header.crc:
            text = f"the record batch at offset {header.base_offset} fails its CRC"
            raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
        if header.base_offset < expected or header.last_offset_delta < 0:
            text = f"a record batch at offset {header.base_offset}, after offset {expected - 1}"
            raise RecordError(ErrorCode.INVALID_RECORD, text)
        found.append((position, header))
        position, expected = end, header.next_offset
    return found


def stamp(
    base_offset: Offset, leader_epoch: LeaderEpoch, batch: Buffer
) -> tuple[bytes, memoryview]:
    """Return the first 16 bytes with these values, and the rest of the checked batch, uncopied."""
    head = _STAMP.pack(base_offset, len(batch) - LENGTH_PREFIX_BYTES, leader_epoch)
    return head, memoryview(batch)[STAMP_BYTES:]


def stamp_with_time(
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    batch: Buffer,
    header: BatchHeader,
    append_ms: int,
) -> tuple[tuple[bytes, memoryview], BatchHeader]:
    """As ``stamp``, with the broker's time in the place of the records' (LogAppendTime).

    Returns the header as well: its CRC is another one.
    """
    records = memoryview(batch)[HEADER_BYTES:]
    stamped = replace(
        header,
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        attributes=header.attributes | LOG_APPEND_TIME,
        max_timestamp_ms=append_ms,
    )
    crc = crc32c(records, crc32c(encode_header(stamped)[CRC_FROM:]))
    stamped = replace(stamped, crc=crc)
    return (encode_header(stamped), records), stamped


def encode_header(header: BatchHeader) -> bytes:
    """Return the 61 bytes of a header, as it stands."""
    base_offset, size_bytes, *rest = astuple(header)
    return HEADER.pack(base_offset, size_bytes - LENGTH_PREFIX_BYTES, *rest)


def iterate_headers(buffer: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """Walk over whole batches, giving (position, header); a partial last one ends it.

    Raises RecordError where something else than a batch begins.
    """
    position, end = 0, len(buffer)
    while end - position >= HEADER_BYTES:
        header = read_header(buffer, position)
        if header.size_bytes > end - position:
            return
        yield position, header
        position += header.size_bytes
