"""Offsets of very many partitions, of one group or of many: committed and told in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.broker.kafka import committed_offsets, group_offsets
from nodes.broker.kafka.coordination import ASKED_MAX
from tests.unit.broker.test_kafka_coordination import ORDERS, exchanged
from tests.unit.group.bench import Bench, topic, topic_id
from transport.gateway.kafka.messages import group_offsets as offsets
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.messages import Message, Refusal
from transport.wire.messages import group_offsets as native

MANY = 25_000
LOADING = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Knows one topic of many partitions."""
    monkeypatch.setattr("tests.unit.broker.test_kafka_coordination.ORDERS", topic_id("orders"))
    return Bench(topic("orders", MANY))


def committing(count: int) -> Any:
    parts = tuple(
        offsets.OffsetCommitRequestPartition(
            partition_index=number, committed_offset=number + 7, committed_metadata=None
        )
        for number in range(count)
    )
    return offsets.OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        topics=(offsets.OffsetCommitRequestTopic(name="orders", partitions=parts),),
    )


def codes(told: Any) -> list[int]:
    return [part.error_code for topic in told.topics for part in topic.partitions]


def fetching(*groups: str, named: int | None = None) -> Any:
    topics = None
    if named is not None:
        wanted = tuple(range(named))
        topics = (offsets.OffsetFetchRequestTopic(name="orders", partition_indexes=wanted),)
    return offsets.OffsetFetchRequest(
        groups=tuple(offsets.OffsetFetchRequestGroup(group_id=one, topics=topics) for one in groups)
    )


def test_more_than_one_question_holds_are_committed_and_told(coordinator: Bench) -> None:
    commit = exchanged(group_offsets.offset_commit, 8, committing(MANY), coordinator.ask)
    assert [len(asked.offsets) for asked in commit.asked] == [10_000, 10_000, 5_000]
    assert codes(commit.told) == [0] * MANY
    wanted = {number: number + 7 for number in range(MANY)}
    for named in (None, MANY):
        fetch = exchanged(
            committed_offsets.offset_fetch, 9, fetching("g", named=named), coordinator.ask
        )
        assert len(fetch.asked) == 3
        (group,) = fetch.told.groups
        (told,) = group.topics
        found = {part.partition_index: part.committed_offset for part in told.partitions}
        assert (group.error_code, len(told.partitions), found) == (0, MANY, wanted)


def test_an_older_client_is_told_all_pages_too(coordinator: Bench) -> None:
    exchanged(group_offsets.offset_commit, 8, committing(MANY), coordinator.ask)
    body = offsets.OffsetFetchRequest(group_id="g", topics=None)
    told = exchanged(committed_offsets.offset_fetch, 5, body, coordinator.ask).told
    assert (told.error_code, len(codes(told))) == (0, MANY)


def refusing_from(number: int, answer: Callable[[Any], Message]) -> Callable[[Any], Message]:
    """Answer so many questions, and refuse all that follow."""
    asked: list[Any] = []

    def coordinator(body: Any) -> Message:
        asked.append(body)
        return Refusal(ErrorCode.NOT_COORDINATOR) if len(asked) > number else answer(body)

    return coordinator


def test_what_is_refused_of_a_large_commit_is_told_by_partition(coordinator: Bench) -> None:
    some = refusing_from(1, coordinator.ask)
    commit = exchanged(group_offsets.offset_commit, 8, committing(MANY), some)
    assert len(commit.asked) == 2
    assert codes(commit.told) == [0] * 10_000 + [ErrorCode.NOT_COORDINATOR] * 15_000
    none = refusing_from(0, coordinator.ask)
    commit = exchanged(group_offsets.offset_commit, 8, committing(MANY), none)
    assert codes(commit.told) == [ErrorCode.NOT_COORDINATOR] * MANY


@pytest.mark.parametrize("named", [None, MANY])
def test_a_group_of_which_a_page_is_refused_is_told_no_part(
    coordinator: Bench, named: int | None
) -> None:
    """What is missing would be taken for never committed."""
    exchanged(group_offsets.offset_commit, 8, committing(MANY), coordinator.ask)
    some = refusing_from(2, coordinator.ask)
    (group,) = exchanged(
        committed_offsets.offset_fetch, 9, fetching("g", named=named), some
    ).told.groups
    assert group.error_code == ErrorCode.NOT_COORDINATOR
    told = [part.committed_offset for topic in group.topics for part in topic.partitions]
    assert told == [-1] * (named or 0)


def committed(number: int) -> native.CommittedOffset:
    return native.CommittedOffset(ORDERS, number, Offset(1), LeaderEpoch(-1))


def page_of_many(asked: native.OffsetFetchRequest) -> Message:
    """A group that has committed for 4,000 partitions."""
    first = 0 if asked.after is None else asked.after.partition + 1
    last = min(first + asked.most, 4_000) - 1
    behind = native.GroupPartition(ORDERS, last) if last < 3_999 else None
    parts = tuple(map(committed, range(first, last + 1)))
    return native.OffsetFetchResponse(ErrorCode.NONE, "", parts, behind)


def test_of_many_groups_small_pages_are_asked_and_the_last_ones_are_to_be_asked_again() -> None:
    names = [f"g{number}" for number in range(60)]
    fetch = exchanged(committed_offsets.offset_fetch, 8, fetching(*names), page_of_many)
    assert {asked.most for asked in fetch.asked} == {500}
    assert [group.group_id for group in fetch.told.groups] == names
    told = [(group.error_code, len(codes(group))) for group in fetch.told.groups]
    assert told == [(0, 4_000)] * 13 + [(LOADING, 0)] * 47


def test_no_group_and_too_many_groups_are_answered_without_a_question() -> None:
    fetch = exchanged(committed_offsets.offset_fetch, 8, fetching(), page_of_many)
    assert fetch.told.groups == ()
    names = [str(number) for number in range(ASKED_MAX + 1)]
    fetch = exchanged(committed_offsets.offset_fetch, 8, fetching(*names), page_of_many)
    assert fetch.asked == []
    assert {group.error_code for group in fetch.told.groups} == {ErrorCode.INVALID_REQUEST}
