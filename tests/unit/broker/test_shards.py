"""Shards of an internal topic over real replicas: batches, loading, loss of leadership."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from nodes.broker.coordinators.shards import Shards
from nodes.broker.partitions.replica import Replica
from nodes.broker.records.produce import append_own
from nodes.core.controller.names import CONSUMER_OFFSETS
from nodes.core.partition.events import LetGo
from nodes.core.shard import Asked, ShardEffects, ShardEvent, ShardRecord, UnreadableRecord
from nodes.storage.disk import DiskFull
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from transport.kernel import TICK, Answer, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionEpoch, PartitionKey
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import (
    KEY_GROUP,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse
from transport.wire.messages.topics import CreateTopicsRequest, DeleteTopicsRequest, NewTopic
from transport.wire.records import BatchBuilder

COMPACTED = NewTopic(CONSUMER_OFFSETS, 4, 3, {"cleanup.policy": "compact", "segment.bytes": "4096"})


class Counting:
    """A core that counts by name: ``add NAME`` answers the new count, ``wait`` with the next add.

    ``hurry`` makes a tick due at once, which notes how many steps there were before it.
    """

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.waiting: list[object] = []
        self.steps = 0
        self.grace_from_ms = -1
        self.due_ms: int | None = None
        self.delayed_ms = 0

    def apply(self, record: ShardRecord) -> None:
        if record.value is None:
            self.counts.pop(record.key, None)
        elif not record.value.isdigit():
            raise UnreadableRecord(f"{record.value!r} is no count")
        else:
            self.counts[record.key] = int(record.value)

    def loaded(self, now: Now) -> None:
        self.grace_from_ms = now.mono_ms

    def step(self, event: ShardEvent, now: Now) -> ShardEffects:
        effects = ShardEffects()
        if event is TICK:
            self.due_ms = None
            effects.append.append(ShardRecord(b"ticks", b"%d" % self.steps))
            self.apply(effects.append[0])
            return effects
        assert isinstance(event, Asked)
        assert isinstance(event.body, Refusal)
        self.steps += 1
        verb, _, name = event.body.text.partition(" ")
        if verb == "hurry":
            self.due_ms = 0
        if verb == "wait":
            self.waiting.append(event.token)
            return effects
        if verb == "add":
            key = name.encode()
            record = ShardRecord(key, b"%d" % (self.counts.get(key, 0) + 1))
            self.apply(record)
            effects.append.append(record)
        answer = Refusal(ErrorCode.NONE, str(self.counts.get(name.encode(), 0)))
        for token in (event.token, *self.waiting):
            effects.reply.append(Answer(token, answer))
        self.waiting.clear()
        return effects

    def delay(self, gap_ms: int) -> None:
        self.delayed_ms += gap_ms

    def next_deadline_ms(self) -> int | None:
        return self.due_ms

    def check(self) -> None:
        assert all(count > 0 for count in self.counts.values())


class Told:
    """What has been answered so far, as ``code text``."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def take(self, body: Message, now: Now) -> None:
        assert isinstance(body, Refusal)
        self.answers.append(f"{ErrorCode(body.error).name} {body.text}".strip())


