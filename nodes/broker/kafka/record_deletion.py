"""Records deleted for Kafka's clients, by the leader they ask."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.outcomes import by_topic, of_known
from transport.gateway.kafka.messages import record_deletion as foreign
from transport.wire.ids import Offset
from transport.wire.messages.deletion import DeleteRecordsPartition, DeleteRecordsRequest


def delete_records(exchange: Exchange) -> None:
    """Let partitions begin later."""
    asked: foreign.DeleteRecordsRequest = exchange.body
    ids = exchange.topic_ids(asked.topics)
    doomed = tuple(
        DeleteRecordsPartition(topic_id, part.partition_index, Offset(part.offset))
        for topic_id, part in of_known(asked.topics, "partitions", ids)
    )

    def deleted(answer: Any, _payload: object) -> None:
        results = tuple(
            foreign.DeleteRecordsTopicResult(
                name=topic.name,
                partitions=tuple(
                    _deleted(exchange, part.partition_index, one) for part, one in parts
                ),
            )
            for topic, parts in by_topic(exchange, asked.topics, "partitions", ids, answer)
        )
        exchange.answer(foreign.DeleteRecordsResponse(topics=results))

    exchange.ask(DeleteRecordsRequest(doomed, asked.timeout_ms), deleted)


def _deleted(exchange: Exchange, number: int, outcome: Any) -> foreign.DeleteRecordsPartitionResult:
    return foreign.DeleteRecordsPartitionResult(
        partition_index=number,
        low_watermark=-1 if outcome.error else outcome.low_watermark,
        error_code=exchange.code(outcome.error),
    )
