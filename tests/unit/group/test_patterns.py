"""Members that find their topics by a pattern: those there are, those to come, and what is no pattern."""

from __future__ import annotations

import pytest

from nodes.core.group.patterns import KEPT_MAX, Patterns
from tests.unit.group.bench import Bench, Reader, settle, topic, topic_id
from transport.wire.errors import ErrorCode
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


def test_patterns_that_are_known_have_a_bound() -> None:
    patterns = Patterns()
    patterns.take({"t5"})
    for number in range(KEPT_MAX + 1):
        assert patterns.found(f"t{number}") == ({"t5"} if number == 5 else set())
    assert max(map(len, (patterns._compiled, patterns._found))) <= KEPT_MAX
