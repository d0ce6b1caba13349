"""The cluster about itself: its brokers, its quorum, and brokers that are gone for good."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import (
    NO_UUID,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Struct,
    Text,
    UInt16,
    Uuid,
    Versions,
)
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS

ENDPOINTS_OF_BROKERS = 1


class DescribeClusterRequest(Struct, kw_only=True):
    """``endpoint_type``: of brokers (1) or of controllers (2)."""

    include_cluster_authorized_operations: Bool
    endpoint_type: Annotated[Int8, Versions(1)] = ENDPOINTS_OF_BROKERS
    include_fenced_brokers: Annotated[Bool, Versions(2)] = False


class DescribeClusterBroker(Struct, kw_only=True):
    """Where a broker is for this protocol's clients."""

    broker_id: Int32
    host: Text
    port: Int32
    rack: Text | None
    is_fenced: Annotated[Bool, Versions(2)] = False


class DescribeClusterResponse(Struct, kw_only=True):
    """What the broker asked knows."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None = None
    endpoint_type: Annotated[Int8, Versions(1)] = ENDPOINTS_OF_BROKERS
    cluster_id: Text
    controller_id: Int32
    brokers: tuple[DescribeClusterBroker, ...]
    cluster_authorized_operations: Int32 = NO_OPERATIONS


class UnregisterBrokerRequest(Struct, kw_only=True):
    """Forget a broker that is stopped and has no replicas."""

    broker_id: Int32


class UnregisterBrokerResponse(Struct, kw_only=True):
    """Once it is done."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None


# The quorum


class QuorumTopicPartition(Struct, kw_only=True):
    """A partition that a quorum keeps; there is only the metadata's."""

    partition_index: Int32


class QuorumTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    topic_name: Text
    partitions: tuple[QuorumTopicPartition, ...]


class DescribeQuorumRequest(Struct, kw_only=True):
    """How is the quorum?"""

    topics: tuple[QuorumTopic, ...]


class ReplicaState(Struct, kw_only=True):
    """How far a member is, as its leader knows; wall times are −1 where they are not known."""

    replica_id: Int32
    replica_directory_id: Annotated[Uuid, Versions(2)] = NO_UUID
    log_end_offset: Int64
    last_fetch_timestamp: Annotated[Int64, Versions(1)] = -1
    last_caught_up_timestamp: Annotated[Int64, Versions(1)] = -1


class DescribedQuorum(Struct, kw_only=True):
    """A partition's quorum."""

    partition_index: Int32
    error_code: Int16
    error_message: Annotated[Text | None, Versions(2)] = None
    leader_id: Int32 = -1
    leader_epoch: Int32 = -1
    high_watermark: Int64 = -1
    current_voters: tuple[ReplicaState, ...] = ()
    observers: tuple[ReplicaState, ...] = ()


class DescribedQuorumTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    topic_name: Text
    partitions: tuple[DescribedQuorum, ...]


class QuorumListener(Struct, kw_only=True):
    """Where a member listens."""

    name: Text
    host: Text
    port: UInt16


class QuorumNode(Struct, kw_only=True):
    """A member."""

    node_id: Int32
    listeners: tuple[QuorumListener, ...]


class DescribeQuorumResponse(Struct, kw_only=True):
    """The only partition there is, as its leader knows it."""

    error_code: Int16
    error_message: Annotated[Text | None, Versions(2)] = None
    topics: tuple[DescribedQuorumTopic, ...] = ()
    nodes: Annotated[tuple[QuorumNode, ...], Versions(2)] = ()
