"""Reading partitions; a long poll."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import (
    NO_UUID,
    Int8,
    Int16,
    Int32,
    Int64,
    Records,
    Struct,
    Tagged,
    Text,
    Uuid,
    Versions,
)
from transport.gateway.kafka.messages.produce import CurrentLeader, NodeEndpoint

BYTES_MAX = 0x7FFFFFFF


class FetchPartition(Struct, kw_only=True):
    """From ``fetch_offset`` on."""

    partition: Int32
    current_leader_epoch: Annotated[Int32, Versions(9)] = -1
    fetch_offset: Int64
    last_fetched_epoch: Annotated[Int32, Versions(12)] = -1
    log_start_offset: Annotated[Int64, Versions(5)] = -1
    partition_max_bytes: Int32
    replica_directory_id: Annotated[Uuid, Tagged(0, since=17)] = NO_UUID
    high_watermark: Annotated[Int64, Tagged(1, since=18)] = (1 << 63) - 1


class FetchTopic(Struct, kw_only=True):
    """By its name, or (version 13) its id."""

    topic: Annotated[Text, Versions(0, 12)] = ""
    topic_id: Annotated[Uuid, Versions(13)] = NO_UUID
    partitions: tuple[FetchPartition, ...]


class ForgottenTopic(Struct, kw_only=True):
    """To be taken out of the session."""

    topic: Annotated[Text, Versions(7, 12)] = ""
    topic_id: Annotated[Uuid, Versions(13)] = NO_UUID
    partitions: tuple[Int32, ...]


class ReplicaState(Struct, kw_only=True):
    """Of a follower."""

    replica_id: Int32
    replica_epoch: Int64


class FetchRequest(Struct, kw_only=True):
    """Answered when ``min_bytes`` are there, or after ``max_wait_ms``."""

    cluster_id: Annotated[Text | None, Tagged(0, since=12)] = None
    replica_id: Annotated[Int32, Versions(0, 14)] = -1
    replica_state: Annotated[ReplicaState | None, Tagged(1, since=15)] = None
    max_wait_ms: Int32
    min_bytes: Int32
    max_bytes: Annotated[Int32, Versions(3)] = BYTES_MAX
    isolation_level: Annotated[Int8, Versions(4)] = 0
    session_id: Annotated[Int32, Versions(7)] = 0
    session_epoch: Annotated[Int32, Versions(7)] = -1
    topics: tuple[FetchTopic, ...]
    forgotten_topics_data: Annotated[tuple[ForgottenTopic, ...], Versions(7)] = ()
    rack_id: Annotated[Text, Versions(11)] = ""


class EpochEndOffset(Struct, kw_only=True):
    """Where the largest common epoch of two logs ends."""

    epoch: Int32
    end_offset: Int64


class SnapshotId(Struct, kw_only=True):
    """Of the metadata log only."""

    end_offset: Int64
    epoch: Int32


class AbortedTransaction(Struct, kw_only=True):
    """To be passed over from ``first_offset`` on."""

    producer_id: Int64
    first_offset: Int64


class FetchedPartition(Struct, kw_only=True):
    """Whole batches, and how far the partition is committed."""

    partition_index: Int32
    error_code: Int16
    high_watermark: Int64
    last_stable_offset: Annotated[Int64, Versions(4)] = -1
    log_start_offset: Annotated[Int64, Versions(5)] = -1
    diverging_epoch: Annotated[EpochEndOffset | None, Tagged(0, since=12)] = None
    current_leader: Annotated[CurrentLeader | None, Tagged(1, since=12)] = None
    snapshot_id: Annotated[SnapshotId | None, Tagged(2, since=12)] = None
    aborted_transactions: Annotated[tuple[AbortedTransaction, ...] | None, Versions(4)] = None
    preferred_read_replica: Annotated[Int32, Versions(11)] = -1
    records: Records | None


class FetchedTopic(Struct, kw_only=True):
    """As in the request."""

    topic: Annotated[Text, Versions(0, 12)] = ""
    topic_id: Annotated[Uuid, Versions(13)] = NO_UUID
    partitions: tuple[FetchedPartition, ...]


class FetchResponse(Struct, kw_only=True):
    """``session_id`` 0: there is none, and the next fetch names everything again."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    error_code: Annotated[Int16, Versions(7)] = 0
    session_id: Annotated[Int32, Versions(7)] = 0
    responses: tuple[FetchedTopic, ...]
    node_endpoints: Annotated[tuple[NodeEndpoint, ...], Tagged(0, since=16)] = ()
