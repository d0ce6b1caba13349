"""The consumer's program against scripted brokers: positions, resets, leaders, bounds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from odradek.cluster.metadata import IDLE_MAX_MS
from odradek.consumer.engine import ConsumerEngine
from odradek.consumer.fetching import NEAREST_MS, ConsumerSettings
from odradek.consumer.followed_topics import PATTERN_INTERVAL_MS
from odradek.errors import (
    CorruptRecordError,
    InvalidRecordError,
    OdradekError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from transport.driver.calls import response
from transport.wire.batch import CONTROL
from transport.wire.batch_filter import filtered
from transport.wire.checksum import crc32c
from transport.wire.codec import Buffer, Envelope
from transport.wire.control import Marker, build_marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, Offset, ProducerEpoch, ProducerId, TopicPartition
from transport.wire.messages.fetch import (
    AbortedTransaction,
    FetchedPartition,
    FetchRequest,
    FetchResponse,
    OffsetForLeaderEpochRequest,
)
from transport.wire.messages.metadata import MetadataRequest
from transport.wire.records import BatchBuilder, read_header

T0 = TopicPartition("t", 0)
T1 = TopicPartition("t", 1)


def make(cluster: Any, *topics: str, **settings: Any) -> ConsumerEngine:
    settings.setdefault("auto_offset_reset", "earliest")
    engine = ConsumerEngine(ConsumerSettings(bootstrap=cluster.bootstrap, **settings))
    cluster.start(engine)
    if topics:
        engine.subscribe(topics, cluster.now)
    cluster.settle()
    return engine


def write(cluster: Any, *numbers: int, partition: int = 0, topic: str = "t") -> None:
    """Write one batch, and let parked fetches see it."""
    builder = BatchBuilder()
    for number in numbers:
        builder.append(b"k", b"%d" % number, (), 1_000 + number)
    cluster.topics[topic].partitions[partition].append(builder.build())
    cluster.release()


def poll(
    engine: ConsumerEngine, cluster: Any, timeout_ms: int = 0, records_max: int = 500
) -> dict[TopicPartition, list[int]]:
    told: list[Any] = []
    engine.poll(records_max, timeout_ms, lambda given, _now: told.append(given), cluster.now)
    cluster.settle()
    while not told:
        cluster.advance(10)
    if isinstance(told[0], OdradekError):
        raise told[0]
    return {key: [int(record.value) for record in records] for key, records in told[0].items()}


def position(engine: ConsumerEngine, cluster: Any, key: TopicPartition = T0) -> int:
    told: list[Any] = []
    engine.position(key, 1_000, lambda known, _now: told.append(known), cluster.now)
    cluster.settle()
    assert told
    return int(told[0])


def test_earliest_reads_everything_once_and_in_order(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0, 1, 2)
    write(cluster, 3)
    engine = make(cluster, "t")
    assert poll(engine, cluster) == {T0: [0, 1, 2, 3]}
    assert position(engine, cluster) == 4
    assert poll(engine, cluster) == {}
    write(cluster, 4)
    assert poll(engine, cluster, 100) == {T0: [4]}


def test_a_topic_that_is_subscribed_to_again_begins_by_the_policy_again(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    engine = make(cluster, "t", auto_offset_reset="latest")
    assert position(engine, cluster) == 1
    engine.assign([], cluster.now)
    write(cluster, 1, 2)
    engine.subscribe(["t"], cluster.now)
    assert poll(engine, cluster, 100) == {}
    assert position(engine, cluster) == 3


def test_the_end_of_a_partition_that_is_not_there_is_told_as_such(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine, told = make(cluster), list[Any]()
    wanted = {T0: -1, TopicPartition("t", 2): -1}
    engine.offsets(wanted, 1_000, lambda found, _now: told.append(found), cluster.now)
    cluster.advance(1_100)
    assert isinstance(told[0], UnknownTopicOrPartitionError)
    assert str(told[0]) == "topic 't' has partitions 0 to 1, not 2"


def test_a_topic_that_a_pattern_finds_later_is_read_from_its_beginning(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    engine = make(cluster, auto_offset_reset="latest")
    engine.subscribe_pattern(re.compile("[tu]"), cluster.now)
    cluster.settle()
    assert position(engine, cluster) == 1, "what was there before is not news"
    made = cluster.topic("u")
    write(cluster, 1, 2, topic="u")
    cluster.announce(cluster._record(made, 0))
    cluster.advance(PATTERN_INTERVAL_MS)
    assert poll(engine, cluster, 100) == {TopicPartition("u", 0): [1, 2]}
    write(cluster, 3)
    assert poll(engine, cluster, 100) == {T0: [3]}


def test_a_broker_that_is_behind_takes_no_topic_from_a_pattern(cluster: Any) -> None:
    for name in "tu":
        cluster.topic(name)
        write(cluster, 0, topic=name)
    engine = make(cluster)
    engine.subscribe_pattern(re.compile("[tu]"), cluster.now)
    cluster.settle()
    assert len(poll(engine, cluster)) == 2
    newer = cluster.version
    cluster.announce()
    cluster.settle()
    cluster.version, gone = newer - 1, cluster.topics.pop("u")
    cluster.advance(2 * PATTERN_INTERVAL_MS)
    assert set(engine.subscription.topics) == {"t", "u"}
    cluster.version, cluster.topics["u"] = newer + 1, gone
    cluster.advance(2 * PATTERN_INTERVAL_MS)
    assert poll(engine, cluster) == {}, "and nothing is read again"


def write_of(cluster: Any, producer: int, *numbers: int, committed: bool | None = None) -> None:
    """Write a transactional batch, or with ``committed`` the marker that ends it."""
    partition = cluster.topics["t"].partitions[0]
    if committed is not None:
        marker = Marker(committed, 1)
        batch = build_marker(marker, ProducerId(producer), ProducerEpoch(1), 1)
        partition._write(read_header(batch), batch)
        return
    builder = BatchBuilder()
    for number in numbers:
        builder.append(b"k", b"%d" % number, (), 1_000 + number)
    batch = builder.build(0, ProducerId(producer), ProducerEpoch(0), 0, transactional=True)
    partition._write(read_header(batch), batch)


@pytest.mark.parametrize(
    ("isolation_level", "expected"),
    [("read_uncommitted", [0, 1, 2, 3, 4, 5]), ("read_committed", [2, 3, 4, 5])],
)
def test_aborted_records_are_passed_over(
    cluster: Any, isolation_level: str, expected: list[int]
) -> None:
    cluster.topic("t")
    write_of(cluster, 7, 0, 1)
    write_of(cluster, 8, 2, 3)
    write_of(cluster, 7, committed=False)
    write_of(cluster, 7, 4)
    write_of(cluster, 8, committed=True)
    write_of(cluster, 7, committed=True)
    write_of(cluster, 8, 5)
    cluster.topics["t"].partitions[0].aborted = [AbortedTransaction(ProducerId(7), Offset(0))]
    engine = make(cluster, "t", isolation_level=isolation_level)
    assert poll(engine, cluster) == {T0: expected}
    assert position(engine, cluster) == 9
    asked = [body for _, body in cluster.asked if isinstance(body, FetchRequest)]
    assert {body.isolation for body in asked} == {int(isolation_level == "read_committed")}


def test_latest_reads_only_what_comes(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0, 1)
    engine = make(cluster, "t", auto_offset_reset="latest")
    assert position(engine, cluster) == 2
    write(cluster, 2)
    assert poll(engine, cluster, 100) == {T0: [2]}


def test_a_poll_need_wake_nobody_where_there_is_nothing_to_give(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster, "t")
    told = [engine.has_nothing]
    write(cluster, 1)
    cluster.settle()
    told.append(engine.has_nothing)
    assert poll(engine, cluster) == {T0: [1]}
    told.append(engine.has_nothing)
    engine.subscription.assigned[T0].fail(OdradekError("planted"))
    cluster.settle()
    told.append(engine.has_nothing)
    assert told == [True, False, True, False]


def test_a_fetch_that_stays_is_not_sent_again_until_its_last_answer(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster, "t")
    (fetch,) = [one for one in cluster._parked if isinstance(one[1].body, FetchRequest)]
    asked, read = cluster.count(FetchRequest), list[int]()

    def answer(number: int, **how: Any) -> None:
        builder = BatchBuilder()
        builder.append(b"k", b"%d" % number, (), 1_000)
        state = cluster.topics["t"].partitions[0]
        state.append(builder.build())
        frame = state.batches[-1]
        part = fetch[1].body.partitions[0]
        told = FetchedPartition(part.topic_id, 0, 0, Offset(number + 1), Offset(0), 0)
        body = FetchResponse(0, (told,), **how)
        engine.on_message(fetch[0], response(fetch[1], body, (frame,)), cluster.now)
        engine.end_turn(cluster.now)
        read.extend(poll(engine, cluster)[T0])

    answer(0, stays=True)
    answer(1, stays=True)
    assert (read, cluster.count(FetchRequest)) == ([0, 1], asked)
    answer(2)
    assert (read, cluster.count(FetchRequest)) == ([0, 1, 2], asked + 1)


def test_none_asks_for_a_seek(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0, 1)
    engine = make(cluster, "t", auto_offset_reset="none")
    with pytest.raises(OffsetOutOfRangeError, match="seek"):
        poll(engine, cluster)
    engine.seek(T0, 1)
    assert poll(engine, cluster, 100) == {T0: [1]}


def test_max_records_cuts_batches_and_positions_follow(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, *range(10))
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100, 4) == {T0: [0, 1, 2, 3]}
    assert position(engine, cluster) == 4
    assert poll(engine, cluster, 100, 4) == {T0: [4, 5, 6, 7]}
    assert poll(engine, cluster, 100, 4) == {T0: [8, 9]}
    assert position(engine, cluster) == 10


def test_records_below_the_position_are_dropped(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, *range(10))
    engine = make(cluster, "t")
    engine.seek(T0, 7)
    assert poll(engine, cluster, 100, 2) == {T0: [7, 8]}
    assert position(engine, cluster) == 9
    engine.seek(T0, 3)
    assert poll(engine, cluster, 100) == {T0: [3, 4, 5, 6, 7, 8, 9]}


def test_a_seek_voids_what_is_under_way(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, *range(10))
    cluster_hold = cluster.held
    engine = make(cluster)
    engine.assign([T0], cluster.now)
    engine.seek(T0, 0)
    cluster_hold.add(1)
    cluster.settle()  # a fetch from 0 is on its way
    engine.seek(T0, 5)
    cluster.release()
    assert poll(engine, cluster, 100) == {T0: [5, 6, 7, 8, 9]}


def test_out_of_range_follows_the_policy(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0, 1)
    engine = make(cluster, "t")
    engine.seek(T0, 99)
    assert poll(engine, cluster, 500) == {T0: [0, 1]}
    strict = make(cluster, "t", auto_offset_reset="none")
    strict.seek(T0, 99)
    with pytest.raises(OffsetOutOfRangeError, match="99"):
        poll(strict, cluster, 500)


def test_partitions_share_a_poll_and_take_turns(cluster: Any) -> None:
    cluster.topic("t", 2)
    write(cluster, *range(10))
    write(cluster, *range(100, 110), partition=1)
    engine = make(cluster, "t")
    first = poll(engine, cluster, 100, 10)
    second = poll(engine, cluster, 100, 10)
    assert {*first, *second} == {T0, T1}


def test_a_new_leader_is_read_when_it_is_announced(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0]}
    cluster.held = {1}  # hung, with our long poll
    cluster.settle()
    cluster.elect("t", 0, 2)
    builder = BatchBuilder()
    builder.append(None, b"1", (), 1)
    cluster.topics["t"].partitions[0].append(builder.build())
    cluster.settle()  # no time passes
    assert poll(engine, cluster) == {T0: [1]}
    assert cluster.count(OffsetForLeaderEpochRequest) == 1
    cluster.release()
    cluster.advance(500)
    assert poll(engine, cluster) == {}
    assert position(engine, cluster) == 2


def test_a_killed_leader_is_followed_by_the_next(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0]}
    cluster.kill(1)
    write(cluster, 1)
    assert poll(engine, cluster, 1_000) == {T0: [1]}


def test_a_log_that_was_cut_is_noticed(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    write(cluster, 1)
    write(cluster, 2)
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0, 1, 2]}
    state = cluster.topics["t"].partitions[0]
    del state.batches[1:]
    state.end = 1
    cluster.elect("t", 0, 2)
    cluster.settle()
    write(cluster, 7)
    assert poll(engine, cluster, 500) == {T0: [7]}
    assert position(engine, cluster) == 2


@pytest.mark.parametrize("policy", ["latest", "earliest", "none"])
def test_a_cut_above_what_was_given_passes_over_nothing(cluster: Any, policy: str) -> None:
    cluster.topic("t")
    for number in range(4):
        write(cluster, number)
    engine = make(cluster, "t", auto_offset_reset=policy)
    engine.seek(T0, 0)
    cluster.settle()
    assert poll(engine, cluster, 100, records_max=1) == {T0: [0]}
    state = cluster.topics["t"].partitions[0]
    del state.batches[3:]
    state.end = 3  # 1 and 2 were fetched, not given, and are there yet
    cluster.elect("t", 0, 2)
    cluster.settle()
    write(cluster, 7)
    given = [poll(engine, cluster, 500) for _ in range(3)]
    assert [number for one in given for number in one.get(T0, [])] == [1, 2, 7]


def test_who_stands_in_a_later_epoch_asks_no_leader_of_an_earlier_one(cluster: Any) -> None:
    """A broker of an earlier version, replaced and without knowing, takes its own end for that."""
    cluster.topic("t")
    write(cluster, 0, 1, 2)
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0, 1, 2]}
    state = cluster.topics["t"].partitions[0]
    engine.subscription.assigned[T0].resume(5, 2)  # as at a commit of who knows the new leader
    fetched, looked = cluster.count(FetchRequest), cluster.count(MetadataRequest)
    cluster.advance(1_000)
    assert position(engine, cluster) == 5
    assert cluster.count(FetchRequest) == fetched
    assert cluster.count(OffsetForLeaderEpochRequest) == 0
    assert cluster.count(MetadataRequest) > looked, "it looks for the new one"
    cluster.elect("t", 0, 2)
    write(cluster, 3, 4)
    write(cluster, 5)
    assert state.end == 6
    assert poll(engine, cluster, 500) == {T0: [5]}


def test_a_position_moves_over_what_nobody_is_given(cluster: Any) -> None:
    """Or what is behind the last record would be a lag for ever."""
    cluster.topic("t")
    write_of(cluster, 7, 0, 1)
    write_of(cluster, 7, committed=True)
    engine = make(cluster, "t", isolation_level="read_committed")
    cluster.settle()
    assert poll(engine, cluster) == {T0: [0, 1]}
    assert engine.subscription.assigned[T0].position == 3


def test_a_marker_of_a_later_epoch_is_no_cut_of_the_log(cluster: Any) -> None:
    cluster.topic("t")
    write_of(cluster, 7, 0, 1)
    engine = make(cluster, "t", auto_offset_reset="none", isolation_level="read_committed")
    engine.seek(T0, 0)
    cluster.settle()
    assert poll(engine, cluster, 100) == {T0: [0, 1]}
    cluster.elect("t", 0, 2)
    cluster.settle()
    write_of(cluster, 7, committed=True)  # passed over, in the epoch of the new leader
    cluster.release()
    cluster.settle()
    one = engine.subscription.assigned[T0]
    assert (one.position, one.taken_epoch) == (3, 2), "as a group commits it"
    cluster.elect("t", 0, 3)
    cluster.settle()
    write(cluster, 7)
    assert poll(engine, cluster, 500) == {T0: [7]}


@pytest.mark.parametrize("policy", ["latest", "none"])
def test_what_was_fetched_is_given_before_its_end_is_out_of_range(
    cluster: Any, policy: str
) -> None:
    cluster.topic("t")
    write(cluster, 0, 1)
    engine = make(cluster, "t", auto_offset_reset=policy)
    engine.seek(T0, 0)
    cluster.settle()
    state = cluster.topics["t"].partitions[0]
    state.start = state.end = 50  # retention has passed by
    write(cluster, 50)
    cluster.advance(100)
    assert poll(engine, cluster) == {T0: [0, 1]}
    cluster.advance(1_000)
    if policy == "none":
        with pytest.raises(OffsetOutOfRangeError, match="offset 2 is not in the log"):
            poll(engine, cluster)
    else:
        assert position(engine, cluster) == 51


def test_a_batch_that_was_compacted_away_ends_no_poll(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0]}
    state = cluster.topics["t"].partitions[0]
    empty, _ = filtered(read_header(state.batches[0]), ())
    told: list[Any] = []
    engine.poll(500, 500, lambda given, _now: told.append(given), cluster.now)
    state._write(read_header(empty), empty)
    state.end += 1
    cluster.release()
    cluster.advance(100)
    assert not told, "there may be a record yet"
    write(cluster, 7)
    cluster.advance(100)
    assert [int(record.value) for record in told[0][T0]] == [7]


def test_new_partitions_are_read_from_their_beginning(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster, "t", auto_offset_reset="latest")
    assert position(engine, cluster) == 0
    made = cluster.topics["t"]
    state = type(made.partitions[0])(2, [1, 2, 3])
    made.partitions[1] = state
    write(cluster, 100, partition=1)
    cluster.announce(cluster._record(made, 1))
    assert poll(engine, cluster, 1_000) == {T1: [100]}


def test_a_topic_made_after_subscribing_is_read_from_its_beginning(cluster: Any) -> None:
    engine = make(cluster, "t", auto_offset_reset="latest", auto_create=False)
    cluster.topic("t")
    write(cluster, 0)
    assert poll(engine, cluster, 2_000) == {T0: [0]}


def test_a_topic_made_again_is_read_anew(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0, 1, 2)
    engine = make(cluster, "t", auto_create=False)
    assert poll(engine, cluster, 100) == {T0: [0, 1, 2]}
    cluster.drop("t")
    cluster.settle()
    cluster.topic("t")
    write(cluster, 9)
    assert poll(engine, cluster, 3_000) == {T0: [9]}


def test_a_topic_that_is_subscribed_to_again_begins_as_the_policy_says(cluster: Any) -> None:
    cluster.topic("t")
    cluster.topic("u")
    write(cluster, 0, 1)
    engine = make(cluster, "t", auto_offset_reset="latest")
    cluster.settle()
    engine.subscribe(["u"], cluster.now)
    cluster.settle()
    engine.subscribe(["t"], cluster.now)
    cluster.settle()
    assert position(engine, cluster) == 2


@pytest.mark.parametrize("policy", ["latest", "none"])
def test_a_partition_by_hand_of_a_topic_made_again_is_read_anew(cluster: Any, policy: str) -> None:
    cluster.topic("t")
    write(cluster, 0, 1, 2)
    engine = make(cluster, auto_create=False, auto_offset_reset=policy)
    engine.assign([T0], cluster.now)
    engine.seek(T0, 0)
    cluster.settle()
    assert poll(engine, cluster, 100) == {T0: [0, 1, 2]}
    cluster.drop("t")
    cluster.settle()
    cluster.topic("t")
    write(cluster, *range(10, 15))
    if policy == "none":
        with pytest.raises(OffsetOutOfRangeError, match="seek"):
            poll(engine, cluster, 3_000)
    else:
        assert poll(engine, cluster, 3_000) == {T0: [10, 11, 12, 13, 14]}


def test_paused_partitions_give_nothing(cluster: Any) -> None:
    cluster.topic("t", 2)
    write(cluster, 0)
    write(cluster, 100, partition=1)
    engine = make(cluster, "t")
    engine.pause([T0], True)
    assert poll(engine, cluster, 100) == {T1: [100]}
    assert poll(engine, cluster) == {}
    engine.pause([T0], False)
    assert poll(engine, cluster, 100) == {T0: [0]}


def test_what_is_fetched_of_paused_partitions_leaves_room_for_the_others(cluster: Any) -> None:
    cluster.topic("t", 2)
    for number in range(10):
        write(cluster, *range(number * 10, number * 10 + 10))
    engine = make(cluster, "t", partition_fetch_bytes=600, prefetch_bytes=600)
    assert poll(engine, cluster, records_max=5) == {T0: [0, 1, 2, 3, 4]}
    engine.pause([T0], True)
    for number in (100, 101):  # one fetch was under way
        write(cluster, number, partition=1)
        assert poll(engine, cluster, 1_000) == {T1: [number]}
    engine.pause([T0], False)
    seen: list[int] = []
    while len(seen) < 95:
        seen += poll(engine, cluster, 1_000)[T0]
    assert seen == list(range(5, 100))


def test_prefetch_is_bounded_and_goes_on_when_taken(cluster: Any) -> None:
    cluster.topic("t")
    for number in range(100):
        write(cluster, *range(number * 10, number * 10 + 10))
    engine = make(cluster, "t", partition_fetch_bytes=600)
    held = engine.subscription.assigned[T0]
    assert held.buffered_bytes < 2 * 600
    seen: list[int] = []
    while len(seen) < 1_000:
        seen += poll(engine, cluster, 100)[T0]
        assert held.buffered_bytes < 2 * 600
    assert seen == list(range(1_000))


def test_all_partitions_together_are_bounded(cluster: Any) -> None:
    cluster.topic("t", 30)
    for partition in range(30):
        for number in range(10):
            write(cluster, *range(number * 10, number * 10 + 10), partition=partition)
    engine = make(cluster, "t", partition_fetch_bytes=1_000, prefetch_bytes=4_000)
    for _ in range(500):
        if sum(len(numbers) for numbers in poll(engine, cluster, 50, 50).values()) == 0:
            break
    assert all(one.position == 100 for one in engine.subscription.assigned.values())


def test_errors_of_a_fetch_are_retried_as_the_table_says(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster, "t")
    cluster.refuse_once(FetchRequest, ErrorCode.OVERLOADED)
    cluster.advance(600)
    write(cluster, 0)
    assert poll(engine, cluster, 2_000) == {T0: [0]}


def test_a_damaged_batch_is_an_error_after_some_tries(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    state = cluster.topics["t"].partitions[0]
    state.batches[0] = state.batches[0][:-1] + b"\xff"
    cluster.before.append(
        lambda _node, envelope: (
            FetchResponse(0, (FetchedPartition(cluster.topics["t"].id, 0, 0, frame=9),))
            if cluster.count(FetchRequest) == 1 and isinstance(envelope.body, FetchRequest)
            else None
        )
    )
    engine = make(cluster, "t")
    with pytest.raises(CorruptRecordError):
        poll(engine, cluster, 5_000)
    assert cluster.count(FetchRequest) > 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda batch: batch[:-1] + b"\xff",  # its CRC tells
        lambda batch: batch[:22] + bytes([batch[22] | CONTROL]) + batch[23:],
        lambda batch: (3).to_bytes(8, "big") + batch[8:],  # of the offset no CRC does
        lambda batch: (1 << 40).to_bytes(8, "big") + batch[8:],
    ],
)
def test_what_is_before_a_damaged_batch_is_given(cluster: Any, damage: Any) -> None:
    cluster.topic("t")
    for number in range(4):
        write(cluster, 2 * number, 2 * number + 1)
    batches = cluster.topics["t"].partitions[0].batches
    whole, batches[2] = batches[2], damage(batches[2])
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100) == {T0: [0, 1, 2, 3]}
    for _ in range(2):
        with pytest.raises(CorruptRecordError):
            poll(engine, cluster, 5_000)
    assert position(engine, cluster) == 4
    batches[2] = whole
    engine.seek(T0, 4)
    cluster.settle()
    assert poll(engine, cluster, 100) == {T0: [4, 5, 6, 7]}


def test_what_is_before_a_batch_that_cannot_be_taken_apart_is_given(cluster: Any) -> None:
    cluster.topic("t", 2)
    write(cluster, 0, 1)
    write(cluster, 7, partition=1)
    state = cluster.topics["t"].partitions[0]
    builder = BatchBuilder()
    for number in range(3):
        builder.append(None, b"%d" % number, (), 1)
    batch = bytearray(builder.build())
    batch[-20:] = b"\xff" * 20  # records that nobody can read, of a batch that is whole
    batch[23:27] = (9).to_bytes(4, "big")  # and compacted: their offsets are in them alone
    batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
    state.append(batch)
    state.end = 12
    engine = make(cluster, "t")
    assert poll(engine, cluster, 100, records_max=4) == {T1: [7], T0: [0, 1]}
    for _ in range(2):
        with pytest.raises(InvalidRecordError):
            poll(engine, cluster, 100, records_max=1)
    assert position(engine, cluster) == 2
    engine.seek(T0, 12)
    cluster.settle()
    assert position(engine, cluster) == 12


def test_what_a_fetch_that_stays_gives_behind_damage_is_not_taken(cluster: Any) -> None:
    topic = cluster.topic("t")
    write(cluster, 0)
    write(cluster, 1)
    whole, following = topic.partitions[0].batches
    fetch = cluster._handlers[FetchRequest]
    first: list[Envelope] = []

    def note(_node: NodeId, envelope: Envelope) -> None:
        if isinstance(envelope.body, FetchRequest) and not first:
            first.append(envelope)

    def part_of(frame: Buffer, *, stays: bool) -> tuple[FetchResponse, tuple[Buffer, ...]]:
        given = FetchedPartition(topic.id, 0, 0, Offset(2), Offset(0), 0)
        return FetchResponse(0, (given,), stays=stays), (frame,)

    def damaged_once(node: NodeId, body: FetchRequest, payload: Any) -> Any:
        if first and body is first[0].body:
            return part_of(whole[:-1] + b"\xff", stays=True)
        return fetch(node, body, payload)

    cluster.before.append(note)
    cluster._handlers[FetchRequest] = damaged_once
    engine = make(cluster, "t")
    cluster.settle()
    (link,) = {one for one, (node, events) in cluster._links.items() if node == 1 and not events}
    cluster.program.on_message(
        link, response(first[0], *part_of(following, stays=True)), cluster.now
    )
    assert poll(engine, cluster, 1_000) == {T0: [0, 1]}


def test_what_only_brokers_read_is_passed_over(cluster: Any) -> None:
    cluster.topic("t")
    write(cluster, 0)
    builder = BatchBuilder()
    builder.append(bytes(4), bytes(6), (), 1)
    marker = bytearray(builder.build())
    marker[22] |= CONTROL
    marker[17:21] = crc32c(bytes(marker[21:])).to_bytes(4, "big")
    cluster.topics["t"].partitions[0].append(bytes(marker))
    write(cluster, 2)
    engine = make(cluster, "t", partition_fetch_bytes=1)  # a batch at a time
    assert poll(engine, cluster, 100) == {T0: [0]}
    assert poll(engine, cluster, 100) == {T0: [2]}
    assert position(engine, cluster) == 3


def test_a_poll_waits_no_longer_than_asked(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster, "t")
    began_ms = cluster.now.mono_ms
    assert poll(engine, cluster, 200) == {}
    assert cluster.now.mono_ms == began_ms + 200


def test_offsets_are_found_by_time(cluster: Any) -> None:
    cluster.topic("t", 3)
    write(cluster, *range(10), partition=1)
    engine = make(cluster)
    told: list[Any] = []
    wanted = {T1: 1_004, TopicPartition("t", 2): -1, T0: -2}
    engine.offsets(wanted, 1_000, lambda found, _now: told.append(found), cluster.now)
    cluster.settle()
    assert {key: part.offset for key, part in told[0].items()} == {
        T1: 4,
        TopicPartition("t", 2): 0,
        T0: 0,
    }


def test_offsets_of_no_topic_are_an_error_and_make_none(cluster: Any) -> None:
    cluster.auto_create = 1
    engine = make(cluster)
    told: list[Any] = []
    engine.offsets({T0: -1}, 300, lambda found, _now: told.append(found), cluster.now)
    cluster.advance(400)
    assert isinstance(told[0], UnknownTopicOrPartitionError)
    assert cluster.topics == {}
    engine.assign([T0], cluster.now)
    cluster.settle()
    assert set(cluster.topics) == {"t"}


def test_what_is_subscribed_to_is_known_however_long_nothing_comes(cluster: Any) -> None:
    for name in ("t", "u", "v"):
        cluster.topic(name)
    engine = make(cluster, "t", "v")
    engine.offsets({TopicPartition("u", 0): -1}, 300, lambda *_: None, cluster.now)
    engine.subscribe(["t"], cluster.now)
    cluster.advance(2 * IDLE_MAX_MS, 1_000)
    assert set(engine.view.topics) == {"t"}
    write(cluster, 7)
    assert poll(engine, cluster, 100) == {T0: [7]}


def test_headers_and_times(cluster: Any) -> None:
    cluster.topic("t")
    builder = BatchBuilder()
    builder.append(b"k", b"41", [("h", b"v"), ("n", None)], 1_234)
    builder.append(None, None, (), 1_235)
    cluster.topics["t"].partitions[0].append(builder.build())
    settings = ConsumerSettings(bootstrap=cluster.bootstrap, auto_offset_reset="earliest")
    engine = ConsumerEngine(settings)
    cluster.start(engine)
    engine.subscribe(["t"], cluster.now)
    cluster.settle()
    told: list[Any] = []
    engine.poll(10, 100, lambda given, _now: told.append(given), cluster.now)
    cluster.settle()
    first, second = told[0][T0]
    assert first == ("t", 0, 0, 1_234, b"k", b"41", (("h", b"v"), ("n", None)), 0, 1)
    assert (second.offset, second.key, second.value, second.timestamp) == (1, None, None, 1_235)
    assert told[0][T0][1] == second
    assert told[0][T0][-2:] == [first, second]


def test_a_broker_that_asks_to_wait_gets_no_fetch_until_then(cluster: Any) -> None:
    cluster.topic("t")
    cluster.throttle_time_ms = 1_000
    write(cluster, 0)
    engine = make(cluster, "t", client_id="app")
    assert poll(engine, cluster) == {T0: [0]}
    asked = cluster.count(FetchRequest)
    write(cluster, 1)
    cluster.throttle_time_ms = 0
    cluster.advance(990)
    assert cluster.count(FetchRequest) == asked, "it waits"
    assert poll(engine, cluster) == {}
    cluster.advance(20)
    assert poll(engine, cluster) == {T0: [1]}
    fetches = [body for _, body in cluster.asked if isinstance(body, FetchRequest)]
    assert {fetch.client_id for fetch in fetches} == {"app"}
    counted = engine.metrics()["consumer-fetch-manager-metrics"]
    assert counted["fetch-throttle-time-max"] == 1_000


# A near replica (KIP-392)


def asked(cluster: Any) -> list[int]:
    """Return who was asked for records since the last look, in order, each once in a row."""
    nodes = [int(node) for node, body in cluster.asked if isinstance(body, FetchRequest)]
    cluster.asked.clear()
    return [node for place, node in enumerate(nodes) if place == 0 or nodes[place - 1] != node]


def near(cluster: Any) -> tuple[ConsumerEngine, int, int]:
    """Return a reader in a rack of its own, the leader, and the replica beside the reader."""
    state = cluster.topic("t").partitions[0]
    leader, replica = int(state.leader), int(next(n for n in state.replicas if n != state.leader))
    state.near = {"here": NodeId(replica)}
    write(cluster, 0)
    return make(cluster, "t", client_rack="here"), leader, replica


def test_a_reader_is_sent_to_the_replica_in_its_rack_and_stays_there(cluster: Any) -> None:
    engine, leader, replica = near(cluster)
    assert poll(engine, cluster, 100) == {T0: [0]}
    assert asked(cluster) == [leader, replica]
    write(cluster, 1)
    assert poll(engine, cluster, 100) == {T0: [1]}
    assert asked(cluster) == [replica]


def test_the_leader_chooses_anew_after_a_while(cluster: Any) -> None:
    engine, leader, replica = near(cluster)
    poll(engine, cluster, 100)
    cluster.advance(NEAREST_MS)
    asked(cluster)
    write(cluster, 1)
    assert poll(engine, cluster, 1_000) == {T0: [1]}
    write(cluster, 2)
    assert poll(engine, cluster, 1_000) == {T0: [2]}
    assert {leader, replica} <= set(asked(cluster))


def test_a_reader_whose_near_replica_is_gone_reads_from_the_leader(cluster: Any) -> None:
    engine, leader, replica = near(cluster)
    poll(engine, cluster, 100)
    cluster.kill(replica, elect=False)
    asked(cluster)
    write(cluster, 1)
    assert poll(engine, cluster, 2_000) == {T0: [1]}
    assert leader in asked(cluster)


def test_a_reader_that_its_near_replica_refuses_reads_from_the_leader(cluster: Any) -> None:
    engine, leader, _ = near(cluster)
    poll(engine, cluster, 100)
    cluster.topics["t"].partitions[0].near = {}  # It is no follower there any more.
    asked(cluster)
    write(cluster, 1)
    assert poll(engine, cluster, 2_000) == {T0: [1]}
    assert asked(cluster)[-1] == leader
