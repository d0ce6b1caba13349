"""Offsets that groups have committed."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int16, Int32, Int64, Struct, Text, Versions


class OffsetCommitRequestPartition(Struct, kw_only=True):
    """The next offset to read."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Annotated[Int32, Versions(6)] = -1
    committed_metadata: Text | None


class OffsetCommitRequestTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[OffsetCommitRequestPartition, ...]


class OffsetCommitRequest(Struct, kw_only=True):
    """As a member of a generation (or under an epoch), or from outside an empty group."""

    group_id: Text
    generation_id_or_member_epoch: Int32
    member_id: Text
    group_instance_id: Annotated[Text | None, Versions(7)] = None
    retention_time_ms: Annotated[Int64, Versions(2, 4)] = -1
    topics: tuple[OffsetCommitRequestTopic, ...]


class OffsetCommitResponsePartition(Struct, kw_only=True):
    """What became of one partition's commit."""

    partition_index: Int32
    error_code: Int16


class OffsetCommitResponseTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[OffsetCommitResponsePartition, ...]


class OffsetCommitResponse(Struct, kw_only=True):
    """In the order of the request."""

    throttle_time_ms: Annotated[Int32, Versions(3)] = 0
    topics: tuple[OffsetCommitResponseTopic, ...]


class TxnOffsetCommitRequest(Struct, kw_only=True):
    """As part of a transaction."""

    transactional_id: Text
    group_id: Text
    producer_id: Int64
    producer_epoch: Int16
    generation_id: Annotated[Int32, Versions(3)] = -1
    member_id: Annotated[Text, Versions(3)] = ""
    group_instance_id: Annotated[Text | None, Versions(3)] = None
    topics: tuple[TxnOffsetCommitRequestTopic, ...]


class TxnOffsetCommitRequestTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[TxnOffsetCommitRequestPartition, ...]


class TxnOffsetCommitRequestPartition(Struct, kw_only=True):
    """The next offset to read, if the transaction is committed."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Annotated[Int32, Versions(2)] = -1
    committed_metadata: Text | None


class TxnOffsetCommitResponse(Struct, kw_only=True):
    """In the order of the request."""

    throttle_time_ms: Int32 = 0
    topics: tuple[OffsetCommitResponseTopic, ...]


class OffsetFetchRequestTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partition_indexes: tuple[Int32, ...]


class OffsetFetchRequestGroup(Struct, kw_only=True):
    """One group; ``topics`` None: all that it has committed."""

    group_id: Text
    member_id: Annotated[Text | None, Versions(9)] = None
    member_epoch: Annotated[Int32, Versions(9)] = -1
    topics: tuple[OffsetFetchRequestTopic, ...] | None


class OffsetFetchRequest(Struct, kw_only=True):
    """Of one group up to version 7, of many since."""

    group_id: Annotated[Text, Versions(0, 7)] = ""
    topics: Annotated[tuple[OffsetFetchRequestTopic, ...] | None, Versions(0, 7, null=2)] = None
    groups: Annotated[tuple[OffsetFetchRequestGroup, ...], Versions(8)] = ()
    require_stable: Annotated[Bool, Versions(7)] = False


class OffsetFetchResponsePartition(Struct, kw_only=True):
    """Offset −1: nothing is committed."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Annotated[Int32, Versions(5)] = -1
    metadata: Text | None
    error_code: Int16


class OffsetFetchResponseTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[OffsetFetchResponsePartition, ...]


class OffsetFetchResponseGroup(Struct, kw_only=True):
    """One group."""

    group_id: Text
    topics: tuple[OffsetFetchResponseTopic, ...]
    error_code: Int16 = 0


class OffsetFetchResponse(Struct, kw_only=True):
    """Of one group up to version 7, of many since."""

    throttle_time_ms: Annotated[Int32, Versions(3)] = 0
    topics: Annotated[tuple[OffsetFetchResponseTopic, ...], Versions(0, 7)] = ()
    error_code: Annotated[Int16, Versions(2, 7)] = 0
    groups: Annotated[tuple[OffsetFetchResponseGroup, ...], Versions(8)] = ()


class OffsetDeleteRequestPartition(Struct, kw_only=True):
    """One partition."""

    partition_index: Int32


class OffsetDeleteRequestTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[OffsetDeleteRequestPartition, ...]


class OffsetDeleteRequest(Struct, kw_only=True):
    """Forget what the group has committed for these."""

    group_id: Text
    topics: tuple[OffsetDeleteRequestTopic, ...]


class OffsetDeleteResponse(Struct, kw_only=True):
    """In the order of the request, unless ``error_code`` refuses all."""

    error_code: Int16
    throttle_time_ms: Int32 = 0
    topics: tuple[OffsetCommitResponseTopic, ...] = ()
