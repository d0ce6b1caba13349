"""ListOffsets and OffsetForLeaderEpoch."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.outcomes import by_topic, of_known
from transport.gateway.kafka.messages.offsets import (
    EpochEnded,
    EpochTopicEnded,
    ListedPartition,
    ListedTopic,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, LeaderEpoch, NodeId
from transport.wire.messages import fetch as native

NOT_AVAILABLE_FROM = 5
"""Older clients have no OFFSET_NOT_AVAILABLE: what they ask again after is an election (KIP-207)."""
EARLIEST_LOCAL = -4
"""KIP-405: the earliest on the broker's own disk, which here is all there is."""


def list_offsets(exchange: Exchange) -> None:
    """Hand over the partitions of topics that are known."""
    asked: ListOffsetsRequest = exchange.body
    ids = exchange.topic_ids(asked.topics)
    question = native.ListOffsetsRequest(
        tuple(
            native.ListOffset(
                topic_id,
                one.partition_index,
                LeaderEpoch(one.current_leader_epoch),
                native.TIMESTAMP_EARLIEST if one.timestamp == EARLIEST_LOCAL else one.timestamp,
            )
            for topic_id, one in of_known(asked.topics, "partitions", ids)
        ),
        asked.isolation_level,
    )

    def then(answer: Any, _payload: Any) -> None:
        topics = tuple(
            ListedTopic(
                name=topic.name,
                partitions=tuple(
                    _listed(exchange, one.partition_index, found) for one, found in parts
                ),
            )
            for topic, parts in by_topic(exchange, asked.topics, "partitions", ids, answer)
        )
        exchange.answer(ListOffsetsResponse(topics=topics))

    exchange.ask(question, then)


def _listed(exchange: Exchange, index: int, found: Any) -> ListedPartition:
    if not isinstance(found, native.ListedOffset):
        return ListedPartition(partition_index=index, error_code=exchange.code(found.error))
    error = found.error
    if error == ErrorCode.OFFSET_NOT_AVAILABLE and exchange.version < NOT_AVAILABLE_FROM:
        error = ErrorCode.LEADER_NOT_AVAILABLE
    return ListedPartition(
        partition_index=index,
        error_code=exchange.code(error),
        timestamp=found.timestamp_ms,
        offset=found.offset,
        leader_epoch=found.leader_epoch,
    )


def offset_for_leader_epoch(exchange: Exchange) -> None:
    """Hand over the partitions of topics that are known."""
    asked: OffsetForLeaderEpochRequest = exchange.body
    ids = exchange.topic_ids(asked.topics)
    question = native.OffsetForLeaderEpochRequest(
        tuple(
            native.EpochEnd(
                topic_id,
                one.partition,
                LeaderEpoch(one.current_leader_epoch),
                LeaderEpoch(one.leader_epoch),
            )
            for topic_id, one in of_known(asked.topics, "partitions", ids)
        ),
        NodeId(asked.replica_id) if asked.replica_id >= 0 else NO_NODE,
    )

    def then(answer: Any, _payload: Any) -> None:
        topics = tuple(
            EpochTopicEnded(
                topic=topic.topic,
                partitions=tuple(_ended(exchange, one.partition, found) for one, found in parts),
            )
            for topic, parts in by_topic(exchange, asked.topics, "partitions", ids, answer)
        )
        exchange.answer(OffsetForLeaderEpochResponse(topics=topics))

    exchange.ask(question, then)


def _ended(exchange: Exchange, partition: int, found: Any) -> EpochEnded:
    if not isinstance(found, native.EpochEnded):
        error = exchange.code(found.error)
        return EpochEnded(error_code=error, partition=partition, end_offset=-1)
    return EpochEnded(
        error_code=exchange.code(found.error),
        partition=partition,
        leader_epoch=found.leader_epoch,
        end_offset=found.end_offset,
    )
