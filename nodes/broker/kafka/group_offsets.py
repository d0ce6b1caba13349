"""Offsets of groups: committed (in a transaction, too), and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.broker.kafka.coordination import code_of
from nodes.broker.kafka.exchange import Exchange
from nodes.core.group.offsets import PARTITIONS_MAX
from transport.gateway.kafka.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    LeaderEpoch,
    MemberEpoch,
    MemberId,
    Offset,
    ProducerEpoch,
    ProducerId,
)
from transport.wire.messages import Message, group_offsets

Offsets = tuple[group_offsets.OffsetToCommit, ...]
_PRODUCER_FENCED_FROM = 3
_ABORTABLE_FROM = 4
_IN_A_TRANSACTION: dict[int, int] = {
    ErrorCode.FENCED_MEMBER_EPOCH: ErrorCode.ILLEGAL_GENERATION,
    ErrorCode.STALE_MEMBER_EPOCH: ErrorCode.ILLEGAL_GENERATION,
}
"""What its clients know of a member that has lost its place."""


def offset_commit(exchange: Exchange) -> None:
    """Each partition has an outcome of its own."""
    asked: OffsetCommitRequest = exchange.body

    def question(piece: Offsets) -> Message:
        return group_offsets.OffsetCommitRequest(
            asked.group_id,
            piece,
            MemberId(asked.member_id),
            MemberEpoch(asked.generation_id_or_member_epoch),
            asked.group_instance_id,
        )

    def then(answer: Any) -> None:
        topics = _outcomes(exchange, asked.topics, answer)
        exchange.answer(OffsetCommitResponse(topics=topics))

    _ask_in_pieces(exchange, _offsets(exchange, asked.topics), question, then)


def txn_offset_commit(exchange: Exchange) -> None:
    """As above; they count once the transaction is committed."""
    asked: TxnOffsetCommitRequest = exchange.body

    def told(error: int) -> int:
        if error == ErrorCode.PRODUCER_FENCED and exchange.version < _PRODUCER_FENCED_FROM:
            return int(ErrorCode.INVALID_PRODUCER_EPOCH)
        if error == ErrorCode.TRANSACTION_ABORTABLE and exchange.version < _ABORTABLE_FROM:
            return int(ErrorCode.INVALID_PRODUCER_EPOCH)
        return _IN_A_TRANSACTION.get(error, error)

    def question(piece: Offsets) -> Message:
        return group_offsets.TxnOffsetCommitRequest(
            asked.transactional_id,
            ProducerId(asked.producer_id),
            ProducerEpoch(asked.producer_epoch),
            asked.group_id,
            piece,
            MemberId(asked.member_id),
            MemberEpoch(asked.generation_id),
            asked.group_instance_id,
        )

    def then(answer: Any) -> None:
        topics = _outcomes(exchange, asked.topics, answer, told)
        exchange.answer(TxnOffsetCommitResponse(topics=topics))

    _ask_in_pieces(exchange, _offsets(exchange, asked.topics), question, then)


def _ask_in_pieces(
    exchange: Exchange,
    offsets: Offsets,
    question: Callable[[Offsets], Message],
    then: Callable[[Any], None],
) -> None:
    """Ask about offsets, as many at a time as a group takes in one request.

    ``then`` gets an answer as if it were about all at once.  A piece that is refused is the last one:
    what follows it is told the same.
    """
    outcomes: list[group_offsets.CommitOutcome] = []

    def ask(first: int) -> None:
        following = first + PARTITIONS_MAX

        def take(answer: Any, _payload: object) -> None:
            if answer.error and not outcomes:
                then(answer)
                return
            if answer.error:
                outcomes.extend(
                    group_offsets.CommitOutcome(one.topic_id, one.partition, answer.error)
                    for one in offsets[first:]
                )
            else:
                outcomes.extend(answer.outcomes)
            if answer.error or following >= len(offsets):
                then(group_offsets.OffsetCommitResponse(ErrorCode.NONE, "", tuple(outcomes)))
            else:
                ask(following)

        exchange.ask(question(offsets[first:following]), take)

    ask(0)


def _offsets(exchange: Exchange, topics: Any) -> Offsets:
    return tuple(
        group_offsets.OffsetToCommit(
            topic_id,
            part.partition_index,
            Offset(part.committed_offset),
            LeaderEpoch(part.committed_leader_epoch),
            part.committed_metadata or "",
        )
        for topic in topics
        if (topic_id := exchange.topic_id(topic.name))
        for part in topic.partitions
    )


def _outcomes(
    exchange: Exchange, topics: Any, answer: Any, told: Any = int
) -> tuple[OffsetCommitResponseTopic, ...]:
    """Return what became of each partition asked about; of topics that nobody knows, that."""
    codes = {
        (one.topic_id, one.partition): code_of(told(one.error))
        for one in getattr(answer, "outcomes", ())
    }
    refused = code_of(told(answer.error)) if answer.error else None
    return tuple(
        OffsetCommitResponseTopic(
            name=topic.name,
            partitions=tuple(
                OffsetCommitResponsePartition(
                    partition_index=part.partition_index,
                    error_code=refused
                    or codes.get(
                        (exchange.topic_id(topic.name), part.partition_index),
                        int(exchange.unknown(topic.name)),
                    ),
                )
                for part in topic.partitions
            ),
        )
        for topic in topics
    )


# Deleting


def offset_delete(exchange: Exchange) -> None:
    """Each partition has an outcome of its own."""
    asked: OffsetDeleteRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        if answer.error:
            exchange.answer(OffsetDeleteResponse(error_code=code_of(answer.error)))
        else:
            topics = _outcomes(exchange, asked.topics, answer)
            exchange.answer(OffsetDeleteResponse(error_code=0, topics=topics))

    partitions = tuple(
        group_offsets.GroupPartition(topic_id, part.partition_index)
        for topic in asked.topics
        if (topic_id := exchange.topic_id(topic.name))
        for part in topic.partitions
    )
    exchange.ask(group_offsets.OffsetDeleteRequest(asked.group_id, partitions), then)
