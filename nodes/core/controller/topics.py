"""Creation and deletion of topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator

from nodes.core.controller.events import ControllerSettings, Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import PARTITIONS_MAX, topic_name_complaint
from nodes.core.controller.partitions import (
    assignment_complaint,
    cluster_load,
    is_complete,
    missing_partitions,
    new_partition,
    too_many_assignments,
)
from nodes.core.topic_configs import config_complaint
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId
from transport.wire.messages.metadata import MetadataRecord, RemoveTopicRecord, TopicRecord
from transport.wire.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    NewTopic,
    TopicOutcome,
)

_DEFAULT = -1


class Topics:
    """Decides on topics; holds the cluster's defaults and the source of topic ids."""

    def __init__(self, settings: ControllerSettings, new_topic_id: Callable[[], TopicId]) -> None:
        self._settings = settings
        self._new_topic_id = new_topic_id

    def decide_creation(self, image: ClusterImage, request: CreateTopicsRequest) -> Decision:
        """Make the topics that can be made; each gets an outcome of its own."""
        refusal = too_many_assignments(request)
        if refusal is not None:
            return refusal
        repeated = Counter(topic.name for topic in request.topics)
        cluster = cluster_load(image)
        outcomes: list[TopicOutcome] = []
        for topic in request.topics:
            if repeated[topic.name] > 1:
                text = "the topic is named more than once in this request"
                outcomes.append(TopicOutcome(topic.name, ErrorCode.INVALID_REQUEST, text))
                continue
            record = self._judge(image, topic, request.clamp)
            if isinstance(record, TopicRecord):
                if not request.validate_only:
                    yield record
                    for number, replicas in enumerate(topic.assignments):
                        yield new_partition(image, record.topic_id, number, replicas)
                    yield from missing_partitions(image, record, cluster)
                record = _made(record)
            outcomes.append(record)
        return CreateTopicsResponse(ErrorCode.NONE, tuple(outcomes))

    def _judge(
        self, image: ClusterImage, topic: NewTopic, clamp: bool
    ) -> TopicRecord | TopicOutcome:
        """Return the record of the topic to be, or why it may not be."""
        name, live = topic.name, len(image.placeable_brokers())
        complaint = topic_name_complaint(name)
        if complaint is not None:
            return TopicOutcome(name, ErrorCode.INVALID_TOPIC, complaint)
        if name in image.topic_ids:
            return TopicOutcome(name, ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name} exists")
        count, factor = topic.partitions, topic.replication_factor
        if topic.assignments:
            if (count, factor) != (_DEFAULT, _DEFAULT):
                text = "give either assignments, or partitions and replication factor"
                return TopicOutcome(name, ErrorCode.INVALID_REQUEST, text)
            complaint = assignment_complaint(image, topic.assignments)
            if complaint is not None:
                return TopicOutcome(name, ErrorCode.INVALID_REPLICA_ASSIGNMENT, complaint)
            count, factor = len(topic.assignments), len(topic.assignments[0])
            live = len(image.brokers)  # who of them is away joins when it is back
        if count == _DEFAULT:
            count = self._settings.num_partitions
        if not 1 <= count <= PARTITIONS_MAX:
            text = f"partitions must be from 1 to {PARTITIONS_MAX}, not {count}"
            return TopicOutcome(name, ErrorCode.INVALID_PARTITIONS, text)
        if factor == _DEFAULT:
            factor, clamp = self._settings.default_replication_factor, True
        if clamp:
            factor = min(factor, live)
        if not 1 <= factor <= live:
            text = f"replication factor {factor} needs as many live brokers; there are {live}"
            return TopicOutcome(name, ErrorCode.INVALID_REPLICATION_FACTOR, text)
        complaint = config_complaint(topic.configs)
        if complaint is not None:
            return TopicOutcome(name, ErrorCode.INVALID_CONFIG, complaint)
        return TopicRecord(name, self._new_topic_id(), topic.configs, count, factor)


def _made(topic: TopicRecord) -> TopicOutcome:
    return TopicOutcome(
        topic.name,
        ErrorCode.NONE,
        "",
        topic.topic_id,
        topic.partition_count,
        topic.replication_factor,
    )


def decide_deletion(image: ClusterImage, request: DeleteTopicsRequest) -> Decision:
    """Delete the topics that there are; each gets an outcome of its own."""
    outcomes: list[TopicOutcome] = []
    for name in request.topics:
        topic = image.topic(name)
        if topic is None:
            text = f"there is no topic {name[:80]!r}"
            outcomes.append(TopicOutcome(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text))
            continue
        if request.topic_ids.get(name, topic.topic_id) != topic.topic_id:
            text = f"topic {name} was deleted, and made again with another id"
            outcomes.append(TopicOutcome(name, ErrorCode.UNKNOWN_TOPIC_ID, text))
            continue
        yield RemoveTopicRecord(topic.topic_id)
        outcomes.append(TopicOutcome(name, ErrorCode.NONE, "", topic.topic_id))
    return DeleteTopicsResponse(ErrorCode.NONE, tuple(outcomes))


def unfinished_topics(image: ClusterImage) -> list[TopicRecord]:
    """Return the topics that lack some of their partitions."""
    return [topic for topic in image.topics.values() if not is_complete(image, topic)]


def decide_completion(image: ClusterImage) -> Generator[MetadataRecord, None, None]:
    """Finish the topics whose creation a predecessor left half done, if anybody is there."""
    unfinished = unfinished_topics(image)
    if unfinished:
        cluster = cluster_load(image)
        for topic in unfinished:
            yield from missing_partitions(image, topic, cluster)
