"""The consumer protocol by plain values: who may read what, when, and after what has failed."""

from __future__ import annotations

from random import Random

import pytest

from tests.unit.group.bench import WALL_MS, Bench, Reader, nobody_shares, settle, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch
from transport.wire.messages.groups import DescribeGroupRequest, DescribeGroupResponse


@pytest.fixture
def bench() -> Bench:
    return Bench(topic("t", 4))


def described(bench: Bench) -> DescribeGroupResponse:
    answer = bench.ask(DescribeGroupRequest("g"))
    assert isinstance(answer, DescribeGroupResponse)
    return answer


def test_the_first_member_gets_everything_at_once(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    assert first.has() == (0, 1, 2, 3)
    assert first.epoch == 1
    assert (described(bench).state, described(bench).epoch) == ("stable", 1)


def test_a_partition_is_given_only_once_its_owner_has_let_go(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat()
    second = Reader(bench, "b", "t").join()
    assert second.has() == ()
    assert first.take(), "the waiting heartbeat hears of it at once"
    kept = first.has()
    assert len(kept) == 2
    second.beat()
    assert second.token is not None, "nothing is free yet"
    assert described(bench).state == "reconciling"
    first.beat()  # says what it owns now: the rest is free
    assert second.take()
    assert sorted([*kept, *second.has()]) == [0, 1, 2, 3]
    assert described(bench).state == "stable"


def test_who_keeps_what_it_has_is_not_bothered() -> None:
    bench = Bench(topic("t", 4), topic("u", 2))
    first, other = Reader(bench, "a", "t").join(), Reader(bench, "b", "u").join()
    settle(first, other)
    epoch = other.epoch
    second = Reader(bench, "c", "t").join()
    settle(first, second, other)
    assert len(first.has()) == len(second.has()) == 2
    assert (other.has("u"), other.epoch) == ((0, 1), epoch)
    assert other.token is not None, "its heartbeat still waits"


def test_who_leaves_frees_at_once_what_it_had(bench: Bench) -> None:
    first, second = Reader(bench, "a", "t").join(), Reader(bench, "b", "t").join()
    settle(first, second)
    assert second.leave() == ErrorCode.NONE
    assert first.take()
    assert first.has() == (0, 1, 2, 3)
    first.leave()
    assert described(bench).state == "empty"
    reasons = [(one.reason, one.member_id) for one in described(bench).rebalances]
    assert reasons == [("joined", "a"), ("joined", "b"), ("left", "b"), ("left", "a")]


@pytest.mark.parametrize("crashes", [False, True])
def test_who_leaves_for_now_lets_go_of_what_it_was_asked_to(bench: Bench, crashes: bool) -> None:
    """It has closed: what it is meant to keep is kept for it, and what is another's is free at once."""
    static = Reader(bench, "a", "t", instance_id="i", session_timeout_ms=600_000).join()
    static.beat()
    second = Reader(bench, "b", "t").join()
    second.beat()
    assert static.take(), "it is asked to let go, and has not said that it did"
    kept = static.has()
    assert static.leave(-2) == ErrorCode.NONE
    assert second.take()
    assert sorted([*kept, *second.has()]) == [0, 1, 2, 3]
    if crashes:
        bench.crash()
    back = Reader(bench, "c", "t", instance_id="i").join()
    assert back.has() == kept


def test_who_is_silent_ends_with_its_session(bench: Bench) -> None:
    first, second = Reader(bench, "a", "t").join(), Reader(bench, "b", "t").join()
    settle(first, second)
    for _ in range(3):
        bench.wait(900)
        first.take()
        first.beat()
    bench.wait(1_000)  # 3.7 s after the second was heard
    assert first.take()
    assert first.has() == (0, 1, 2, 3)
    second.token = None
    second.beat()
    assert second.error == ErrorCode.UNKNOWN_MEMBER_ID
    assert second.join().error == 0


def test_a_member_that_waits_is_told_nothing_new_in_time(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat(max_wait_ms=500)
    bench.wait(499)
    assert not bench.answers.keys() >= {first.token}
    bench.wait(1)
    assert not first.take()
    assert (first.token, first.error) == (None, 0)


def test_those_that_are_silent_together_end_together() -> None:
    """The rest divides anew once: where hundreds end, each time would hold up the others' heartbeats."""
    bench = Bench(topic("t", 6))
    kept = Reader(bench, "kept", "t", session_timeout_ms=60_000).join()
    others = [Reader(bench, f"m{number}", "t").join() for number in range(5)]
    settle(kept, *others)
    epoch = described(bench).epoch
    bench.wait(3_000)
    settle(kept)
    assert kept.has() == (0, 1, 2, 3, 4, 5)
    assert described(bench).epoch == epoch + 1
    others[0].beat()
    assert others[0].error == ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("moves", [False, True])
def test_who_does_not_let_go_in_time_is_ended(bench: Bench, moves: bool) -> None:
    first = Reader(bench, "a", "t", rebalance_timeout_ms=5_000).join()
    first.beat()
    second = Reader(bench, "b", "t").join()
    assert first.take()
    first.owned = {topic_id("t"): (0, 1, 2, 3)}  # it goes on reading all the same
    if moves:
        bench.crash()
        first.token = second.token = None
    for _ in range(7):
        bench.wait(800)
        for reader in (first, second):
            reader.take()
            reader.beat(max_wait_ms=0)
    second.take()
    assert first.error == ErrorCode.UNKNOWN_MEMBER_ID
    assert second.has() == (0, 1, 2, 3)
    assert "did not let go" in described(bench).rebalances[-1].reason


def test_a_lost_answer_is_told_again(bench: Bench) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat()
    second = Reader(bench, "b", "t").join()
    first.token = None  # the answer that tells what to let go is lost
    first.beat()
    assert len(first.has()) == 2
    first.beat()
    second.beat()
    second.owned, second.version = {}, 0  # and so is the one that gives
    second.epoch = MemberEpoch(1 + 1)
    second.beat()
    settle(first, second)
    assert sorted([*first.has(), *second.has()]) == [0, 1, 2, 3]


@pytest.mark.parametrize("epoch", [7, 99])
def test_an_epoch_nobody_gave_is_fenced(bench: Bench, epoch: int) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat(member_epoch=MemberEpoch(epoch))
    assert first.error == ErrorCode.FENCED_MEMBER_EPOCH


def test_another_coordinator_goes_on_and_gives_time(bench: Bench) -> None:
    first, second = Reader(bench, "a", "t").join(), Reader(bench, "b", "t").join()
    settle(first, second)
    before = described(bench)
    bench.wait(2_900)
    bench.crash()
    assert described(bench).members == before.members
    bench.wait(2_900)
    for reader in (first, second):
        reader.token = None
        reader.beat()
        assert reader.token is not None, "nothing new"
    bench.wait(100)
    assert len(described(bench).members) == 2


def test_a_coordinator_that_takes_over_in_between_waits_for_what_is_to_be_let_go(
    bench: Bench,
) -> None:
    first = Reader(bench, "a", "t").join()
    first.beat()
    second = Reader(bench, "b", "t").join()
    bench.crash()
    second.beat()
    assert second.token is not None
    first.token = None
    first.beat()  # told again what to keep
    first.beat()
    assert second.take()
    assert sorted([*first.has(), *second.has()]) == [0, 1, 2, 3]


def test_a_static_member_comes_back_for_what_was_its_own(bench: Bench) -> None:
    first = Reader(bench, "a", "t", instance_id="one").join()
    second = Reader(bench, "b", "t").join()
    settle(first, second)
    mine, epoch = first.has(), described(bench).epoch
    assert first.leave(-2) == ErrorCode.NONE
    assert not second.take(), "nobody else hears of it"
    back = Reader(bench, "c", "t", instance_id="one").join()
    assert back.has() == mine
    assert described(bench).epoch == epoch
    first.beat()
    assert first.error == ErrorCode.UNKNOWN_MEMBER_ID
    assert Reader(bench, "d", "t", instance_id="one").join().error == (
        ErrorCode.UNRELEASED_INSTANCE_ID
    )


def test_a_static_member_that_has_left_for_now_is_fenced_until_it_joins(bench: Bench) -> None:
    member = Reader(bench, "a", "t", instance_id="one").join()
    member.leave(-2)
    member.beat()
    assert member.error == ErrorCode.FENCED_INSTANCE_ID
    assert member.join().has() == (0, 1, 2, 3)


def test_a_heartbeat_that_waits_for_who_is_replaced_is_answered(bench: Bench) -> None:
    """One that does not name its instance is taken for one of before, and may wait."""
    gone = Reader(bench, "a", "t", instance_id="one").join()
    gone.leave(-2)
    gone.beat(instance_id=None)
    assert gone.token is not None, "it waits"
    assert Reader(bench, "b", "t", instance_id="one").join().has() == (0, 1, 2, 3)
    gone.take()
    assert gone.error == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_static_member_that_stays_away_ends_with_its_session(bench: Bench) -> None:
    first = Reader(bench, "a", "t", instance_id="one").join()
    second = Reader(bench, "b", "t", session_timeout_ms=60_000).join()
    settle(first, second)
    first.leave(-2)
    second.take()
    second.beat(max_wait_ms=30_000)
    bench.wait(3_000)
    assert second.take()
    assert second.has() == (0, 1, 2, 3)


@pytest.mark.parametrize("comes_first", [True, False])
def test_who_comes_while_a_static_member_is_away_reads_what_is_free(
    bench: Bench, comes_first: bool
) -> None:
    """What one is meant to have, and has not got, is not kept for it in the place of what it has."""
    static = Reader(bench, "a", "t", instance_id="i", session_timeout_ms=600_000)
    second = Reader(bench, "b", "t")
    for member in (static, second) if comes_first else (second, static):
        member.join()
        settle(*([static, second] if static.epoch and second.epoch else [member]))
    kept, free = static.has(), second.has()
    assert sorted([*kept, *free]) == [0, 1, 2, 3]
    static.leave(-2)
    second.leave()
    assert Reader(bench, "c", "t").join().has() == free
    assert Reader(bench, "d", "t", instance_id="i").join().has() == kept


def test_new_partitions_and_topics_are_given_and_begin_at_the_beginning() -> None:
    bench = Bench(topic("t", 2))
    first = Reader(bench, "a", "t", "u").join()
    first.beat()
    bench.tell(topic("t", 3), topic("u", 2, born_ms=WALL_MS + 5_000))
    assert first.take()
    assert (first.has("t"), first.has("u")) == ((0, 1, 2), (0, 1))
    assert first.born_from == {topic_id("t"): 2, topic_id("u"): 0}
    first.beat()
    bench.tell(topic("t", 3))
    assert first.take()
    assert first.has("u") == ()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"topics": None}, ErrorCode.INVALID_REQUEST),
        ({"assignor": "unifrom"}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"session_timeout_ms": 1}, ErrorCode.INVALID_SESSION_TIMEOUT),
        ({"topics": ("t", "t" * 1_001)}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": "i" * 1_001}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_joined_with(bench: Bench, fields: dict[str, object], error: int) -> None:
    reader = Reader(bench, "a", "t")
    answer = bench.ask(reader.request(**{"topics": ("t",), **fields}))
    assert answer.error == error
    assert bench.core.group("g") is None


def test_a_group_has_a_bound() -> None:
    bench = Bench(topic("t", 4), members_max=2, groups_max=10)
    for name in ("a", "b"):
        assert Reader(bench, name, "t").join().error == 0
    assert Reader(bench, "c", "t").join().error == ErrorCode.GROUP_MAX_SIZE_REACHED


def test_a_static_member_that_comes_back_to_a_full_group_is_taken_in() -> None:
    bench = Bench(topic("t", 4), members_max=1)
    Reader(bench, "a", "t", instance_id="one").join().leave(-2)
    assert Reader(bench, "b", "t", instance_id="two").join().error == (
        ErrorCode.GROUP_MAX_SIZE_REACHED
    )
    back = Reader(bench, "b", "t", instance_id="one").join()
    assert (back.error, back.has()) == (0, (0, 1, 2, 3))


def test_the_range_assignor_is_used_when_most_ask_for_it() -> None:
    bench = Bench(topic("t", 3), topic("u", 3))
    readers = [Reader(bench, name, "t", "u", assignor="range").join() for name in "abc"]
    settle(*readers)
    assert [(reader.has("t"), reader.has("u")) for reader in readers] == [
        ((0,), (0,)),
        ((1,), (1,)),
        ((2,), (2,)),
    ]


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_nobody_shares_and_in_the_end_all_is_read(seed: int) -> None:
    random = Random(seed)
    bench = Bench(topic("t", 5), topic("u", 3))
    readers: dict[str, Reader] = {}
    for number in range(150):
        act = random.random()
        if act < 0.12 and len(readers) < 6:
            names = random.choice([("t",), ("u",), ("t", "u")])
            instance = {"instance_id": f"i{number % 3}"} if random.random() < 0.2 else {}
            reader = Reader(bench, f"m{number}", *names, **instance).join()
            if not reader.error:
                readers[f"m{number}"] = reader
        elif act < 0.17 and readers:
            readers.pop(random.choice(sorted(readers))).leave(random.choice([-1, -1, -2]))
        elif act < 0.2 and readers:
            readers.pop(random.choice(sorted(readers)))  # killed
        elif act < 0.23:
            bench.crash()
            for reader in readers.values():
                reader.token = None
        elif act < 0.26:
            bench.tell(topic("t", random.randint(1, 7)), topic("u", 3))
        elif act < 0.3:
            bench.wait(random.randint(1, 2_500))
        elif readers:
            reader = readers[random.choice(sorted(readers))]
            if random.random() < 0.1:
                reader.token = None  # an answer is lost
            reader.take()
            if reader.token is None:
                reader.beat(max_wait_ms=random.choice([0, 1_000]))
        for name in [name for name, reader in readers.items() if reader.error]:
            del readers[name]
        nobody_shares(readers)
    bench.wait(3_100)
    last = Reader(bench, "last", "t", "u").join()
    settle(last)
    assert set(last.has("t")) == set(range(bench.catalogue.by_name["t"].partitions))
    assert last.has("u") == (0, 1, 2)
