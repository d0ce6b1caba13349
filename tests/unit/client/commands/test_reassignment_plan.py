"""Plans of moves: few, even, rack by rack."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from odradek.commands.reassignment_plan import Placement, away_from, balanced, moves
from transport.wire.ids import TopicPartition


def placed(*replicas: tuple[int, ...]) -> Placement:
    return {TopicPartition("t", number): nodes for number, nodes in enumerate(replicas)}


def counts(placement: Placement, brokers: dict[int, str]) -> Counter[int]:
    found = Counter(dict.fromkeys(brokers, 0))
    for nodes in placement.values():
        found.update(nodes)
    return found


def test_nothing_moves_where_all_is_even() -> None:
    before = placed((1, 2), (2, 3), (3, 1))
    assert balanced(before, dict.fromkeys((1, 2, 3), "")) == before


def test_a_new_broker_gets_its_share_with_the_fewest_moves() -> None:
    brokers = dict.fromkeys((1, 2, 3, 4), "")
    before = placed(*[(1, 2, 3), (2, 3, 1), (3, 1, 2)] * 4)
    after = balanced(before, brokers)
    assert set(counts(after, brokers).values()) == {9}
    assert sum(move.added for move in moves(before, after)) == 9
    leads = Counter(nodes[0] for nodes in after.values())
    assert max(leads.values()) - min(leads.values()) <= 1


def test_a_broker_that_leaves_is_left_by_its_replicas_alone() -> None:
    brokers = dict.fromkeys((1, 2, 3, 4), "")
    before = placed((1, 2), (2, 3), (3, 4), (4, 1))
    after = away_from(before, brokers, [4])
    assert counts(after, brokers)[4] == 0
    assert [move.partition.partition for move in moves(before, after)] == [2, 3]
    assert all(len(set(nodes)) == 2 for nodes in after.values())


def test_too_few_would_be_left() -> None:
    with pytest.raises(ValueError, match="add a broker"):
        away_from(placed((1, 2, 3)), dict.fromkeys((1, 2, 3), ""), [3])


def test_what_has_as_many_replicas_as_there_are_brokers_has_fewer_then() -> None:
    brokers = dict.fromkeys((1, 2, 3), "")
    after = away_from(placed((1, 2, 3), (3, 1)), brokers, [3], may_shrink={"t"})
    assert list(after.values()) == [(1, 2), (2, 1)], "what can move moves"
    with pytest.raises(ValueError, match="add a broker"):
        away_from(placed((3,)), {3: ""}, [3], may_shrink={"t"})


def test_replicas_stay_in_different_racks() -> None:
    brokers = {1: "a", 2: "a", 3: "b", 4: "b"}
    before = placed(*[(1, 3), (3, 1)] * 6)
    after = balanced(before, brokers)
    assert all({brokers[node] for node in nodes} == {"a", "b"} for nodes in after.values())
    assert set(counts(after, brokers).values()) == {6}
    away = away_from(after, brokers, [4])
    assert all({brokers[node] for node in nodes} == {"a", "b"} for nodes in away.values())


@pytest.mark.parametrize("seed", range(10))
def test_by_chance_replicas_are_distinct_and_even(seed: int) -> None:
    random = Random(seed)
    brokers = dict.fromkeys(range(1, random.randint(4, 9)), "")
    before = placed(*(tuple(random.sample(sorted(brokers), 3)) for _ in range(60)))
    after = balanced(before, brokers)
    assert all(len(set(nodes)) == 3 for nodes in after.values())
    full = counts(after, brokers).values()
    assert max(full) - min(full) <= 1
    assert balanced(after, brokers) == after, "and then there is nothing left to do"
