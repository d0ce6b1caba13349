"""The classic protocol by plain values: rounds, leaders, fences."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.group.bench import Bench, Reader, topic
from tests.unit.group.test_transactional_offsets import commit as commit_in_transaction
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, MemberId
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    DescribeGroupRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    ListGroupsRequest,
    MemberAssignment,
    Protocol,
    SyncGroupRequest,
)


@pytest.fixture
def bench() -> Bench:
    return Bench(topic("t", 4))


class Classic:
    """A member as its client is."""

    def __init__(self, bench: Bench, *offers: str, instance_id: str | None = None) -> None:
        self.bench = bench
        self.offers = offers or ("range",)
        self.instance_id = instance_id
        self.member_id = MemberId("")
        self.generation = -1
        self.leads: list[MemberId] = []
        self.token = 0

    def join(self) -> Classic:
        """Ask for an id if it has none, then take part."""
        self.token = self.bench.post(self._request())
        answer: Any = self.bench.answers.get(self.token)
        if answer is not None and answer.error == ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
            self.token = self.bench.post(self._request())
        return self

    def _request(self) -> JoinGroupRequest:
        protocols = tuple(Protocol(name, b"topics") for name in self.offers)
        return JoinGroupRequest(
            "g", self.member_id, 3_000, 5_000, protocols, instance_id=self.instance_id
        )

    def joined(self) -> JoinGroupResponse:
        answer = self.bench.answers[self.token]
        assert isinstance(answer, JoinGroupResponse)
        self.member_id, self.generation = answer.member_id, answer.generation
        self.leads = [one.member_id for one in answer.members]
        return answer

    def sync(self, **parts: bytes) -> int:
        given = tuple(MemberAssignment(MemberId(k), v) for k, v in parts.items())
        return self.bench.post(
            SyncGroupRequest("g", self.member_id, self.generation, given, self.instance_id)
        )

    def beat(self, max_wait_ms: int = 0) -> int:
        return self.bench.post(
            ClassicHeartbeatRequest(
                "g", self.member_id, self.generation, self.instance_id, max_wait_ms
            )
        )

    def beaten(self) -> int:
        answer: Any = self.bench.answers[self.beat()]
        return int(answer.error)


def divide(leader: Classic, *others: Classic) -> dict[Classic, bytes]:
    """Let the leader divide: each gets its own member id as its part."""
    tokens = {one: one.sync() for one in others}
    tokens[leader] = leader.sync(**{str(one): one.encode() for one in leader.leads})
    answers: dict[Classic, bytes] = {}
    for one, token in tokens.items():
        answer: Any = leader.bench.answers[token]
        assert answer.error == 0
        answers[one] = answer.assignment
    return answers


def pair(bench: Bench) -> tuple[Classic, Classic]:
    """Two members of a stable generation, the first of them leading."""
    first = Classic(bench).join()
    first.joined()
    divide(first)
    second = Classic(bench).join()
    assert first.beaten() == ErrorCode.REBALANCE_IN_PROGRESS
    first.join()
    assert first.joined().generation == second.joined().generation == 2
    parts = divide(first, second)
    assert [parts[one].decode() for one in (first, second)] == [first.member_id, second.member_id]
    return first, second


def described(bench: Bench) -> Any:
    return bench.ask(DescribeGroupRequest("g"))


def test_the_leader_divides_and_all_hear(bench: Bench) -> None:
    first, second = pair(bench)
    assert first.leads == [first.member_id, second.member_id]
    assert second.leads == []
    assert first.beaten() == second.beaten() == 0
    group = described(bench)
    assert (group.protocol, group.state, group.epoch) == ("classic", "stable", 2)
    assert [one.assignment.decode() for one in group.members] == sorted(
        [first.member_id, second.member_id]
    )


def test_a_generation_outlives_its_coordinator(bench: Bench) -> None:
    first, second = pair(bench)
    bench.crash()
    assert first.beaten() == second.beaten() == 0
    bench.wait(2_900)
    assert first.beaten() == 0
    bench.wait(200)
    assert first.beaten() == ErrorCode.REBALANCE_IN_PROGRESS
    assert [one.member_id for one in described(bench).members] == [first.member_id]


def test_a_waiting_heartbeat_hears_of_a_new_round_at_once(bench: Bench) -> None:
    first, second = pair(bench)
    token = second.beat(max_wait_ms=1_000)
    assert token not in bench.answers
    bench.ask(LeaveGroupRequest("g", first.member_id))
    answer: Any = bench.answers[token]
    assert answer.error == ErrorCode.REBALANCE_IN_PROGRESS
    second.join()
    assert second.joined().leader == second.member_id


def test_old_generations_and_strangers_are_fenced(bench: Bench) -> None:
    first, second = pair(bench)
    who = {"member_id": first.member_id, "member_epoch": MemberEpoch(2)}
    assert bench.commit({("t", 0): 1}, **who).error == 0
    old = {**who, "member_epoch": MemberEpoch(1)}
    assert bench.commit({("t", 0): 2}, **old).error == ErrorCode.ILLEGAL_GENERATION
    strange = {**who, "member_id": MemberId("x")}
    assert bench.commit({("t", 0): 2}, **strange).error == ErrorCode.UNKNOWN_MEMBER_ID
    assert bench.commit({("t", 0): 2}).error == ErrorCode.UNKNOWN_MEMBER_ID
    second.generation = 1
    assert second.beaten() == ErrorCode.ILLEGAL_GENERATION
    assert bench.committed(("t", 0)) == [1]


def test_nothing_is_committed_while_a_division_is_awaited(bench: Bench) -> None:
    first, second = pair(bench)
    bench.ask(LeaveGroupRequest("g", second.member_id))
    who: dict[str, Any] = {"member_id": first.member_id, "member_epoch": MemberEpoch(2)}
    assert bench.commit({("t", 0): 1}, **who).error == 0, "what it had, it may still commit"
    first.join()
    first.joined()
    who["member_epoch"] = MemberEpoch(3)
    assert bench.commit({("t", 0): 2}, **who).error == ErrorCode.REBALANCE_IN_PROGRESS
    old: dict[str, Any] = {**who, "member_epoch": MemberEpoch(2)}
    assert commit_in_transaction(bench, 2, **old) == ["ILLEGAL_GENERATION"]
    assert commit_in_transaction(bench, 2, **who) == ["NONE"], "clients of Kafka's know of no other"
    divide(first)
    assert bench.commit({("t", 0): 2}, **who).error == 0


def test_who_does_not_join_again_is_left_behind(bench: Bench) -> None:
    first, second = pair(bench)
    third = Classic(bench).join()
    first.join()
    for _ in range(4):
        second.beaten()
        bench.wait(1_250)
    assert first.joined().generation == third.joined().generation == 3
    assert second.beaten() == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_leader_that_does_not_divide_is_left_behind(bench: Bench) -> None:
    first, second = pair(bench)
    bench.ask(LeaveGroupRequest("g", second.member_id))
    first.join()
    first.joined()
    third = Classic(bench).join()
    first.join()
    assert first.joined().generation == third.joined().generation == 4
    token = third.sync()
    bench.wait(5_100)
    answer: Any = bench.answers[token]
    assert answer.error == ErrorCode.REBALANCE_IN_PROGRESS
    third.join()
    assert third.joined().leader == third.member_id


def test_a_static_member_takes_its_own_place_and_fences_its_predecessor(bench: Bench) -> None:
    first = Classic(bench, instance_id="one").join()
    first.joined()
    divide(first)
    again = Classic(bench, instance_id="one").join()
    assert again.joined().member_id != first.member_id
    assert first.beaten() == ErrorCode.FENCED_INSTANCE_ID
    who = {"member_id": first.member_id, "member_epoch": MemberEpoch(1), "instance_id": "one"}
    assert bench.commit({("t", 0): 1}, **who).error == ErrorCode.FENCED_INSTANCE_ID
    first.join()
    answer: Any = bench.answers[first.token]
    assert answer.error == ErrorCode.FENCED_INSTANCE_ID


def static_pair(bench: Bench) -> tuple[Classic, Classic]:
    """Two static members that have joined, the first of them leading, before it has divided."""
    first = Classic(bench, instance_id="one").join()
    first.joined()
    divide(first)
    second = Classic(bench, instance_id="two").join()
    first.join().joined()
    second.joined()
    return first, second


@pytest.mark.parametrize("may_skip", [False, True])
@pytest.mark.parametrize("leads", [False, True])
def test_a_static_member_that_comes_back_keeps_its_place(
    bench: Bench, leads: bool, may_skip: bool
) -> None:
    first, second = static_pair(bench)
    divide(first)
    back = Classic(bench, instance_id="one" if leads else "two")
    back.token = bench.post(replace(back._request(), may_skip=may_skip))
    if leads and not may_skip:
        assert back.token not in bench.answers  # The others are to join first.
        return
    answer = back.joined()
    assert (answer.generation, answer.skips) == (2, leads)
    bench.crash()
    assert back.beaten() == ErrorCode.NONE
    assert (second if leads else first).beaten() == ErrorCode.NONE


def test_a_static_member_that_is_back_before_the_division_is_not_fenced_by_the_next_coordinator(
    bench: Bench,
) -> None:
    """It has been told its new id, and the division that its coordinator has logged is an older one."""
    first, second = static_pair(bench)
    assert described(bench).state == "syncing"
    back = Classic(bench, instance_id="one").join()
    second.join().joined()
    assert back.joined().member_id != first.member_id
    bench.crash()
    assert back.beaten() == ErrorCode.ILLEGAL_GENERATION
    assert first.beaten() == ErrorCode.FENCED_INSTANCE_ID
    assert back.join().joined().generation > 1
    divide(back)
    assert back.beaten() == ErrorCode.NONE


def test_a_static_member_that_comes_back_counts_once() -> None:
    """Its successor may be all that the group has room for, and speak of other protocols."""
    bench = Bench(topic("t", 4), members_max=1, classic_bytes_max=100)
    first = Classic(bench, "range", "sticky", "own", instance_id="one").join()  # 80 bytes.
    first.joined()
    divide(first)
    back = Classic(bench, "cooperative", "a", "b", instance_id="one").join()
    answer = back.joined()
    assert (answer.error, answer.protocol) == (ErrorCode.NONE, "cooperative")
    assert Classic(bench, "cooperative", instance_id="two").join().joined().error == (
        ErrorCode.GROUP_MAX_SIZE_REACHED
    )


def test_members_must_have_something_in_common(bench: Bench) -> None:
    Classic(bench, "range", "roundrobin").join().joined()
    stranger = Classic(bench, "sticky").join()
    assert stranger.joined().error == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    reader = Reader(bench, "a", "t").join()
    assert reader.error == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_there_is_a_bound_on_groups_in_the_making() -> None:
    bench = Bench(topic("t", 4), groups_max=0)
    bench.post(Classic(bench)._request())
    answer: Any = bench.answers[1]
    assert answer.error == ErrorCode.OVERLOADED
    assert bench.core._facts.rounds == {}


def test_the_protocol_most_prefer_is_taken(bench: Bench) -> None:
    first = Classic(bench, "a", "b").join()
    first.joined()
    second, third = Classic(bench, "b", "a").join(), Classic(bench, "b", "a").join()
    first.join()
    assert {one.joined().protocol for one in (first, second, third)} == {"b"}


def test_a_group_may_change_its_protocol_once_it_is_empty(bench: Bench) -> None:
    first = Classic(bench).join()
    first.joined()
    divide(first)
    bench.ask(LeaveGroupRequest("g", first.member_id))
    reader = Reader(bench, "a", "t").join()
    assert (reader.error, reader.has()) == (0, (0, 1, 2, 3))
    assert Classic(bench).join().joined().error == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    reader.leave()
    assert Classic(bench).join().joined().error == 0


def test_ids_that_nobody_joins_with_are_forgotten(bench: Bench) -> None:
    token = bench.post(Classic(bench)._request())
    answer: Any = bench.answers[token]
    assert answer.error == ErrorCode.MEMBER_ID_REQUIRED
    bench.wait(3_100)
    late = Classic(bench)
    late.member_id = answer.member_id
    late.join()
    assert late.joined().error == ErrorCode.UNKNOWN_MEMBER_ID
    assert bench.core._facts.rounds == {}


def test_what_members_have_written_can_be_looked_at(bench: Bench) -> None:
    member = Classic(bench).join()
    member.joined()
    described = bench.ask(DescribeGroupRequest("g"))
    assert described.protocol_type == "consumer"
    assert [one.metadata for one in described.members] == [b"topics"]
    bench.ask(LeaveGroupRequest("g", member.member_id))
    bench.crash()
    (listed,) = bench.ask(ListGroupsRequest()).groups
    assert (listed.state, listed.protocol, listed.protocol_type) == ("empty", "classic", "consumer")


def test_who_was_only_given_an_id_hides_no_members_of_the_other_protocol(bench: Bench) -> None:
    bench.ask(JoinGroupRequest("g", MemberId(""), 600_000, 60_000, (Protocol("range", b""),)))
    Reader(bench, "a", "t").join()
    assert described(bench).state == "stable"
    (listed,) = bench.ask(ListGroupsRequest()).groups
    assert (listed.state, listed.protocol, listed.members) == ("stable", "consumer", 1)


def test_what_members_tell_each_other_has_a_bound() -> None:
    bench = Bench(topic("t", 4), classic_bytes_max=30, name_characters_max=20)
    first = Classic(bench).join()
    first.joined()
    second = Classic(bench).join()  # 27 bytes more.
    refused = bench.answers[second.token]
    assert isinstance(refused, JoinGroupResponse)
    assert refused.error == ErrorCode.GROUP_MAX_SIZE_REACHED
    parts = (MemberAssignment(first.member_id, bytes(31)),)
    request = SyncGroupRequest("g", first.member_id, first.generation, parts)
    assert bench.ask(request).error == ErrorCode.INVALID_REQUEST
    named = Classic(bench, "range" * 5).join()
    refused = bench.answers[named.token]
    assert isinstance(refused, JoinGroupResponse)
    assert refused.error == ErrorCode.INVALID_REQUEST


def test_protocols_with_nothing_but_a_name_count_too() -> None:
    """Fifty thousand of a thousand characters were fifty megabytes of the group's one record."""
    bench = Bench(topic("t", 4))
    offered = tuple(Protocol(f"{number}".ljust(1_000, "."), b"") for number in range(5_000))
    asked = JoinGroupRequest("g", MemberId(""), 60_000, 60_000, offered, instance_id="one")
    assert bench.ask(asked).error == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert bench.ask(replace(asked, protocols=offered[:4_000])).error == ErrorCode.NONE
