"""Fetch: a long poll without a session of its own: every answer tells of every partition."""

from __future__ import annotations

from collections.abc import Mapping

from nodes.broker.kafka.exchange import UNKNOWN_TOPIC, Exchange
from nodes.broker.kafka.leaders import Leaders
from nodes.broker.kafka.outcomes import of_known
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.messages.fetch import (
    AbortedTransaction,
    FetchedPartition,
    FetchedTopic,
    FetchPartition,
    FetchRequest,
    FetchResponse,
)
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, BrokerEpoch, LeaderEpoch, NodeId, Offset, TopicId
from transport.wire.messages import Refusal
from transport.wire.messages import fetch as native

NO_SESSION_EPOCH = -1
BEGINS_SESSION_EPOCH = 0

Answer = native.FetchResponse | Refusal
Told = Mapping[tuple[TopicId, int], native.FetchedPartition]


def fetch(exchange: Exchange) -> None:
    """Hand over the partitions of topics that are known; with others, do not wait for records."""
    asked: FetchRequest = exchange.body
    if asked.session_epoch not in (NO_SESSION_EPOCH, BEGINS_SESSION_EPOCH):
        # None was ever given: whoever goes on with one took it for another broker's.
        error = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        exchange.answer(FetchResponse(error_code=error, responses=()))
        return
    ids = exchange.topic_ids(asked.topics)
    replica = asked.replica_state.replica_id if asked.replica_state else asked.replica_id
    question = native.FetchRequest(
        asked.max_wait_ms if all(ids) else 0,
        asked.min_bytes,
        asked.max_bytes,
        tuple(
            native.FetchPartition(
                topic_id,
                one.partition,
                LeaderEpoch(one.current_leader_epoch),
                Offset(one.fetch_offset),
                one.partition_max_bytes,
            )
            for topic_id, one in of_known(asked.topics, "partitions", ids)
        ),
        NodeId(replica) if replica >= 0 else NO_NODE,
        BrokerEpoch(asked.replica_state.replica_epoch if asked.replica_state else -1),
        asked.rack_id,
        asked.isolation_level,
        client_id=exchange.header.client_id,
        whole=True,
    )

    def then(answer: Answer, payload: tuple[Buffer, ...]) -> None:
        exchange.answer(_told(exchange, ids, answer, payload))

    exchange.ask(question, then)


def _told(
    exchange: Exchange, ids: list[TopicId], answer: Answer, payload: tuple[Buffer, ...]
) -> FetchResponse:
    asked: FetchRequest = exchange.body
    parts = answer.partitions if isinstance(answer, native.FetchResponse) else ()
    told: Told = {(part.topic_id, part.partition): part for part in parts}
    leaders = Leaders(exchange)
    responses = []
    for topic, topic_id in zip(asked.topics, ids, strict=True):
        error = answer.error if topic_id else UNKNOWN_TOPIC
        found = tuple(
            _nothing(one, error, asked)
            if (part := told.get((topic_id, one.partition))) is None
            else _partition(part, asked, payload, leaders)
            for one in topic.partitions
        )
        responses.append(FetchedTopic(topic=topic.topic, topic_id=topic.topic_id, partitions=found))
    return FetchResponse(
        throttle_time_ms=getattr(answer, "throttle_time_ms", 0),
        error_code=foreign_code(answer.error),
        responses=tuple(responses),
        node_endpoints=leaders.endpoints(),
    )


def _nothing(one: FetchPartition, error: int, asked: FetchRequest) -> FetchedPartition:
    return FetchedPartition(
        partition_index=one.partition,
        error_code=foreign_code(error),
        high_watermark=-1,
        aborted_transactions=_aborted((), asked),
        records=b"",
    )


def _partition(
    part: native.FetchedPartition,
    asked: FetchRequest,
    payload: tuple[Buffer, ...],
    leaders: Leaders,
) -> FetchedPartition:
    return FetchedPartition(
        partition_index=part.partition,
        error_code=foreign_code(part.error),
        high_watermark=part.high_watermark,
        last_stable_offset=part.last_stable_offset,
        log_start_offset=part.log_start_offset,
        current_leader=leaders.of(part.topic_id, part.partition, part.error),
        aborted_transactions=_aborted(part.aborted, asked),
        preferred_read_replica=part.preferred_replica,
        records=b"" if part.frame < 0 else payload[part.frame],
    )


def _aborted(
    aborted: tuple[native.AbortedTransaction, ...], asked: FetchRequest
) -> tuple[AbortedTransaction, ...] | None:
    if asked.isolation_level != native.READ_COMMITTED:
        return None
    return tuple(
        AbortedTransaction(producer_id=one.producer_id, first_offset=one.first_offset)
        for one in aborted
    )
