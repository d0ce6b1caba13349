"""Members that find their topics by a pattern: those there are, those to come, and what is no pattern."""

from __future__ import annotations

from copy import copy

import pytest
from msgspec.structs import replace

from nodes.core.group import patterns, reconciliation
from tests.unit.group.bench import Bench, Reader, settle, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch
from transport.wire.messages.group_offsets import GroupPartition, OffsetDeleteRequest
from transport.wire.messages.groups import DescribeGroupRequest


def test_a_pattern_finds_whole_names_and_what_is_named_beside_it_is_read_too() -> None:
    bench = Bench(topic("logs-a", 2), topic("logs-b", 1), topic("all-logs-a", 1), topic("u", 1))
    reader = Reader(bench, "a", "u", pattern="logs-.*").join()
    assert set(reader.owned) == {topic_id("logs-a"), topic_id("logs-b"), topic_id("u")}
    [member] = bench.ask(DescribeGroupRequest("g")).members
    assert (member.pattern, member.topics) == ("logs-.*", ("u",))


def test_new_topics_are_found_and_those_that_go_are_lost() -> None:
    bench = Bench(topic("logs-a", 1))
    reader = Reader(bench, "a", pattern="^logs-.*$").join()
    reader.beat()
    bench.tell(topic("logs-a", 1), topic("others", 1))
    assert not reader.take()
    bench.tell(topic("logs-a", 1), topic("others", 1), topic("logs-b", 2))
    assert reader.take(), "the waiting heartbeat hears of it at once"
    assert reader.has("logs-b") == (0, 1)
    reader.beat()
    bench.tell(topic("others", 1), topic("logs-b", 2))
    assert reader.take()
    assert set(reader.owned) == {topic_id("logs-b")}


@pytest.mark.parametrize("pattern", ["others", ""])
def test_another_pattern_or_none_is_another_subscription(pattern: str) -> None:
    bench = Bench(topic("logs-a", 1), topic("others", 1))
    reader = Reader(bench, "a", pattern="logs-a").join()
    reader.how = {}
    reader.beat()
    assert not reader.take(), "it goes on as it has said"
    reader.beat(pattern=pattern)
    settle(reader)
    assert set(reader.owned) == ({topic_id("others")} if pattern else set())


def test_a_group_of_both_kinds_of_members_divides_what_each_reads() -> None:
    bench = Bench(topic("logs-a", 2), topic("u", 1))
    first = Reader(bench, "a", pattern="logs-.*").join()
    second = Reader(bench, "b", "logs-a", "u").join()
    settle(first, second)
    assert sorted([*first.has("logs-a"), *second.has("logs-a")]) == [0, 1]
    assert second.has("u") == (0,)


def test_the_next_coordinator_finds_the_same() -> None:
    bench = Bench(topic("logs-a", 1))
    reader = Reader(bench, "a", pattern="logs-.*").join()
    bench.crash()
    reader.how = {}
    reader.beat()
    bench.tell(topic("logs-a", 1), topic("logs-b", 1))
    settle(reader)
    assert set(reader.owned) == {topic_id("logs-a"), topic_id("logs-b")}


@pytest.mark.parametrize("pattern", ["(", "(?<=a)b", r"(a)\1", "(a{1000}){1000}", "x" * 1_001])
def test_what_is_no_pattern_is_refused_and_said_why(pattern: str) -> None:
    bench = Bench(topic("t"))
    answer = bench.ask(Reader(bench, "a").request(topics=(), pattern=pattern))
    too_long = len(pattern) > 1_000
    expected = ErrorCode.INVALID_REQUEST if too_long else ErrorCode.INVALID_REGULAR_EXPRESSION
    assert answer.error == expected
    assert answer.text
    assert bench.core.group("g") is None


def test_a_member_may_join_by_a_pattern_alone() -> None:
    bench = Bench(topic("t", 1))
    answer = bench.ask(Reader(bench, "a").request(pattern="t"))
    assert (answer.error, len(answer.assignment)) == (0, 1)


NAMES = [f"t{number:03}" for number in range(40)]


def through(bench: Bench) -> int:
    """Let the coordinator have its turns until nothing is due; return how many it took."""
    for turns in range(1_000):
        if bench.core.next_deadline_ms() != 0:
            return turns
        bench._decide()
    raise AssertionError("it never ends")


def work_of(monkeypatch: pytest.MonkeyPatch, names: int) -> None:
    """Let so many names be looked at a turn."""
    monkeypatch.setattr(patterns, "NAME_WORK", 1_000_000)
    monkeypatch.setattr(patterns, "ROOM", names * 1_000_000)


