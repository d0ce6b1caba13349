"""Topics: made, deleted, given more partitions, described page by page."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import (
    NO_UUID,
    Bool,
    Int8,
    Int16,
    Int32,
    Struct,
    Tagged,
    Text,
    Uuid,
    Versions,
)
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS

# Creation


class CreatableReplicaAssignment(Struct, kw_only=True):
    """Who gets the replicas of one partition."""

    partition_index: Int32
    broker_ids: tuple[Int32, ...]


class CreatableTopicConfig(Struct, kw_only=True):
    """A config that the topic is to have."""

    name: Text
    value: Text | None


class CreatableTopic(Struct, kw_only=True):
    """−1 partitions or replicas: the cluster's default, or as the assignments have it."""

    name: Text
    num_partitions: Int32
    replication_factor: Int16
    assignments: tuple[CreatableReplicaAssignment, ...]
    configs: tuple[CreatableTopicConfig, ...]


class CreateTopicsRequest(Struct, kw_only=True):
    """To any broker here."""

    topics: tuple[CreatableTopic, ...]
    timeout_ms: Int32
    validate_only: Annotated[Bool, Versions(1)] = False


class CreatableTopicConfigs(Struct, kw_only=True):
    """A config as it is."""

    name: Text
    value: Text | None
    read_only: Bool
    config_source: Int8
    is_sensitive: Bool = False


class CreatableTopicResult(Struct, kw_only=True):
    """What became of one topic."""

    name: Text
    topic_id: Annotated[Uuid, Versions(7)] = NO_UUID
    error_code: Int16
    error_message: Annotated[Text | None, Versions(1)] = None
    topic_config_error_code: Annotated[Int16, Tagged(0, since=5)] = 0
    """Why there are no configs, if so."""
    num_partitions: Annotated[Int32, Versions(5)] = -1
    replication_factor: Annotated[Int16, Versions(5)] = -1
    configs: Annotated[tuple[CreatableTopicConfigs, ...] | None, Versions(5)] = None


class CreateTopicsResponse(Struct, kw_only=True):
    """One result per topic."""

    throttle_time_ms: Annotated[Int32, Versions(2)] = 0
    topics: tuple[CreatableTopicResult, ...]


# Deletion


class DeleteTopicState(Struct, kw_only=True):
    """By its name, or its id."""

    name: Text | None
    topic_id: Uuid


class DeleteTopicsRequest(Struct, kw_only=True):
    """``topic_names`` before version 6."""

    topics: Annotated[tuple[DeleteTopicState, ...], Versions(6)] = ()
    topic_names: Annotated[tuple[Text, ...], Versions(0, 5)] = ()
    timeout_ms: Int32


class DeletableTopicResult(Struct, kw_only=True):
    """What became of one topic; without a name if its id is not known."""

    name: Annotated[Text | None, Versions(0, null=6)]
    topic_id: Annotated[Uuid, Versions(6)] = NO_UUID
    error_code: Int16
    error_message: Annotated[Text | None, Versions(5)] = None


class DeleteTopicsResponse(Struct, kw_only=True):
    """One result per topic."""

    throttle_time_ms: Annotated[Int32, Versions(1)] = 0
    responses: tuple[DeletableTopicResult, ...]


# More partitions


class CreatePartitionsAssignment(Struct, kw_only=True):
    """Who gets the replicas of one new partition."""

    broker_ids: tuple[Int32, ...]


class CreatePartitionsTopic(Struct, kw_only=True):
    """``count``: the partitions it is to have in all."""

    name: Text
    count: Int32
    assignments: tuple[CreatePartitionsAssignment, ...] | None


class CreatePartitionsRequest(Struct, kw_only=True):
    """To any broker here."""

    topics: tuple[CreatePartitionsTopic, ...]
    timeout_ms: Int32
    validate_only: Bool


class CreatePartitionsTopicResult(Struct, kw_only=True):
    """What became of one topic."""

    name: Text
    error_code: Int16
    error_message: Text | None = None


class CreatePartitionsResponse(Struct, kw_only=True):
    """One result per topic."""

    throttle_time_ms: Int32 = 0
    results: tuple[CreatePartitionsTopicResult, ...]


# Descriptions (KIP-966)


class TopicRequest(Struct, kw_only=True):
    """A topic to describe."""

    name: Text


class Cursor(Struct, kw_only=True):
    """Where a page begins."""

    topic_name: Text
    partition_index: Int32


class DescribeTopicPartitionsRequest(Struct, kw_only=True):
    """No topics: all of them."""

    topics: tuple[TopicRequest, ...]
    response_partition_limit: Int32
    cursor: Cursor | None


class DescribeTopicPartitionsResponsePartition(Struct, kw_only=True):
    """A partition, with its eligible leader replicas."""

    error_code: Int16
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Int32
    replica_nodes: tuple[Int32, ...]
    isr_nodes: tuple[Int32, ...]
    eligible_leader_replicas: tuple[Int32, ...] | None
    last_known_elr: tuple[Int32, ...] | None
    offline_replicas: tuple[Int32, ...]


class DescribeTopicPartitionsResponseTopic(Struct, kw_only=True):
    """A topic, with the partitions that the page has room for."""

    error_code: Int16
    name: Text | None
    topic_id: Uuid = NO_UUID
    is_internal: Bool = False
    partitions: tuple[DescribeTopicPartitionsResponsePartition, ...] = ()
    topic_authorized_operations: Int32 = NO_OPERATIONS


class DescribeTopicPartitionsResponse(Struct, kw_only=True):
    """``next_cursor``: where the next page begins; None: this was the last."""

    throttle_time_ms: Int32 = 0
    topics: tuple[DescribeTopicPartitionsResponseTopic, ...]
    next_cursor: Cursor | None
