"""Partitions: which are missing, more of them, and placements made by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from nodes.core.controller.events import Decision, Pause
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import PARTITIONS_MAX
from nodes.core.controller.placement import Load, Placement
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, PartitionEpoch, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import BrokerRecord, PartitionRecord, TopicRecord
from transport.wire.messages.topics import (
    Assignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    NewPartitions,
    NewTopic,
    TopicOutcome,
)

Placed = TypeVar("Placed", NewTopic, NewPartitions)

ASSIGNMENTS_MAX = 500
"""Placed by hand in one request: what a single commit surely holds."""
REPLICAS_MAX = 32


def is_explicit(request: Message) -> bool:
    """Tell whether somebody has placed partitions by hand in this request."""
    if isinstance(request, CreateTopicsRequest | CreatePartitionsRequest):
        return any(topic.assignments for topic in request.topics)
    return False


def by_hand_first(topics: Iterable[Placed]) -> list[Placed]:
    """Order the topics of a request: what is placed by hand is in the first commit, as a whole."""
    return sorted(topics, key=lambda topic: not topic.assignments)


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
) -> Iterator[PartitionRecord | Pause]:
    """Yield the partitions that the topic still lacks: all of a new one.

    None any more, once nobody is there to lead them.
    """
    yield from _placed(image, topic, topic.partition_count, cluster)


def _placed(
    image: ClusterImage, topic: TopicRecord, count: int, cluster: Load
) -> Iterator[PartitionRecord | Pause]:
    """Yield the partitions up to ``count`` that the topic lacks, on live brokers.

    Where these are too few, who is away is among the replicas too, and joins when it is back: what is
    placed in that moment has not fewer replicas for good.  Brokers may come and go between any two,
    others may add some, and the topic itself may go.
    """
    placement: Placement | None = None
    known: dict[NodeId, BrokerRecord] = {}
    factor = 0
    for number in range(count):
        if placement is not None:
            yield Pause.PAUSE
        present = image.partitions.get(topic.topic_id)
        if present is None:
            return
        if number in present:
            continue
        if placement is None or known != image.brokers:
            known = dict(image.brokers)
            brokers, away = image.placeable_brokers(), image.brokers_away()
            if not brokers:
                return
            factor = max(1, min(_factor_of(image, topic), len(brokers) + len(away)))
            placement = Placement(brokers, Load(present.values()), cluster, away)
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
    Should this controller end in between, whoever asks again finds them and goes on.  So does whoever
    asks for the same meanwhile; who comes to the count last is told that it is there.
    """
    refusal = too_many_assignments(request)
    if refusal is not None:
        return refusal
    repeated = Counter(topic.name for topic in request.topics)
    cluster = cluster_load(image)
    outcomes: dict[str, TopicOutcome] = {}
    for wanted in by_hand_first(request.topics):
        name = wanted.name
        if not wanted.assignments:
            yield Pause.PAUSE
        if repeated[name] > 1:
            text = "the topic is named more than once in this request"
            outcomes[name] = TopicOutcome(name, ErrorCode.INVALID_REQUEST, text)
            continue
        judged = _judge(image, wanted, image.topic(name))
        if isinstance(judged, TopicRecord) and not request.validate_only:
            yield from _added(image, judged, wanted, cluster)
            judged = _judge(image, wanted, image.topics.get(judged.topic_id))
            if isinstance(judged, TopicRecord):
                yield replace(judged, partition_count=wanted.count)
        if isinstance(judged, TopicRecord):
            judged = TopicOutcome(name, ErrorCode.NONE, "", judged.topic_id)
        outcomes[name] = judged
    told = tuple(outcomes[wanted.name] for wanted in request.topics)
    return CreatePartitionsResponse(ErrorCode.NONE, told)


def _judge(
    image: ClusterImage, wanted: NewPartitions, topic: TopicRecord | None
) -> TopicRecord | TopicOutcome:
    """Return the topic that partitions may be added to, or why they may not."""
    name = wanted.name
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
    if complaint is None and given and len(given[0]) != (factor := _factor_of(image, topic)):
        complaint = f"{name} has {factor} replicas of each partition, not {len(given[0])}"
    if complaint is not None:
        return TopicOutcome(name, ErrorCode.INVALID_REPLICA_ASSIGNMENT, complaint)
    return topic


def _added(
    image: ClusterImage, topic: TopicRecord, wanted: NewPartitions, cluster: Load
) -> Iterator[PartitionRecord | Pause]:
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
