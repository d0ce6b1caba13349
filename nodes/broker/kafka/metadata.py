"""Metadata: brokers by where they listen for this protocol, topics by name or id."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.operations import authorized_operations
from nodes.core.controller.names import is_internal
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.fields import NO_UUID
from transport.gateway.kafka.messages.metadata import (
    MetadataBroker,
    MetadataPartition,
    MetadataRequest,
    MetadataResponse,
    MetadataTopic,
)
from transport.wire import messages
from transport.wire.errors import ErrorCode
from transport.wire.messages import metadata as native
from transport.wire.messages.acls import CLUSTER_NAME, AclOperation, ResourceType

CREATES_FROM = 4
"""Before that version every request makes the topics that it names."""


def metadata(exchange: Exchange) -> None:
    """Ask for the topics that are named; those of an id that tells who asks no name are answered here."""
    asked: MetadataRequest = exchange.body
    names, nameless = _named(exchange, asked)
    creates = asked.allow_auto_topic_creation or exchange.version < CREATES_FROM
    question = native.MetadataRequest(names, creates, include_internal=names is None)

    def then(answer: native.MetadataResponse | messages.Refusal, _payload: Any) -> None:
        if isinstance(answer, messages.Refusal) or answer.error:
            exchange.answer(_refused(exchange, names or (), answer.error))
        else:
            exchange.answer(_told(exchange, answer, nameless))

    exchange.ask(question, then)


def _named(
    exchange: Exchange, asked: MetadataRequest
) -> tuple[tuple[str, ...] | None, dict[bytes, ErrorCode]]:
    """Return the names asked for (None: all topics), and why the ids without a name have none."""
    if asked.topics is None or (exchange.version == 0 and not asked.topics):
        return None, {}
    names: list[str] = []
    nameless: dict[bytes, ErrorCode] = {}
    for topic in asked.topics:
        by_id = topic.name is None or topic.topic_id != NO_UUID
        name = exchange.topic_name(topic.topic_id) if by_id else topic.name
        if name is None:
            nameless[topic.topic_id] = ErrorCode.UNKNOWN_TOPIC_ID
        elif by_id and not exchange.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name):
            nameless[topic.topic_id] = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        else:
            names.append(name)
    return tuple(names), nameless


def _told(
    exchange: Exchange, answer: native.MetadataResponse, nameless: dict[bytes, ErrorCode]
) -> MetadataResponse:
    image = exchange.context.image
    brokers = []
    for broker in answer.brokers:
        place = exchange.place_of(broker.id)
        if place is not None:
            rack = place.rack or None
            brokers.append(
                MetadataBroker(node_id=broker.id, host=place.host, port=place.port, rack=rack)
            )
    alive = {broker.id for broker in image.live_brokers()}
    asked: MetadataRequest = exchange.body
    topics = [_topic(exchange, topic, alive) for topic in answer.topics]
    topics += [
        MetadataTopic(error_code=error, name=None, topic_id=one, partitions=())
        for one, error in nameless.items()
    ]
    # A controller that is no broker has no listener for this protocol; every broker passes on.
    is_told = any(broker.node_id == answer.controller_id for broker in brokers)
    return MetadataResponse(
        brokers=tuple(brokers),
        cluster_id=answer.cluster_id,
        controller_id=answer.controller_id if is_told else exchange.context.id,
        topics=tuple(topics),
        cluster_authorized_operations=authorized_operations(
            exchange,
            ResourceType.CLUSTER,
            CLUSTER_NAME,
            asked=asked.include_cluster_authorized_operations,
        ),
    )


def _topic(exchange: Exchange, topic: native.TopicInfo, alive: set[Any]) -> MetadataTopic:
    return MetadataTopic(
        error_code=foreign_code(topic.error),
        name=topic.name,
        topic_id=topic.topic_id or NO_UUID,
        is_internal=is_internal(topic.name),
        partitions=tuple(_partition(one, alive) for one in topic.partitions),
        topic_authorized_operations=authorized_operations(
            exchange,
            ResourceType.TOPIC,
            topic.name,
            asked=exchange.body.include_topic_authorized_operations and not topic.error,
        ),
    )


def _partition(one: native.PartitionInfo, alive: set[Any]) -> MetadataPartition:
    return MetadataPartition(
        error_code=ErrorCode.NONE if one.leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE,
        partition_index=one.partition,
        leader_id=one.leader,
        leader_epoch=one.leader_epoch,
        replica_nodes=one.replicas,
        isr_nodes=one.isr,
        offline_replicas=tuple(replica for replica in one.replicas if replica not in alive),
    )


def _refused(exchange: Exchange, names: tuple[str, ...], error: int) -> MetadataResponse:
    """Return an answer without brokers: the error of every topic, and (version 13) of the whole."""
    code = foreign_code(error)
    topics = tuple(MetadataTopic(error_code=code, name=name, partitions=()) for name in names)
    cluster_id = exchange.context.config.cluster_id
    return MetadataResponse(brokers=(), cluster_id=cluster_id, topics=topics, error_code=code)
