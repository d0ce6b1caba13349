"""Fetch: a long poll. Its answer tells of every partition, or within a session of what is new."""

from __future__ import annotations

from nodes.broker.kafka import fetch_session
from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.fetch_session import Session
from nodes.broker.kafka.leaders import Leaders
from nodes.broker.kafka.outcomes import of_known
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

Answer = native.FetchResponse | Refusal


def fetch(exchange: Exchange) -> None:
    """Hand over the partitions of topics that are known; with others, do not wait for records."""
    asked: FetchRequest = exchange.body
    ids = exchange.topic_ids(asked.topics)
    session = fetch_session.session_of(exchange)
    goes_on = asked.session_epoch > fetch_session.BEGINS_EPOCH
    if session is not None and not session.take(asked.topics, ids):
        fetch_session.lose(exchange)
        session = None
    if session is None and goes_on:
        error = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        exchange.answer(FetchResponse(error_code=error, responses=()))
        return

    def then(answer: Answer, payload: tuple[Buffer, ...]) -> None:
        exchange.passed_bytes = sum(map(len, payload))
        held = getattr(answer, "session_id", native.NO_FETCH_SESSION)
        if held == native.NO_FETCH_SESSION:
            fetch_session.lose(exchange)
        leaders = Leaders(exchange)
        if session is not None and goes_on:
            topics = _news(session, exchange, answer, payload, leaders)
        else:
            topics = _everything(ids, exchange, answer, payload, leaders)
        exchange.answer(
            FetchResponse(
                throttle_time_ms=getattr(answer, "throttle_time_ms", 0),
                error_code=exchange.code(answer.error),
                session_id=held,
                responses=topics,
                node_endpoints=leaders.endpoints(),
            )
        )

    exchange.ask(_question(exchange, ids, session), then)


def _question(
    exchange: Exchange, ids: list[TopicId], session: Session | None
) -> native.FetchRequest:
    asked: FetchRequest = exchange.body
    replica = fetch_session.replica_of(asked)
    goes_on = asked.session_epoch > fetch_session.BEGINS_EPOCH
    return native.FetchRequest(
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
        native.NO_FETCH_SESSION if session is None else session.id,
        native.FULL_EPOCH if session is None else asked.session_epoch,
        () if session is None else session.forgotten(asked.forgotten_topics_data),
        client_id=exchange.header.client_id,
        whole=not goes_on,
    )


def _everything(
    ids: list[TopicId],
    exchange: Exchange,
    answer: Answer,
    payload: tuple[Buffer, ...],
    leaders: Leaders,
) -> tuple[FetchedTopic, ...]:
    """In the order of the request; what is named again is told of once, and has nothing more to tell."""
    asked: FetchRequest = exchange.body
    parts = answer.partitions if isinstance(answer, native.FetchResponse) else ()
    told = {(part.topic_id, part.partition): part for part in parts}
    responses = []
    for topic, topic_id in zip(asked.topics, ids, strict=True):
        error = answer.error if topic_id else exchange.unknown(topic.topic)
        found = tuple(
            _nothing(one, error, exchange)
            if (part := told.pop((topic_id, one.partition), None)) is None
            else _partition(part, exchange, payload, leaders)
            for one in topic.partitions
        )
        responses.append(FetchedTopic(topic=topic.topic, topic_id=topic.topic_id, partitions=found))
    return tuple(responses)


def _news(
    session: Session,
    exchange: Exchange,
    answer: Answer,
    payload: tuple[Buffer, ...],
    leaders: Leaders,
) -> tuple[FetchedTopic, ...]:
    """Of the whole session, by topic."""
    by_topic: dict[TopicId, list[FetchedPartition]] = {}
    for part in getattr(answer, "partitions", ()):
        found = _partition(part, exchange, payload, leaders)
        by_topic.setdefault(part.topic_id, []).append(found)
    return tuple(
        FetchedTopic(
            topic=session.names.get(topic_id, ""), topic_id=topic_id, partitions=tuple(parts)
        )
        for topic_id, parts in by_topic.items()
    )


def _nothing(one: FetchPartition, error: int, exchange: Exchange) -> FetchedPartition:
    return FetchedPartition(
        partition_index=one.partition,
        error_code=exchange.code(error),
        high_watermark=-1,
        aborted_transactions=_aborted((), exchange.body),
        records=b"",
    )


def _partition(
    part: native.FetchedPartition,
    exchange: Exchange,
    payload: tuple[Buffer, ...],
    leaders: Leaders,
) -> FetchedPartition:
    return FetchedPartition(
        partition_index=part.partition,
        error_code=exchange.code(part.error),
        high_watermark=part.high_watermark,
        last_stable_offset=part.last_stable_offset,
        log_start_offset=part.log_start_offset,
        current_leader=leaders.of(part.topic_id, part.partition, part.error),
        aborted_transactions=_aborted(part.aborted, exchange.body),
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
