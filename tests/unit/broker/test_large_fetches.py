"""Fetches that name more partitions than a turn takes in, and than one answer tells of."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nodes.broker.kafka import fetch_session
from nodes.broker.records import fetch as fetches
from nodes.broker.records import fetch_reads
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_kafka_fetch_sessions import Reader, read_whimsically
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey
from transport.wire.messages import fetch as native

COUNT = 12


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> PartitionFleet:
    """One broker, to which twelve partitions are very many."""
    monkeypatch.setattr(fetches, "NAMED_A_TURN", 5)
    monkeypatch.setattr(fetch_reads, "LOOKED_AT_MAX", 3)
    monkeypatch.setattr(fetch_reads, "PARTITIONS_MAX", 7)
    fleet = PartitionFleet(1)
    fleet.settle()
    return fleet


def created(fleet: PartitionFleet) -> list[PartitionKey]:
    first = fleet.create("t", COUNT)
    return [first._replace(partition=number) for number in range(COUNT)]


def whole(keys: list[PartitionKey], max_wait_ms: int = 0, **how: Any) -> native.FetchRequest:
    parts = tuple(native.FetchPartition(*key, LeaderEpoch(-1), Offset(0), 1 << 20) for key in keys)
    return native.FetchRequest(max_wait_ms, 1, 1 << 20, parts, whole=True, **how)


def held_by(fleet: PartitionFleet) -> Any:
    replicas: Any = fleet.server(1).replicas
    return replicas._fetches


def records_in(answer: Any) -> list[int]:
    return [one.partition for one in answer.partitions if one.frame >= 0]


def test_a_session_of_more_partitions_than_an_answer_tells_of_is_held(
    fleet: PartitionFleet,
) -> None:
    keys = created(fleet)
    fleet.produce(1, keys[11], make_batch(b"a"))
    reader = Reader(fleet, *keys)
    assert (reader.answer.error, reader.answer.session_id) == (ErrorCode.NONE, 7)
    assert records_in(reader.answer) == [11], "it waits for nothing, and all is looked at first"
    told = [reader.answer, reader.fetch(named={keys[11]: 1}), reader.fetch(), reader.fetch()]
    ends = [{one.partition for one in answer.partitions} for answer in told]
    assert max(map(len, ends)) == 7
    assert set().union(*ends) == set(range(COUNT)), "how far each is committed, in the end"
    fleet.produce(1, keys[4], make_batch(b"b"))
    assert records_in(reader.fetch()) == [4]


def test_without_a_session_all_is_looked_at_and_told_of_in_turns(fleet: PartitionFleet) -> None:
    keys = created(fleet)
    fleet.produce(1, keys[11], make_batch(b"a"))
    seen: set[int] = set()
    for _ in range(30):
        began_ms = fleet.now().mono_ms
        answer = fleet.ask(1, whole(keys))
        assert fleet.now().mono_ms - began_ms < 20, "each turn is followed by the next one"
        assert records_in(answer) == [11]
        seen |= {one.partition for one in answer.partitions}
    assert seen == set(range(COUNT))
    fleet.server(1).replicas.check()


@pytest.mark.parametrize("number", [0, 4, 5, 11])
def test_whoever_names_very_many_and_waits_is_woken_by_any(
    fleet: PartitionFleet, number: int
) -> None:
    keys = created(fleet)
    answers: list[Any] = []
    fleet.post(1, whole(keys, 30_000), answers.append, timeout_ms=60_000)
    fleet.world.run_for(100)
    fleet.server(1).replicas.check()
    assert answers == []
    fleet.produce(1, keys[number], make_batch(b"a"))
    fleet.wait(lambda: bool(answers), 1_000)
    assert records_in(answers[0]) == [number]
    fleet.server(1).replicas.check()
    assert held_by(fleet)._by_partition == {}


def posted(fleet: PartitionFleet, *bodies: native.FetchRequest) -> list[Any]:
    """Hand these to the broker in one turn, while the first is not yet taken in."""
    answers: list[Any] = []
    for body in bodies:
        fleet.post(1, body, answers.append, timeout_ms=60_000)
    fleet.world.run_for(200)
    fleet.server(1).replicas.check()
    return answers


def test_who_goes_while_it_is_taken_in_leaves_nothing_behind(fleet: PartitionFleet) -> None:
    keys = created(fleet)
    session = whole(keys, 30_000, session_id=7, session_epoch=0)
    posted(fleet, session, fetch_session.FAREWELL)
    held = held_by(fleet)
    assert held._by_partition == {}
    fleet.world.run_for(60_000)
    assert (held.waiting_count, held._unheld, held._by_partition) == (0, 0, {})
    fleet.server(1).replicas.check()


def test_a_fetch_that_is_overtaken_by_the_next_one_of_its_session_loses_no_partition(
    fleet: PartitionFleet,
) -> None:
    keys = created(fleet)
    begins = whole(keys, 30_000, session_id=7, session_epoch=0)
    goes_on = native.FetchRequest(30_000, 1, 1 << 20, (), session_id=7, session_epoch=1)
    first, *_ = posted(fleet, begins, goes_on)
    assert (first.error, first.session_id) == (ErrorCode.NONE, 7)
    reader = Reader.__new__(Reader)
    reader.fleet, reader.epoch, reader.leader = fleet, 1, 1
    for number in (0, 6, 11):
        fleet.produce(1, keys[number], make_batch(b"a"))
    found = [number for _ in range(4) for number in records_in(reader.fetch())]
    assert set(found) == {0, 6, 11}


def test_what_waits_without_a_session_has_a_bound(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "UNHELD_MAX", COUNT)
    keys = created(fleet)
    first: list[Any] = []
    second: list[Any] = []
    fleet.post(1, whole(keys, 500), first.append)
    fleet.world.run_for(50)
    fleet.post(1, whole(keys, 500), second.append)
    fleet.wait(lambda: bool(second), 400)
    assert (first, second[0].error) == ([], ErrorCode.OVERLOADED)
    fleet.wait(lambda: bool(first), 1_000)
    assert fleet.ask(1, whole(keys)).error == ErrorCode.NONE


def test_a_fetch_names_only_so_many(fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetches, "NAMED_MAX", COUNT - 1)
    assert fleet.ask(1, whole(created(fleet))).error == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_is_read_once_and_in_order_in_pieces(fleet: PartitionFleet, seed: int) -> None:
    read_whimsically(fleet, created(fleet), Random(seed), polls=100)


def test_fetches_that_are_answered_before_their_time_are_not_kept_until_then(
    fleet: PartitionFleet,
) -> None:
    """One that waits for less long, and does, is before them all."""
    first, second, *_ = created(fleet)
    waits: list[Any] = []
    fleet.post(1, whole([second], 20_000), waits.append, timeout_ms=60_000)
    for number in range(100):
        answers: list[Any] = []
        part = native.FetchPartition(*first, LeaderEpoch(-1), Offset(number), 1 << 20)
        fetch = native.FetchRequest(30_000, 1, 1 << 20, (part,))
        fleet.post(1, fetch, answers.append, timeout_ms=60_000)
        fleet.world.run_for(5)
        fleet.produce(1, first, make_batch(b"a"))
        fleet.wait(lambda answers=answers: bool(answers))  # type: ignore[misc]
    held = held_by(fleet)
    assert held.waiting_count == 1
    assert not waits
    assert len(held._deadlines) <= fetches.SPARE + 3
