"""Record batches to the leaders of their partitions."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import (
    NO_UUID,
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


class ProducePartition(Struct, kw_only=True):
    """One record set for one partition."""

    index: Int32
    records: Records | None


class ProduceTopic(Struct, kw_only=True):
    """By its name, or (version 13) its id."""

    name: Annotated[Text, Versions(0, 12)] = ""
    topic_id: Annotated[Uuid, Versions(13)] = NO_UUID
    partition_data: tuple[ProducePartition, ...]


class ProduceRequest(Struct, kw_only=True):
    """``acks``: 0 nothing is answered, 1 the leader has it, −1 every in-sync replica has it."""

    transactional_id: Annotated[Text | None, Versions(3)] = None
    acks: Int16
    timeout_ms: Int32
    topic_data: tuple[ProduceTopic, ...]


class RecordError(Struct, kw_only=True):
    """Why a record of a batch was refused."""

    batch_index: Int32
    batch_index_error_message: Text | None


class CurrentLeader(Struct, kw_only=True):
    """Who leads instead."""

    leader_id: Int32
    leader_epoch: Int32


class ProducedPartition(Struct, kw_only=True):
    """Where the record set stands."""

    index: Int32
    error_code: Int16
    base_offset: Int64
    log_append_time_ms: Annotated[Int64, Versions(2)] = -1
    log_start_offset: Annotated[Int64, Versions(5)] = -1
    record_errors: Annotated[tuple[RecordError, ...], Versions(8)] = ()
    error_message: Annotated[Text | None, Versions(8)] = None
    current_leader: Annotated[CurrentLeader | None, Tagged(0, since=10)] = None


class ProducedTopic(Struct, kw_only=True):
    """As in the request."""

    name: Annotated[Text, Versions(0, 12)] = ""
    topic_id: Annotated[Uuid, Versions(13)] = NO_UUID
    partition_responses: tuple[ProducedPartition, ...]


class NodeEndpoint(Struct, kw_only=True):
    """Where a leader that was told of is."""

    node_id: Int32
    host: Text
    port: Int32
    rack: Text | None


class ProduceResponse(Struct, kw_only=True):
    """An outcome for every partition."""

    responses: tuple[ProducedTopic, ...]
    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    node_endpoints: Annotated[tuple[NodeEndpoint, ...], Tagged(0, since=10)] = ()
