"""Members under the classic protocol: join, sync, heartbeat, leave.

Their bytes (subscriptions, assignments) pass as they are, and are those that our own clients write
too: members of both kinds may be in one group.
"""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.coordination import ask_each, code_of
from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages.groups import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberId
from transport.wire.messages import Message, Refusal, groups

JOINS_WITH_ID_FROM = 4
"""The first version whose clients know MEMBER_ID_REQUIRED (KIP-394)."""
LEAVES_MANY_FROM = 3
SKIPS_FROM = 9
"""The first version with ``skip_assignment`` (KIP-814)."""


def join_group(exchange: Exchange) -> None:
    """Answered when the generation has begun."""
    _join(exchange, exchange.body.member_id)


def _join(exchange: Exchange, member_id: str) -> None:
    asked: JoinGroupRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        given = getattr(answer, "member_id", "")
        if answer.error == ErrorCode.MEMBER_ID_REQUIRED and exchange.version < JOINS_WITH_ID_FROM:
            _join(exchange, given)
        elif answer.error:
            exchange.answer(_refused_join(exchange, answer.error, given or member_id))
        else:
            exchange.answer(_joined(exchange, answer))

    rebalance_timeout_ms = asked.rebalance_timeout_ms
    exchange.ask(
        groups.JoinGroupRequest(
            asked.group_id,
            MemberId(member_id),
            asked.session_timeout_ms,
            rebalance_timeout_ms if rebalance_timeout_ms >= 0 else asked.session_timeout_ms,
            tuple(groups.Protocol(one.name, one.metadata) for one in asked.protocols),
            asked.protocol_type,
            asked.group_instance_id,
            exchange.header.client_id or "",
            asked.reason or "",
            exchange.connection.address,
            may_skip=True,
        ),
        then,
    )


def _refused_join(exchange: Exchange, error: int, member_id: str) -> JoinGroupResponse:
    return JoinGroupResponse(error_code=code_of(error), member_id=member_id)


def _joined(exchange: Exchange, answer: groups.JoinGroupResponse) -> JoinGroupResponse:
    """A leader that is to divide nothing, and cannot be told so, is told that it does not lead."""
    asked: JoinGroupRequest = exchange.body
    leads_unawares = answer.skips and exchange.version < SKIPS_FROM
    return JoinGroupResponse(
        error_code=0,
        generation_id=answer.generation,
        protocol_type=asked.protocol_type,
        protocol_name=answer.protocol,
        leader="" if leads_unawares else answer.leader,
        skip_assignment=answer.skips,
        member_id=answer.member_id,
        members=()
        if leads_unawares
        else tuple(
            JoinGroupResponseMember(
                member_id=one.member_id, group_instance_id=one.instance_id, metadata=one.metadata
            )
            for one in answer.members
        ),
    )


def sync_group(exchange: Exchange) -> None:
    """Answered when the leader has divided."""
    asked: SyncGroupRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        exchange.answer(
            SyncGroupResponse(
                error_code=code_of(answer.error),
                protocol_type=asked.protocol_type,
                protocol_name=asked.protocol_name,
                assignment=getattr(answer, "assignment", b""),
            )
        )

    exchange.ask(
        groups.SyncGroupRequest(
            asked.group_id,
            MemberId(asked.member_id),
            asked.generation_id,
            tuple(
                groups.MemberAssignment(MemberId(one.member_id), one.assignment)
                for one in asked.assignments
            ),
            asked.group_instance_id,
        ),
        then,
    )


def heartbeat(exchange: Exchange) -> None:
    """Answered at once."""
    asked: HeartbeatRequest = exchange.body

    def then(answer: Any, _payload: object) -> None:
        exchange.answer(HeartbeatResponse(error_code=code_of(answer.error)))

    exchange.ask(
        groups.ClassicHeartbeatRequest(
            asked.group_id,
            MemberId(asked.member_id),
            asked.generation_id,
            asked.group_instance_id,
        ),
        then,
    )


def leave_group(exchange: Exchange) -> None:
    """One member; since version 3 any number of them, each with an outcome of its own."""
    asked: LeaveGroupRequest = exchange.body
    if exchange.version < LEAVES_MANY_FROM:
        leaving: tuple[MemberIdentity, ...] = (MemberIdentity(member_id=asked.member_id),)
    else:
        leaving = asked.members

    def question(one: MemberIdentity) -> Message:
        member_id = MemberId(one.member_id)
        return groups.LeaveGroupRequest(
            asked.group_id, member_id, one.group_instance_id, one.reason or ""
        )

    def then(answers: list[tuple[MemberIdentity, Any]]) -> None:
        refused = [answer.error for _, answer in answers if isinstance(answer, Refusal)]
        outcomes = tuple(
            MemberResponse(
                member_id=one.member_id,
                group_instance_id=one.group_instance_id,
                error_code=code_of(answer.error),
            )
            for one, answer in answers
        )
        error = code_of(refused[0]) if refused else 0
        if exchange.version < LEAVES_MANY_FROM:
            error = outcomes[0].error_code
        exchange.answer(LeaveGroupResponse(error_code=error, members=outcomes))

    ask_each(exchange, leaving, question, then)
