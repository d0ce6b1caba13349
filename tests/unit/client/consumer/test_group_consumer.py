"""Group members over whole brokers in the simulated world: sharing, giving up, committing, failing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from odradek.cluster.committing import OffsetAndMetadata
from odradek.consumer.engine import ConsumerEngine, Given
from odradek.consumer.fetching import ConsumerSettings
from odradek.consumer.membership import GroupSettings, Told
from odradek.consumer.rebalancing import ASSIGNED, LOST, REVOKED, Change
from odradek.errors import (
    ClientTimeoutError,
    FencedInstanceIdError,
    InvalidSessionTimeoutError,
    OdradekError,
    UnknownTopicOrPartitionError,
    UnsupportedAssignorError,
)
from tests.simulation.process import SimulatedProcess
from tests.unit.broker.partition_fleet import PartitionFleet
from transport.kernel import Now
from transport.wire.ids import PartitionKey, TopicId, TopicPartition
from transport.wire.messages.metadata import MetadataRequest

POLL_MS = 100
SESSION_MS = 3_000


class Member:
    """A consumer in a process of its own, that polls again and again unless told not to."""

    def __init__(self, fleet: PartitionFleet, name: str, **group: Any) -> None:
        settings: dict[str, Any] = {
            "group_id": "g",
            "session_timeout_ms": SESSION_MS,
            "auto_commit_interval_ms": 200,
            **group,
        }
        reset = settings.pop("reset", "earliest")
        auto_create = settings.pop("auto_create", False)
        self.fleet = fleet
        self.engine = ConsumerEngine(
            ConsumerSettings(
                bootstrap=tuple(f"fleet://broker-{number}/clients" for number in fleet.numbers),
                auto_offset_reset=reset,
                auto_create=auto_create,
                group=GroupSettings(**settings),
            )
        )
        self.process = SimulatedProcess(fleet.world, fleet.network, name, self.engine)
        self.seen: list[tuple[TopicPartition, int]] = []
        self.changes: list[Change] = []
        self.errors: list[OdradekError] = []
        self.polling = True
        self.polls = False

    @property
    def group(self) -> Any:
        return self.engine.rebalancing

    def subscribe(self, *topics: str, listens: bool = False) -> Member:
        self.group.has_listener = listens
        self.process.do(lambda now: self.engine.subscribe(topics, now))
        self.process.do(self._poll)
        return self

    def _poll(self, now: Now) -> None:
        if self.polling and not self.polls:
            self.polls = True
            self.engine.poll(500, POLL_MS, self._given, now)

    def _given(self, given: Given | Change | OdradekError, now: Now) -> None:
        self.polls = False
        if isinstance(given, OdradekError):
            self.errors.append(given)
            return
        if isinstance(given, Change):
            self.changes.append(given)
            self.engine.heard(given, now)
        else:
            for key, records in given.items():
                self.seen += [(key, record.offset) for record in records]
        self.fleet.world.after(1_000, lambda: self.process.do(self._poll))

    def go_on(self) -> None:
        self.polling = True
        self.process.do(self._poll)

    def owns(self) -> list[int]:
        return sorted(key.partition for key in self.engine.subscription.assigned)

    def leave(self) -> None:
        done: list[Now] = []

        def depart(now: Now) -> None:
            self.polling = False
            self.engine.depart(self.group.positions(), done.append, now)

        self.process.do(depart)
        self.fleet.wait(lambda: bool(done))

    def committed(self, *numbers: int) -> list[int]:
        keys = [TopicPartition("t", number) for number in numbers]
        found = self.committed_of(*keys)
        return [found[key].offset if key in found else -1 for key in keys]

    def committed_of(self, *keys: TopicPartition) -> Any:
        answers: list[Any] = []
        self.process.do(
            lambda now: self.engine.committed(
                keys, 5_000, lambda one, _now: answers.append(one), now
            )
        )
        self.fleet.wait(lambda: bool(answers), 10_000)
        return answers[0]

    def commit(self, offsets: dict[int, int]) -> OdradekError | None:
        answers: list[OdradekError | None] = []
        wanted = {TopicPartition("t", n): OffsetAndMetadata(o) for n, o in offsets.items()}
        self.process.do(
            lambda now: self.engine.commit(wanted, 5_000, lambda e, _now: answers.append(e), now)
        )
        self.fleet.wait(lambda: bool(answers), 10_000)
        return answers[0]


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2, offsets_topic_partitions=2)
    fleet.settle()
    return fleet


@pytest.fixture
def topic(fleet: PartitionFleet) -> PartitionKey:
    key = fleet.create("t", 4)
    for number in range(4):
        fill(fleet, key, number)
    return key


def fill(fleet: PartitionFleet, key: PartitionKey, number: int, *values: bytes) -> None:
    fleet.write(PartitionKey(key.topic_id, number), *(values or (b"a", b"b", b"c")))


def settle(fleet: PartitionFleet, *members: Member, partitions: int = 4) -> None:
    def shared() -> bool:
        owned = [number for member in members for number in member.owns()]
        spread = {len(member.owns()) for member in members}
        return sorted(owned) == list(range(partitions)) and max(spread) - min(spread) <= 1

    fleet.wait(shared, 20_000)


def test_everything_is_read_by_one_of_them(fleet: PartitionFleet, topic: PartitionKey) -> None:
    members = [Member(fleet, f"m{number}").subscribe("t") for number in range(3)]
    settle(fleet, *members)

    def seen() -> list[tuple[TopicPartition, int]]:
        return [one for member in members for one in member.seen]

    fleet.wait(lambda: len(set(seen())) == 12, 10_000)
    assert len(seen()) == 12, "and none twice, as nobody has failed"


def test_what_is_given_up_is_committed_first_and_read_on_from_there(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    first = Member(fleet, "first", auto_commit_interval_ms=3_600_000).subscribe("t", listens=True)
    fleet.wait(lambda: len(first.seen) == 12, 10_000)
    second = Member(fleet, "second").subscribe("t", listens=True)
    settle(fleet, first, second)
    kinds = [change.kind for change in first.changes]
    assert kinds == [ASSIGNED, REVOKED]
    assert second.changes[-1].kind == ASSIGNED
    fleet.wait(lambda: second.committed(*second.owns()) == [3, 3])
    for number in range(4):
        fill(fleet, topic, number, b"d")
    fleet.wait(lambda: len(first.seen) + len(second.seen) == 16, 10_000)
    assert {offset for _, offset in second.seen} == {3}


def test_nothing_is_given_up_between_polls(fleet: PartitionFleet, topic: PartitionKey) -> None:
    first = Member(fleet, "first").subscribe("t")
    settle(fleet, first)
    first.polling = False
    fleet.wait(lambda: not first.polls)
    second = Member(fleet, "second").subscribe("t")
    fleet.world.run_until(lambda: False, limit_ms=2_000)
    assert (first.owns(), second.owns()) == ([0, 1, 2, 3], [])
    first.go_on()
    settle(fleet, first, second)


def test_who_does_not_poll_for_too_long_leaves_and_comes_back(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    first = Member(fleet, "first", max_poll_interval_ms=10).subscribe("t", listens=True)
    settle(fleet, first)
    second = Member(fleet, "second").subscribe("t")
    settle(fleet, first, second)
    first.polling = False
    fleet.wait(lambda: second.owns() == [0, 1, 2, 3], 10_000)
    assert first.owns() == []
    first.go_on()
    settle(fleet, first, second)
    assert LOST in [change.kind for change in first.changes]


def test_a_frozen_member_gives_nothing_more_and_cannot_commit(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    first, second = Member(fleet, "first").subscribe("t"), Member(fleet, "second").subscribe("t")
    settle(fleet, first, second)
    mine = first.owns()
    first.process.freeze()
    fleet.wait(lambda: second.owns() == [0, 1, 2, 3], 20_000)
    before = len(first.seen)
    for number in mine:
        fill(fleet, topic, number, b"d")
    fleet.wait(lambda: len(second.seen) >= 14 - before, 10_000)
    first.polling = False
    first.process.thaw()
    error = first.commit({mine[0]: 1})
    assert error is not None
    assert first.owns() == []
    assert len(first.seen) == before


def test_a_group_outlives_its_coordinator(fleet: PartitionFleet, topic: PartitionKey) -> None:
    members = [Member(fleet, f"m{number}").subscribe("t") for number in range(2)]
    settle(fleet, *members)
    owned = [member.owns() for member in members]
    for number in (1, 2):
        fleet.kill(number)
        fleet.wait(fleet.settled, 20_000)
        fleet.world.run_until(lambda: False, limit_ms=1_500)
        assert [member.owns() for member in members] == owned
        fleet.start(number)
        fleet.wait(lambda: fleet.settled() and fleet.isr(topic) == (1, 2, 3), 20_000)
    for number in range(4):
        fill(fleet, topic, number, b"d")
    fleet.wait(lambda: sum(len(set(member.seen)) for member in members) == 16, 20_000)


def test_a_leave_commits_and_hands_over_at_once(fleet: PartitionFleet, topic: PartitionKey) -> None:
    first, second = Member(fleet, "first").subscribe("t"), Member(fleet, "second").subscribe("t")
    settle(fleet, first, second)
    fleet.wait(lambda: len(first.seen) + len(second.seen) == 12, 10_000)
    first.leave()
    begun = fleet.world.now_us
    fleet.wait(lambda: second.owns() == [0, 1, 2, 3])
    assert fleet.world.now_us - begun < 200_000
    fleet.world.run_until(lambda: False, limit_ms=500)
    assert len(second.seen) + len(first.seen) == 12


def farewell(member: Member) -> list[Change]:
    """Return what the listener is to hear before a departure; the member polls no more."""
    told: list[tuple[Change, ...]] = []

    def ask(now: Now) -> None:
        member.polling = False
        member.engine.farewell(member.group.positions(), lambda one, _now: told.append(one), now)

    member.process.do(ask)
    member.fleet.wait(lambda: bool(told), 10_000)
    return list(told[0])


def test_who_leaves_hears_of_what_is_revoked_behind_its_auto_commit(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", auto_commit_interval_ms=60_000).subscribe("t", listens=True)
    fleet.wait(lambda: len(member.seen) == 12, 10_000)
    told = farewell(member)
    assert told == [Change(REVOKED, tuple(TopicPartition("t", number) for number in range(4)))]
    assert member.owns() == [0, 1, 2, 3]
    assert member.committed(0, 1, 2, 3) == [3, 3, 3, 3]
    assert member.commit({0: 1}) is None
    member.leave()
    assert member.owns() == []
    assert member.committed(0, 1, 2, 3) == [1, 3, 3, 3]


def test_who_leaves_hears_of_losses_and_not_of_what_it_was_never_told_of(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m")
    member.polling = False
    member.subscribe("t", listens=True)
    fleet.wait(lambda: member.owns() == [0, 1, 2, 3])
    [assigned] = member.group.changes
    assert (assigned.kind, farewell(member)) == (ASSIGNED, [])
    member.process.do(member.group.on_lost)
    fleet.wait(lambda: not member.owns())
    assert farewell(member) == [Change(LOST, assigned.partitions)]
    member.leave()
    assert farewell(member) == []


def test_a_static_member_is_back_before_anybody_hears_of_it(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    first = Member(fleet, "first", instance_id="one").subscribe("t")
    second = Member(fleet, "second", instance_id="two").subscribe("t", listens=True)
    settle(fleet, first, second)
    mine, heard = first.owns(), len(second.changes)
    first.leave()
    fleet.world.run_until(lambda: False, limit_ms=500)
    back = Member(fleet, "back", instance_id="one").subscribe("t")
    fleet.wait(lambda: back.owns() == mine, 10_000)
    assert len(second.changes) == heard
    assert FencedInstanceIdError.fatal


def test_what_no_waiting_cures_is_raised_by_polls(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", assignor="unifrom").subscribe("t")
    fleet.wait(lambda: bool(member.errors), 10_000)
    assert isinstance(member.errors[0], UnsupportedAssignorError)
    assert "use one of uniform, range" in str(member.errors[0])


def test_topics_that_match_are_read_once_they_are_there(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", reset="latest")
    member.process.do(lambda now: member.engine.subscribe_pattern(re.compile("t|u.*"), now))
    member.process.do(member._poll)
    fleet.wait(lambda: len(member.engine.subscription.assigned) == 4, 10_000)
    fleet.world.run_until(lambda: False, limit_ms=500)
    made = fleet.create("under", 1)
    fleet.create("other", 1)
    fleet.write(made, b"first")
    key = TopicPartition("under", 0)
    fleet.wait(lambda: (key, 0) in member.seen, 20_000)
    assert {key.topic for key in member.engine.subscription.assigned} == {"t", "under"}


def test_partitions_by_hand_begin_at_the_groups_commits(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m")
    assert member.commit({0: 2}) is None
    member.process.do(
        lambda now: member.engine.assign([TopicPartition("t", 0), TopicPartition("t", 1)], now)
    )
    member.process.do(member._poll)
    fleet.wait(lambda: len(member.seen) == 4, 10_000)
    assert (TopicPartition("t", 0), 2) in member.seen


CLASSIC = [("cooperative-sticky",), ("range",), ("roundrobin",), ("sticky", "range")]


@pytest.mark.parametrize("strategies", CLASSIC, ids="/".join)
def test_the_classic_protocol_shares_and_takes_over_too(
    fleet: PartitionFleet, topic: PartitionKey, strategies: tuple[str, ...]
) -> None:
    classic: dict[str, Any] = {"protocol": "classic", "strategies": strategies}
    first = Member(fleet, "first", **classic).subscribe("t")
    settle(fleet, first)
    second = Member(fleet, "second", **classic).subscribe("t", listens=True)
    settle(fleet, first, second)
    third = Member(fleet, "third", **classic).subscribe("t")
    settle(fleet, first, second, third)
    third.leave()
    settle(fleet, first, second)
    second.process.kill()
    settle(fleet, first)
    fleet.wait(lambda: len({*first.seen, *second.seen, *third.seen}) == 12, 10_000)
    assert second.changes[0].kind == ASSIGNED


def test_a_cooperative_member_reads_on_while_others_come(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    classic: dict[str, Any] = {"protocol": "classic", "strategies": ("cooperative-sticky",)}
    first = Member(fleet, "first", **classic).subscribe("t", listens=True)
    settle(fleet, first)
    second = Member(fleet, "second", **classic).subscribe("t")
    settle(fleet, first, second)
    revoked = [
        key for change in first.changes if change.kind == REVOKED for key in change.partitions
    ]
    assert len(revoked) == 2, "only what went to the other"


def test_a_classic_group_outlives_its_coordinator_and_hears_of_new_partitions(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    members = [
        Member(fleet, f"m{number}", protocol="classic").subscribe("t", "later")
        for number in range(2)
    ]
    settle(fleet, *members)
    fleet.kill(1)
    fleet.settle()
    fleet.world.run_until(lambda: False, limit_ms=1_500)
    settle(fleet, *members)
    fleet.start(1)
    fleet.settle()
    made = fleet.create("later", 2)
    fleet.write(made, b"x")
    key = TopicPartition("later", 0)
    fleet.wait(lambda: any((key, 0) in member.seen for member in members), 20_000)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
@pytest.mark.parametrize("session_ms", [1, 499])
def test_a_session_shorter_than_brokers_allow_is_told(
    fleet: PartitionFleet, topic: PartitionKey, protocol: str, session_ms: int
) -> None:
    member = Member(
        fleet, "m", protocol=protocol, session_timeout_ms=session_ms, max_poll_interval_ms=10
    )
    member.subscribe("t")
    fleet.wait(lambda: bool(member.errors), 15_000)
    assert isinstance(member.errors[0], InvalidSessionTimeoutError)
    assert f"session_timeout_ms must be from 500 to 1800000, not {session_ms}" in str(
        member.errors[0]
    )


def read_all(fleet: PartitionFleet, member: Member) -> None:
    """Have it read the twelve records there are, and poll on: their commit is due."""
    fleet.wait(lambda: len(member.seen) == 12)


def test_what_is_assigned_by_hand_stays_when_the_group_has_been_left(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", auto_commit_interval_ms=60_000).subscribe("t")
    read_all(fleet, member)
    by_hand = [TopicPartition("t", 1)]
    member.process.do(lambda now: member.engine.assign(by_hand, now))
    fleet.wait(lambda: member.committed(0, 1, 2, 3) == [3, 3, 3, 3], 10_000)
    fleet.world.run_until(lambda: False, limit_ms=1_000)
    assert member.owns() == [1]
    fill(fleet, topic, 1, b"d")
    fleet.wait(lambda: len(member.seen) > 12)
    assert member.seen[12:] == [(by_hand[0], 3)], "it goes on where it was"
    other = Member(fleet, "n", reset="latest").subscribe("t")
    fleet.wait(lambda: other.owns() == [0, 1, 2, 3], 10_000)


def test_who_subscribes_anew_while_the_group_is_left_joins_again(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", auto_commit_interval_ms=60_000).subscribe("t")
    read_all(fleet, member)

    def again(now: Now) -> None:
        member.engine.assign((), now)
        member.engine.subscribe(["t"], now)

    member.process.do(again)
    fleet.wait(lambda: member.owns() == [])
    fleet.wait(lambda: member.owns() == [0, 1, 2, 3], 10_000)
    assert len(member.seen) == 12, "what was read had been committed before"


def test_who_closes_while_the_group_is_left_waits_for_that(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", auto_commit_interval_ms=60_000).subscribe("t")
    read_all(fleet, member)
    member.process.do(lambda now: member.engine.assign((), now))
    member.leave()
    member.process.kill()
    other = Member(fleet, "n", session_timeout_ms=30_000).subscribe("t")
    fleet.wait(lambda: other.owns() == [0, 1, 2, 3], 2_000)
    assert other.committed(0, 1, 2, 3) == [3, 3, 3, 3]


def test_a_listener_may_end_the_subscription_that_it_hears_of(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m")

    def given(change: Any, now: Now) -> None:
        member.polls = False
        member.changes.append(change)
        member.engine.assign((), now)
        member.engine.heard(change, now)

    member._given = given  # type: ignore[assignment, method-assign]
    member.subscribe("t", listens=True)
    fleet.wait(lambda: bool(member.changes))
    assert member.owns() == []


def test_a_loss_while_a_listener_hears_of_something_else_is_told(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m").subscribe("t", listens=True)
    settle(fleet, member)
    group = member.group
    member.polling = False
    asked = Change(REVOKED, tuple(member.engine.subscription.assigned))
    group.changes.append(asked)

    def lose(now: Now) -> None:
        group.on_lost(now)
        member.engine.heard(asked, now)

    member.process.do(lose)
    fleet.wait(lambda: not member.owns())
    assert [change.kind for change in group.changes] == [LOST]


def test_a_pattern_that_matches_nothing_any_more_is_a_member_that_reads_nothing(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m")
    member.process.do(lambda now: member.engine.subscribe_pattern(re.compile("none"), now))
    member.process.do(member._poll)
    fleet.wait(lambda: member.group.who.epoch > 0)
    member.leave()
    assert member.group.membership.next_deadline_ms() is None, "it is no member any more"


def topics(fleet: PartitionFleet) -> set[str]:
    answer = fleet.ask(fleet.alive()[0], MetadataRequest(None))
    return {topic.name for topic in answer.topics}


def test_a_topic_that_is_deleted_under_its_readers_stays_deleted(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    fill(fleet, fleet.create("u", 1), 0)
    member = Member(fleet, "m", auto_create=True, auto_commit_interval_ms=100)
    member.subscribe("t", "u")
    fleet.wait(lambda: len(member.seen) == 15, 10_000)
    fleet.delete("u")
    fleet.wait(lambda: len(member.owns()) == 4, 10_000)
    fleet.world.run_until(lambda: False, limit_ms=10_000)
    assert topics(fleet) == {"t"}


def test_what_is_given_of_a_topic_that_is_gone_holds_up_nothing_else(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m").subscribe("t")
    fleet.wait(lambda: member.owns() == [0, 1, 2, 3], 10_000)
    told = {TopicPartition("t", number): Told(topic.topic_id, False) for number in range(4)}
    gone = TopicPartition("gone", 0)

    def give(now: Now) -> None:
        member.group.on_lost(now)
        member.group.on_told({**told, gone: Told(TopicId(b"g" * 16), False)}, now)

    member.process.do(give)
    fleet.wait(lambda: gone in member.group._taking)
    fleet.wait(lambda: member.owns() == [0, 1, 2, 3], 2_000)
    member.process.do(lambda now: member.group.on_told(told, now))
    fleet.wait(lambda: gone not in member.group._taking, 30_000)


def test_a_topic_that_is_not_there_holds_up_no_other_that_is_assigned_by_hand(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m")
    keys = [TopicPartition("missing", 0), TopicPartition("t", 0)]
    member.process.do(lambda now: member.engine.assign(keys, now))
    member.process.do(member._poll)
    fleet.wait(lambda: len(member.seen) == 3, 2_000)


def test_what_is_assigned_by_hand_is_read_though_its_commits_were_out_of_reach_at_first(
    fleet: PartitionFleet, topic: PartitionKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member(fleet, "m")
    offsets = member.engine.offsets_of_group
    assert offsets is not None
    fetch = offsets.fetch
    asked: list[int] = []

    def out_of_reach(keys: Any, on_fetched: Any, now: Now, *, timeout_ms: int) -> None:
        asked.append(timeout_ms)
        if len(asked) > 3:
            fetch(keys, on_fetched, now, timeout_ms=timeout_ms)
        else:
            on_fetched(ClientTimeoutError("nobody answers"), now)

    monkeypatch.setattr(offsets, "fetch", out_of_reach)
    key = TopicPartition("t", 0)
    member.process.do(lambda now: member.engine.assign([key], now))
    member.process.do(member._poll)
    fleet.wait(lambda: len(member.seen) == 3, 5_000)
    assert member.errors == []


def test_a_commit_of_a_deleted_topic_fails_at_once_and_those_beside_it_are_done(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    key = fleet.create("u", 1)
    fill(fleet, key, 0)
    member = Member(fleet, "m", auto_create=True, auto_commit=False).subscribe("t", "u")
    fleet.wait(lambda: len(member.seen) == 15, 10_000)
    member.polling = False
    fleet.wait(lambda: not member.polls)
    fleet.delete("u")
    fleet.wait(lambda: member.engine.view.topic("u") is None)
    began_ms = fleet.world.now_us // 1_000
    ended: list[OdradekError | None] = []

    def commit(now: Now) -> None:
        positions = member.group.positions()
        assert len(positions) == 5
        member.engine.commit(positions, 5_000, lambda error, _now: ended.append(error), now)

    member.process.do(commit)
    fleet.wait(lambda: bool(ended), 10_000)
    assert isinstance(ended[0], UnknownTopicOrPartitionError)
    assert fleet.world.now_us // 1_000 < began_ms + 1_000
    assert member.committed(0, 1, 2, 3) == [3, 3, 3, 3]
    assert topics(fleet) == {"t"}


def test_of_a_topic_that_is_not_there_nothing_is_committed_and_it_is_not_made(
    fleet: PartitionFleet, topic: PartitionKey
) -> None:
    member = Member(fleet, "m", auto_create=True, auto_commit=False).subscribe("t")
    settle(fleet, member)
    assert member.commit({0: 2}) is None
    missing, first, second = (
        TopicPartition("missing", 0),
        TopicPartition("t", 0),
        TopicPartition("t", 1),
    )
    began_ms = fleet.world.now_us // 1_000
    assert member.committed_of(missing, first, second) == {first: OffsetAndMetadata(2)}
    assert member.committed_of(missing) == {}
    assert fleet.world.now_us // 1_000 < began_ms + 1_000
    assert topics(fleet) == {"t"}


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
@pytest.mark.parametrize("polls", [True, False])
def test_a_topic_that_is_made_again_under_its_readers_is_read_from_its_beginning(
    fleet: PartitionFleet, topic: PartitionKey, protocol: str, polls: bool
) -> None:
    member = Member(fleet, "m", protocol=protocol, reset="latest").subscribe("t")
    settle(fleet, member)
    fleet.world.run_until(lambda: False, limit_ms=1_000)
    for number in range(4):
        fill(fleet, topic, number)
    fleet.wait(lambda: len(member.seen) == 12, 10_000)
    if not polls:
        member.polling = False
        fleet.wait(lambda: not member.polls)
    fleet.delete("t")
    again = fleet.create("t", 4)
    for number in range(4):
        fill(fleet, again, number, *(b"%d" % value for value in range(8)))
    fleet.world.run_until(lambda: False, limit_ms=2_000)
    if not polls:
        member.go_on()
    fleet.wait(lambda: len(member.seen) >= 12 + 32, 20_000)
    fresh = member.seen[12:]
    assert sorted(set(fresh)) == [(TopicPartition("t", n), o) for n in range(4) for o in range(8)]
