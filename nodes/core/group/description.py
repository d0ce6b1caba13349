"""What a coordinator tells of its groups to administrators."""

from __future__ import annotations

from nodes.core.group.state import CLASSIC, CONSUMER, Group, owned_topics
from nodes.core.group.step import Step
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberId
from transport.wire.messages.groups import (
    DescribedMember,
    DescribeGroupResponse,
    ListedGroup,
)

EMPTY = "empty"
STABLE = "stable"
RECONCILING = "reconciling"


def listed(step: Step, group: Group) -> ListedGroup:
    """Return a group's line in the list."""
    present = step.facts.rounds.get(group.group_id)
    members = len(group.members) + (0 if present is None else len(present.members))
    return ListedGroup(
        group.group_id,
        _protocol(step, group),
        state_of(step, group),
        members,
        _protocol_type(step, group),
    )


def _protocol(step: Step, group: Group) -> str:
    if step.facts.is_classic(group.group_id):
        return CLASSIC
    return "" if group.value is None else group.value.protocol


def _protocol_type(step: Step, group: Group) -> str:
    present = step.facts.rounds.get(group.group_id)
    if present is not None and present.members:
        return present.protocol_type
    if group.value is None:
        return ""
    return group.value.protocol_type or "consumer"


def state_of(step: Step, group: Group) -> str:
    """Return ``empty``, ``stable``, ``reconciling``, ``joining`` or ``syncing``."""
    present = step.facts.rounds.get(group.group_id)
    if present is not None and present.members:
        return present.state
    if not group.members:
        return EMPTY
    done = group.group_id not in step.facts.unsettled and all(
        not group.revoking(member) and group.assigned(member) == group.target(member)
        for member in group.members
    )
    return STABLE if done else RECONCILING


def describe(step: Step, group: Group, default_assignor: str) -> DescribeGroupResponse:
    """Return everything about a group."""
    if group.value is None and not group.offsets and not step.facts.is_classic(group.group_id):
        error = ErrorCode.GROUP_ID_NOT_FOUND
        return DescribeGroupResponse(error, meaning(error).text, group.group_id)
    present = step.facts.rounds.get(group.group_id)
    assignor = default_assignor if group.value is None else group.value.assignor
    if present is not None and present.members:
        members = tuple(
            DescribedMember(
                member_id,
                one.value.instance_id,
                one.value.client_id,
                present.generation,
                (),
                (),
                assignment=one.value.assignment,
                metadata=dict(one.value.protocols).get(present.protocol, b""),
                client_host=one.value.client_host,
            )
            for member_id, one in sorted(present.members.items())
        )
        assignor = present.protocol
    else:
        members = tuple(_member(group, member_id) for member_id in sorted(group.members))
    return DescribeGroupResponse(
        ErrorCode.NONE,
        "",
        group.group_id,
        _protocol(step, group),
        state_of(step, group),
        max(group.epoch, 0 if present is None else present.generation),
        assignor,
        members,
        tuple(group.rebalances),
        _protocol_type(step, group),
    )


def _member(group: Group, member_id: MemberId) -> DescribedMember:
    value = group.members[member_id]
    return DescribedMember(
        member_id,
        value.instance_id,
        value.client_id,
        group.owned_by(member_id).epoch,
        value.topics,
        owned_topics(group.assigned(member_id)),
        owned_topics(group.revoking(member_id)),
        owned_topics(group.target(member_id)),
        client_host=value.client_host,
        pattern=value.pattern,
    )


__all__ = ["CONSUMER", "describe", "listed", "state_of"]