class ShardFleet(PartitionFleet):
    """Brokers that keep counts of group keys in shards."""

    def __init__(self) -> None:
        self.shards: dict[int, Shards] = {}
        super().__init__(min_insync_replicas=2)
        self.settle()

    def start(self, number: int) -> None:
        super().start(number)

        def keep(now: Now) -> None:
            topics = self.server(number).keyed_shards
            self.shards[number] = topics.keep(KEY_GROUP, COMPACTED, lambda _partition: Counting())

        self.world.after(0, lambda: self.processes[number].do(keep))

    def find(self, name: str = "g") -> int:
        """The broker that serves a key, once it does."""
        found: list[int] = []

        def known() -> bool:
            request = FindCoordinatorRequest(KEY_GROUP, (name,))
            answer = self.ask(self.alive()[0], request)
            assert isinstance(answer, FindCoordinatorResponse), answer
            (one,) = answer.coordinators
            found[:] = [int(one.node)] if one.error == ErrorCode.NONE else []
            return bool(found) and found[0] in self.alive() and bool(self.cores(found[0]))

        self.wait(known, 20_000)
        self.wait(lambda: not self.shards[found[0]].is_loading())
        return found[0]

    def cores(self, number: int) -> list[Counting]:
        return [core for core in self.shards[number].cores() if isinstance(core, Counting)]

    def partition(self, name: str = "g") -> PartitionKey:
        topics = self.server(self.alive()[0]).keyed_shards
        place = topics._place(topics._kept[KEY_GROUP], name)
        assert place is not None
        return place

    def say(self, number: int, *texts: str, name: str = "g") -> Told:
        told = Told()

        def ask(now: Now) -> None:
            for text in texts:
                body = Refusal(ErrorCode.NONE, text)
                self.server(number).keyed_shards.ask(KEY_GROUP, name, body, told.take, now)

        self.processes[number].do(ask)
        return told

    def told(self, number: int, *texts: str) -> list[str]:
        told = self.say(number, *texts)
        self.wait(lambda: len(told.answers) == len(texts))
        return told.answers


@pytest.fixture
def fleet() -> ShardFleet:
    return ShardFleet()


def others(fleet: ShardFleet, number: int) -> list[int]:
    return [node for node in fleet.alive() if node != number]


def test_the_topic_is_made_on_first_use_and_everybody_names_the_same_broker(
    fleet: ShardFleet,
) -> None:
    leader = fleet.find()
    topic = fleet.server(1).context.image.topic(CONSUMER_OFFSETS)
    assert topic is not None
    assert (topic.partition_count, topic.replication_factor) == (4, 3)
    assert topic.configs["cleanup.policy"] == "compact"
    for number in fleet.alive():
        answer = fleet.ask(number, FindCoordinatorRequest(KEY_GROUP, ("g", "h")))
        assert [one.key for one in answer.coordinators] == ["g", "h"]
        assert answer.coordinators[0].node == leader


def test_what_is_no_key_is_refused(fleet: ShardFleet) -> None:
    for request in (
        FindCoordinatorRequest(7, ("t",)),
        FindCoordinatorRequest(KEY_GROUP, ()),
        FindCoordinatorRequest(KEY_GROUP, ("g",) * 1_001),
    ):
        answer = fleet.ask(1, request)
        assert isinstance(answer, Refusal)
        assert answer.error == ErrorCode.INVALID_REQUEST


def test_what_is_due_is_decided_last_in_the_batch_that_made_it_due(fleet: ShardFleet) -> None:
    leader = fleet.find()
    assert fleet.told(leader, "hurry", "add g", "add g") == ["NONE 0", "NONE 1", "NONE 2"]
    assert fleet.cores(leader)[0].counts == {b"g": 2, b"ticks": 3}
    assert fleet.cores(leader)[0].due_ms is None


def test_nothing_is_told_of_what_the_last_leader_left_before_it_is_committed(
    fleet: ShardFleet,
) -> None:
    leader = fleet.find()
    assert fleet.told(leader, "add g") == ["NONE 1"]
    key = fleet.partition()
    last, away = others(fleet, leader)
    fleet.wait(lambda: fleet.in_step(key))
    fleet.kill(away)
    fleet.say(leader, "add g")
    core = fleet.replica(last, key).core
    assert core is not None
    fleet.wait(lambda: core.log_end_offset > core.high_watermark)
    fleet.kill(leader)
    fleet.wait(lambda: bool(fleet.shards[last].partitions()), 20_000)
    fleet.world.run_for(1_000)
    (told,) = fleet.told(last, "add g")
    assert told.startswith("COORDINATOR_LOAD_IN_PROGRESS")
    fleet.start(away)
    fleet.wait(lambda: not fleet.shards[last].is_loading(), 20_000)
    assert fleet.told(last, "add g") == ["NONE 3"]


