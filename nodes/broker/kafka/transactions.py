"""Transactions: producers of both of Kafka's protocols, and administrators.

Those of the older one name their partitions themselves, and keep the epoch they were given
(``nodes/core/transaction/requests.py``).  Those of ``transaction.version`` 2 name nothing, as ours
do: their partitions' leaders ask, and EndTxn 5 tells them the next epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nodes.broker.kafka.coordination import ask_each_once, code_of
from nodes.broker.kafka.exchange import Exchange
from nodes.core.group.patterns import ROOM, Patterns
from transport.gateway.kafka.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    EndTxnRequest,
    EndTxnResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
    ListTransactionsState,
    PartitionResponse,
    ProducerState,
    TopicData,
    TopicResponse,
    TransactionState,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId
from transport.wire.messages import transactions
from transport.wire.messages.coordinators import KEY_GROUP, FindCoordinatorRequest

PRODUCER_FENCED_FROM = 2
ABORTABLE_FROM = 4
"""Older producers have no TRANSACTION_ABORTABLE; of AddPartitionsToTxn clients have no such version."""
OPERATION_NOT_ATTEMPTED = 55
"""Kafka's for partitions that are refused because another one of the request is."""
SEARCH_ROOM = 5 * ROOM
"""What a search for transactional ids may take: it is done at once, and refused where that is too much."""
STATES = frozenset(
    {"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}
)


def _told(exchange: Exchange, error: int) -> int:
    """Return the code for a producer of this version."""
    if error == ErrorCode.TRANSACTION_ABORTABLE and exchange.version < ABORTABLE_FROM:
        error = ErrorCode.PRODUCER_FENCED
    if error == ErrorCode.PRODUCER_FENCED and exchange.version < PRODUCER_FENCED_FROM:
        error = ErrorCode.INVALID_PRODUCER_EPOCH
    return code_of(error)


def add_partitions_to_txn(exchange: Exchange) -> None:
    """All of them, or none."""
    asked: AddPartitionsToTxnRequest = exchange.body
    topics = asked.v3_and_below_topics
    unknown = {topic.name for topic in topics if not exchange.topic_id(topic.name)}

    def finish(codes: dict[str, int], rest: int) -> None:
        results = tuple(
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=tuple(
                    AddPartitionsToTxnPartitionResult(
                        partition_index=partition, partition_error_code=codes.get(topic.name, rest)
                    )
                    for partition in topic.partitions
                ),
            )
            for topic in topics
        )
        exchange.answer(AddPartitionsToTxnResponse(results_by_topic_v3_and_below=results))

    if unknown:
        finish({name: int(exchange.unknown(name)) for name in unknown}, OPERATION_NOT_ATTEMPTED)
        return

    def then(answer: Any, _payload: object) -> None:
        finish({}, _told(exchange, answer.error))

    request = transactions.AddPartitionsToTxnRequest(
        asked.v3_and_below_transactional_id,
        ProducerId(asked.v3_and_below_producer_id),
        ProducerEpoch(asked.v3_and_below_producer_epoch),
        _parts(exchange, ((topic.name, topic.partitions) for topic in topics)),
        declared=True,
    )
    exchange.ask(request, then)


def _parts(
    exchange: Exchange, topics: Iterable[tuple[str, Sequence[int]]]
) -> tuple[transactions.TransactionPartition, ...]:
    """Return the partitions of the topics that are known, in order."""
    return tuple(
        transactions.TransactionPartition(topic_id, partition)
        for name, partitions in topics
        if (topic_id := exchange.topic_id(name))
        for partition in partitions
    )


def add_offsets_to_txn(exchange: Exchange) -> None:
    """The group's shard is added; it is there once somebody has looked for its coordinator."""
    asked: AddOffsetsToTxnRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        exchange.answer(AddOffsetsToTxnResponse(error_code=_told(exchange, answer.error)))

    def found(answer: Any, _payload: object) -> None:
        if answer.error:
            then(answer, ())
            return
        request = transactions.AddPartitionsToTxnRequest(
            asked.transactional_id,
            ProducerId(asked.producer_id),
            ProducerEpoch(asked.producer_epoch),
            (),
            declared=True,
            group_id=asked.group_id,
        )
        exchange.ask(request, then)

    exchange.ask(FindCoordinatorRequest(KEY_GROUP, (asked.group_id,)), found)


def end_txn(exchange: Exchange) -> None:
    """Answered once every marker is written."""
    asked: EndTxnRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        exchange.answer(
            EndTxnResponse(
                error_code=_told(exchange, answer.error),
                producer_id=getattr(answer, "producer_id", NO_PRODUCER_ID),
                producer_epoch=getattr(answer, "producer_epoch", transactions.NO_EPOCH),
            )
        )

    request = transactions.EndTxnRequest(
        asked.transactional_id,
        ProducerId(asked.producer_id),
        ProducerEpoch(asked.producer_epoch),
        asked.committed,
    )
    exchange.ask(request, then)


# Administration


