"""Members of groups whose coordinator divides (KIP-848): heartbeats, descriptions.

Kafka's heartbeat is answered at once, and its members count no assignments: the coordinator
remembers what it has told them.  A request that names everything is that of a member whose last
answer may have been lost.
"""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.coordination import ask_each_once, code_of
from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.operations import authorized_operations
from transport.gateway.kafka.messages.consumer_groups import (
    ConsumerGroupDescribeGroup,
    ConsumerGroupDescribeMember,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    DescribedAssignment,
    DescribedTopicPartitions,
    HeartbeatAssignment,
    HeartbeatTopicPartitions,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, MemberId, TopicId
from transport.wire.messages import groups
from transport.wire.messages.acls import ResourceType

HEARTBEAT_INTERVAL_MS = 1_000
"""A member hears of what others do one interval later, at most."""
CONSUMER_MEMBER = 1
STATES = {
    "empty": "Empty",
    "joining": "PreparingRebalance",
    "syncing": "CompletingRebalance",
    "reconciling": "Reconciling",
    "stable": "Stable",
}
"""Ours, and as Kafka's clients know them."""


def consumer_group_heartbeat(exchange: Exchange) -> None:
    """Answered at once, with an assignment if the member has not been told it."""
    asked: ConsumerGroupHeartbeatRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        if answer.error:
            error = code_of(answer.error)
            exchange.answer(
                ConsumerGroupHeartbeatResponse(error_code=error, error_message=answer.text)
            )
        else:
            exchange.answer(_beaten(asked, answer))

    owned = asked.topic_partitions
    topics = asked.subscribed_topic_names
    everything = asked.rebalance_timeout_ms >= 0 and topics is not None and owned is not None
    exchange.ask(
        groups.ConsumerGroupHeartbeatRequest(
            asked.group_id,
            MemberId(asked.member_id),
            MemberEpoch(asked.member_epoch),
            groups.AFRESH if everything else groups.AS_TOLD,
            0,
            topics,
            None
            if owned is None
            else tuple(groups.OwnedTopic(TopicId(one.topic_id), one.partitions) for one in owned),
            asked.instance_id,
            asked.server_assignor,
            -1,
            asked.rebalance_timeout_ms,
            exchange.header.client_id or "",
            exchange.connection.address,
            asked.subscribed_topic_regex,
        ),
        then,
    )


def _beaten(
    asked: ConsumerGroupHeartbeatRequest, answer: groups.ConsumerGroupHeartbeatResponse
) -> ConsumerGroupHeartbeatResponse:
    assignment = None
    if answer.assignment is not None:
        assignment = HeartbeatAssignment(
            topic_partitions=tuple(
                HeartbeatTopicPartitions(topic_id=one.topic_id, partitions=one.partitions)
                for one in answer.assignment
            )
        )
    return ConsumerGroupHeartbeatResponse(
        error_code=0,
        member_id=asked.member_id,
        member_epoch=answer.member_epoch,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        assignment=assignment,
    )


def consumer_group_describe(exchange: Exchange) -> None:
    """Groups of the classic protocol are not found: they are asked for by DescribeGroups."""
    asked: ConsumerGroupDescribeRequest = exchange.body

    def then(answers: list[tuple[str, Any]]) -> None:
        described = tuple(_described(exchange, *one) for one in answers)
        exchange.answer(ConsumerGroupDescribeResponse(groups=described))

    ask_each_once(exchange, asked.group_ids, groups.DescribeGroupRequest, then)


def _described(exchange: Exchange, group_id: str, answer: Any) -> ConsumerGroupDescribeGroup:
    error, text = answer.error, answer.text
    if not error and answer.protocol != "consumer":
        error, text = ErrorCode.GROUP_ID_NOT_FOUND, f"group {group_id} is no consumer group"
    if error:
        return ConsumerGroupDescribeGroup(
            error_code=code_of(error), error_message=text, group_id=group_id
        )
    return ConsumerGroupDescribeGroup(
        error_code=0,
        group_id=group_id,
        group_state=STATES[answer.state],
        group_epoch=answer.epoch,
        assignment_epoch=answer.epoch,
        assignor_name=answer.assignor,
        members=tuple(_member(exchange, one) for one in answer.members),
        authorized_operations=authorized_operations(
            exchange,
            ResourceType.GROUP,
            group_id,
            asked=exchange.body.include_authorized_operations,
        ),
    )


def _member(exchange: Exchange, one: groups.DescribedMember) -> ConsumerGroupDescribeMember:
    return ConsumerGroupDescribeMember(
        member_id=one.member_id,
        instance_id=one.instance_id,
        member_epoch=one.epoch,
        client_id=one.client_id,
        client_host=one.client_host,
        subscribed_topic_names=one.topics,
        subscribed_topic_regex=one.pattern or None,
        assignment=_assignment(exchange, one.assigned),
        target_assignment=_assignment(exchange, one.target),
        member_type=CONSUMER_MEMBER,
    )


def _assignment(exchange: Exchange, topics: tuple[groups.OwnedTopic, ...]) -> DescribedAssignment:
    return DescribedAssignment(
        topic_partitions=tuple(
            DescribedTopicPartitions(
                topic_id=one.topic_id, topic_name=name, partitions=one.partitions
            )
            for one in topics
            if (name := exchange.topic_name(one.topic_id)) is not None
        )
    )
