"""Administration of topics: any broker takes these and passes them to the controller."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import LeaderEpoch, MetadataVersion, NodeId, Offset, TopicId
from transport.wire.messages import Message, Part

Assignment = tuple[NodeId, ...]
"""The brokers of one partition's replicas; the first is the preferred leader."""


class NewTopic(Part, frozen=True, array_like=True, gc=False):
    """−1 partitions or replicas: the cluster's default (clamped to the brokers there are)."""

    name: str
    partitions: int = -1
    replication_factor: int = -1
    configs: dict[str, str] = {}
    assignments: tuple[Assignment, ...] = ()
    """Who gets the replicas of each partition, by number; then the two above are −1."""


class CreateTopicsRequest(Message, frozen=True, array_like=True, gc=False):
    """Make topics. ``clamp``: fewer live brokers than replicas asked for is no error."""

    api: ClassVar[Api] = Api.CREATE_TOPICS

    topics: tuple[NewTopic, ...]
    timeout_ms: int
    clamp: bool = False
    validate_only: bool = False
    """Judge, and change nothing."""


class TopicOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one topic; ``text`` names the argument and the fix."""

    name: str
    error: int
    text: str = ""
    topic_id: TopicId = TopicId(b"")
    partitions: int = -1
    replication_factor: int = -1
    """Of a new topic: what it was given."""


class CreateTopicsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per topic, in order, once the change is committed."""

    api: ClassVar[Api] = Api.CREATE_TOPICS

    error: int
    topics: tuple[TopicOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class DeleteTopicsRequest(Message, frozen=True, array_like=True, gc=False):
    """Delete topics by name."""

    api: ClassVar[Api] = Api.DELETE_TOPICS

    topics: tuple[str, ...]
    timeout_ms: int
    topic_ids: dict[str, TopicId] = {}
    """By name: a topic that has another id than this one is not meant (UNKNOWN_TOPIC_ID)."""


class DeleteTopicsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per topic, in order, once the change is committed."""

    api: ClassVar[Api] = Api.DELETE_TOPICS

    error: int
    topics: tuple[TopicOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class NewPartitions(Part, frozen=True, array_like=True, gc=False):
    """A topic is to have ``count`` partitions in all."""

    name: str
    count: int
    assignments: tuple[Assignment, ...] = ()
    """Who gets the replicas of each new partition, in order; empty: the controller's choice."""


class CreatePartitionsRequest(Message, frozen=True, array_like=True, gc=False):
    """Add partitions to topics."""

    api: ClassVar[Api] = Api.CREATE_PARTITIONS

    topics: tuple[NewPartitions, ...]
    timeout_ms: int
    validate_only: bool = False
    """Judge, and change nothing."""


class CreatePartitionsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per topic, in order, once the change is committed."""

    api: ClassVar[Api] = Api.CREATE_PARTITIONS

    error: int
    topics: tuple[TopicOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class DescribedPartition(Part, frozen=True, array_like=True, gc=False):
    """What a broker that leads the partition knows of its log."""

    topic_id: TopicId
    partition: int
    error: int
    leader: NodeId = NodeId(-1)
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)
    isr: tuple[NodeId, ...] = ()
    log_start_offset: Offset = Offset(-1)
    high_watermark: Offset = Offset(-1)
    log_end_offset: Offset = Offset(-1)
    replica_ends: dict[NodeId, Offset] = {}
    """Where the logs of the other replicas end, as far as they have told their leader."""


class DescribeTopicsRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to one broker: the partitions of these topics that *you* lead."""

    api: ClassVar[Api] = Api.DESCRIBE_TOPICS

    topics: tuple[TopicId, ...]


class DescribeTopicsResponse(Message, frozen=True, array_like=True, gc=False):
    """The partitions asked for that the answering broker leads."""

    api: ClassVar[Api] = Api.DESCRIBE_TOPICS

    error: int
    partitions: tuple[DescribedPartition, ...] = ()
