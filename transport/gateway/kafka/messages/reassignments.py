"""Where replicas are and who leads: reassignments (KIP-455), elections on demand (KIP-460)."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Int8, Int16, Int32, Struct, Text, Versions

# Reassignments


class ReassignablePartition(Struct, kw_only=True):
    """Where the replicas are to be; None: cancel."""

    partition_index: Int32
    replicas: tuple[Int32, ...] | None


class ReassignableTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[ReassignablePartition, ...]


class AlterPartitionReassignmentsRequest(Struct, kw_only=True):
    """To any broker here."""

    timeout_ms: Int32
    topics: tuple[ReassignableTopic, ...]


class ReassignablePartitionResponse(Struct, kw_only=True):
    """What became of one partition."""

    partition_index: Int32
    error_code: Int16
    error_message: Text | None


class ReassignableTopicResponse(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[ReassignablePartitionResponse, ...]


class AlterPartitionReassignmentsResponse(Struct, kw_only=True):
    """One outcome per partition, unless ``error_code`` refuses all."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None
    responses: tuple[ReassignableTopicResponse, ...]


class ListPartitionReassignmentsTopics(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partition_indexes: tuple[Int32, ...]


class ListPartitionReassignmentsRequest(Struct, kw_only=True):
    """``topics`` None: of all."""

    timeout_ms: Int32
    topics: tuple[ListPartitionReassignmentsTopics, ...] | None


class OngoingPartitionReassignment(Struct, kw_only=True):
    """A partition on its way: ``replicas`` are all it has now, old and new."""

    partition_index: Int32
    replicas: tuple[Int32, ...]
    adding_replicas: tuple[Int32, ...]
    removing_replicas: tuple[Int32, ...]


class OngoingTopicReassignment(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[OngoingPartitionReassignment, ...]


class ListPartitionReassignmentsResponse(Struct, kw_only=True):
    """What is under way."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None
    topics: tuple[OngoingTopicReassignment, ...]


# Elections


class ElectLeadersTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    topic: Text
    partitions: tuple[Int32, ...]


class ElectLeadersRequest(Struct, kw_only=True):
    """The preferred leaders (0), or unclean ones (1); ``topic_partitions`` None: of all."""

    election_type: Annotated[Int8, Versions(1)] = 0
    topic_partitions: tuple[ElectLeadersTopic, ...] | None
    timeout_ms: Int32


class ElectedPartition(Struct, kw_only=True):
    """What became of one partition."""

    partition_id: Int32
    error_code: Int16
    error_message: Text | None


class ReplicaElectionResult(Struct, kw_only=True):
    """Partitions of one topic."""

    topic: Text
    partition_result: tuple[ElectedPartition, ...]


class ElectLeadersResponse(Struct, kw_only=True):
    """One outcome per partition, unless ``error_code`` refuses all."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Versions(1)] = 0
    replica_election_results: tuple[ReplicaElectionResult, ...]
