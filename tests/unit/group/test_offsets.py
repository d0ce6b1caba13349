"""Committed offsets: whose commits count, what is kept, and for how long."""

from __future__ import annotations

import pytest

from nodes.core.group import offsets
from tests.unit.group.bench import Bench, Reader, settle, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, MemberEpoch, MemberId, Offset
from transport.wire.messages.group_offsets import (
    GroupPartition,
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    OffsetToCommit,
)
from transport.wire.messages.groups import (
    DeleteGroupRequest,
    DescribeGroupRequest,
    ListGroupsRequest,
)

DAY_MS = 24 * 3_600_000


@pytest.fixture
def bench() -> Bench:
    return Bench(topic("t", 4), topic("u", 1))


def test_what_is_committed_is_told_and_outlives_its_coordinator(bench: Bench) -> None:
    assert bench.committed(("t", 0)) == [-1]
    answer = bench.commit({("t", 0): 5, ("t", 1): 7})
    assert [one.error for one in answer.outcomes] == [0, 0]
    bench.crash()
    assert bench.committed(("t", 1), ("t", 0), ("t", 2)) == [7, 5, -1]
    (one, _) = bench.ask(OffsetFetchRequest("g")).offsets
    assert (one.offset, one.leader_epoch, one.metadata) == (5, 3, "note")


def test_all_commits_are_told_page_by_page_whatever_changes_meanwhile(bench: Bench) -> None:
    bench.commit({("t", number): number for number in range(4)} | {("u", 0): 9})
    first = bench.ask(OffsetFetchRequest("g", most=2))
    behind = first.goes_on_after
    assert behind == GroupPartition(first.offsets[1].topic_id, first.offsets[1].partition)
    bench.ask(OffsetDeleteRequest("g", (behind,)))
    second = bench.ask(OffsetFetchRequest("g", after=behind, most=0))
    third = bench.ask(OffsetFetchRequest("g", after=second.goes_on_after))
    told = [(one.topic_id, one.partition) for one in first.offsets + second.offsets + third.offsets]
    assert len(second.offsets) == 1
    assert told == sorted([*((topic_id("t"), number) for number in range(4)), (topic_id("u"), 0)])
    assert third.goes_on_after is None


def test_a_page_holds_only_so_much_metadata(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr(offsets, "PAGE_BYTES_MAX", 11)
    bench.commit({("t", number): number for number in range(4)})
    pages: list[list[int]] = []
    behind = None
    while not pages or behind is not None:
        answer = bench.ask(OffsetFetchRequest("g", after=behind))
        behind = answer.goes_on_after
        pages.append([one.partition for one in answer.offsets])
    assert pages == [[0, 1], [2, 3]]


def test_what_makes_no_sense_is_refused_by_partition(bench: Bench) -> None:
    long = OffsetToCommit(topic_id("t"), 2, Offset(1), metadata="x" * 5_000)
    answer = bench.ask(OffsetCommitRequest("g", (long,)))
    assert answer.outcomes[0].error == ErrorCode.OFFSET_METADATA_TOO_LARGE
    answer = bench.commit({("t", 0): 5, ("t", 9): 1, ("gone", 0): 1, ("t", 1): -4})
    assert [one.error for one in answer.outcomes] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.OFFSET_OUT_OF_RANGE,
    ]
    assert bench.committed(("t", 0)) == [5]


