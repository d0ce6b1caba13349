"""Topics described page by page for Kafka's clients (KIP-966), the topics by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.operations import authorized_operations
from nodes.broker.kafka.parts import verdict
from nodes.core.controller.names import is_internal
from transport.gateway.kafka.fields import NO_UUID
from transport.gateway.kafka.messages import topics as foreign
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey
from transport.wire.messages.acls import ResourceType
from transport.wire.messages.metadata import MetadataRequest, PartitionInfo, TopicInfo

PAGE_PARTITIONS_MAX = 2_000


def describe_topic_partitions(exchange: Exchange) -> None:
    """Tell all topics, or some, from the cursor on, and as much as a page has room for."""
    asked = exchange.body
    names = None
    if asked.topics:
        names = tuple(one.name for one in asked.topics if _is_left(one.name, asked.cursor))

    def told(answer: Any, _payload: object) -> None:
        if answer.error != ErrorCode.NONE:
            code, _ = verdict(answer)
            topics = tuple(
                foreign.DescribeTopicPartitionsResponseTopic(error_code=code, name=one.name)
                for one in asked.topics
            )
            response = foreign.DescribeTopicPartitionsResponse(topics=topics, next_cursor=None)
        else:
            left = (one for one in answer.topics if _is_left(one.name, asked.cursor))
            response = _page(exchange, sorted(left, key=lambda one: one.name))
        exchange.answer(response)

    exchange.ask(MetadataRequest(names, include_internal=True), told)


def _is_left(name: str, cursor: foreign.Cursor | None) -> bool:
    return cursor is None or name >= cursor.topic_name


def _page(
    exchange: Exchange, infos: Sequence[TopicInfo]
) -> foreign.DescribeTopicPartitionsResponse:
    asked = exchange.body
    room = min(max(asked.response_partition_limit, 1), PAGE_PARTITIONS_MAX)
    topics: list[foreign.DescribeTopicPartitionsResponseTopic] = []
    for info in infos:
        first = 0
        if asked.cursor is not None and asked.cursor.topic_name == info.name:
            first = max(asked.cursor.partition_index, 0)
        left = [part for part in info.partitions if part.partition >= first]
        if left and not room:
            return _ended(topics, info.name, left[0])
        topics.append(_topic(exchange, info, left[:room]))
        if len(left) > room:
            return _ended(topics, info.name, left[room])
        room -= len(left)
    return foreign.DescribeTopicPartitionsResponse(topics=tuple(topics), next_cursor=None)


def _ended(
    topics: list[foreign.DescribeTopicPartitionsResponseTopic], name: str, part: PartitionInfo
) -> foreign.DescribeTopicPartitionsResponse:
    cursor = foreign.Cursor(topic_name=name, partition_index=part.partition)
    return foreign.DescribeTopicPartitionsResponse(topics=tuple(topics), next_cursor=cursor)


def _topic(
    exchange: Exchange, info: TopicInfo, parts: Sequence[PartitionInfo]
) -> foreign.DescribeTopicPartitionsResponseTopic:
    code, _ = verdict(info)
    return foreign.DescribeTopicPartitionsResponseTopic(
        error_code=code,
        name=info.name,
        topic_id=info.topic_id or NO_UUID,
        is_internal=is_internal(info.name),
        partitions=tuple(_partition(exchange, info, part) for part in parts),
        topic_authorized_operations=authorized_operations(ResourceType.TOPIC),
    )


def _partition(
    exchange: Exchange, info: TopicInfo, part: PartitionInfo
) -> foreign.DescribeTopicPartitionsResponsePartition:
    image = exchange.context.image
    record = image.partition(PartitionKey(info.topic_id, part.partition))
    error = ErrorCode.NONE if part.leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE
    return foreign.DescribeTopicPartitionsResponsePartition(
        error_code=error,
        partition_index=part.partition,
        leader_id=part.leader,
        leader_epoch=part.leader_epoch,
        replica_nodes=part.replicas,
        isr_nodes=part.isr,
        eligible_leader_replicas=() if record is None else record.elr,
        last_known_elr=(),
        offline_replicas=tuple(node for node in part.replicas if not image.is_alive(node)),
    )
