"""Replicas of a fleet of brokers: produce, fetch, follow, offsets, by the wire's own messages."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from nodes.broker.partitions.fetchers import Fetchers
from nodes.broker.records import fetch as fetches
from nodes.broker.records import produce
from nodes.broker.records.listings import (
    LISTED_MAX,
    LOOKED_FOR_A_TURN,
    LOOKED_FOR_MAX,
    Listings,
)
from nodes.storage.log_times import TimedOffset
from nodes.storage.partition_log import PartitionLog
from tests.unit.broker.partition_fleet import (
    Answer,
    PartitionFleet,
    fetch_request,
    make_batch,
    values_of,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, Offset, PartitionKey, TopicId
from transport.wire.messages.fetch import (
    FULL_EPOCH,
    TIMESTAMP_EARLIEST,
    TIMESTAMP_LATEST,
    TIMESTAMP_MAX,
    EpochEnd,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from transport.wire.messages.produce import (
    ACKS_ALL,
    ACKS_LEADER,
    ACKS_NONE,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.messages.topics import DescribeTopicsRequest, DescribeTopicsResponse


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2)
    fleet.settle()
    return fleet


def other_than(fleet: PartitionFleet, number: int) -> int:
    return next(node for node in fleet.alive() if node != number)


# Producing


def test_acks_all_is_on_every_replica(fleet: PartitionFleet) -> None:
    key = fleet.create()
    outcome = fleet.write(key, b"a", b"b")
    assert (outcome.base_offset, outcome.log_start_offset) == (0, 0)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3
    assert fleet.write(key, b"c").base_offset == 2
    fleet.wait(lambda: fleet.in_step(key))


def test_acks_all_takes_milliseconds_not_a_poll_interval(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"warm")
    before_us = fleet.world.now_us
    for _ in range(20):
        fleet.write(key, b"x")
    assert (fleet.world.now_us - before_us) / 20 < 10_000


def test_the_first_write_to_a_new_topic_waits_for_no_pause(fleet: PartitionFleet) -> None:
    key = fleet.create()
    before_us = fleet.world.now_us
    fleet.write(key, b"first")
    assert fleet.world.now_us - before_us < 45_000


def test_acks_one_and_none(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    assert fleet.produce(leader, key, make_batch(b"a"), acks=ACKS_LEADER).base_offset == 0
    answers: list[Answer] = []
    part = ProducePartition(key.topic_id, 0, LeaderEpoch(-1), 0)
    request = ProduceRequest(ACKS_NONE, 1_000, (part,))
    fleet.post_whole(leader, request, answers, payload=(make_batch(b"b"),), timeout_ms=100)
    fleet.wait(lambda: fleet.logs(key) == [[b"a", b"b"]] * 3)
    fleet.world.run_for(200)
    ((refusal, _),) = answers
    assert refusal.error == ErrorCode.REQUEST_TIMED_OUT  # type: ignore[attr-defined]


def damaged(batch: bytes) -> bytes:
    return batch[:-1] + bytes([batch[-1] ^ 1])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"batch": damaged(make_batch())}, "CORRUPT_MESSAGE"),
        ({"batch": b""}, "CORRUPT_MESSAGE"),
        ({"batch": make_batch(b"x" * 2_000_000)}, "MESSAGE_TOO_LARGE"),
        ({"frame": 1}, "INVALID_REQUEST"),
        ({"frame": -1}, "INVALID_REQUEST"),
        ({"leader_epoch": 999}, "UNKNOWN_LEADER_EPOCH"),
        ({"batch": make_batch(producer=5, sequence=10)}, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
    ],
)
def test_a_batch_is_refused(fleet: PartitionFleet, how: dict[str, object], expected: str) -> None:
    key = fleet.create()
    arguments: dict[str, object] = {"batch": make_batch(), **how}
    outcome = fleet.produce(fleet.leader(key), key, **arguments)  # type: ignore[arg-type]
    assert ErrorCode(outcome.error).name == expected
    assert outcome.text
    assert fleet.logs(key) == [[]] * 3


def test_who_does_not_lead_says_so(fleet: PartitionFleet) -> None:
    key = fleet.create()
    follower = other_than(fleet, fleet.leader(key))
    outcome = fleet.produce(follower, key, make_batch())
    assert outcome.error == ErrorCode.NOT_LEADER_OR_FOLLOWER
    stranger = PartitionKey(TopicId(b"?" * 16), 0)
    assert fleet.produce(follower, stranger, make_batch()).error == ErrorCode.UNKNOWN_TOPIC_ID
    missing = PartitionKey(key.topic_id, 7)
    outcome = fleet.produce(follower, missing, make_batch())
    assert outcome.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        (ProduceRequest(2, 1_000, ()), ErrorCode.INVALID_REQUIRED_ACKS),
        (ProduceRequest(1, 1_000, (), "transaction"), ErrorCode.INVALID_REQUIRED_ACKS),
        (ProduceRequest(1, 1_000, ()), ErrorCode.NONE),
    ],
)
def test_a_request_is_refused_as_a_whole(
    fleet: PartitionFleet, request_body: ProduceRequest, expected: ErrorCode
) -> None:
    body, _ = fleet.ask_whole(1, request_body)
    assert isinstance(body, ProduceResponse)
    assert body.error == expected


def test_outcomes_come_in_the_order_of_the_request(fleet: PartitionFleet) -> None:
    key = fleet.create(partitions=3)
    leader = fleet.leader(key)
    parts = tuple(
        ProducePartition(key.topic_id, number, LeaderEpoch(-1), frame)
        for number, frame in ((2, 0), (0, 1), (1, 0), (0, 0))
    )
    payload = (make_batch(b"one"), make_batch(b"two"))
    body, _ = fleet.ask_whole(leader, ProduceRequest(-1, 1_000, parts), payload=payload)
    assert isinstance(body, ProduceResponse)
    assert [outcome.partition for outcome in body.partitions] == [2, 0, 1, 0]
    led = [outcome for outcome in body.partitions if outcome.partition == 0]
    assert [outcome.base_offset for outcome in led] == [0, 1]


def test_a_duplicate_gets_the_old_offset_even_from_a_new_leader(fleet: PartitionFleet) -> None:
    key = fleet.create()
    first = make_batch(b"a", b"b", producer=9, sequence=0)
    assert fleet.produce(fleet.leader(key), key, first).base_offset == 0
    second = make_batch(b"c", producer=9, sequence=2)
    assert fleet.produce(fleet.leader(key), key, second).base_offset == 2
    fleet.kill(fleet.leader(key))
    for _ in range(2):
        assert fleet.produce(fleet.leader(key), key, first).base_offset == 0
        assert fleet.produce(fleet.leader(key), key, second).base_offset == 2
    assert fleet.logs(key) == [[b"a", b"b", b"c"]] * 2


def test_too_few_in_sync_replicas(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    for number in [number for number in fleet.alive() if number != leader]:
        fleet.kill(number)
    fleet.wait(lambda: len(fleet.isr(key)) == 1)
    outcome = fleet.produce(leader, key, make_batch())
    assert outcome.error == ErrorCode.NOT_ENOUGH_REPLICAS
    assert fleet.produce(leader, key, make_batch(), acks=ACKS_LEADER).error == ErrorCode.NONE
    response, payload = fleet.fetch(leader, key)
    assert payload == ()
    assert response.partitions[0].high_watermark <= 0


def test_the_time_of_a_produce_is_kept(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    fleet.write(key, b"warm")
    for number in [number for number in fleet.alive() if number != leader]:
        fleet.processes[number].freeze()
    before_us = fleet.world.now_us
    outcome = fleet.produce(leader, key, make_batch(), timeout_ms=300)
    assert outcome.error == ErrorCode.REQUEST_TIMED_OUT
    assert 299_000 < fleet.world.now_us - before_us < 320_000, "clocks count whole milliseconds"


# Fetching


def test_a_consumer_reads_what_is_committed(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a", b"b")
    fleet.write(key, b"c")
    leader = fleet.leader(key)
    response, (data,) = fleet.fetch(leader, key)
    assert values_of(data) == [b"a", b"b", b"c"]
    assert response.partitions[0].high_watermark == 3
    _, (data,) = fleet.fetch(leader, key, 1)
    assert values_of(data) == [b"a", b"b", b"c"]
    _, (data,) = fleet.fetch(leader, key, 2, max_bytes=1)
    assert values_of(data) == [b"c"]


def test_followers_find_room_however_many_consumers_wait(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "PARKED_MAX", 1)
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    fleet.post_whole(leader, fetch_request(key, 1, max_wait_ms=20_000), [], timeout_ms=60_000)
    fleet.world.run_for(2_000)
    assert fleet.ask(leader, fetch_request(key)).error == ErrorCode.OVERLOADED
    assert fleet.produce(leader, key, make_batch(b"b")).error == ErrorCode.NONE


def test_a_reader_is_served_by_the_replica_in_its_rack(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    near, far = (node for node in (1, 2, 3) if node != leader)
    rack = f"rack-{near}"
    fleet.wait(lambda: fleet.in_step(key))
    response, frames = fleet.fetch(leader, key, rack=rack)
    assert (response.partitions[0].preferred_replica, frames) == (near, ())
    _, (data,) = fleet.fetch(near, key, rack=rack)
    assert values_of(data) == [b"a"]
    answers: list[Answer] = []
    fleet.post_whole(near, fetch_request(key, 1, max_wait_ms=4_000, rack=rack), answers)
    fleet.write(key, b"b")
    fleet.wait(lambda: bool(answers), 30)  # though its leader has nothing more for it to fetch
    assert values_of(answers[0][1][0]) == [b"b"]
    assert fleet.replica(far, key).look().high_watermark == 1, "nobody reads there: no haste"


def test_who_has_no_replica_in_its_rack_is_served_by_the_leader(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    for rack in ("", "nowhere", f"rack-{leader}"):
        _, (data,) = fleet.fetch(leader, key, rack=rack)
        assert values_of(data) == [b"a"]


def test_a_fetch_waits_for_the_next_record(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    answers: list[Answer] = []
    fleet.post_whole(leader, fetch_request(key, max_wait_ms=4_000), answers)
    fleet.world.run_for(1_000)
    assert answers == []
    fleet.write(key, b"there")
    fleet.wait(lambda: bool(answers), 20)
    assert values_of(answers[0][1][0]) == [b"there"]


def test_a_fetch_waits_for_enough_bytes(fleet: PartitionFleet) -> None:
    key = fleet.create()
    answers: list[Answer] = []
    request = fetch_request(key, max_wait_ms=4_000, min_bytes=200)
    fleet.post_whole(fleet.leader(key), request, answers)
    fleet.write(key, b"a" * 60)
    fleet.world.run_for(100)
    assert answers == []
    fleet.write(key, b"b" * 60)
    fleet.wait(lambda: bool(answers), 20)
    assert values_of(answers[0][1][0]) == [b"a" * 60, b"b" * 60]


def test_a_fetch_that_stays_is_answered_until_its_wait_is_over(fleet: PartitionFleet) -> None:
    key = fleet.create()
    answers: list[Answer] = []
    request = replace(fetch_request(key, max_wait_ms=600), stays=True)
    fleet.post_whole(fleet.leader(key), request, answers)
    for number in range(3):
        fleet.write(key, b"%d" % number)
        fleet.wait(lambda number=number: len(answers) == number + 1)  # type: ignore[misc]
    fleet.wait(lambda: len(answers) == 4)
    bodies = [body for body, _ in answers]
    assert [body.is_last for body in bodies] == [False, False, False, True]
    values = [values_of(frames[0]) for _, frames in answers[:3]]
    assert values == [[b"0"], [b"1"], [b"2"]]
    fleet.write(key, b"late")
    fleet.settle()
    assert len(answers) == 4


def test_a_fetch_does_not_stay_for_more_bytes_nor_behind_records_left(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    for number in range(3):
        fleet.write(key, b"%d" % number)
    leader = fleet.leader(key)

    def answered(max_bytes: int) -> bool:
        request = replace(fetch_request(key, max_bytes=max_bytes), stays=True)
        body, _ = fleet.ask_whole(leader, request)
        return not body.is_last

    batch_bytes = len(make_batch(b"0"))
    assert answered(3 * batch_bytes + 1)
    assert not answered(3 * batch_bytes), "nothing is left of what it may have"
    assert not answered(2 * batch_bytes), "there are more to be read at once"
    assert fleet.ask_whole(leader, fetch_request(key))[0].is_last, "it was not asked for"


def test_a_fetch_that_stays_hears_that_its_partition_is_gone(fleet: PartitionFleet) -> None:
    key = fleet.create()
    answers: list[Answer] = []
    request = replace(fetch_request(key, max_wait_ms=5_000), stays=True)
    fleet.post_whole(fleet.leader(key), request, answers, timeout_ms=20_000)
    fleet.write(key, b"0")
    fleet.delete()
    fleet.wait(lambda: len(answers) == 2)
    last, _ = answers[1]
    assert isinstance(last, FetchResponse)
    assert last.is_last
    assert last.partitions[0].error == ErrorCode.UNKNOWN_TOPIC_ID


def test_a_fetch_ends_empty_after_its_wait(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    before_us = fleet.world.now_us
    response, payload = fleet.fetch(fleet.leader(key), key, 1, max_wait_ms=300)
    assert 299_000 < fleet.world.now_us - before_us < 320_000, "clocks count whole milliseconds"
    assert payload == ()
    assert response.partitions[0].high_watermark == 1


@pytest.mark.parametrize(
    ("offset", "leader_epoch", "expected"),
    [(1, -1, "NONE"), (2, -1, "OFFSET_OUT_OF_RANGE"), (0, 99, "UNKNOWN_LEADER_EPOCH")],
)
def test_a_fetch_is_judged(
    fleet: PartitionFleet, offset: int, leader_epoch: int, expected: str
) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    response, _ = fleet.fetch(fleet.leader(key), key, offset, leader_epoch=leader_epoch)
    assert ErrorCode(response.partitions[0].error).name == expected


def test_who_does_not_lead_names_the_leader(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    response, _ = fleet.fetch(other_than(fleet, leader), key, max_wait_ms=1_000)
    (part,) = response.partitions
    assert (part.error, part.leader) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, leader)


def test_a_parked_fetch_hears_of_lost_leadership_and_deletion(fleet: PartitionFleet) -> None:
    key = fleet.create()
    answers: list[Answer] = []
    fleet.post_whole(fleet.leader(key), fetch_request(key, max_wait_ms=4_000), answers)
    fleet.world.run_for(50)
    fleet.delete()
    fleet.wait(lambda: bool(answers), 1_000)
    body = answers[0][0]
    assert isinstance(body, FetchResponse)
    assert body.partitions[0].error == ErrorCode.UNKNOWN_TOPIC_ID


def test_no_partition_is_starved_by_a_small_limit(fleet: PartitionFleet) -> None:
    key = fleet.create(partitions=3)
    keys = [PartitionKey(key.topic_id, number) for number in range(3)]
    led = {one: fleet.leader(one) for one in keys}
    first = led[key]
    here = [one for one in keys if led[one] == first]
    more = fleet.create("u", partitions=6)
    here += [
        one
        for one in (PartitionKey(more.topic_id, number) for number in range(6))
        if fleet.leader(one) == first
    ]
    assert len(here) >= 2
    for one in here:
        fleet.write(one, b"x" * 1_000)
    parts = tuple(
        FetchPartition(one.topic_id, one.partition, LeaderEpoch(-1), Offset(0), 1 << 20)
        for one in here
    )
    told: set[tuple[TopicId, int]] = set()
    for _ in range(20):
        body, _ = fleet.ask_whole(first, FetchRequest(0, 1, 500, parts))
        assert isinstance(body, FetchResponse)
        told.update((part.topic_id, part.partition) for part in body.partitions)
    assert len(told) == len(here)


def test_a_request_that_begins_many_logs_takes_turns_and_keeps_its_order(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(produce, "LOGS_BEGUN_A_TURN", 2)
    key = fleet.create(partitions=21)
    leader = fleet.leader(key)
    led = [
        PartitionKey(key.topic_id, number)
        for number in range(21)
        if fleet.leader(PartitionKey(key.topic_id, number)) == leader
    ]
    assert len(led) >= 5
    parts = tuple(ProducePartition(*one, LeaderEpoch(-1), 0) for one in led)
    begun_at_once: list[int] = []
    produces = fleet.hosted(leader)._produces
    go_on = produces._go_on

    def counted(now: Now) -> None:
        before = sum(fleet.replica(leader, one).is_unmade for one in led)
        go_on(now)
        begun_at_once.append(before - sum(fleet.replica(leader, one).is_unmade for one in led))

    monkeypatch.setattr(produces, "_go_on", counted)
    answers: list[Answer] = []
    for value in (b"first", b"second"):
        request = ProduceRequest(ACKS_ALL, 5_000, parts)
        fleet.post_whole(leader, request, answers, payload=(make_batch(value),))
    fleet.wait(lambda: len(answers) == 2, 5_000)
    assert max(begun_at_once) <= 3, "what is left of a turn, and the whole of the next"
    for one in led:
        fleet.wait(partial(fleet.in_step, one))
        assert fleet.logs(one) == [[b"first", b"second"]] * 3


def test_a_client_cannot_pose_as_a_replica(fleet: PartitionFleet) -> None:
    key = fleet.create()
    part = FetchPartition(key.topic_id, 0, LeaderEpoch(-1), Offset(0), 1_000)
    body = fleet.ask(fleet.leader(key), FetchRequest(0, 1, 1_000, (part,), NodeId(2)))
    assert body.error == ErrorCode.INVALID_REQUEST


def test_an_old_registration_of_a_replica_is_refused(fleet: PartitionFleet) -> None:
    key = fleet.create()
    part = FetchPartition(key.topic_id, 0, LeaderEpoch(-1), Offset(0), 1_000)
    request = FetchRequest(0, 1, 1_000, (part,), NodeId(2))
    body = fleet.ask(fleet.leader(key), request, door="peers")
    assert isinstance(body, FetchResponse)
    assert body.error == ErrorCode.STALE_BROKER_EPOCH


def replica_fetch(fleet: PartitionFleet, key: PartitionKey, **how: int) -> FetchRequest:
    """A fetch in the name of a follower of the partition's leader, as of its present process."""
    replica = other_than(fleet, fleet.leader(key))
    part = FetchPartition(
        key.topic_id, key.partition, LeaderEpoch(how.get("leader_epoch", -1)), Offset(0), 1_000
    )
    epoch = fleet.server(replica).context.broker_epoch
    return FetchRequest(how.get("max_wait_ms", 3_000), 1, 1_000, (part,), NodeId(replica), epoch)