def test_internal_topics_are_not_for_users(fleet: ShardFleet) -> None:
    leader = fleet.find()
    listed = fleet.ask(1, MetadataRequest(None))
    assert isinstance(listed, MetadataResponse)
    assert listed.topics == ()
    listed = fleet.ask(1, MetadataRequest(None, include_internal=True))
    assert [topic.name for topic in listed.topics] == [CONSUMER_OFFSETS]
    outcome = fleet.produce(leader, fleet.partition(), make_batch(b"1"))
    assert outcome.error == ErrorCode.INVALID_TOPIC
    assert "coordinators only" in outcome.text
    for request in (
        CreateTopicsRequest((NewTopic(CONSUMER_OFFSETS),), 1_000),
        DeleteTopicsRequest((CONSUMER_OFFSETS,), 1_000),
    ):
        assert fleet.ask(1, request).error == ErrorCode.INVALID_TOPIC


def test_answers_come_in_order_and_from_one_batch(fleet: ShardFleet) -> None:
    leader = fleet.find()
    assert fleet.told(leader, "add a", "add a", "add b", "get a") == [
        f"NONE {count}" for count in (1, 2, 1, 2)
    ]
    log = fleet.replica(leader, fleet.partition()).log
    assert log is not None
    assert [header.record_count for header in log.headers_from(log.log_start_offset)] == [3]


def test_nothing_is_told_before_it_is_committed_and_nothing_decided(fleet: ShardFleet) -> None:
    leader = fleet.find()
    fleet.told(leader, "add a")
    for number in others(fleet, leader):
        fleet.processes[number].freeze()
    first = fleet.say(leader, "add a")
    fleet.world.run_until(lambda: False, limit_ms=300)
    steps = max(core.steps for core in fleet.cores(leader))
    second = fleet.say(leader, "get a")
    fleet.world.run_until(lambda: False, limit_ms=300)
    assert (first.answers, second.answers) == ([], [])
    assert max(core.steps for core in fleet.cores(leader)) == steps
    for number in others(fleet, leader):
        fleet.processes[number].thaw()
    fleet.wait(lambda: bool(second.answers), 10_000)
    assert first.answers == ["NONE 2"]
    assert second.answers == ["NONE 2"]


def test_whom_a_batch_has_held_up_is_judged_later_by_that_time(fleet: ShardFleet) -> None:
    """Members could not be heard meanwhile; those of short sessions would all end together."""
    leader = fleet.find()
    fleet.told(leader, "add a", "add b")
    shard = fleet.shards[leader]._shards[fleet.partition().partition]
    core = shard.core
    assert isinstance(core, Counting)
    assert core.delayed_ms == 0
    for number in others(fleet, leader):
        fleet.processes[number].freeze()
    held_up = fleet.say(leader, "add a")
    began_ms = fleet.now().mono_ms
    fleet.world.run_for(1_900)
    fleet.processes[leader].do(lambda _now: shard.delay(700))
    fleet.world.run_for(100)
    assert (held_up.answers, core.delayed_ms) == ([], 700)
    for number in others(fleet, leader):
        fleet.processes[number].thaw()
    fleet.wait(lambda: bool(held_up.answers), 10_000)
    assert held_up.answers == ["NONE 2"]
    took_ms = fleet.now().mono_ms - began_ms
    assert took_ms - 50 <= core.delayed_ms <= took_ms, "what the loop was away counts once"


