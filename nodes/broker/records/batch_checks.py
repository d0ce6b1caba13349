"""What a producer's batch must be before it comes to the partition's core.

Pure.  Judges a batch by its own bytes and its topic's configs; raises RecordError, with a text for the
producer.  It must not know of requests that wait, nor of roles.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.config import LogConfig
from nodes.core.controller.names import is_internal
from nodes.core.topic_configs import LOG_APPEND_TIME, POLICY_COMPACT
from transport.kernel import Now
from transport.wire.batch import NO_TIMESTAMP_MS
from transport.wire.batch_filter import RECORDS_OPENED_MAX, records_of
from transport.wire.batch_reader import open_batch
from transport.wire.codec import Buffer
from transport.wire.compression import DECOMPRESSED_BYTES_MAX
from transport.wire.errors import ErrorCode
from transport.wire.messages.produce import ProduceRequest
from transport.wire.records import BatchHeader, RecordError, check_batch

RECORDS_OPENED_AS_A_LOG = 1_000
BYTES_OPENED_AS_A_LOG = 1024 * 1024
"""To look into so many records, or to decompress so much, takes as long as to begin a log."""


class NotOpened(RecordError):
    """A batch that had to be opened and could not be, however far that came."""


def check_produced(topic: str, buffer: Buffer, settings: LogConfig, now: Now) -> BatchHeader:
    """Return the header of a sound batch; its records are not looked at."""
    if is_internal(topic):
        text = f"{topic} is written by coordinators only"
        raise RecordError(ErrorCode.INVALID_TOPIC, text)
    header = check_batch(buffer, size_bytes_max=settings.message_bytes_max)
    if header.size_bytes > settings.segment_bytes:
        text = f"a record batch of {header.size_bytes} bytes fits no segment"
        raise RecordError(ErrorCode.RECORD_LIST_TOO_LARGE, text)
    if settings.timestamp_type != LOG_APPEND_TIME:
        _check_times(header, settings, now)
    return header


def _check_times(header: BatchHeader, settings: LogConfig, now: Now) -> None:
    """Judge a batch by its first and its latest time: those in its header, as it is not opened."""
    if header.is_log_append_time:
        text = "a record batch that says it bears the broker's time, which only brokers give"
        raise RecordError(ErrorCode.INVALID_TIMESTAMP, text)
    ahead_ms = header.max_timestamp_ms - now.wall_ms
    if ahead_ms > settings.timestamp_after_max_ms:
        text = f"a record's time is {ahead_ms} ms ahead of the broker's"
        raise RecordError(ErrorCode.INVALID_TIMESTAMP, text)
    behind_ms = now.wall_ms - header.base_timestamp_ms
    if header.base_timestamp_ms > NO_TIMESTAMP_MS and behind_ms > settings.timestamp_before_max_ms:
        text = f"a record's time is {behind_ms} ms behind the broker's"
        raise RecordError(ErrorCode.INVALID_TIMESTAMP, text)


def check_transactional(header: BatchHeader, body: ProduceRequest) -> None:
    """Raise RecordError unless batch and request agree on whether there is a transaction."""
    if header.is_transactional != (body.transactional_id is not None):
        text = "the transactional bit of a batch and the request's transactional_id go together"
        raise RecordError(ErrorCode.INVALID_RECORD, text)


def is_compacted(settings: LogConfig) -> bool:
    """Tell whether batches have to be opened: a compacted log could not keep a record without a key."""
    return POLICY_COMPACT in settings.cleanup_policy.split(",")


class OpenedBatch(NamedTuple):
    """A batch for a compacted log, uncompressed."""

    header: BatchHeader
    data: bytes
    position: int
    """Where in the data the records begin."""

    @property
    def cost(self) -> int:
        """What it took to open it, in logs that are begun."""
        opened = self.header.record_count // RECORDS_OPENED_AS_A_LOG
        return opened + len(self.data) // BYTES_OPENED_AS_A_LOG

    def check_keys(self) -> None:
        """Raise RecordError unless each record has a key."""
        if any(record.key is None for record in records_of(*self)):
            text = "a record without a key, which a compacted topic cannot keep"
            raise RecordError(ErrorCode.INVALID_RECORD, text)


def open_compacted(header: BatchHeader, buffer: Buffer) -> OpenedBatch:
    """Open a batch for a compacted log. Raises NotOpened, or RecordError for one of too many records."""
    if header.record_count > RECORDS_OPENED_MAX:
        # A producer that is told so divides its batch.
        text = f"a batch of {header.record_count} records; a compacted topic takes"
        raise RecordError(ErrorCode.MESSAGE_TOO_LARGE, f"{text} {RECORDS_OPENED_MAX}")
    try:
        return OpenedBatch(
            *open_batch(buffer, check_crc=False, decompressed_bytes_max=DECOMPRESSED_BYTES_MAX)
        )
    except RecordError as error:
        raise NotOpened(error.error, error.text) from None
