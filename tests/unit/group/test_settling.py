"""What comes in one turn of the host is settled once, and everybody gets the right answer."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest

from tests.unit.group.bench import Bench, Reader, nobody_shares, settle, topic, topic_id
from transport.wire import assignors
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch
from transport.wire.messages.groups import DeleteGroupRequest, DescribeGroupRequest

MEMBERS = 1_000


@pytest.fixture
def bench() -> Bench:
    return Bench(topic("t", 4), topic("u", 2))


@pytest.fixture
def divisions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many members each division was among."""
    found: list[int] = []

    def counted(division: Any) -> Any:
        found.append(len(division.readers))
        return assignors.uniform(division)

    monkeypatch.setitem(assignors.ASSIGNORS, "uniform", counted)
    return found


def epoch_of(bench: Bench) -> int:
    return int(bench.ask(DescribeGroupRequest("g")).epoch)


@pytest.mark.parametrize("turns", [1, 4])
def test_a_thousand_that_join_are_divided_among_once_a_turn(
    divisions: list[int], turns: int
) -> None:
    bench = Bench(topic("t", MEMBERS))
    readers = [Reader(bench, f"m{number:04}", "t") for number in range(MEMBERS)]
    each = MEMBERS // turns
    for turn in range(turns):
        with bench.turn():
            for reader in readers[turn * each : (turn + 1) * each]:
                reader.join()
    assert divisions == [each * (turn + 1) for turn in range(turns)]
    assert epoch_of(bench) == turns
    for reader in readers:
        reader.take()
        assert reader.token is None, "its join is answered"
        assert not reader.error
        assert 0 < reader.epoch <= turns
    first = [number for reader in readers[:each] for number in reader.has()]
    assert sorted(first) == list(range(MEMBERS))


def test_who_comes_goes_and_changes_its_mind_in_one_turn(
    bench: Bench, divisions: list[int]
) -> None:
    stays, goes, turns = (Reader(bench, name, "t").join() for name in ("stays", "goes", "turns"))
    settle(stays, goes, turns)
    divisions.clear()
    epoch = epoch_of(bench)
    comes = Reader(bench, "comes", "t")
    with bench.turn():
        left = bench.post(goes.request(member_epoch=MemberEpoch(-1)))
        turns.beat(max_wait_ms=0, topics=("u",))
        comes.join()
        stays.beat()
    assert (divisions, epoch_of(bench)) == ([3], epoch + 1)
    assert bench.answers[left].error == ErrorCode.NONE  # type: ignore[attr-defined]
    assert turns.take(), "it is told at once to let go of what it reads no more"
    assert turns.owned == {}
    assert comes.take()
    assert comes.epoch == epoch + 1
    settle(stays, turns, comes)
    assert sorted([*stays.has(), *comes.has()]) == [0, 1, 2, 3]
    assert turns.has("u") == (0, 1)


def test_a_beat_beside_a_join_is_answered_after_the_division(bench: Bench) -> None:
    """What a member lets go of beside the join of another is that one's in the same turn."""
    first = Reader(bench, "a", "t").join()
    second = Reader(bench, "b", "t").join()
    first.beat()
    kept = first.has()
    assert len(kept) == 2, "it has yet to say that it let go of the rest"
    third = Reader(bench, "c", "t")
    with bench.turn():
        third.join()
        first.beat(max_wait_ms=0)
    assert third.take()
    assert third.has(), "free, and meant for it"
    settle(first, second, third)
    assert sorted(len(one.has()) for one in (first, second, third)) == [1, 1, 2]


def test_who_leaves_in_the_turn_of_its_join_is_no_member(bench: Bench) -> None:
    reader = Reader(bench, "a", "t")
    with bench.turn():
        reader.join()
        left = bench.post(reader.request(member_epoch=MemberEpoch(-1)))
    reader.take()
    assert reader.error == ErrorCode.UNKNOWN_MEMBER_ID
    assert bench.answers[left].error == ErrorCode.NONE  # type: ignore[attr-defined]
    assert bench.core.group("g") is None
    assert bench.core.next_deadline_ms() != 0


