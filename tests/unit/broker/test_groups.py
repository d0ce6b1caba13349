"""Groups at whole brokers: found, joined, kept when their coordinator dies, told of topics."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.partition_fleet import PartitionFleet
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, MemberId, Offset
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_GROUP, FindCoordinatorRequest
from transport.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetToCommit,
)
from transport.wire.messages.groups import ConsumerGroupHeartbeatRequest, ListGroupsRequest


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2, offsets_topic_partitions=2)
    fleet.settle()
    return fleet


def find(fleet: PartitionFleet, *, but: int = 0) -> int:
    """The broker that coordinates group g, once a living one does."""
    found: list[int] = []

    def known() -> bool:
        answer = fleet.ask(fleet.alive()[0], FindCoordinatorRequest(KEY_GROUP, ("g",)))
        found[:] = [int(answer.coordinators[0].node)]
        return found[0] in fleet.alive() and found[0] != but

    fleet.wait(known, 20_000)
    return found[0]


def ask(fleet: PartitionFleet, number: int, body: Message) -> Any:
    """Ask again while the coordinator loads."""
    while True:
        answer = fleet.ask(number, body)
        if not (
            isinstance(answer, Refusal) and answer.error == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        ):
            return answer


def heartbeat(epoch: int, **fields: Any) -> ConsumerGroupHeartbeatRequest:
    return ConsumerGroupHeartbeatRequest("g", MemberId("m"), MemberEpoch(epoch), **fields)


def test_a_group_goes_on_at_another_broker(fleet: PartitionFleet) -> None:
    key = fleet.create("t", 3)
    first = find(fleet)
    joined = ask(fleet, first, heartbeat(0, topics=("t",), session_timeout_ms=5_000))
    (part,) = joined.assignment
    assert (part.name, part.partitions, part.born_from) == ("t", (0, 1, 2), 3)
    commit = OffsetCommitRequest(
        "g", (OffsetToCommit(key.topic_id, 0, Offset(7)),), MemberId("m"), joined.member_epoch
    )
    assert ask(fleet, first, commit).outcomes[0].error == ErrorCode.NONE
    fleet.kill(first)
    fleet.settle()
    second = find(fleet, but=first)
    beaten = ask(
        fleet,
        second,
        heartbeat(joined.member_epoch, assignment_version=joined.assignment_version),
    )
    assert (beaten.error, beaten.assignment) == (ErrorCode.NONE, None)
    fetched = ask(fleet, second, OffsetFetchRequest("g"))
    assert [one.offset for one in fetched.offsets] == [7]


def test_a_waiting_heartbeat_hears_of_new_topics(fleet: PartitionFleet) -> None:
    coordinator = find(fleet)
    joined = ask(fleet, coordinator, heartbeat(0, topics=("t",)))
    assert joined.assignment == ()
    answers: list[Any] = []
    waiting = heartbeat(
        joined.member_epoch, assignment_version=joined.assignment_version, max_wait_ms=4_000
    )
    fleet.post(coordinator, waiting, answers.append)
    fleet.create("t", 2)
    fleet.wait(lambda: bool(answers))
    (part,) = answers[0].assignment
    assert (part.partitions, part.born_from) == ((0, 1), 0)


def test_groups_are_listed_by_their_coordinator_only(fleet: PartitionFleet) -> None:
    coordinator = find(fleet)
    ask(fleet, coordinator, heartbeat(0, topics=("t",)))
    for number in fleet.alive():
        answer = ask(fleet, number, ListGroupsRequest())
        names = [group.group_id for group in answer.groups]
        assert names == (["g"] if number == coordinator else [])


def test_what_is_no_group_is_refused(fleet: PartitionFleet) -> None:
    coordinator = find(fleet)
    refused = fleet.ask(coordinator, OffsetFetchRequest("g" * 300))
    assert refused.error == ErrorCode.INVALID_GROUP_ID
    other = next(number for number in fleet.alive() if number != coordinator)
    refused = fleet.ask(other, OffsetFetchRequest("g"))
    assert refused.error == ErrorCode.NOT_COORDINATOR
