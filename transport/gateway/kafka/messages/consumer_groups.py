"""Members of a group to its coordinator, where that divides (KIP-848), and what it tells of them."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int8, Int16, Int32, Struct, Text, Uuid, Versions
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS


class HeartbeatTopicPartitions(Struct, kw_only=True):
    """Partitions of one topic."""

    topic_id: Uuid
    partitions: tuple[Int32, ...]


class ConsumerGroupHeartbeatRequest(Struct, kw_only=True):
    """A member lives; None, and −1: as it has said before."""

    group_id: Text
    member_id: Text
    member_epoch: Int32
    instance_id: Text | None = None
    rack_id: Text | None = None
    rebalance_timeout_ms: Int32 = -1
    subscribed_topic_names: tuple[Text, ...] | None = None
    subscribed_topic_regex: Text | None = None
    server_assignor: Text | None = None
    topic_partitions: tuple[HeartbeatTopicPartitions, ...] | None = None


class HeartbeatAssignment(Struct, kw_only=True):
    """All that a member may read from now on."""

    topic_partitions: tuple[HeartbeatTopicPartitions, ...]


class ConsumerGroupHeartbeatResponse(Struct, kw_only=True):
    """``assignment`` None: it has not changed."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None = None
    member_id: Text | None = None
    member_epoch: Int32 = 0
    heartbeat_interval_ms: Int32 = 0
    assignment: HeartbeatAssignment | None = None


class ConsumerGroupDescribeRequest(Struct, kw_only=True):
    """What are these groups?"""

    group_ids: tuple[Text, ...]
    include_authorized_operations: Bool


class DescribedTopicPartitions(Struct, kw_only=True):
    """Partitions of one topic."""

    topic_id: Uuid
    topic_name: Text
    partitions: tuple[Int32, ...]


class DescribedAssignment(Struct, kw_only=True):
    """What a member reads, or is meant to read."""

    topic_partitions: tuple[DescribedTopicPartitions, ...]


class ConsumerGroupDescribeMember(Struct, kw_only=True):
    """``member_type``: 1 as it speaks the consumer protocol, −1 unknown."""

    member_id: Text
    instance_id: Text | None = None
    rack_id: Text | None = None
    member_epoch: Int32
    client_id: Text
    client_host: Text
    subscribed_topic_names: tuple[Text, ...]
    subscribed_topic_regex: Text | None = None
    assignment: DescribedAssignment
    target_assignment: DescribedAssignment
    member_type: Annotated[Int8, Versions(1)] = -1


class ConsumerGroupDescribeGroup(Struct, kw_only=True):
    """One group."""

    error_code: Int16
    error_message: Text | None = None
    group_id: Text
    group_state: Text = ""
    group_epoch: Int32 = 0
    assignment_epoch: Int32 = 0
    assignor_name: Text = ""
    members: tuple[ConsumerGroupDescribeMember, ...] = ()
    authorized_operations: Int32 = NO_OPERATIONS


class ConsumerGroupDescribeResponse(Struct, kw_only=True):
    """``groups`` are in the order of the request."""

    throttle_time_ms: Int32 = 0
    groups: tuple[ConsumerGroupDescribeGroup, ...]
