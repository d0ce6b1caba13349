"""Records deleted from the beginning of partitions."""

from __future__ import annotations

from transport.gateway.kafka.fields import Int16, Int32, Int64, Struct, Text


class DeleteRecordsPartition(Struct, kw_only=True):
    """What is before ``offset`` goes; −1: all that is committed."""

    partition_index: Int32
    offset: Int64


class DeleteRecordsTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[DeleteRecordsPartition, ...]


class DeleteRecordsRequest(Struct, kw_only=True):
    """To the leader of the partitions."""

    topics: tuple[DeleteRecordsTopic, ...]
    timeout_ms: Int32


class DeleteRecordsPartitionResult(Struct, kw_only=True):
    """Where the partition begins now; −1 with an error."""

    partition_index: Int32
    low_watermark: Int64
    error_code: Int16


class DeleteRecordsTopicResult(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[DeleteRecordsPartitionResult, ...]


class DeleteRecordsResponse(Struct, kw_only=True):
    """One result per partition."""

    throttle_time_ms: Int32 = 0
    topics: tuple[DeleteRecordsTopicResult, ...]