def list_transactions(exchange: Exchange) -> None:
    """What this broker coordinates; its ids are searched here, for none is told who may not know it."""
    asked: ListTransactionsRequest = exchange.body
    unknown = tuple(state for state in asked.state_filters if state not in STATES)
    pattern, patterns = asked.transactional_id_pattern or "", Patterns(SEARCH_ROOM)

    def refuse(error: ErrorCode) -> None:
        exchange.answer(
            ListTransactionsResponse(error_code=code_of(error), unknown_state_filters=unknown)
        )

    if pattern and patterns.fault(pattern):
        refuse(ErrorCode.INVALID_REGULAR_EXPRESSION)
        return

    def then(answer: Any, _payload: object) -> None:
        told = getattr(answer, "transactions", ())
        patterns.take([one.transactional_id for one in told])
        if pattern and not patterns.is_through(pattern):
            refuse(ErrorCode.INVALID_REGULAR_EXPRESSION)
            return
        listed = tuple(
            ListTransactionsState(
                transactional_id=one.transactional_id,
                producer_id=one.producer_id,
                transaction_state=one.state,
            )
            for one in told
            if not pattern or one.transactional_id in patterns.found(pattern)
        )
        exchange.answer(
            ListTransactionsResponse(
                error_code=code_of(answer.error),
                unknown_state_filters=unknown,
                transaction_states=listed,
            )
        )

    producer_ids = tuple(map(ProducerId, asked.producer_id_filters))
    if pattern:
        exchange.have_the_turn()
    question = transactions.ListTransactionsRequest(
        asked.state_filters, producer_ids, asked.duration_filter
    )
    exchange.ask(question, then)


def describe_transactions(exchange: Exchange) -> None:
    """Each id has an outcome of its own."""
    asked: DescribeTransactionsRequest = exchange.body

    def then(answers: list[tuple[str, Any]]) -> None:
        states = tuple(_described(exchange, *one) for one in answers)
        exchange.answer(DescribeTransactionsResponse(transaction_states=states))

    ask_each_once(exchange, asked.transactional_ids, transactions.DescribeTransactionRequest, then)


def _described(exchange: Exchange, transactional_id: str, answer: Any) -> TransactionState:
    if answer.error:
        return TransactionState(error_code=code_of(answer.error), transactional_id=transactional_id)
    by_name: dict[str, list[int]] = {}
    for one in answer.partitions:
        name = exchange.topic_name(one.topic_id)
        if name is not None:
            by_name.setdefault(name, []).append(one.partition)
    return TransactionState(
        error_code=0,
        transactional_id=transactional_id,
        transaction_state=answer.state,
        transaction_timeout_ms=answer.timeout_ms,
        transaction_start_time_ms=answer.started_ms,
        producer_id=answer.producer_id,
        producer_epoch=answer.producer_epoch,
        topics=tuple(
            TopicData(topic=name, partitions=tuple(numbers)) for name, numbers in by_name.items()
        ),
    )


def describe_producers(exchange: Exchange) -> None:
    """Of the partitions that this broker leads; of one that is named again, once."""
    asked: DescribeProducersRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        found = {(one.topic_id, one.partition): one for one in getattr(answer, "partitions", ())}
        exchange.answer(
            DescribeProducersResponse(
                topics=tuple(
                    TopicResponse(
                        name=topic.name,
                        partitions=tuple(
                            _producers(
                                number,
                                answer.error,
                                found.pop((exchange.topic_id(topic.name), number), None),
                            )
                            for number in topic.partition_indexes
                        ),
                    )
                    for topic in asked.topics
                )
            )
        )

    parts = _parts(exchange, ((topic.name, topic.partition_indexes) for topic in asked.topics))
    question = transactions.DescribeProducersRequest(tuple(dict.fromkeys(parts)))
    exchange.ask(question, then)


def _producers(number: int, error: int, one: Any) -> PartitionResponse:
    if one is None:
        error = error or ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return PartitionResponse(partition_index=number, error_code=code_of(error))
    return PartitionResponse(
        partition_index=number,
        error_code=code_of(one.error),
        error_message=one.text or None,
        active_producers=tuple(
            ProducerState(
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                last_sequence=producer.last_sequence,
                last_timestamp=producer.last_timestamp_ms,
                coordinator_epoch=producer.coordinator_epoch,
                current_txn_start_offset=producer.transaction_start_offset,
            )
            for producer in one.producers
        ),
    )


def write_txn_markers(exchange: Exchange) -> None:
    """An administrator ends what hangs in partitions that this broker leads."""
    asked: WriteTxnMarkersRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        outcomes = getattr(answer, "outcomes", ())
        markers = tuple(
            WritableTxnMarkerResult(
                producer_id=marker.producer_id,
                topics=_marked(exchange, marker, answer.error, list(codes)),
            )
            for marker, codes in zip(
                asked.markers, outcomes or ((),) * len(asked.markers), strict=True
            )
        )
        exchange.answer(WriteTxnMarkersResponse(markers=markers))

    markers = tuple(
        transactions.TransactionMarker(
            ProducerId(marker.producer_id),
            ProducerEpoch(marker.producer_epoch),
            marker.coordinator_epoch,
            marker.transaction_result,
            _parts(exchange, ((topic.name, topic.partition_indexes) for topic in marker.topics)),
            keeps_epoch=True,
        )
        for marker in asked.markers
    )
    exchange.ask(transactions.WriteTxnMarkersRequest(markers), then)


def _marked(
    exchange: Exchange, marker: Any, error: int, codes: list[int]
) -> tuple[WritableTxnMarkerTopicResult, ...]:
    """Return the outcomes by topic; ``codes`` has one for each partition of a known topic."""
    left = iter(codes)
    unknown = int(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def code(name: str) -> int:
        return code_of(error or (next(left, unknown) if exchange.topic_id(name) else unknown))

    return tuple(
        WritableTxnMarkerTopicResult(
            name=topic.name,
            partitions=tuple(
                WritableTxnMarkerPartitionResult(
                    partition_index=number, error_code=code(topic.name)
                )
                for number in topic.partition_indexes
            ),
        )
        for topic in marker.topics
    )
