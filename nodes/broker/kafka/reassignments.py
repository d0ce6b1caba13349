"""Where replicas are and who leads, for Kafka's clients: reassignments, elections on demand."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import verdict
from transport.gateway.kafka.messages import reassignments as foreign
from transport.wire.ids import NodeId
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    ElectLeadersRequest,
    ListReassignmentsRequest,
    OngoingReassignment,
    PartitionOutcome,
    Reassignment,
)

# Reassignments


def alter_partition_reassignments(exchange: Exchange) -> None:
    """Begin, replace or cancel reassignments."""
    asked = exchange.body
    wanted = tuple(
        Reassignment(
            topic.name,
            part.partition_index,
            None if part.replicas is None else tuple(NodeId(node) for node in part.replicas),
        )
        for topic in asked.topics
        for part in topic.partitions
    )

    def done(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        responses = tuple(
            foreign.ReassignableTopicResponse(
                name=name, partitions=tuple(map(_reassigned, outcomes))
            )
            for name, outcomes in groupby(() if code else answer.partitions, _topic)
        )
        exchange.answer(
            foreign.AlterPartitionReassignmentsResponse(
                error_code=code, error_message=text, responses=responses
            )
        )

    exchange.ask(AlterReassignmentsRequest(wanted, asked.timeout_ms), done)


def _topic(part: PartitionOutcome | OngoingReassignment) -> str:
    return part.topic


def _reassigned(outcome: PartitionOutcome) -> foreign.ReassignablePartitionResponse:
    code, text = verdict(outcome)
    return foreign.ReassignablePartitionResponse(
        partition_index=outcome.partition, error_code=code, error_message=text
    )


def list_partition_reassignments(exchange: Exchange) -> None:
    """Tell which reassignments are under way, of all partitions or of some."""
    wanted = exchange.body.topics
    numbers = {topic.name: frozenset(topic.partition_indexes) for topic in wanted or ()}

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        meant = [
            part
            for part in (() if code else answer.partitions)
            if wanted is None or part.partition in numbers[part.topic]
        ]
        topics = tuple(
            foreign.OngoingTopicReassignment(name=name, partitions=tuple(map(_ongoing, parts)))
            for name, parts in groupby(meant, _topic)
        )
        exchange.answer(
            foreign.ListPartitionReassignmentsResponse(
                error_code=code, error_message=text, topics=topics
            )
        )

    exchange.ask(ListReassignmentsRequest(None if wanted is None else tuple(numbers)), told)


def _ongoing(part: OngoingReassignment) -> foreign.OngoingPartitionReassignment:
    return foreign.OngoingPartitionReassignment(
        partition_index=part.partition,
        replicas=part.replicas,
        adding_replicas=part.adding,
        removing_replicas=part.removing,
    )


# Elections


def elect_leaders(exchange: Exchange) -> None:
    """Elect leaders of all partitions or of some."""
    asked = exchange.body
    partitions = None
    if asked.topic_partitions is not None:
        partitions = tuple(
            (topic.topic, number) for topic in asked.topic_partitions for number in topic.partitions
        )

    def elected(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        if code:
            outcomes = [
                PartitionOutcome(*key, answer.error, text or "") for key in partitions or ()
            ]
        else:
            outcomes = answer.partitions
        results = tuple(
            foreign.ReplicaElectionResult(topic=name, partition_result=tuple(map(_elected, parts)))
            for name, parts in groupby(outcomes, _topic)
        )
        exchange.answer(
            foreign.ElectLeadersResponse(error_code=code, replica_election_results=results)
        )

    exchange.ask(ElectLeadersRequest(asked.election_type, partitions, asked.timeout_ms), elected)


def _elected(outcome: PartitionOutcome) -> foreign.ElectedPartition:
    code, text = verdict(outcome)
    return foreign.ElectedPartition(
        partition_id=outcome.partition, error_code=code, error_message=text
    )