def test_where_each_batch_is_held_up_whoever_is_gone_is_not_waited_for_for_ever(
    fleet: ShardFleet,
) -> None:
    leader = fleet.find()
    core = fleet.shards[leader]._shards[fleet.partition().partition].core
    assert isinstance(core, Counting)

    def hold_up(count: int) -> int:
        """Return by how much others are judged later for it."""
        before_ms = core.delayed_ms
        for number in others(fleet, leader):
            fleet.processes[number].freeze()
        held_up = fleet.say(leader, "add a")
        fleet.world.run_for(1_500)
        for number in others(fleet, leader):
            fleet.processes[number].thaw()
        fleet.wait(lambda: held_up.answers == [f"NONE {count}"], 10_000)
        return core.delayed_ms - before_ms

    assert hold_up(1) >= 1_450
    assert (hold_up(2), hold_up(3)) == (0, 0)
    fleet.wait(lambda: fleet.in_step(fleet.partition()))
    assert fleet.told(leader, "add a") == ["NONE 4"]
    assert hold_up(5) >= 1_450


def test_a_new_leader_has_everything_that_was_answered(fleet: ShardFleet) -> None:
    leader = fleet.find()
    for count in range(1, 8):
        assert fleet.told(leader, "add a", "add b") == [f"NONE {count}"] * 2
    waiting = fleet.say(leader, "wait")
    fleet.wait(lambda: bool(fleet.cores(leader)))
    fleet.kill(leader)
    fleet.settle()
    successor = fleet.find()
    assert successor != leader
    assert waiting.answers == []  # its broker is dead: nobody is there to say anything
    assert fleet.told(successor, "get a", "get b", "add a") == ["NONE 7", "NONE 7", "NONE 8"]
    assert all(core.grace_from_ms >= 0 for core in fleet.cores(successor))


def test_a_leader_that_leads_on_under_another_epoch_begins_anew(fleet: ShardFleet) -> None:
    """It may have missed that another led in between: what it writes by the epoch before is refused."""
    leader = fleet.find()
    assert fleet.told(leader, "add g") == ["NONE 1"]
    key = fleet.partition()
    replica, known = fleet.replica(leader, key), fleet.shards[leader]._shards[key.partition].core
    waiting = fleet.say(leader, "wait g")
    fleet.world.run_for(50)

    def led_anew(now: Now) -> None:
        record = replica.record
        later = replace(
            record,
            leader_epoch=LeaderEpoch(record.leader_epoch + 2),
            partition_epoch=PartitionEpoch(record.partition_epoch + 2),
        )
        replica.assign(later, replica.settings, now)

    fleet.processes[leader].do(led_anew)
    fleet.wait(lambda: bool(waiting.answers))
    assert waiting.answers[0].startswith("NOT_COORDINATOR")
    fleet.wait(lambda: not fleet.shards[leader].is_loading())
    assert fleet.shards[leader]._shards[key.partition].core is not known


def test_whoever_waits_at_a_leader_of_the_past_is_told_so(fleet: ShardFleet) -> None:
    leader = fleet.find()
    fleet.told(leader, "add a")
    told = fleet.say(leader, "wait", "wait")
    fleet.world.run_until(lambda: False, limit_ms=50)
    fleet.processes[leader].freeze()
    fleet.expire(leader)
    fleet.wait(
        lambda: (
            fleet.server(others(fleet, leader)[0]).context.image.partition(fleet.partition())
            is not None
        )
    )
    survivor = others(fleet, leader)[0]

    def moved_on() -> bool:
        record = fleet.server(survivor).context.image.partition(fleet.partition())
        return record is not None and record.leader not in (-1, leader)

    fleet.wait(moved_on, 10_000)
    fleet.processes[leader].thaw()
    fleet.wait(lambda: len(told.answers) == 2, 20_000)
    assert all(answer.startswith("NOT_COORDINATOR") for answer in told.answers)


def test_a_broker_that_does_not_lead_says_so(fleet: ShardFleet) -> None:
    leader = fleet.find()
    (answer,) = fleet.told(others(fleet, leader)[0], "get a")
    assert answer.startswith("NOT_COORDINATOR")


