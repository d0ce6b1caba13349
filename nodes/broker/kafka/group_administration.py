"""Administrators of groups: what is there, what it does, and away with it."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.consumer_groups import STATES
from nodes.broker.kafka.coordination import ask_each_once, code_of
from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.operations import authorized_operations
from odradek.cluster.consumer_protocol import (
    Subscription,
    encode_assignment,
    encode_subscription,
)
from transport.gateway.kafka.messages.group_administration import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsGroup,
    ListGroupsRequest,
    ListGroupsResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicPartition
from transport.wire.messages import groups
from transport.wire.messages.acls import ResourceType

CONSUMER, CLASSIC = "consumer", "classic"
NOT_FOUND_FROM = 6
"""The first version of DescribeGroups that has an error for a group that is not there."""
DEAD = "Dead"


def describe_groups(exchange: Exchange) -> None:
    """Of either protocol: clients that know the classic one only see who reads what all the same."""
    asked: DescribeGroupsRequest = exchange.body

    def then(answers: list[tuple[str, Any]]) -> None:
        described = tuple(_described(exchange, *one) for one in answers)
        exchange.answer(DescribeGroupsResponse(groups=described))

    ask_each_once(exchange, asked.groups, groups.DescribeGroupRequest, then)


def _described(exchange: Exchange, group_id: str, answer: Any) -> DescribedGroup:
    is_absent = answer.error == ErrorCode.GROUP_ID_NOT_FOUND
    if is_absent and exchange.version < NOT_FOUND_FROM:
        return DescribedGroup(error_code=0, group_id=group_id, group_state=DEAD)
    if answer.error:
        return DescribedGroup(
            error_code=code_of(answer.error),
            error_message=answer.text,
            group_id=group_id,
            group_state=DEAD if is_absent else "",
        )
    return DescribedGroup(
        error_code=0,
        group_id=group_id,
        group_state=STATES[answer.state],
        protocol_type=answer.protocol_type,
        protocol_data=answer.assignor if answer.members else "",
        members=tuple(_member(exchange, answer.protocol, one) for one in answer.members),
        authorized_operations=authorized_operations(
            exchange,
            ResourceType.GROUP,
            group_id,
            asked=exchange.body.include_authorized_operations,
        ),
    )


def _member(exchange: Exchange, protocol: str, one: groups.DescribedMember) -> DescribedGroupMember:
    metadata, assignment = one.metadata, one.assignment
    if protocol == CONSUMER:
        reads = frozenset(
            TopicPartition(name, number)
            for topic in one.assigned
            if (name := exchange.topic_name(topic.topic_id)) is not None
            for number in topic.partitions
        )
        metadata = encode_subscription(Subscription(frozenset(one.topics), reads))
        assignment = encode_assignment(reads)
    return DescribedGroupMember(
        member_id=one.member_id,
        group_instance_id=one.instance_id,
        client_id=one.client_id,
        client_host=one.client_host,
        member_metadata=metadata,
        member_assignment=assignment,
    )


def list_groups(exchange: Exchange) -> None:
    """The groups of this broker, in these states and of these types."""
    asked: ListGroupsRequest = exchange.body
    states = {state.lower() for state in asked.states_filter}
    types = {kind.lower() for kind in asked.types_filter}

    def then(answer: Any, _payload: object) -> None:
        listed = tuple(map(_listed, getattr(answer, "groups", ())))
        exchange.answer(
            ListGroupsResponse(
                error_code=code_of(answer.error),
                groups=tuple(
                    one
                    for one in listed
                    if not states or one.group_state.lower() in states
                    if not types or one.group_type in types
                ),
            )
        )

    exchange.ask(groups.ListGroupsRequest(), then)


def _listed(one: groups.ListedGroup) -> ListGroupsGroup:
    return ListGroupsGroup(
        group_id=one.group_id,
        protocol_type=one.protocol_type,
        group_state=STATES[one.state],
        group_type=one.protocol or CLASSIC,
    )


def delete_groups(exchange: Exchange) -> None:
    """Each group has an outcome of its own."""
    asked: DeleteGroupsRequest = exchange.body

    def then(answers: list[tuple[str, Any]]) -> None:
        results = tuple(
            DeletableGroupResult(group_id=group_id, error_code=code_of(answer.error))
            for group_id, answer in answers
        )
        exchange.answer(DeleteGroupsResponse(results=results))

    ask_each_once(exchange, asked.groups_names, groups.DeleteGroupRequest, then)
