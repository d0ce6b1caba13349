"""Creation and deletion of topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from nodes.core.controller.events import ControllerSettings, Decision, Pause
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import PARTITIONS_MAX, names_complaint, topic_name_complaint
from nodes.core.controller.partitions import (
    assignment_complaint,
    by_hand_first,
    cluster_load,
    is_complete,
    missing_partitions,
    new_partition,
    too_many_assignments,
)
from nodes.core.topic_configs import config_complaint
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId
from transport.wire.messages.metadata import RemoveTopicRecord, TopicRecord
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
        outcomes: dict[str, TopicOutcome] = {}
        for topic in by_hand_first(request.topics):
            if not topic.assignments:
                yield Pause.PAUSE
            if repeated[topic.name] > 1:
                text = "the topic is named more than once in this request"
                outcomes[topic.name] = TopicOutcome(topic.name, ErrorCode.INVALID_REQUEST, text)
                continue
            record = self._judge(image, topic, request.clamp)
            if isinstance(record, TopicRecord):
                if not request.validate_only:
                    yield record
                    for number, replicas in enumerate(topic.assignments):
                        yield new_partition(image, record.topic_id, number, replicas)
                    yield from missing_partitions(image, record, cluster)
                record = _made(image, record)
            outcomes[topic.name] = record
        told = tuple(outcomes[topic.name] for topic in request.topics)
        return CreateTopicsResponse(ErrorCode.NONE, told)

    def _judge(
        self, image: ClusterImage, topic: NewTopic, clamp: bool
    ) -> TopicRecord | TopicOutcome:
        """Return the record of the topic to be, or why it may not be."""
        name, live = topic.name, len(image.placeable_brokers())
        refused = _refused_name(image, name)
        if refused is not None:
            return refused
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


def _refused_name(image: ClusterImage, name: str) -> TopicOutcome | None:
    """Return why no topic of this name can be made, whatever it is to be, or None."""
    complaint = topic_name_complaint(name)
    if complaint is not None:
        return TopicOutcome(name, ErrorCode.INVALID_TOPIC, complaint)
    if name in image.topic_ids:
        return TopicOutcome(name, ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name} exists")
    complaint = names_complaint(image.topic_ids.keys(), name)
    if complaint is not None:
        return TopicOutcome(name, ErrorCode.POLICY_VIOLATION, complaint)
    return None


def _made(image: ClusterImage, topic: TopicRecord) -> TopicOutcome:
    """Return what to say of a topic that was made, also where it has been deleted since."""
    made = image.topics.get(topic.topic_id)
    if made is not None and not is_complete(image, topic):
        text = "no broker is alive: the rest of its partitions is made when one is"
        return TopicOutcome(topic.name, ErrorCode.REQUEST_TIMED_OUT, text, topic.topic_id)
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


def decide_completion(image: ClusterImage) -> Decision:
    """Finish the topics whose creation was left half done, if anybody is there.

    Others may come between any two partitions.
    """
    unfinished = [topic for topic in image.topics.values() if not is_complete(image, topic)]
    if unfinished:
        cluster = cluster_load(image)
        for topic in unfinished:
            yield from missing_partitions(image, topic, cluster)
    return None