@pytest.mark.parametrize(
    ("offset", "leader_epoch", "expected"),
    [
        (2**63 - 1, 2**31 - 1, ErrorCode.NONE),
        (2**63, 0, ErrorCode.OFFSET_OUT_OF_RANGE),
        (0, -1, ErrorCode.NONE),
        (0, -2, ErrorCode.INVALID_REQUEST),
        (0, 2**31, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_not_every_client_could_be_told_is_not_committed(
    bench: Bench, offset: int, leader_epoch: int, expected: ErrorCode
) -> None:
    part = OffsetToCommit(topic_id("t"), 0, Offset(offset), LeaderEpoch(leader_epoch))
    answer = bench.ask(OffsetCommitRequest("g", (part,)))
    assert answer.outcomes[0].error == expected


def test_a_member_commits_what_it_owns_and_nobody_else_does(bench: Bench) -> None:
    first, second = Reader(bench, "a", "t").join(), Reader(bench, "b", "t").join()
    settle(first, second)
    mine, theirs = first.has()[0], second.has()[0]
    answer = bench.commit({("t", mine): 3, ("t", theirs): 4}, **first.who())
    assert [one.error for one in answer.outcomes] == [
        ErrorCode.NONE,
        ErrorCode.STALE_MEMBER_EPOCH,
    ]
    assert bench.committed(("t", mine), ("t", theirs)) == [3, -1]
    assert bench.commit({("t", mine): 9}).error == ErrorCode.UNKNOWN_MEMBER_ID
    strange = {"member_id": MemberId("x"), "member_epoch": MemberEpoch(1)}
    assert bench.commit({("t", mine): 9}, **strange).error == ErrorCode.UNKNOWN_MEMBER_ID


def test_what_is_to_be_let_go_can_still_be_committed_and_then_no_more(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat()
    Reader(bench, "b", "t").join()
    who = first.who()
    assert first.take()
    lost = next(number for number in range(4) if number not in first.has())
    answer = bench.commit({("t", lost): 8}, **who)
    assert answer.outcomes[0].error == ErrorCode.NONE
    first.beat()
    answer = bench.commit({("t", lost): 9}, **who)
    assert answer.outcomes[0].error == ErrorCode.STALE_MEMBER_EPOCH
    assert bench.committed(("t", lost)) == [8]


def test_a_commit_from_before_a_partition_was_got_is_refused(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    old = first.who()
    second = Reader(bench, "b", "t").join()
    first.beat()
    settle(first, second)
    lost = second.has()[0]
    second.leave()
    settle(first)
    assert lost in first.has()
    answer = bench.commit({("t", lost): 2}, **old)
    assert answer.outcomes[0].error == ErrorCode.STALE_MEMBER_EPOCH
    kept = next(number for number in first.has() if number not in second.has())
    answer = bench.commit({("t", kept): 2}, **old)
    assert answer.outcomes[0].error == ErrorCode.NONE, "it never was anybody else's"
    future = {**old, "member_epoch": MemberEpoch(99)}
    assert bench.commit({("t", kept): 2}, **future).error == ErrorCode.FENCED_MEMBER_EPOCH


def test_offsets_of_a_topic_that_is_gone_are_gone(bench: Bench) -> None:
    bench.commit({("t", 0): 5, ("u", 0): 6})
    bench.tell(topic("u", 1))
    assert bench.committed(("t", 0), ("u", 0)) == [-1, 6]


def test_what_many_have_committed_is_forgotten_in_pieces(bench: Bench) -> None:
    """All of a step is one batch, and whoever asks meanwhile waits for it."""
    bench.tell(topic("t", 900), topic("u", 1))
    commits = {("t", number): 5 for number in range(900)}
    bench.commit({**commits, ("u", 0): 6})
    bench.written.clear()
    bench.tell(topic("u", 1))
    assert bench.committed(("u", 0)) == [6]
    bench.wait(0)
    assert bench.written == [500, 400]
    assert bench.committed(("t", 0), ("t", 899), ("u", 0)) == [-1, -1, 6]
    bench.tell(topic("t", 900), topic("u", 1))
    bench.commit(commits)
    bench.written.clear()
    bench.wait(8 * DAY_MS)
    assert max(bench.written) <= 500
    assert bench.core.group("g") is None
    assert bench.log == {}


def test_offsets_are_kept_while_there_are_members_and_a_week_longer(bench: Bench) -> None:
    reader = Reader(bench, "a", "t", session_timeout_ms=1_000_000_000)
    bench = Bench(topic("t", 4), session_timeout_max_ms=2_000_000_000)
    reader.bench = bench
    reader.join()
    bench.commit({("t", 0): 5}, **reader.who())
    bench.wait(10 * DAY_MS)
    assert bench.committed(("t", 0)) == [5]
    reader.leave()
    bench.wait(7 * DAY_MS - 120_000)
    assert bench.committed(("t", 0)) == [5]
    bench.wait(240_000)
    assert bench.committed(("t", 0)) == [-1]
    assert bench.core.group("g") is None
    assert bench.log == {}


def test_groups_are_listed_and_deleted_once_they_are_empty(bench: Bench) -> None:
    reader = Reader(bench, "a", "t").join()
    bench.commit({("t", 0): 5}, **reader.who())
    (one,) = bench.ask(ListGroupsRequest()).groups
    assert (one.group_id, one.protocol, one.state, one.members) == ("g", "consumer", "stable", 1)
    assert bench.ask(DeleteGroupRequest("g")).error == ErrorCode.NON_EMPTY_GROUP
    reader.leave()
    assert bench.ask(DeleteGroupRequest("g")).error == ErrorCode.NONE
    assert bench.ask(DeleteGroupRequest("g")).error == ErrorCode.GROUP_ID_NOT_FOUND
    assert bench.ask(DescribeGroupRequest("g")).error == ErrorCode.GROUP_ID_NOT_FOUND
    assert bench.ask(ListGroupsRequest()).groups == ()
    assert bench.log == {}


def test_groups_that_are_not_there_or_no_more_leave_nothing_behind(bench: Bench) -> None:
    strange = {"member_id": MemberId("x"), "member_epoch": MemberEpoch(1)}
    assert bench.commit({("t", 0): 1}, **strange).error == ErrorCode.UNKNOWN_MEMBER_ID
    assert bench.committed(("t", 0)) == [-1]
    assert bench.core.group("g") is None
    bench.commit({("t", 0): 1})
    bench.wait(7 * DAY_MS + 120_000)
    assert bench.core.group("g") is None
    assert bench.core._facts.soft == {}


def test_offsets_that_members_read_from_are_not_deleted(bench: Bench) -> None:
    bench.commit({("t", 0): 5, ("u", 0): 6})
    Reader(bench, "a", "t").join()
    parts = (GroupPartition(topic_id("t"), 0), GroupPartition(topic_id("u"), 0))
    answer = bench.ask(OffsetDeleteRequest("g", parts))
    assert [one.error for one in answer.outcomes] == [
        ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC,
        ErrorCode.NONE,
    ]
    assert bench.committed(("t", 0), ("u", 0)) == [5, -1]
    answer = bench.ask(OffsetDeleteRequest("nobody", parts))
    assert answer.error == ErrorCode.GROUP_ID_NOT_FOUND


def test_who_asks_as_a_member_must_be_one_and_under_its_epoch(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    settle(first, Reader(bench, "b", "t").join())

    def asked(member: str = "", epoch: int = -1) -> int:
        who = MemberId(member), MemberEpoch(epoch)
        error: int = bench.ask(OffsetFetchRequest("g", (), False, *who)).error
        return error

    assert asked() == ErrorCode.NONE, "from outside everybody may know"
    assert asked("a", first.epoch) == ErrorCode.NONE
    assert asked("a", first.epoch + 1) == ErrorCode.STALE_MEMBER_EPOCH
    assert asked("x", first.epoch) == ErrorCode.UNKNOWN_MEMBER_ID


def test_members_of_the_classic_protocol_ask_without_an_epoch_that_counts(bench: Bench) -> None:
    answer = bench.ask(OffsetFetchRequest("g", (), False, MemberId("m"), MemberEpoch(7)))
    assert answer.error == ErrorCode.NONE