def test_a_follower_that_knows_more_than_its_leader_is_let_wait(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    unknown = PartitionKey(TopicId(b"?" * 16), 0)
    request = replica_fetch(fleet, key, leader_epoch=99, max_wait_ms=300)
    (part,) = request.partitions
    strange = FetchPartition(unknown.topic_id, 0, LeaderEpoch(-1), Offset(0), 1_000)
    for process in fleet.processes.values():
        if process is not fleet.processes[leader]:
            process.freeze()
    before_us = fleet.world.now_us
    body, _ = fleet.ask_whole(leader, replace(request, partitions=(part, strange)), door="peers")
    assert isinstance(body, FetchResponse)
    assert 299_000 < fleet.world.now_us - before_us < 320_000, "clocks count whole milliseconds"
    assert all(part.error == ErrorCode.NONE for part in body.partitions)


def test_a_follower_hears_of_no_commit_in_a_log_that_may_have_parted_from_its_own(
    fleet: PartitionFleet,
) -> None:
    """Where an answer has no room for the word that it has: it would take its own records for those
    that were committed."""
    key = fleet.create(partitions=6)
    leader = fleet.leader(key)
    keys = [PartitionKey(key.topic_id, number) for number in range(6)]
    parted, full = [one for one in keys if fleet.leader(one) == leader][:2]
    for one in (parted, full):
        for _ in range(5):
            fleet.write(one, b"v" * 300)
    request = replica_fetch(fleet, parted)
    fleet.processes[request.replica_id].freeze()
    epoch = fleet.replica(leader, parted).core.record.leader_epoch  # type: ignore[union-attr]
    parts = (
        FetchPartition(*parted, LeaderEpoch(epoch), Offset(7), 1_000, LeaderEpoch(epoch)),
        FetchPartition(*full, LeaderEpoch(-1), Offset(0), 1_000),
    )
    heard: set[tuple[bool, bool]] = set()
    for number in range(8):
        asked = replace(
            request,
            max_wait_ms=0,
            max_bytes=300,
            partitions=parts,
            session_id=number + 1,
            session_epoch=FULL_EPOCH,
        )
        body, _ = fleet.ask_whole(leader, asked, door="peers")
        assert isinstance(body, FetchResponse)
        assert body.error == ErrorCode.NONE
        told = [part for part in body.partitions if part.partition == parted.partition]
        heard.add((bool(told), any(part.diverging is not None for part in told)))
    assert heard == {(False, False), (True, True)}


def test_a_newer_fetch_of_a_follower_ends_the_one_before(fleet: PartitionFleet) -> None:
    key = fleet.create()
    leader = fleet.leader(key)
    request = replica_fetch(fleet, key)
    fleet.processes[request.replica_id].freeze()
    answers: list[Answer] = []
    fleet.post_whole(leader, request, answers, door="peers")
    fleet.world.run_for(50)
    assert answers == []
    fleet.post_whole(leader, request, [], door="peers")
    fleet.wait(lambda: bool(answers), 20)
    body = answers[0][0]
    assert isinstance(body, FetchResponse)
    assert body.partitions == ()


def test_a_new_assignment_does_not_wait_for_the_poll_under_way(fleet: PartitionFleet) -> None:
    for number in range(6):
        key = fleet.create(f"topic-{number}")
        before_us = fleet.world.now_us
        fleet.write(key, b"first")
        assert fleet.world.now_us - before_us < 100_000
        fleet.world.run_for(60)


def test_a_new_leader_hides_a_high_watermark_that_it_is_not_sure_of(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its followers have not fetched yet: what its predecessor had told may have been more."""
    key = fleet.create()
    fleet.write(key, b"a")
    old = fleet.leader(key)
    with monkeypatch.context() as patch:
        patch.setattr(Fetchers, "end_turn", lambda self, now: None)
        fleet.kill(old)
        leader = fleet.leader(key)
        response, payload = fleet.fetch(leader, key)
        assert response.partitions[0].high_watermark == -1
        assert payload == ()
        assert listed(fleet, key, TIMESTAMP_LATEST)[0] == ErrorCode.OFFSET_NOT_AVAILABLE
        assert listed(fleet, key, 0)[0] == ErrorCode.OFFSET_NOT_AVAILABLE
        assert listed(fleet, key, TIMESTAMP_EARLIEST)[0] == ErrorCode.NONE
    fleet.wait(lambda: listed(fleet, key, TIMESTAMP_LATEST)[:2] == (ErrorCode.NONE, 1))


def test_idle_partitions_cost_two_empty_fetches_a_second_and_pair(fleet: PartitionFleet) -> None:
    fleet.create(partitions=6)
    fleet.world.run_for(1_000)
    sent = named = 0

    def count_fetches(number: int) -> None:
        wire = fleet.processes[number]
        honest = wire.send

        def send(link: object, envelope: object) -> bool:
            nonlocal sent, named
            body = envelope.body  # type: ignore[attr-defined]
            if isinstance(body, FetchRequest):
                sent += 1
                named += len(body.partitions)
            return honest(link, envelope)  # type: ignore[arg-type]

        wire.send = send  # type: ignore[method-assign]

    for number in fleet.alive():
        count_fetches(number)
    fleet.world.run_for(10_000)
    assert 0 < sent <= 6 * 21
    assert named == 0


@pytest.mark.parametrize("error", ["FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH"])
def test_a_follower_whose_session_is_lost_begins_another(fleet: PartitionFleet, error: str) -> None:
    key = fleet.create()
    fleet.write(key, b"before")
    leader = fleet.leader(key)
    others = [number for number in fleet.alive() if number != leader]
    fetches = fleet.hosted(leader)._fetches
    held = list(fetches._sessions)
    assert len(held) == 2
    for session in held:
        session.epoch += 5
    if error == "FETCH_SESSION_ID_NOT_FOUND":
        for follower in others:
            fetches.drop_session(NodeId(follower))
    fleet.world.run_for(1_000)
    refused = f"polls_refused_{ErrorCode[error].value}"
    assert [fleet.server(number).context.figures.get(refused) for number in others] == [1, 1]
    fleet.write(key, b"after")
    fleet.wait(lambda: fleet.in_step(key))


# Offsets


def listed(fleet: PartitionFleet, key: PartitionKey, timestamp_ms: int) -> tuple[int, int, int]:
    part = ListOffset(key.topic_id, 0, LeaderEpoch(-1), timestamp_ms)
    body, _ = fleet.ask_whole(fleet.leader(key), ListOffsetsRequest((part,)))
    assert isinstance(body, ListOffsetsResponse)
    (found,) = body.partitions
    return found.error, found.offset, found.timestamp_ms


def test_offsets_by_time(fleet: PartitionFleet) -> None:
    key = fleet.create()
    assert listed(fleet, key, TIMESTAMP_LATEST) == (ErrorCode.NONE, 0, -1)
    assert listed(fleet, key, TIMESTAMP_MAX) == (ErrorCode.NONE, -1, -1)
    fleet.write(key, b"a", timestamp_ms=1_000)
    fleet.write(key, b"b", timestamp_ms=3_000)
    fleet.write(key, b"c", timestamp_ms=2_000)
    assert listed(fleet, key, TIMESTAMP_EARLIEST) == (ErrorCode.NONE, 0, -1)
    assert listed(fleet, key, TIMESTAMP_LATEST) == (ErrorCode.NONE, 3, -1)
    assert listed(fleet, key, TIMESTAMP_MAX) == (ErrorCode.NONE, 1, 3_000)
    assert listed(fleet, key, 1_500) == (ErrorCode.NONE, 1, 3_000)
    assert listed(fleet, key, 9_000) == (ErrorCode.NONE, -1, -1)
    assert listed(fleet, key, -9)[0] == ErrorCode.INVALID_REQUEST


def test_records_are_looked_for_by_time_some_a_turn_and_none_twice_for_one_request(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a batch of up to a megabyte opened, in the turn that heartbeats wait for."""
    key = fleet.create()
    for number in range(3):
        fleet.write(key, b"%d" % number, timestamp_ms=1_000 * number)
    turns = [0]
    look, end_turn = PartitionLog.offset_for_timestamp, Listings.end_turn

    def looking(log: PartitionLog, timestamp_ms: int, up_to: Offset) -> TimedOffset | None:
        turns[-1] += 1
        return look(log, timestamp_ms, up_to)

    def ending(listings: Listings, now: Now) -> None:
        end_turn(listings, now)
        turns.append(0)

    monkeypatch.setattr(PartitionLog, "offset_for_timestamp", looking)
    monkeypatch.setattr(Listings, "end_turn", ending)
    times = [*range(0, 2_100, 60), *[500] * 1_000, TIMESTAMP_LATEST]
    parts = tuple(ListOffset(key.topic_id, 0, LeaderEpoch(-1), time_ms) for time_ms in times)
    answers: list[Answer] = []
    fleet.post_whole(fleet.leader(key), ListOffsetsRequest(parts), answers)
    fleet.post_whole(fleet.leader(key), ListOffsetsRequest(parts[-1:]), answers)
    fleet.wait(lambda: len(answers) == 2)
    (first, _), (last, _) = answers
    assert isinstance(first, ListOffsetsResponse)
    assert isinstance(last, ListOffsetsResponse)
    assert len(first.partitions) == 1, "who asks for no record by its time waits for nobody"
    told = [one.offset for one in last.partitions]
    assert told == [-(-ms // 1_000) if ms <= 2_000 else -1 for ms in times[:-1]] + [3]
    assert sum(turns) == 36
    assert max(turns) <= LOOKED_FOR_A_TURN


def test_a_look_for_too_many_records_is_refused(fleet: PartitionFleet) -> None:
    key = fleet.create()
    parts = (ListOffset(key.topic_id, 0, LeaderEpoch(-1), 1),) * (LOOKED_FOR_MAX + 1)
    answer, _ = fleet.ask_whole(fleet.leader(key), ListOffsetsRequest(parts))
    assert isinstance(answer, ListOffsetsResponse)
    assert (answer.error, answer.partitions) == (ErrorCode.INVALID_REQUEST, ())


def test_more_than_a_turn_can_bear_is_not_listed(fleet: PartitionFleet) -> None:
    key = fleet.create()
    ends = (ListOffset(key.topic_id, 0, LeaderEpoch(-1), TIMESTAMP_LATEST),) * (LISTED_MAX + 1)
    epochs = (EpochEnd(key.topic_id, 0, LeaderEpoch(-1), LeaderEpoch(0)),) * (LISTED_MAX + 1)
    for body in (ListOffsetsRequest(ends), OffsetForLeaderEpochRequest(epochs)):
        answer = fleet.ask(fleet.leader(key), body)
        assert (answer.error, answer.partitions) == (ErrorCode.INVALID_REQUEST, ())


def test_ends_of_leader_epochs(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a", b"b")
    record = fleet.server(1).context.image.partition(key)
    assert record is not None
    fleet.kill(fleet.leader(key))
    fleet.write(key, b"c")
    part = EpochEnd(key.topic_id, 0, LeaderEpoch(-1), record.leader_epoch)
    request = OffsetForLeaderEpochRequest((part,))
    body, _ = fleet.ask_whole(fleet.leader(key), request)
    assert isinstance(body, OffsetForLeaderEpochResponse)
    (found,) = body.partitions
    assert (found.error, found.leader_epoch, found.end_offset) == (0, record.leader_epoch, 2)


def test_leaders_describe_their_partitions(fleet: PartitionFleet) -> None:
    key = fleet.create(partitions=3)
    fleet.write(key, b"a")
    found = {}
    for number in fleet.alive():
        body, _ = fleet.ask_whole(number, DescribeTopicsRequest((key.topic_id,)))
        assert isinstance(body, DescribeTopicsResponse)
        for part in body.partitions:
            assert part.leader == number
            found[part.partition] = part
    assert sorted(found) == [0, 1, 2]
    assert (found[0].high_watermark, found[0].log_end_offset) == (1, 1)
    assert sorted(found[0].isr) == [1, 2, 3]
    assert sum(fleet.hosted(number).leader_count() for number in fleet.alive()) == 3
    assert [fleet.hosted(number).replica_count() for number in fleet.alive()] == [3, 3, 3]
