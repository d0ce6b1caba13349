"""The producer's program against scripted brokers: batching, order, retries, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Any

import pytest

from odradek.cluster.metadata import IDLE_MAX_MS
from odradek.errors import (
    BufferFullError,
    ClientClosedError,
    DeliveryTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)
from odradek.producer import identities
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, Offset
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataRequest
from transport.wire.messages.produce import (
    ACKS_NONE,
    InitProducerIdRequest,
    ProducedPartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.records import BatchHeader, read_header


class Ends:
    """Collects the ends of records."""

    def __init__(self) -> None:
        self.by_tag: dict[object, Outcome] = {}
        self.offsets: dict[object, int] = {}
        self.order: list[object] = []

    def of(self, tag: object) -> Any:
        def done(outcome: Outcome, first: int, positions: Sequence[int] | None) -> None:
            for index, position in enumerate(positions if positions is not None else (None,)):
                name = tag if position is None else (tag, position)
                assert name not in self.by_tag, f"{name} ended twice"
                self.by_tag[name] = outcome
                self.offsets[name] = outcome.offset(first + index)
                self.order.append(name)

        return done

    def errors(self) -> dict[object, str]:
        return {
            tag: type(outcome.error).__name__
            for tag, outcome in self.by_tag.items()
            if outcome.error is not None
        }


def make(cluster: Any, **settings: Any) -> ProducerEngine:
    engine = ProducerEngine(ProducerSettings(bootstrap=cluster.bootstrap, **settings))
    cluster.start(engine)
    return engine


def send(
    engine: ProducerEngine, cluster: Any, ends: Ends, *numbers: int, partition: int = 0
) -> None:
    for number in numbers:
        engine.send("t", partition, None, b"%d" % number, ends.of(number), cluster.now)


def values(cluster: Any, partition: int = 0) -> list[int]:
    return [int(value) for value in cluster.topics["t"].partitions[partition].values()]


def headers(cluster: Any) -> list[BatchHeader]:
    return [read_header(batch) for batch in cluster.topics["t"].partitions[0].batches]


def test_a_record_is_written_and_its_end_names_the_offset(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    send(engine, cluster, ends, 1)
    cluster.settle()
    assert values(cluster) == [0, 1]
    assert ends.offsets == {0: 0, 1: 1}
    assert ends.errors() == {}
    assert engine.buffered_bytes == 0


def send_as_runs(engine: ProducerEngine, cluster: Any, ends: Ends, *numbers: int) -> None:
    for number in numbers:
        engine.send_run("t", [None], [b"%d" % number], 5, ends.of(number), cluster.now, partition=0)


@pytest.mark.parametrize("hand_in", [send, send_as_runs])
def test_what_comes_while_a_request_is_in_flight_goes_together(
    cluster: Any, hand_in: Callable[..., None]
) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    cluster.held = {1}
    for number in range(1, 101):
        hand_in(engine, cluster, ends, number)
        cluster.settle()
    cluster.release()
    cluster.settle()
    assert values(cluster) == list(range(101))
    assert cluster.count(ProduceRequest) == 3  # the first, the held one, and all the rest


def test_linger_waits_and_flush_does_not(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, linger_ms=50), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    assert values(cluster) == []
    cluster.advance(50)
    assert values(cluster) == [0]
    send(engine, cluster, ends, 1)
    flushed: list[int] = []
    engine.flush(lambda now: flushed.append(now.mono_ms), cluster.now)
    cluster.settle()
    assert values(cluster) == [0, 1]
    assert flushed == [cluster.now.mono_ms]


def test_batches_of_several_partitions_share_a_request_per_broker(cluster: Any) -> None:
    cluster.topic("t", 6)
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 99)
    cluster.settle()
    before = cluster.count(ProduceRequest)
    for partition in range(6):
        send(engine, cluster, ends, partition, partition=partition)
    cluster.settle()
    assert cluster.count(ProduceRequest) - before == 3
    assert [values(cluster, partition)[-1] for partition in range(6)] == list(range(6))


def test_a_run_keeps_its_order_and_splits_by_key(cluster: Any) -> None:
    cluster.topic("t", 3)
    engine, ends = make(cluster, batch_size_bytes=2_000), Ends()
    pairs = [(b"key-%d" % (number % 7), b"%d" % number) for number in range(1_000)]
    sent_keys, sent_values = zip(*pairs, strict=True)
    engine.send_run(
        "t",
        sent_keys,
        sent_values,
        sum(len(k) + len(v) for k, v in pairs),
        ends.of("r"),
        cluster.now,
    )
    cluster.settle()
    written = [values(cluster, partition) for partition in range(3)]
    assert sorted(chain.from_iterable(written)) == list(range(1_000))
    for numbers in written:
        assert numbers == sorted(numbers)
        assert len({number % 7 for number in numbers}) < 7
    for (_, position), offset in ends.offsets.items():  # type: ignore[misc]
        outcome = ends.by_tag["r", position]  # type: ignore[has-type]
        assert values(cluster, outcome.partition)[offset] == position  # type: ignore[has-type]


def test_unkeyed_records_stay_with_a_partition_for_as_much_as_a_batch_holds(cluster: Any) -> None:
    cluster.topic("t", 8)
    engine, ends = make(cluster, batch_size_bytes=1_000), Ends()
    used = []
    for number in range(200):
        engine.send("t", None, None, b"%08d" % number, ends.of(number), cluster.now)
        cluster.settle()
        used.append(ends.by_tag[number].partition)
    assert cluster.count(ProduceRequest) == 200, "nothing has waited"
    changes = sum(before != after for before, after in pairwise(used))
    assert 1 <= changes <= 3, "50 records of 20 bytes each, then others"


def test_unkeyed_records_leave_a_partition_without_a_leader(cluster: Any) -> None:
    cluster.topic("t", 3)
    engine, ends = make(cluster), Ends()
    engine.send("t", None, None, b"0", ends.of(0), cluster.now)
    cluster.settle()
    left = ends.by_tag[0].partition
    cluster.elect("t", left, -1)
    cluster.settle()
    engine.send("t", None, None, b"1", ends.of(1), cluster.now)
    cluster.settle()
    assert ends.by_tag[1].error is None
    assert ends.by_tag[1].partition != left


def test_a_run_with_and_without_keys_keeps_its_order_in_each_partition(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine, ends = make(cluster), Ends()
    keys = [None if number % 3 == 0 else b"key-%d" % number for number in range(300)]
    pairs = [(key, b"%d" % number) for number, key in enumerate(keys)]
    sent_keys, sent_values = zip(*pairs, strict=True)
    engine.send_run("t", sent_keys, sent_values, 300 * 8, ends.of("r"), cluster.now)
    cluster.settle()
    written = [values(cluster, partition) for partition in range(2)]
    assert sorted(chain.from_iterable(written)) == list(range(300))
    for numbers in written:
        assert numbers == sorted(numbers)
    kinds = [{keys[number] is None for number in numbers} for numbers in written]
    assert {True, False} in kinds, "records without a key stand among others"


def test_unkeyed_records_stick_to_a_partition_per_batch(cluster: Any) -> None:
    cluster.topic("t", 3)
    engine, ends = make(cluster, batch_size_bytes=1_000), Ends()
    pairs = [(None, b"%08d" % number) for number in range(2_000)]
    sent_keys, sent_values = zip(*pairs, strict=True)
    engine.send_run("t", sent_keys, sent_values, 16_000, ends.of("r"), cluster.now)
    cluster.settle()
    written = [values(cluster, partition) for partition in range(3)]
    assert sorted(chain.from_iterable(written)) == list(range(2_000))
    assert all(written), "every partition got some"
    breaks = sum(b != a + 1 for numbers in written for a, b in pairwise(numbers))
    assert breaks < 50


def test_a_lost_answer_is_asked_for_again_and_nothing_is_written_twice(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, request_timeout_ms=500), Ends()
    cluster.lose_answers = {1}
    for number in range(5):
        send(engine, cluster, ends, number)
        cluster.turn()
        engine.flush(lambda _now: None, cluster.now)
    cluster.advance(400)
    cluster.lose_answers = set()
    cluster.advance(1_500)
    assert values(cluster) == list(range(5))
    assert ends.offsets == {number: number for number in range(5)}


def full_batches(engine: ProducerEngine, cluster: Any, ends: Ends, start: int, count: int) -> None:
    """Send ``count`` records that fill a batch each, so that all may be in flight at once."""
    for number in range(start, start + count):
        value = b"%0100d" % number
        engine.send("t", 0, None, value, ends.of(number), cluster.now)


def test_five_in_flight_keep_their_order_when_the_first_fails(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 1)
    cluster.settle()
    cluster.held = {1}
    full_batches(engine, cluster, ends, 1, 9)
    cluster.turn()
    cluster.turn()
    # The first of five is refused; the four behind it find a gap before them.
    cluster.refuse_once(ProduceRequest, ErrorCode.NOT_ENOUGH_REPLICAS)
    cluster.release()
    cluster.advance(2_000)
    assert values(cluster) == list(range(10))
    assert ends.errors() == {}
    assert cluster.count(InitProducerIdRequest) == 1, "a retriable error needs no new id"


def test_a_new_leader_is_used_when_it_is_announced(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 2)
    cluster.settle()
    cluster.held = {1}  # hung: takes requests, answers nothing
    full_batches(engine, cluster, ends, 2, 8)
    cluster.settle()
    assert values(cluster) == [0, 1]
    cluster.elect("t", 0, 2)
    cluster.settle()  # no time passes
    assert values(cluster) == list(range(10))
    assert ends.errors() == {}
    cluster.release()  # the old leader wakes up: what it was sent is fenced, its answers are late
    cluster.advance(1_000)
    assert values(cluster) == list(range(10))
    assert ends.offsets == {number: number for number in range(10)}


def test_a_killed_leader_costs_no_record(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 2)
    cluster.settle()
    cluster.lose_answers = {1}  # written and replicated, but the producer never hears of it
    full_batches(engine, cluster, ends, 2, 3)
    cluster.turn()
    cluster.turn()
    cluster.kill(1)
    full_batches(engine, cluster, ends, 5, 5)
    cluster.settle()
    assert values(cluster) == list(range(10))
    assert ends.offsets == {number: number for number in range(10)}
    assert ends.errors() == {}


def test_an_announcement_that_was_lost_shows_in_the_next_beat(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    cluster.held = {1}
    cluster.elect("t", 0, 2, lost=True)
    send(engine, cluster, ends, 1)
    cluster.settle()
    assert values(cluster) == [0]
    cluster.advance(200)
    assert values(cluster) == [0, 1]


def test_a_controller_that_has_changed_nothing_yet_is_no_reason_to_ask_on_and_on(
    cluster: Any,
) -> None:
    """Its beats name its epoch, of which the metadata know nothing before its first change."""
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.advance(500)
    before = cluster.count(MetadataRequest)
    cluster.reigns = {1: 2, 2: 2, 3: 2}
    cluster.advance(10_000)
    assert cluster.count(MetadataRequest) <= before + 1
    cluster.elect("t", 0, 2, lost=True)
    send(engine, cluster, ends, 1)
    cluster.advance(500)
    assert values(cluster) == [0, 1]


def test_delivery_time_ends_and_the_partition_goes_on_under_a_new_epoch(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, delivery_timeout_ms=1_000, request_timeout_ms=300), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    cluster.held = {1, 2, 3}
    send(engine, cluster, ends, 1)
    cluster.advance(1_000)
    assert isinstance(ends.by_tag[1].error, DeliveryTimeoutError)
    unread = cluster.unread()
    cluster.release()
    send(engine, cluster, ends, 2, 3)
    cluster.advance(3_000)
    assert values(cluster) == [0, 2, 3]
    assert engine.buffered_bytes == 0
    cluster.serve(unread)  # the epoch fences it, also where it was waiting on a broken connection
    assert values(cluster) == [0, 2, 3]
    assert cluster.count(InitProducerIdRequest) == 1


@pytest.mark.parametrize("before_the_fence", [True, False])
def test_nothing_is_written_twice_that_waits_on_a_broken_connection_behind_what_has_expired(
    cluster: Any, before_the_fence: bool
) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, delivery_timeout_ms=1_000, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 1)
    cluster.settle()
    cluster.held = {1}
    full_batches(engine, cluster, ends, 1, 1)
    cluster.settle()
    cluster.advance(700)
    full_batches(engine, cluster, ends, 2, 2)  # younger: they outlive it
    cluster.settle()
    cluster.held, unread = set(), cluster.unread()
    cluster.connect_all(1, up=False)
    cluster.advance(300)
    assert isinstance(ends.by_tag[1].error, DeliveryTimeoutError)

    def read_first(_node: int, envelope: Any) -> None:
        is_produce = isinstance(envelope.body, ProduceRequest)
        if is_produce and read_header(envelope.payload[0]).producer_epoch > 0:
            cluster.before.clear()
            cluster.serve(unread)

    if before_the_fence:
        cluster.before.append(read_first)
    cluster.connect_all(1, up=True)
    full_batches(engine, cluster, ends, 4, 1)
    cluster.advance(300)
    cluster.serve(unread)
    cluster.advance(1_000)
    assert values(cluster) == ([0, 1, 2, 3, 4] if before_the_fence else [0, 4])
    assert ends.errors() == {
        1: "DeliveryTimeoutError",
        2: "OutOfOrderSequenceNumberError",
        3: "OutOfOrderSequenceNumberError",
    }


def test_what_follows_an_expired_batch_is_not_written_twice(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, delivery_timeout_ms=1_000, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 1)
    cluster.settle()
    cluster.lose_answers = {1}
    full_batches(engine, cluster, ends, 1, 1)
    cluster.settle()
    cluster.advance(500)
    full_batches(engine, cluster, ends, 2, 2)  # younger: they outlive it
    cluster.advance(600)
    assert isinstance(ends.by_tag[1].error, DeliveryTimeoutError)
    cluster.lose_answers = set()
    cluster.elect("t", 0, 2)
    cluster.settle()
    full_batches(engine, cluster, ends, 4, 1)
    cluster.advance(1_000)
    assert values(cluster) == [0, 1, 2, 3, 4]
    assert list(ends.errors()) == [1]
    (lane,) = engine._accumulator.lanes.values()
    assert lane.lost is None, "what follows it is written, so it is known to be"


def test_a_refused_batch_leaves_a_gap_that_a_new_epoch_closes(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, batch_size_bytes=100), Ends()
    full_batches(engine, cluster, ends, 0, 1)
    cluster.settle()
    cluster.held = {1}
    full_batches(engine, cluster, ends, 1, 8)
    cluster.turn()
    cluster.turn()
    topic_id = cluster.topics["t"].id

    def refuse(_node: int, envelope: Any) -> Any:
        cluster.before.clear()
        part = ProducedPartition(topic_id, 0, ErrorCode.INVALID_RECORD)
        return ProduceResponse(0, (part,))

    cluster.before.append(refuse)
    cluster.release()
    cluster.advance(2_000)
    assert values(cluster) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert list(ends.errors()) == [1]
    assert cluster.count(InitProducerIdRequest) == 1


def test_a_partition_whose_epochs_are_used_up_goes_on_under_a_new_id(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "PRODUCER_EPOCH_MAX", 1)
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    for number in range(4):
        send(engine, cluster, ends, number)
        cluster.settle()
        if number < 3:
            cluster.topics["t"].partitions[0].seen.clear()  # as after an unclean election
    cluster.advance(2_000)
    assert values(cluster) == [0, 1, 2, 3]
    writers = [(one.producer_id, one.producer_epoch) for one in headers(cluster)]
    assert writers == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_a_fatal_error_ends_the_producer(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    cluster.refuse_once(ProduceRequest, ErrorCode.INVALID_PRODUCER_EPOCH)
    send(engine, cluster, ends, 0)
    cluster.settle()
    send(engine, cluster, ends, 1)
    assert set(ends.errors().values()) == {"InvalidProducerEpochError"}
    assert len(ends.errors()) == 2


def test_memory_is_bounded(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, buffer_memory_bytes=10_000), Ends()
    cluster.held = {1}
    sent = 0
    while engine.has_room():
        engine.send("t", 0, None, bytes(500), ends.of(sent), cluster.now)
        cluster.turn()
        sent += 1
    assert engine.buffered_bytes < 11_000
    engine.send("t", 0, None, b"x", ends.of("refused"), cluster.now)
    assert isinstance(ends.by_tag["refused"].error, BufferFullError)
    cluster.release()
    cluster.settle()
    assert engine.has_room()
    assert len(ends.by_tag) == sent + 1


def test_room_is_asked_for_when_there_is_some(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster)
    asked: list[int] = []

    def on_room(_now: Any) -> bool:
        asked.append(1)
        return len(asked) < 3

    engine.on_room = on_room
    cluster.settle()
    assert len(asked) == 3


def test_records_wait_for_their_topic_and_keep_their_order(cluster: Any) -> None:
    cluster.auto_create = 1
    cluster.held = {1, 2, 3}
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0, 1)
    flushed: list[object] = []
    engine.flush(flushed.append, cluster.now)
    cluster.settle()
    assert not flushed
    cluster.release()
    cluster.advance(2_000)
    assert values(cluster) == [0, 1]
    assert len(flushed) == 1


def test_a_topic_that_never_comes_is_an_error_after_max_block(cluster: Any) -> None:
    engine, ends = make(cluster, max_block_ms=500), Ends()
    send(engine, cluster, ends, 0)
    flushed: list[object] = []
    engine.flush(flushed.append, cluster.now)
    cluster.advance(490)
    assert not ends.by_tag
    cluster.advance(20)
    assert isinstance(ends.by_tag[0].error, UnknownTopicOrPartitionError)
    assert len(flushed) == 1
    assert engine.buffered_bytes == 0


def test_a_partition_that_is_not_there_is_refused_at_once(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    send(engine, cluster, ends, 1, partition=2)
    assert "partitions 0 to 1" in str(ends.by_tag[1].error)


def test_a_record_above_the_limit_is_refused_alone(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, request_bytes_max=10_000, batch_size_bytes=1_000), Ends()
    send(engine, cluster, ends, 0)
    engine.send("t", 0, None, bytes(20_000), ends.of("large"), cluster.now)
    send(engine, cluster, ends, 1)
    cluster.settle()
    assert isinstance(ends.by_tag["large"].error, MessageSizeTooLargeError)
    assert values(cluster) == [0, 1]


def test_a_topic_made_again_begins_with_new_sequences(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    cluster.settle()
    cluster.drop("t")
    cluster.settle()
    cluster.topic("t")
    send(engine, cluster, ends, 1)
    cluster.advance(2_000)
    assert values(cluster) == [1]
    assert ends.errors() == {}


def test_a_topic_that_is_written_to_no_more_is_forgotten_until_it_is(cluster: Any) -> None:
    cluster.topic("t")
    cluster.topic("u")
    engine, ends = make(cluster), Ends()
    send(engine, cluster, ends, 0)
    for number in range(4):
        engine.send("u", 0, None, b"", ends.of(("u", number)), cluster.now)
        cluster.advance(IDLE_MAX_MS // 2, 1_000)
    assert set(engine.view.topics) == {"u"}
    send(engine, cluster, ends, 1)
    cluster.advance(100)
    assert values(cluster) == [0, 1]
    assert ends.errors() == {}
    assert cluster.count(InitProducerIdRequest) == 1


def test_acks_0_is_told_and_not_asked(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, acks=ACKS_NONE, idempotent=False), Ends()
    send(engine, cluster, ends, 0, 1)
    cluster.settle()
    assert values(cluster) == [0, 1]
    assert ends.offsets == {0: -1, 1: -1}


def test_a_broker_that_asks_to_wait_gets_no_request_until_then(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, client_id="app", delivery_timeout_ms=1_500), Ends()
    cluster.throttle_time_ms = 1_000
    send(engine, cluster, ends, 0)
    cluster.settle()
    assert values(cluster) == [0]
    assert cluster.asked[-1][1].client_id == "app"
    assert engine.metrics()["producer-metrics"]["produce-throttle-time-max"] == 1_000
    send(engine, cluster, ends, 1)
    cluster.advance(990)
    assert values(cluster) == [0], "it waits"
    cluster.throttle_time_ms = 5_000
    cluster.advance(20)
    assert values(cluster) == [0, 1]
    send(engine, cluster, ends, 2)
    cluster.advance(2_000)
    assert values(cluster) == [0, 1]
    assert "quota" in str(ends.by_tag[2].error), "what is too old says why"


def test_stop_fails_what_is_left(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster), Ends()
    cluster.held = {1, 2, 3}
    send(engine, cluster, ends, 0)
    engine.send("unknown", 0, None, b"", ends.of("parked"), cluster.now)
    cluster.turn()
    engine.stop(cluster.now)
    assert isinstance(ends.by_tag[0].error, ClientClosedError)
    assert isinstance(ends.by_tag["parked"].error, ClientClosedError)
    assert cluster.status == 0


def test_idempotence_needs_its_settings() -> None:
    with pytest.raises(ValueError, match="acks='all'"):
        ProducerSettings(bootstrap=(), acks=1)
    with pytest.raises(ValueError, match="1 to 5"):
        ProducerSettings(bootstrap=(), in_flight_max=6)


def refuse_above(cluster: Any, size_bytes: int) -> None:
    """Have the brokers take no batch larger than this."""

    def judge(node: NodeId, envelope: Envelope) -> Message | None:
        body = envelope.body
        if not isinstance(body, ProduceRequest):
            return None
        if all(len(envelope.payload[part.frame]) <= size_bytes for part in body.partitions):
            return None
        told = []
        for part in body.partitions:
            state = cluster.find(part.topic_id, part.partition)
            error, base = ErrorCode.MESSAGE_TOO_LARGE, -1
            if len(envelope.payload[part.frame]) <= size_bytes:
                error, base = state.append(envelope.payload[part.frame])
            told.append(ProducedPartition(part.topic_id, part.partition, error, Offset(base)))
        return ProduceResponse(0, tuple(told))

    cluster.before.append(judge)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_batch_that_is_too_large_is_split(cluster: Any, idempotent: bool) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, linger_ms=10, idempotent=idempotent), Ends()
    refuse_above(cluster, 200)
    pairs = [(None, b"%d" % number) for number in range(60)]
    send(engine, cluster, ends, 1_000, 1_001)
    sent_keys, sent_values = zip(*pairs, strict=True)
    engine.send_run("t", sent_keys, sent_values, 120, ends.of("run"), cluster.now)
    send(engine, cluster, ends, 1_002)
    cluster.advance(10)
    send(engine, cluster, ends, 1_003)
    cluster.advance(500)
    written = values(cluster)
    expected = [1_000, 1_001, *range(60), 1_002, 1_003]
    assert sorted(written) == sorted(expected)
    assert ends.errors() == {}
    for tag, offset in ends.offsets.items():
        assert written[offset] == (tag[1] if isinstance(tag, tuple) else tag)
    if idempotent:
        assert written == expected
    assert engine.buffered_bytes == 0


def test_one_record_that_is_too_large_fails_alone(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, linger_ms=10), Ends()
    refuse_above(cluster, 200)
    send(engine, cluster, ends, 1, 2)
    engine.send("t", 0, None, b"x" * 300, ends.of("large"), cluster.now)
    send(engine, cluster, ends, 3, 4)
    flushed: list[int] = []
    engine.flush(lambda now: flushed.append(now.mono_ms), cluster.now)
    cluster.advance(2_000)
    assert values(cluster) == [1, 2, 3, 4]
    assert ends.errors() == {"large": "MessageSizeTooLargeError"}
    assert len(flushed) == 1


def test_what_was_written_before_it_was_refused_is_not_written_again(cluster: Any) -> None:
    cluster.topic("t")
    engine, ends = make(cluster, linger_ms=10), Ends()
    cluster.lose_answers = {1}
    send(engine, cluster, ends, *range(40))
    cluster.advance(20)
    assert values(cluster) == list(range(40))
    cluster.lose_answers = set()
    refuse_above(cluster, 200)
    cluster.advance(15_000, step_ms=50)
    assert values(cluster) == list(range(40))
    assert ends.errors() == {}
