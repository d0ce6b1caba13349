"""The way to a coordinator: what ends a question, and what is only asked again."""

from __future__ import annotations

from typing import Any

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.coordinator_link import CoordinatorLink
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import (
    KEY_GROUP,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    FoundCoordinator,
)
from transport.wire.messages.groups import DescribeGroupRequest


def ask(cluster: Any) -> list[Message]:
    program = ClientProgram(cluster.bootstrap)
    cluster.start(program)
    return ask_of(program, cluster)


def ask_of(program: ClientProgram, cluster: Any) -> list[Message]:
    link = CoordinatorLink(
        program.view, program.calls, program.timers, program.errands, KEY_GROUP, "g"
    )
    link.attach(program.ports)
    told: list[Message] = []
    link.ask(
        DescribeGroupRequest("g"), lambda body, _: told.append(body), cluster.now, timeout_ms=30_000
    )
    return told


def test_a_coordinator_that_can_never_be_found_is_told_at_once(cluster: Any) -> None:
    cluster.refuse_once(FindCoordinatorRequest, ErrorCode.MALFORMED)
    told = ask(cluster)
    cluster.advance(100)
    assert [getattr(body, "error", None) for body in told] == [ErrorCode.MALFORMED]


def test_a_coordinator_that_is_not_found_now_is_looked_for_again(cluster: Any) -> None:
    cluster.before.append(
        lambda _, asked: (
            Refusal(ErrorCode.OVERLOADED)
            if isinstance(asked.body, FindCoordinatorRequest)
            else None
        )
    )
    told = ask(cluster)
    cluster.advance(1_000)
    assert not told
    assert cluster.count(FindCoordinatorRequest) > 3


def test_a_coordinator_that_cannot_be_reached_is_looked_for_with_growing_pauses(
    cluster: Any,
) -> None:
    """Cut off from it alone, while the other brokers hold it for alive."""
    there = FindCoordinatorResponse(0, (FoundCoordinator("g", 0, NodeId(3)),))
    cluster.before.append(
        lambda _, asked: there if isinstance(asked.body, FindCoordinatorRequest) else None
    )
    program = ClientProgram(cluster.bootstrap)
    cluster.start(program)
    program.on_link(program.view.links.open("tcp://h:9003"), False, cluster.now)
    told = ask_of(program, cluster)
    cluster.advance(10_000)
    assert not told
    assert 30 < cluster.count(FindCoordinatorRequest) < 120
