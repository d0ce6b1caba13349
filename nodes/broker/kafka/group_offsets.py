"""Offsets that groups have committed: commit (in a transaction, too), fetch, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.broker.kafka.coordination import ask_each, code_of
from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
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
    TopicId,
)
from transport.wire.messages import Message, group_offsets
from transport.wire.messages.acls import AclOperation, ResourceType

FETCHES_MANY_FROM = 8
NO_TOPIC = TopicId(b"")
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

    def then(answer: Any, _payload: object) -> None:
        topics = _outcomes(exchange, asked.topics, answer)
        exchange.answer(OffsetCommitResponse(topics=topics))

    exchange.ask(
        group_offsets.OffsetCommitRequest(
            asked.group_id,
            _offsets(exchange, asked.topics),
            MemberId(asked.member_id),
            MemberEpoch(asked.generation_id_or_member_epoch),
            asked.group_instance_id,
        ),
        then,
    )


def txn_offset_commit(exchange: Exchange) -> None:
    """As above; they count once the transaction is committed."""
    asked: TxnOffsetCommitRequest = exchange.body

    def told(error: int) -> int:
        if error == ErrorCode.PRODUCER_FENCED and exchange.version < _PRODUCER_FENCED_FROM:
            return int(ErrorCode.INVALID_PRODUCER_EPOCH)
        if error == ErrorCode.TRANSACTION_ABORTABLE and exchange.version < _ABORTABLE_FROM:
            return int(ErrorCode.INVALID_PRODUCER_EPOCH)
        return _IN_A_TRANSACTION.get(error, error)

    def then(answer: Any, _payload: object) -> None:
        topics = _outcomes(exchange, asked.topics, answer, told)
        exchange.answer(TxnOffsetCommitResponse(topics=topics))

    exchange.ask(
        group_offsets.TxnOffsetCommitRequest(
            asked.transactional_id,
            ProducerId(asked.producer_id),
            ProducerEpoch(asked.producer_epoch),
            asked.group_id,
            _offsets(exchange, asked.topics),
            MemberId(asked.member_id),
            MemberEpoch(asked.generation_id),
            asked.group_instance_id,
        ),
        then,
    )


def _offsets(exchange: Exchange, topics: Any) -> tuple[group_offsets.OffsetToCommit, ...]:
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


# Fetching


def offset_fetch(exchange: Exchange) -> None:
    """Of one group; since version 8 of any number of them."""
    asked: OffsetFetchRequest = exchange.body
    groups: tuple[OffsetFetchRequestGroup, ...] = asked.groups
    if exchange.version < FETCHES_MANY_FROM:
        groups = (OffsetFetchRequestGroup(group_id=asked.group_id, topics=asked.topics),)
    # Judged once: what was not asked must not be told as what has nothing committed.
    forbidden = _forbidden(exchange, groups)

    def question(group: OffsetFetchRequestGroup) -> Message:
        return group_offsets.OffsetFetchRequest(
            group.group_id,
            _partitions(exchange, group.topics, forbidden),
            asked.require_stable,
            MemberId(group.member_id or ""),
            MemberEpoch(group.member_epoch),
        )

    def then(answers: list[tuple[OffsetFetchRequestGroup, Any]]) -> None:
        found = tuple(_fetched(exchange, *one, forbidden) for one in answers)
        if exchange.version >= FETCHES_MANY_FROM:
            exchange.answer(OffsetFetchResponse(groups=found))
            return
        (only,) = found
        exchange.answer(OffsetFetchResponse(topics=only.topics, error_code=only.error_code))

    ask_each(exchange, groups, question, then)


def _forbidden(exchange: Exchange, groups: Sequence[OffsetFetchRequestGroup]) -> frozenset[str]:
    """Return the topics that may not be known: of the others is told what is committed."""
    names = {topic.name for group in groups for topic in group.topics or ()}
    return frozenset(
        name for name in names if not exchange.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name)
    )


def _partitions(
    exchange: Exchange,
    topics: Sequence[OffsetFetchRequestTopic] | None,
    forbidden: frozenset[str],
) -> tuple[group_offsets.GroupPartition, ...] | None:
    if topics is None:
        return None
    return tuple(
        group_offsets.GroupPartition(topic_id, partition)
        for topic in topics
        if (topic_id := exchange.topic_id(topic.name)) and topic.name not in forbidden
        for partition in topic.partition_indexes
    )


def _fetched(
    exchange: Exchange, group: OffsetFetchRequestGroup, answer: Any, forbidden: frozenset[str]
) -> OffsetFetchResponseGroup:
    """A topic that nobody knows has nothing committed; an unstable offset is one of its partition."""
    error = code_of(answer.error)
    if group.topics is None:
        topics = _all_of(exchange, answer)
        return OffsetFetchResponseGroup(group_id=group.group_id, topics=topics, error_code=error)
    found = {(one.topic_id, one.partition): one for one in getattr(answer, "offsets", ())}
    refused = error or int(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    topics = tuple(
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=tuple(
                _committed(
                    partition,
                    found.get((exchange.topic_id(topic.name), partition)),
                    refused if topic.name in forbidden else error,
                )
                for partition in topic.partition_indexes
            ),
        )
        for topic in group.topics
    )
    if error == ErrorCode.UNSTABLE_OFFSET_COMMIT:
        error = 0
    return OffsetFetchResponseGroup(group_id=group.group_id, topics=topics, error_code=error)


def _committed(
    partition: int, one: group_offsets.CommittedOffset | None, error: int
) -> OffsetFetchResponsePartition:
    if one is None:
        one = group_offsets.CommittedOffset(NO_TOPIC, partition)
    return OffsetFetchResponsePartition(
        partition_index=partition,
        committed_offset=one.offset,
        committed_leader_epoch=one.leader_epoch,
        metadata=one.metadata,
        error_code=error,
    )


def _all_of(exchange: Exchange, answer: Any) -> tuple[OffsetFetchResponseTopic, ...]:
    """Everything that the group has committed, by topic."""
    by_name: dict[str, list[OffsetFetchResponsePartition]] = {}
    for one in getattr(answer, "offsets", ()):
        name = exchange.topic_name(one.topic_id)
        if name is not None:
            by_name.setdefault(name, []).append(_committed(one.partition, one, 0))
    return tuple(
        OffsetFetchResponseTopic(name=name, partitions=tuple(parts))
        for name, parts in by_name.items()
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
