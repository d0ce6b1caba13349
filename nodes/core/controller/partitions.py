"""Partitions: which are missing, more of them, and placements made by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence

from msgspec.structs import replace

from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import PARTITIONS_MAX
from nodes.core.controller.placement import Load, Placement
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, PartitionEpoch, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import MetadataRecord, PartitionRecord, TopicRecord
from transport.wire.messages.topics import (
    Assignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    NewPartitions,
    TopicOutcome,
)

ASSIGNMENTS_MAX = 500
"""Placed by hand in one request: what a single commit surely holds."""
REPLICAS_MAX = 32


def is_explicit(request: Message) -> bool:
    """Tell whether somebody has placed partitions by hand in this request."""
    if isinstance(request, CreateTopicsRequest | CreatePartitionsRequest):
        return any(topic.assignments for topic in request.topics)
    return False


def too_many_assignments(request: CreateTopicsRequest | CreatePartitionsRequest) -> Refusal | None:
    """Refuse a request that places more by hand than one commit surely holds."""
    count = sum(len(topic.assignments) for topic in request.topics)
    if count <= ASSIGNMENTS_MAX:
        return None
    text = f"{count} partitions placed by hand at once; send at most {ASSIGNMENTS_MAX}"
    return Refusal(ErrorCode.INVALID_REQUEST, text)


def assignment_complaint(image: ClusterImage, assignments: Sequence[Assignment]) -> str | None:
    """Return what is wrong with placements made by hand, or None."""
    factor = len(assignments[0]) if assignments else 0
    for replicas in assignments:
        shown = ",".join(map(str, replicas[:REPLICAS_MAX])) or "none"
        if not 1 <= len(replicas) <= REPLICAS_MAX:
            return f"replicas {shown}: give from 1 to {REPLICAS_MAX} brokers"
        if len(set(replicas)) < len(replicas):
            return f"replicas {shown}: a broker is named twice"
        unknown = [node for node in replicas if node not in image.brokers]
        if unknown:
            return f"replicas {shown}: there is no broker {unknown[0]}"
        if not any(image.is_alive(node) for node in replicas):
            return f"replicas {shown}: none of these brokers is alive"
        if len(replicas) != factor:
            return f"replicas {shown}: all partitions need the same number, here {factor}"
    return None


def is_complete(image: ClusterImage, topic: TopicRecord) -> bool:
    """Tell whether every partition that the topic is said to have has its record."""
    return len(image.partitions[topic.topic_id]) >= topic.partition_count


def missing_partitions(
    image: ClusterImage, topic: TopicRecord, cluster: Load
) -> Generator[MetadataRecord, None, None]:
    """Yield the partitions that the topic still lacks: all of a new one.

    None, if nobody is there to lead them.
    """
    yield from _placed(image, topic, topic.partition_count, cluster)


def _placed(
    image: ClusterImage, topic: TopicRecord, count: int, cluster: Load
) -> Iterator[PartitionRecord]:
    """Yield the partitions up to ``count`` that the topic lacks, on live brokers.

    Where these are too few, who is away is among the replicas too, and joins when it is back: what is
    placed in that moment has not fewer replicas for good.
    """
    present = image.partitions[topic.topic_id]
    brokers, away = image.placeable_brokers(), image.brokers_away()
    if len(present) >= count or not brokers:
        return
    factor = max(1, min(_factor_of(image, topic), len(brokers) + len(away)))
    placement = Placement(brokers, Load(present.values()), cluster, away)
    for number in range(count):
        if number not in present:
            yield new_partition(image, topic.topic_id, number, placement.place(factor))


def _factor_of(image: ClusterImage, topic: TopicRecord) -> int:
    """Return how many replicas the first partition has, or is to have: what the topic was made with
    may have been changed by reassignments."""
    first = min(image.partitions[topic.topic_id].items(), default=None)
    if first is None:
        return topic.replication_factor
    return len(first[1].replicas) - len(first[1].removing)


def new_partition(
    image: ClusterImage, topic_id: TopicId, number: int, replicas: Assignment
) -> PartitionRecord:
    """Return a partition without records: its live replicas are in sync, the first of them leads."""
    live = tuple(node for node in replicas if image.is_alive(node))
    return PartitionRecord(
        topic_id, number, replicas, live, live[0], LeaderEpoch(0), PartitionEpoch(0)
    )


def decide_addition(image: ClusterImage, request: CreatePartitionsRequest) -> Decision:
    """Add the partitions that can be added; each topic gets an outcome of its own.

    The partitions come first and the topic's count after them: until then nobody is shown them.
    Should this controller end in between, whoever asks again finds them and goes on.
    """
    refusal = too_many_assignments(request)
    if refusal is not None:
        return refusal
    repeated = Counter(topic.name for topic in request.topics)
    cluster = cluster_load(image)
    outcomes: list[TopicOutcome] = []
    for wanted in request.topics:
        refused = _judge(image, wanted, repeated)
        if refused is not None:
            outcomes.append(refused)
            continue
        topic = image.topic(wanted.name)
        assert topic is not None, "judged"
        if not request.validate_only:
            yield from _added(image, topic, wanted, cluster)
            yield replace(topic, partition_count=wanted.count)
        outcomes.append(TopicOutcome(wanted.name, ErrorCode.NONE, "", topic.topic_id))
    return CreatePartitionsResponse(ErrorCode.NONE, tuple(outcomes))


def _judge(
    image: ClusterImage, wanted: NewPartitions, repeated: Counter[str]
) -> TopicOutcome | None:
    """Return why partitions may not be added, or None."""
    name, topic = wanted.name, image.topic(wanted.name)
    if repeated[name] > 1:
        text = "the topic is named more than once in this request"
        return TopicOutcome(name, ErrorCode.INVALID_REQUEST, text)
    if topic is None:
        text = f"there is no topic {name[:80]!r}"
        return TopicOutcome(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
    has, count = topic.partition_count, wanted.count
    if not has < count <= PARTITIONS_MAX:
        text = f"{name} has {has} partitions; give a count from {has + 1} to {PARTITIONS_MAX}"
        return TopicOutcome(name, ErrorCode.INVALID_PARTITIONS, text)
    given = wanted.assignments
    if not given and not image.live_brokers():
        text = "no broker is alive to take the partitions"
        return TopicOutcome(name, ErrorCode.INVALID_REPLICATION_FACTOR, text)
    if given and len(given) != count - has:
        text = f"{count - has} partitions are new, and {len(given)} are placed"
        return TopicOutcome(name, ErrorCode.INVALID_REPLICA_ASSIGNMENT, text)
    complaint = assignment_complaint(image, given)
    if complaint is not None:
        return TopicOutcome(name, ErrorCode.INVALID_REPLICA_ASSIGNMENT, complaint)
    return None


def _added(
    image: ClusterImage, topic: TopicRecord, wanted: NewPartitions, cluster: Load
) -> Iterator[PartitionRecord]:
    if not wanted.assignments:
        yield from _placed(image, topic, wanted.count, cluster)
        return
    present = image.partitions[topic.topic_id]
    for number, replicas in enumerate(wanted.assignments, topic.partition_count):
        record = new_partition(image, topic.topic_id, number, replicas)
        left = present.get(number)
        if left is not None:
            # Of an addition that a controller's end cut short: nobody was shown it, it is empty.
            record = replace(
                record,
                leader_epoch=LeaderEpoch(left.leader_epoch + 1),
                partition_epoch=PartitionEpoch(left.partition_epoch + 1),
            )
        yield record


def cluster_load(image: ClusterImage) -> Load:
    """Return how many replicas and preferred leaderships each broker has."""
    return Load(record for parts in image.partitions.values() for record in parts.values())