def test_a_group_that_is_deleted_in_the_turn_in_which_its_last_member_leaves(bench: Bench) -> None:
    reader = Reader(bench, "a", "t").join()
    with bench.turn():
        bench.post(reader.request(member_epoch=MemberEpoch(-1)))
        deleted = bench.post(DeleteGroupRequest("g"))
    assert bench.answers[deleted].error == ErrorCode.NONE  # type: ignore[attr-defined]
    assert bench.core.group("g") is None
    assert not bench.log


def test_a_join_that_is_sent_again_in_its_turn_is_answered_twice(bench: Bench) -> None:
    reader = Reader(bench, "a", "t")
    with bench.turn():
        reader.join()
        lost = reader.token
        reader.join()
    assert lost in bench.answers
    assert reader.take()
    assert reader.has() == (0, 1, 2, 3)


@pytest.mark.parametrize("seed", range(25))
def test_whatever_comes_together_nobody_shares_and_in_the_end_all_is_read(seed: int) -> None:
    random = Random(seed)
    bench = Bench(topic("t", 5), topic("u", 3))
    readers: dict[str, Reader] = {}
    for number in range(60):
        group = bench.core.group("g")
        before = group.epoch if group else 0
        with bench.turn():
            for place in range(random.randint(1, 6)):
                _act(random, bench, readers, f"m{number}-{place}")
        for name, reader in list(readers.items()):
            reader.take()
            if reader.error:
                del readers[name]
        group = bench.core.group("g")
        assert group is None or group.epoch <= before + 1, "settled once"
        nobody_shares(readers)
        bench.wait(random.choice([0, 0, 100, 700]))
    bench.wait(3_100)
    last = Reader(bench, "last", "t", "u").join()
    settle(last)
    assert (last.has("t"), last.has("u")) == ((0, 1, 2, 3, 4), (0, 1, 2))


def _act(random: Random, bench: Bench, readers: dict[str, Reader], name: str) -> None:
    act = random.random()
    if act < 0.3 and len(readers) < 8:
        readers[name] = Reader(bench, name, *random.choice([("t",), ("u",), ("t", "u")])).join()
    elif act < 0.4 and readers:
        gone = readers.pop(random.choice(sorted(readers)))
        bench.post(gone.request(member_epoch=MemberEpoch(-1)))
    elif readers:
        reader = readers[random.choice(sorted(readers))]
        if reader.token is None:
            topics = random.choice([None, None, ("t",), ("u",), ("t", "u")])
            reader.beat(max_wait_ms=random.choice([0, 1_000]), topics=topics)


def test_a_thousand_members_and_ten_thousand_topics_that_they_do_not_read_hold_nobody_up() -> None:
    """Each join looked at every topic for every member: longer than a broker's session lasts."""
    bench = Bench(*(topic(f"t{number}", 1) for number in range(10_000)))
    with bench.turn():
        for number in range(MEMBERS - 1):
            reader = Reader(bench, f"m{number:04}", f"t{number % 10}")
            bench.post(reader.request(topics=reader.topics, owned=()))
    began_s = time.process_time()
    assert Reader(bench, "last", "t10").join().has("t10") == (0,)
    bench.tell(*bench.catalogue.by_name.values(), topic("new", 1))
    assert time.process_time() - began_s < 0.5


def test_a_group_remembers_no_topic_that_is_gone() -> None:
    """Of a pattern that finds new ones every day it would remember ever more."""
    bench = Bench(topic("t", 2))
    reader = Reader(bench, "a", pattern="t|day-.*").join()
    for day in range(3):
        bench.wait(1_000)
        bench.tell(topic("t", 2), topic(f"day-{day}", 1, born_ms=bench.now.wall_ms))
        settle(reader)
        assert reader.has(f"day-{day}") == (0,)
        assert reader.born_from == {topic_id("t"): 2, topic_id(f"day-{day}"): 0}
        group = bench.core.group("g")
        assert group is not None
        assert group.value is not None
        assert set(group.value.known) == {topic_id("t"), topic_id(f"day-{day}")}
