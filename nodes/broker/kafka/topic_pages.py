"""Topics described page by page for Kafka's clients (KIP-966), the topics by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.operations import authorized_operations
from nodes.broker.kafka.parts import verdict
from nodes.core.controller.names import is_internal
from transport.gateway.kafka.fields import NO_UUID
from transport.gateway.kafka.messages import topics as foreign
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey
from transport.wire.messages.acls import AclOperation, ResourceType
from transport.wire.messages.metadata import MetadataRequest, PartitionInfo, TopicInfo

PAGE_PARTITIONS_MAX = 2_000


def describe_topic_partitions(exchange: Exchange) -> None:
    """Tell all topics, or some, from the cursor on, and as much as a page has room for.

    No more is asked than that: pages of a large cluster cost what is on them.
    """
    asked: foreign.DescribeTopicPartitionsRequest = exchange.body
    names, following = _on_page(exchange)

    def told(answer: Any, _payload: object) -> None:
        if answer.error != ErrorCode.NONE:
            code, _ = verdict(answer)
            topics = tuple(
                foreign.DescribeTopicPartitionsResponseTopic(error_code=code, name=one.name)
                for one in asked.topics
            )
            response = foreign.DescribeTopicPartitionsResponse(topics=topics, next_cursor=None)
        else:
            response = _page(exchange, [one for one in answer.topics if _is_shown(asked, one)])
            if response.next_cursor is None and following is not None:
                cursor = foreign.Cursor(topic_name=following, partition_index=0)
                response = replace(response, next_cursor=cursor)
        exchange.answer(response)

    exchange.ask(MetadataRequest(names, include_internal=True), told)


def _on_page(exchange: Exchange) -> tuple[tuple[str, ...], str | None]:
    """Return the topics that can be on the page, in order, and the one that is next after them."""
    asked, image = exchange.body, exchange.context.image
    wanted = sorted({one.name for one in asked.topics} or _known(exchange))
    if asked.cursor is not None:
        wanted = [name for name in wanted if name >= asked.cursor.topic_name]
    partitions = 0
    for place, name in enumerate(wanted):
        if partitions > _room(asked):
            return tuple(wanted[:place]), name
        topic = image.topic(name)
        count = 0 if topic is None else topic.partition_count - _first(asked, name)
        partitions += max(count, 1)
    return tuple(wanted), None


def _known(exchange: Exchange) -> Iterator[str]:
    """Yield the names of all topics that who asks may know: a cursor, too, would tell of others."""
    for name in exchange.context.image.topic_ids:
        if exchange.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name):
            yield name


def _first(asked: foreign.DescribeTopicPartitionsRequest, name: str) -> int:
    """Return the partition of a topic that the page begins with, or would."""
    cursor = asked.cursor
    return max(cursor.partition_index, 0) if cursor is not None and cursor.topic_name == name else 0


def _room(asked: foreign.DescribeTopicPartitionsRequest) -> int:
    return min(max(asked.response_partition_limit, 1), PAGE_PARTITIONS_MAX)


def _is_shown(asked: foreign.DescribeTopicPartitionsRequest, info: TopicInfo) -> bool:
    """Of all topics those that may not be known are left out."""
    return bool(asked.topics) or info.error != ErrorCode.TOPIC_AUTHORIZATION_FAILED


def _page(
    exchange: Exchange, infos: Sequence[TopicInfo]
) -> foreign.DescribeTopicPartitionsResponse:
    asked = exchange.body
    room = _room(asked)
    topics: list[foreign.DescribeTopicPartitionsResponseTopic] = []
    for info in infos:
        first = _first(asked, info.name)
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
        topic_authorized_operations=authorized_operations(
            exchange, ResourceType.TOPIC, info.name, asked=not code
        ),
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
