"""What every division must be: whole, without overlap, even, and near what was before."""

from __future__ import annotations

from random import Random

import pytest

from transport.wire.assignors import (
    ASSIGNORS,
    Assignor,
    Division,
    Targets,
    range_,
    round_robin,
    uniform,
)
from transport.wire.ids import MemberId, PartitionKey, TopicId

NAMES = [TopicId(bytes([number]) * 16) for number in range(6)]


def draw(random: Random, *, alike: bool) -> Division[TopicId]:
    partitions = {
        name: random.randint(0, 12) for name in random.sample(NAMES, random.randint(1, 6))
    }
    members = [MemberId(f"m{number}") for number in range(random.randint(1, 9))]
    everything = frozenset(partitions)
    readers = {
        member: everything
        if alike
        else frozenset(name for name in partitions if random.random() < 0.6)
        for member in members
    }
    return Division[TopicId](readers, partitions, draw_before(random, partitions, members))


def draw_before(
    random: Random, partitions: dict[TopicId, int], members: list[MemberId]
) -> dict[MemberId, frozenset[PartitionKey]]:
    """Some of it divided before, among these and others, partly of topics that are gone."""
    before: dict[MemberId, set[PartitionKey]] = {}
    owners = [*members, MemberId("gone")]
    for name in NAMES:
        for number in range(partitions.get(name, 3) + 2):
            if random.random() < 0.7:
                before.setdefault(random.choice(owners), set()).add(PartitionKey(name, number))
    return {member: frozenset(keys) for member, keys in before.items()}


def wanted(division: Division[TopicId]) -> set[PartitionKey]:
    read = {name for topics in division.readers.values() for name in topics}
    return {
        PartitionKey(n, i) for n, c in division.partitions.items() if n in read for i in range(c)
    }


def check_whole(division: Division[TopicId], targets: Targets[TopicId]) -> None:
    given = [key for keys in targets.values() for key in keys]
    assert len(given) == len(set(given)), "given twice"
    assert set(given) == wanted(division), "left out, or not to be given"
    assert set(targets) == set(division.readers)
    for member, keys in targets.items():
        assert {key[0] for key in keys} <= division.readers[member], "not read by its owner"


@pytest.mark.parametrize("assignor", [*ASSIGNORS.values(), round_robin])
@pytest.mark.parametrize("alike", [True, False])
def test_every_partition_goes_to_one_reader_of_its_topic(
    assignor: Assignor[TopicId], alike: bool
) -> None:
    for seed in range(300):
        division = draw(Random(seed), alike=alike)
        check_whole(division, assignor(division))


@pytest.mark.parametrize("alike", [True, False])
def test_what_a_member_has_not_got_yet_is_given_before_what_it_has(alike: bool) -> None:
    """Nobody has to let go of anything while there is something else to give."""
    spared = 0
    for seed in range(300):
        random = Random(seed)
        division = draw(random, alike=alike)
        owned = {
            member: frozenset(key for key in sorted(keys) if random.random() < 0.5)
            for member, keys in division.before.items()
        }
        plain, divided = uniform(division), uniform(division._replace(owned=owned))
        check_whole(division, divided)
        for member, topics in division.readers.items():
            had = {
                key
                for key in owned.get(member, ())
                if key[0] in topics and key[1] < division.partitions.get(key[0], 0)
            }
            spared += len(had - plain[member]) - len(had - divided[member])
            if alike and had - divided[member]:
                assert divided[member] <= owned[member], "it keeps what it has not got"
    assert spared > 0


def test_equals_get_equal_shares_and_as_little_as_possible_moves() -> None:
    for seed in range(500):
        division = draw(Random(seed), alike=True)
        targets = uniform(division)
        loads = sorted(len(keys) for keys in targets.values())
        assert loads[-1] - loads[0] <= 1
        # Nobody could have kept more: whoever lost something has its full share, and shares one
        # larger than others went to those who had most.
        total, count = sum(loads), len(loads)
        share, extra = divmod(total, count)
        keepable = sorted(
            (
                len(division.before.get(member, frozenset()) & wanted(division))
                for member in division.readers
            ),
            reverse=True,
        )
        most = sum(min(kept, share + (place < extra)) for place, kept in enumerate(keepable))
        kept = sum(
            len(division.before.get(member, frozenset()) & keys) for member, keys in targets.items()
        )
        assert kept == most, f"seed {seed}"


def test_no_single_move_would_make_a_mixed_division_more_even() -> None:
    for seed in range(200):
        division = draw(Random(seed), alike=False)
        targets = uniform(division)
        for giver, keys in targets.items():
            for key in keys:
                for taker in targets:
                    if key[0] in division.readers[taker]:
                        assert len(keys) - len(targets[taker]) <= 1, f"seed {seed}: {giver}, {key}"


def test_what_was_even_stays_as_it_is() -> None:
    for seed in range(100):
        division = draw(Random(seed), alike=seed % 2 == 0)
        once = uniform(division)
        again = division._replace(before={m: frozenset(keys) for m, keys in once.items()})
        assert uniform(again) == once


def test_a_member_more_moves_only_what_it_gets() -> None:
    members = [MemberId(f"m{number:03}") for number in range(100)]
    topics = frozenset(NAMES[:4])
    partitions = dict.fromkeys(NAMES[:4], 250)
    first = uniform(Division[TopicId](dict.fromkeys(members, topics), partitions, {}))
    before = {member: frozenset(keys) for member, keys in first.items()}
    readers = dict.fromkeys([*members, MemberId("new")], topics)
    after = uniform(Division[TopicId](readers, partitions, before))
    assert len(after[MemberId("new")]) == 1_000 // 101
    moved = sum(len(before[member] - after[member]) for member in members)
    assert moved == len(after[MemberId("new")])


def test_ranges_are_runs_and_alike_for_topics_that_are_alike() -> None:
    members = [MemberId(name) for name in "abc"]
    readers = dict.fromkeys(members, frozenset(NAMES[:2]))
    targets = range_(Division[TopicId](readers, {NAMES[0]: 7, NAMES[1]: 7}, {}))
    for name in NAMES[:2]:
        runs = [sorted(k[1] for k in targets[m] if k[0] == name) for m in members]
        assert runs == [[0, 1, 2], [3, 4], [5, 6]]


class Asked(frozenset[TopicId]):
    """Topics that count how often it is asked for one of them."""

    times = 0

    def __contains__(self, topic: object) -> bool:
        Asked.times += 1
        return super().__contains__(topic)


def test_who_could_take_a_partition_is_not_looked_for_among_all_members() -> None:
    """A deployment gives members one after the other more to read; they were divided for seconds each."""
    members = [MemberId(f"m{number:03}") for number in range(100)]
    partitions = dict.fromkeys(NAMES, 100)
    readers = dict.fromkeys(members, Asked(NAMES[:5]))
    before = uniform(Division[TopicId](readers, partitions, {}))
    readers[members[0]] = Asked(NAMES)
    division = Division[TopicId](readers, partitions, before, before)
    Asked.times = 0
    targets = uniform(division)
    check_whole(division, targets)
    assert sum(1 for name, _ in targets[members[0]] if name == NAMES[5]) == 100
    assert Asked.times < 2_000, "of 600 partitions and 100 members"
