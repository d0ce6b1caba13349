"""Produce: record sets to batches, which are neither copied nor looked into here."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.leaders import Leaders
from nodes.broker.kafka.outcomes import by_topic, of_known
from transport.gateway.kafka.messages.produce import (
    ProducedPartition,
    ProducedTopic,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import LeaderEpoch, TopicId
from transport.wire.messages import Refusal
from transport.wire.messages import produce as native

ABORTABLE_FROM = 11
"""Older producers have no TRANSACTION_ABORTABLE: what they know of is the loss of their epoch."""

_IN_KAFKAS_WORDS: dict[int, int] = {
    ErrorCode.UNKNOWN_LEADER_EPOCH: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE: ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.NOT_COORDINATOR: ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.CONCURRENT_TRANSACTIONS: ErrorCode.NOT_ENOUGH_REPLICAS,
}
"""No producer knows these as answers to Produce, and some give up at what they do not know: that this
broker has yet to take the partition over, and that a transaction's coordinator has not vouched for a
batch yet. Told what Kafka tells in their place, they send the batch again."""

Answer = native.ProduceResponse | Refusal


def produce(exchange: Exchange) -> None:
    """Hand over every record set of a topic that is known; the others are told that it is not."""
    asked: ProduceRequest = exchange.body
    ids = exchange.topic_ids(asked.topic_data)
    parts: list[native.ProducePartition] = []
    payload: list[Buffer] = []
    for topic_id, one in of_known(asked.topic_data, "partition_data", ids):
        frame = len(payload)
        parts.append(native.ProducePartition(topic_id, one.index, LeaderEpoch(-1), frame))
        payload.append(b"" if one.records is None else one.records)
        one.records = (
            None  # It is in the log while the answer waits, and need not be in memory too.
        )
    exchange.kept_bytes -= sum(map(len, payload))
    wants_none = asked.acks == native.ACKS_NONE
    # Who wants no answer is not answered, but what came of it has to be known here.
    acks = native.ACKS_LEADER if wants_none else asked.acks
    question = native.ProduceRequest(
        acks, asked.timeout_ms, tuple(parts), asked.transactional_id, exchange.header.client_id
    )

    def then(answer: Answer, _payload: Any) -> None:
        if wants_none:
            _end_if_refused(exchange, ids, answer)
        else:
            exchange.answer(_told(exchange, ids, answer))

    exchange.ask(question, then, tuple(payload))
    if wants_none:
        exchange.answer_nothing()


def _end_if_refused(exchange: Exchange, ids: list[TopicId], answer: Answer) -> None:
    """End the connection of who wants no answer and has written in vain, as Kafka does.

    Nothing else tells it to look for the leader anew: it would write to this broker for minutes.
    """
    asked: ProduceRequest = exchange.body
    for _, parts in by_topic(exchange, asked.topic_data, "partition_data", ids, answer):
        for one, outcome in parts:
            if outcome.error:
                why = getattr(outcome, "text", "") or meaning(outcome.error).text
                text = f"a write that wants no answer, to partition {one.index}, is refused: {why}"
                exchange.connection.end("kafka_connections_ended", text)
                return


def _told(exchange: Exchange, ids: list[TopicId], answer: Answer) -> ProduceResponse:
    asked: ProduceRequest = exchange.body
    leaders = Leaders(exchange)
    responses = tuple(
        ProducedTopic(
            name=topic.name,
            topic_id=topic.topic_id,
            partition_responses=tuple(
                _partition(exchange, one.index, outcome, leaders) for one, outcome in parts
            ),
        )
        for topic, parts in by_topic(exchange, asked.topic_data, "partition_data", ids, answer)
    )
    return ProduceResponse(
        responses=responses,
        throttle_time_ms=getattr(answer, "throttle_time_ms", 0),
        node_endpoints=leaders.endpoints(),
    )


def _partition(
    exchange: Exchange, index: int, outcome: native.ProducedPartition | Answer, leaders: Leaders
) -> ProducedPartition:
    error = _IN_KAFKAS_WORDS.get(outcome.error, outcome.error)
    if error == ErrorCode.TRANSACTION_ABORTABLE and exchange.version < ABORTABLE_FROM:
        error = ErrorCode.INVALID_PRODUCER_EPOCH
    if not isinstance(outcome, native.ProducedPartition):
        text = getattr(outcome, "text", "") or meaning(error).text
        return ProducedPartition(
            index=index, error_code=exchange.code(error), base_offset=-1, error_message=text
        )
    return ProducedPartition(
        index=index,
        error_code=exchange.code(error),
        base_offset=outcome.base_offset,
        log_append_time_ms=outcome.log_append_time_ms,
        log_start_offset=outcome.log_start_offset,
        error_message=outcome.text or None,
        current_leader=leaders.of(outcome.topic_id, outcome.partition, error),
    )