def test_a_long_log_is_loaded_in_slices_while_others_are_served(
    fleet: ShardFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.broker.coordinators.shards.LOAD_BYTES", 256)
    leader = fleet.find()
    for count in range(1, 60):
        assert fleet.told(leader, "add a") == [f"NONE {count}"]
    fleet.kill(leader)
    early: list[Told] = []

    def loading() -> bool:
        for number in fleet.alive():
            if fleet.shards[number].is_loading():
                early.append(fleet.say(number, "get a"))
        return any(
            answer.startswith("COORDINATOR_LOAD_IN_PROGRESS")
            for told in early
            for answer in told.answers
        )

    fleet.wait(loading, 10_000)
    assert fleet.told(fleet.find(), "get a") == ["NONE 59"]


def test_a_log_that_begins_later_while_it_is_loaded_is_loaded_from_there(
    fleet: ShardFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention, where somebody has set it for the topic."""
    monkeypatch.setattr("nodes.broker.coordinators.shards.LOAD_BYTES", 256)
    leader = fleet.find()
    for name in range(60):
        assert fleet.told(leader, f"add {name}") == ["NONE 1"]
    fleet.kill(leader)
    cut: list[int] = []

    def loading() -> bool:
        for number in fleet.alive():
            replica = fleet.replica(number, fleet.partition())
            if fleet.shards[number].is_loading() and replica.is_leader:
                let_go = partial(replica.step, LetGo(Offset(50)))
                fleet.processes[number].do(let_go)
                cut.append(number)
        return bool(cut)

    fleet.wait(loading, 10_000)
    leader = fleet.find()
    assert leader == cut[0]
    assert fleet.told(leader, "get 59") == ["NONE 1"]
    assert fleet.replica(leader, fleet.partition()).log.log_start_offset == 50  # type: ignore[union-attr]


def test_a_batch_that_finds_no_room_is_tried_again(
    fleet: ShardFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = fleet.find()
    fleet.told(leader, "add a")
    log = fleet.replica(leader, fleet.partition()).log
    assert log is not None
    full = [True, True]
    append = type(log).append_all

    def sometimes(self: object, batches: object, now_ms: int) -> None:
        if self is log and full:
            full.pop()
            raise DiskFull("no room")
        append(self, batches, now_ms)  # type: ignore[arg-type]

    monkeypatch.setattr(type(log), "append_all", sometimes)
    assert fleet.told(leader, "add a") == ["NONE 2"]
    assert fleet.server(leader).context.figures["shard_batches_repeated"] == 2


def test_a_shard_that_decides_as_its_broker_ends_writes_nothing(fleet: ShardFleet) -> None:
    """The logs are closed in the middle of a turn, and some parts have theirs after that."""
    leader = fleet.find()
    fleet.told(leader, "add a")
    for partition in range(4):
        fleet.replica(leader, fleet.partition()._replace(partition=partition)).close()
    told = fleet.say(leader, "add a")
    fleet.world.run_for(10)
    assert leader in fleet.alive()
    assert told.answers == []


def test_a_record_nobody_can_read_keeps_the_shard_from_serving(fleet: ShardFleet) -> None:
    leader = fleet.find()
    key = fleet.partition()
    replica: Replica = fleet.replica(leader, key)

    def spoil(now: Now) -> None:
        builder = BatchBuilder()
        builder.append(b"a", b"not a number", (), now.wall_ms)
        append_own(replica, builder.build(), LeaderEpoch(0), now)

    fleet.processes[leader].do(spoil)
    fleet.wait(lambda: fleet.in_step(key) and replica.look().log_end_offset == 1)
    fleet.kill(leader)
    fleet.settle()
    survivors = fleet.alive()
    record = fleet.server(survivors[0]).context.image.partition(key)
    assert record is not None
    successor = int(record.leader)
    fleet.wait(lambda: fleet.server(successor).context.figures.get("shards_failed", 0) == 1)
    (answer,) = fleet.told(successor, "get a")
    assert answer.startswith("COORDINATOR_NOT_AVAILABLE")