def test_a_search_takes_so_many_turns_that_none_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are patterns for which each name takes a millisecond, and names by the ten thousand."""
    work_of(monkeypatch, 5)
    bench = Bench(*[topic(name, 1) for name in NAMES])
    reader = Reader(bench, "a", pattern="t.*1").join()
    assert reader.token is not None, "not all that it reads is known yet"
    assert through(bench) >= 5
    assert reader.take()
    assert len(reader.owned) == 4
    assert reader.epoch == 1, "it is not told bit by bit"


def test_what_others_search_for_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(monkeypatch, 5)
    bench = Bench(*[topic(name, 1) for name in NAMES])
    Reader(bench, "a", pattern="t.*1").join()
    other = Reader(bench, "b", "t000")
    bench.core._facts.patterns.go_on({})
    token = bench.post(replace(other.request(topics=("t000",)), group_id="another"))
    bench.wait(0)
    assert token in bench.answers


def test_nothing_is_lost_while_the_next_coordinator_searches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(*[topic(name, 1) for name in NAMES])
    reader = Reader(bench, "a", pattern="t.*").join()
    assert len(reader.owned) == len(NAMES)
    work_of(monkeypatch, 5)
    bench.crash()
    reader.how = {}
    named = Reader(bench, "b", "t000").join()
    reader.beat()
    assert through(bench) >= 5
    assert reader.take(), (
        "it is asked to let go of what the other one is to read, and of nothing else"
    )
    assert len(reader.owned) == len(NAMES) - 1
    settle(reader, named)
    assert named.has("t000") == (0,)


def test_offsets_are_not_deleted_before_it_is_known_who_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(*[topic(name, 1) for name in NAMES])
    bench.commit({(NAMES[-1], 0): 5})
    Reader(bench, "a", pattern="t.*").join()
    work_of(monkeypatch, 5)
    bench.crash()
    request = OffsetDeleteRequest("g", (GroupPartition(topic_id(NAMES[-1]), 0),))
    assert bench.ask(request).error == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    through(bench)
    (one,) = bench.ask(request).outcomes
    assert one.error == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    assert bench.committed((NAMES[-1], 0)) == [5]


def test_what_comes_and_goes_while_it_is_searched_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work_of(monkeypatch, 5)
    bench = Bench(*[topic(name, 1) for name in NAMES])
    reader = Reader(bench, "a", pattern="t.*").join()
    bench.tell(*[topic(name, 1) for name in [*NAMES[1:-1], "t-new", "u-new"]])
    through(bench)
    assert reader.take()
    expected = {topic_id(name) for name in [*NAMES[1:-1], "t-new"]}
    assert set(reader.owned) == expected
    reader.beat()
    bench.tell(*[topic(name, 1) for name in NAMES])
    assert through(bench) == 0, "what was looked at is not looked at again"
    settle(reader)
    assert set(reader.owned) == {topic_id(name) for name in NAMES}


def test_what_comes_to_who_has_all_there_was_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(topic("t000", 1))
    reader = Reader(bench, "a", pattern="t.*").join()
    reader.beat()
    work_of(monkeypatch, 5)
    others = [topic(f"u{name}", 1) for name in NAMES]
    bench.tell(topic("t000", 1), *others, topic("t001", 1))
    assert through(bench) >= 5
    assert reader.take()
    assert set(reader.owned) == {topic_id("t000"), topic_id("t001")}


def test_what_has_gone_is_found_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(monkeypatch, 5)
    found = patterns.Patterns()
    found.take(NAMES)
    assert found.found("t.*") == set(NAMES[:5])
    found.take(NAMES[3:8], ["t.*"])
    assert found.found("t.*") == set(NAMES[3:5])
    while found._unfinished:
        found.go_on(["t.*"])
    assert found.found("t.*") == set(NAMES[3:8])


def test_every_search_gets_on_whatever_others_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(monkeypatch, 4)
    found = patterns.Patterns()
    found.take(NAMES)
    wanted = ["t.*1", "t.*2", "t.*3", "t.*4"]
    for pattern in wanted:
        assert not found.is_through(pattern)
    turns = 0
    while found._unfinished:
        found.go_on(wanted)
        lefts = [len(list(copy(it))) for one in found._searches.values() for it in one.left]
        assert max(lefts, default=0) - min(lefts, default=0) <= 8
        turns += 1
    assert turns >= len(NAMES) - 4


def test_a_pattern_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(monkeypatch, 8)
    searched = patterns.Patterns(0)
    searched.take(NAMES)
    wanted = ("t.*", "t0.*")
    for pattern in wanted:
        searched.found(pattern)
    searched.go_on(wanted)
    assert [len(searched.found(pattern)) for pattern in wanted] == [4, 4]


def test_members_may_find_topics_by_so_many_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "PATTERNS_MAX", 2)
    bench = Bench(topic("t", 4))
    first = Reader(bench, "a", pattern="t").join()
    Reader(bench, "b", pattern="t.*").join()
    third = Reader(bench, "c", pattern="t.?")
    assert bench.ask(third.request(topics=())).error == ErrorCode.OVERLOADED
    assert not bench.ask(Reader(bench, "d", pattern="t").request(topics=())).error
    first.leave()
    assert bench.ask(third.request(topics=())).error == ErrorCode.OVERLOADED, "d has it still"
    bench.ask(Reader(bench, "d").request(member_epoch=MemberEpoch(-1)))
    assert not bench.ask(third.request(topics=())).error


def test_patterns_that_are_known_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "KEPT_MAX", 10)
    found = patterns.Patterns()
    found.take({"t5"})
    for number in range(30):
        assert found.found(f"t{number}") == ({"t5"} if number == 5 else set())
        found.go_on(["t5"])
    assert max(len(found._compiled), len(found._searches)) <= 10
    assert found.found("t5") == {"t5"}
    found.take({"t5", "t6"}, ["t5"])
    assert list(found._searches) == ["t5"]
