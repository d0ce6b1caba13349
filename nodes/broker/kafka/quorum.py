"""The quorum for Kafka's clients, in mode ``kraft``: what they call partition 0 of the metadata."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import verdict
from transport.gateway.kafka.messages import cluster as foreign
from transport.wire.errors import ErrorCode
from transport.wire.messages.ensemble import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    QuorumMember,
)

METADATA_TOPIC = "__cluster_metadata"
NAMED_TWICE = foreign.DescribedQuorum(partition_index=0, error_code=ErrorCode.INVALID_REQUEST)


def describe_quorum(exchange: Exchange) -> None:
    """Tell how far every member of the quorum is, once: in a large cluster that is long.

    An offset there is an index of the log here.
    """

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        asked = () if code else exchange.body.topics
        quorum = chain(() if code else [_quorum(exchange, answer)], repeat(NAMED_TWICE))
        topics = tuple(_topic(one, quorum) for one in asked)
        exchange.answer(
            foreign.DescribeQuorumResponse(error_code=code, error_message=text, topics=topics)
        )

    exchange.ask(DescribeQuorumRequest(), told)


def _topic(
    asked: foreign.QuorumTopic, quorum: Iterator[foreign.DescribedQuorum]
) -> foreign.DescribedQuorumTopic:
    partitions = []
    for part in asked.partitions:
        if (asked.topic_name, part.partition_index) == (METADATA_TOPIC, 0):
            partitions.append(next(quorum))
        else:
            error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            partitions.append(
                foreign.DescribedQuorum(partition_index=part.partition_index, error_code=error)
            )
    return foreign.DescribedQuorumTopic(topic_name=asked.topic_name, partitions=tuple(partitions))


def _quorum(exchange: Exchange, answer: DescribeQuorumResponse) -> foreign.DescribedQuorum:
    members = [(one.votes, _member(exchange, one, answer)) for one in answer.members]
    return foreign.DescribedQuorum(
        partition_index=0,
        error_code=ErrorCode.NONE,
        leader_id=answer.leader,
        leader_epoch=answer.term,
        high_watermark=answer.commit_index,
        current_voters=tuple(state for votes, state in members if votes),
        observers=tuple(state for votes, state in members if not votes),
    )


def _member(
    exchange: Exchange, one: QuorumMember, answer: DescribeQuorumResponse
) -> foreign.ReplicaState:
    heard_ms = exchange.now.wall_ms - one.silent_ms
    return foreign.ReplicaState(
        replica_id=one.node,
        log_end_offset=one.last_index,
        last_fetch_timestamp=heard_ms,
        last_caught_up_timestamp=heard_ms if one.last_index >= answer.commit_index else -1,
    )
