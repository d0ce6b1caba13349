"""Who leads what, and where everybody is."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import NO_UUID, Bool, Int16, Int32, Struct, Text, Uuid, Versions

NO_OPERATIONS = -(1 << 31)
"""Of authorized operations: not asked for."""


class MetadataRequestTopic(Struct, kw_only=True):
    """By its name, or (version 12) its id."""

    topic_id: Annotated[Uuid, Versions(10)] = NO_UUID
    name: Annotated[Text | None, Versions(0, null=10)]


class MetadataRequest(Struct, kw_only=True):
    """``topics`` None, or in version 0 empty: all of them."""

    topics: Annotated[tuple[MetadataRequestTopic, ...] | None, Versions(0, null=1)]
    allow_auto_topic_creation: Annotated[Bool, Versions(4)] = True
    include_cluster_authorized_operations: Annotated[Bool, Versions(8, 10)] = False
    include_topic_authorized_operations: Annotated[Bool, Versions(8)] = False


class MetadataBroker(Struct, kw_only=True):
    """Where a broker is for this protocol's clients."""

    node_id: Int32
    host: Text
    port: Int32
    rack: Annotated[Text | None, Versions(1)] = None


class MetadataPartition(Struct, kw_only=True):
    """A partition; ``leader_id`` −1 while there is none."""

    error_code: Int16
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Annotated[Int32, Versions(7)] = -1
    replica_nodes: tuple[Int32, ...]
    isr_nodes: tuple[Int32, ...]
    offline_replicas: Annotated[tuple[Int32, ...], Versions(5)] = ()


class MetadataTopic(Struct, kw_only=True):
    """A topic; without a name if it was asked for by an id that is not known."""

    error_code: Int16
    name: Annotated[Text | None, Versions(0, null=12)]
    topic_id: Annotated[Uuid, Versions(10)] = NO_UUID
    is_internal: Annotated[Bool, Versions(1)] = False
    partitions: tuple[MetadataPartition, ...]
    topic_authorized_operations: Annotated[Int32, Versions(8)] = NO_OPERATIONS


class MetadataResponse(Struct, kw_only=True):
    """What the broker asked knows."""

    throttle_time_ms: Annotated[Int32, Versions(3)] = 0
    brokers: tuple[MetadataBroker, ...]
    cluster_id: Annotated[Text | None, Versions(2)] = None
    controller_id: Annotated[Int32, Versions(1)] = -1
    topics: tuple[MetadataTopic, ...]
    cluster_authorized_operations: Annotated[Int32, Versions(8, 10)] = NO_OPERATIONS
    error_code: Annotated[Int16, Versions(13)] = 0
