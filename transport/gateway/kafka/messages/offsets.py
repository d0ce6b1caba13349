"""Offsets by time, and the ends of leader epochs."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Int8, Int16, Int32, Int64, Struct, Text, Versions


class ListOffsetsPartition(Struct, kw_only=True):
    """``timestamp``: a time, or −1 latest, −2 earliest, −3 of the newest record."""

    partition_index: Int32
    current_leader_epoch: Annotated[Int32, Versions(4)] = -1
    timestamp: Int64


class ListOffsetsTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[ListOffsetsPartition, ...]


class ListOffsetsRequest(Struct, kw_only=True):
    """``isolation_level`` 1: the latest offset is the last stable one."""

    replica_id: Int32
    isolation_level: Annotated[Int8, Versions(2)] = 0
    topics: tuple[ListOffsetsTopic, ...]
    timeout_ms: Annotated[Int32, Versions(10)] = 0


class ListedPartition(Struct, kw_only=True):
    """``offset`` −1: nothing at or after that time."""

    partition_index: Int32
    error_code: Int16
    timestamp: Annotated[Int64, Versions(1)] = -1
    offset: Annotated[Int64, Versions(1)] = -1
    leader_epoch: Annotated[Int32, Versions(4)] = -1


class ListedTopic(Struct, kw_only=True):
    """As in the request."""

    name: Text
    partitions: tuple[ListedPartition, ...]


class ListOffsetsResponse(Struct, kw_only=True):
    """An answer for every partition."""

    throttle_time_ms: Annotated[Int32, Versions(2)] = 0
    topics: tuple[ListedTopic, ...]


class EpochPartition(Struct, kw_only=True):
    """Where does ``leader_epoch``, or the largest below it, end?"""

    partition: Int32
    current_leader_epoch: Annotated[Int32, Versions(2)] = -1
    leader_epoch: Int32


class EpochTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    topic: Text
    partitions: tuple[EpochPartition, ...]


class OffsetForLeaderEpochRequest(Struct, kw_only=True):
    """``replica_id`` −2 or −1: of a consumer."""

    replica_id: Annotated[Int32, Versions(3)] = -2
    topics: tuple[EpochTopic, ...]


class EpochEnded(Struct, kw_only=True):
    """``leader_epoch`` is the one that ``end_offset`` is the end of."""

    error_code: Int16
    partition: Int32
    leader_epoch: Annotated[Int32, Versions(1)] = -1
    end_offset: Int64


class EpochTopicEnded(Struct, kw_only=True):
    """As in the request."""

    topic: Text
    partitions: tuple[EpochEnded, ...]


class OffsetForLeaderEpochResponse(Struct, kw_only=True):
    """An answer for every partition."""

    throttle_time_ms: Annotated[Int32, Versions(2)] = 0
    topics: tuple[EpochTopicEnded, ...]
