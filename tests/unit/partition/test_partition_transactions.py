"""Transactions in one log: the last stable offset, what was aborted, fences, cuts, a random model."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from nodes.core.partition.core import PartitionCore
from nodes.core.partition.events import (
    Appended,
    Assigned,
    Batch,
    DeleteRecords,
    LogFacts,
    PartitionEffects,
    PartitionSettings,
    Produce,
    ReplicaFetched,
)
from nodes.core.partition.log_state import LogState
from nodes.core.partition.producer_snapshot import decode_producers, encode_producers
from nodes.core.partition.producer_state import Producers
from nodes.core.partition.transactions import Transactions
from transport.kernel import Now
from transport.wire.control import Marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages.fetch import READ_COMMITTED, AbortedTransaction
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.produce import ACKS_ALL

NOW = Now(1_000, 0)


def make_batch(
    sequence: int = 0,
    *,
    producer: int = 7,
    epoch: int = 0,
    base: int = 0,
    length: int = 10,
    transactional: bool = True,
) -> Batch:
    return Batch(
        Offset(base),
        Offset(base + length - 1),
        LeaderEpoch(1),
        ProducerId(producer),
        ProducerEpoch(epoch),
        sequence,
        transactional,
    )


def make_marker(
    *,
    producer: int = 7,
    epoch: int = 1,
    base: int = 0,
    committed: bool = True,
    coordinator: int = 3,
) -> Batch:
    plain = make_batch(-1, producer=producer, epoch=epoch, base=base, length=1)
    return replace(plain, marker=Marker(committed, coordinator))


class Led:
    """A leader with one follower, which writes what it orders at once."""

    def __init__(self) -> None:
        self.core = PartitionCore(NodeId(1), LogFacts(), Producers())
        both = (NodeId(1), NodeId(2))
        record = PartitionRecord(
            TopicId(b"t" * 16), 0, both, both, NodeId(1), LeaderEpoch(1), PartitionEpoch(1)
        )
        self.core.step(Assigned(record, PartitionSettings(2)), NOW)
        self.answers: dict[object, tuple[ErrorCode, int]] = {}

    def produce(
        self, batch: Batch, *, verified: bool = False, keeps_epoch: bool = False
    ) -> ErrorCode | None:
        """Return how it was answered at once; None: it waits for the follower."""
        token = object()
        event = Produce(token, batch, ACKS_ALL, LeaderEpoch(-1), 9_999, verified, keeps_epoch)
        effects = self.core.step(event, NOW)
        self._note(effects)
        if effects.append:
            self._note(self.core.step(Appended(), NOW))
        self.core.check()
        answer = self.answers.get(token)
        return None if answer is None else answer[0]

    def replicate(self, offset: int = -1) -> None:
        end = self.core.log_end_offset if offset < 0 else Offset(offset)
        event = ReplicaFetched(NodeId(2), BrokerEpoch(1), end, end, True)
        self._note(self.core.step(event, NOW))
        self.core.check()

    def readable(self) -> tuple[int, int]:
        """(last stable offset, high watermark) as readers are held to them."""
        committed = self.core.read_as_consumer(LeaderEpoch(-1), Offset(0), READ_COMMITTED)
        every = self.core.read_as_consumer(LeaderEpoch(-1), Offset(0))
        return committed.up_to, every.up_to

    def _note(self, effects: object) -> None:
        for produced in effects.produced:  # type: ignore[attr-defined]
            self.answers[produced.token] = (produced.error, produced.base_offset)


def test_readers_of_committed_records_stop_where_a_transaction_is_open() -> None:
    led = Led()
    assert led.produce(make_batch(-1, producer=-1, epoch=-1, transactional=False)) is None
    led.produce(make_batch(0), verified=True)
    led.replicate()
    assert led.readable() == (10, 20)
    led.produce(make_marker())
    assert led.readable() == (10, 20)
    led.replicate(20)
    assert led.readable() == (10, 20)
    led.replicate()
    assert led.readable() == (21, 21)


def test_a_log_that_begins_within_an_open_transaction_is_stable_up_to_there() -> None:
    led = Led()
    led.produce(make_batch(0), verified=True)
    led.produce(make_batch(-1, producer=-1, epoch=-1, transactional=False))
    led.replicate()
    led.core.step(DeleteRecords(object(), Offset(15), 9_999), NOW)
    led.core.check()
    assert (led.core.last_stable_offset, led.core.high_watermark) == (15, 20)
    led.produce(make_marker())
    led.replicate()
    assert (led.core.last_stable_offset, led.core.high_watermark) == (21, 21)


def test_the_end_of_a_transaction_counts_once_it_is_committed() -> None:
    """A marker that could yet be lost with its leader must not make its records readable."""
    led = Led()
    led.produce(make_batch(0), verified=True)
    led.produce(make_marker(committed=False))
    led.produce(make_batch(0, producer=8), verified=True)
    led.replicate(10)
    assert led.readable() == (0, 10)
    led.replicate(11)
    assert led.readable() == (11, 11)
    led.replicate()
    assert led.readable() == (11, 21)


def test_a_transaction_begins_by_its_coordinators_leave_alone() -> None:
    led = Led()
    assert led.core.must_verify(ProducerId(7), ProducerEpoch(0))
    assert led.produce(make_batch(0)) is ErrorCode.INVALID_TXN_STATE
    assert led.produce(make_batch(0), verified=True) is None
    assert not led.core.must_verify(ProducerId(7), ProducerEpoch(0))
    assert led.produce(make_batch(10)) is None
    assert led.produce(make_batch(20, transactional=False)) is ErrorCode.INVALID_TXN_STATE
    assert led.produce(make_batch(0, epoch=1), verified=True) is ErrorCode.INVALID_TXN_STATE


@pytest.mark.parametrize("committed", [True, False])
def test_nothing_late_joins_the_next_transaction(committed: bool) -> None:
    """KIP-890: the marker bears the next epoch, and fences also where nothing was written."""
    led = Led()
    led.produce(make_batch(0), verified=True)
    led.produce(make_marker(committed=committed))
    assert led.produce(make_batch(10), verified=True) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert not led.core.must_verify(ProducerId(7), ProducerEpoch(0))
    led.produce(make_marker(producer=9))
    late = make_batch(0, producer=9)
    assert led.produce(late, verified=True) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert led.produce(make_batch(5, epoch=1), verified=True) is (
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    )
    assert led.produce(make_batch(0, epoch=1), verified=True) is None


def test_a_repeated_marker_is_recognised_and_waits_as_the_first_one_does() -> None:
    led = Led()
    led.produce(make_batch(0), verified=True)
    assert led.produce(make_marker()) is None
    assert led.produce(make_marker()) is None
    assert led.core.log_end_offset == 11
    led.replicate()
    assert sorted(led.answers.values()) == [(0, 0), (0, 10), (0, 10)]


def test_a_marker_that_is_repeated_late_does_not_end_the_next_transaction() -> None:
    """It bears the epoch of that one: a coordinator that has not heard of its answer sends it again."""
    led = Led()
    led.produce(make_batch(0), verified=True)
    led.produce(make_marker())
    led.produce(make_batch(0, epoch=1), verified=True)
    assert led.produce(make_marker()) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert led.core.producers.transactions.is_open(ProducerId(7))
    assert led.produce(make_marker(epoch=2)) is None


def test_a_coordinator_that_was_succeeded_ends_no_transaction_that_keeps_its_epoch() -> None:
    """Nothing but the coordinator's own epoch tells its repeated marker from that of the next one."""
    led = Led()
    for sequence in (0, 10):
        led.produce(make_batch(sequence), verified=True)
        assert led.produce(make_marker(epoch=0, coordinator=3), keeps_epoch=True) is None
    assert led.produce(make_marker(epoch=0, coordinator=3), keeps_epoch=True) is None
    assert led.core.log_end_offset == 22
    assert led.produce(make_marker(epoch=0, coordinator=4), keeps_epoch=True) is None
    led.produce(make_batch(20), verified=True)
    fenced = ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert led.produce(make_marker(epoch=0, coordinator=3), keeps_epoch=True) is fenced
    assert led.core.producers.transactions.is_open(ProducerId(7))


def test_markers_of_the_past_are_refused() -> None:
    led = Led()
    led.produce(make_marker(epoch=4, coordinator=3))
    assert led.produce(make_marker(epoch=3)) is ErrorCode.INVALID_PRODUCER_EPOCH
    fenced = ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert led.produce(make_marker(epoch=5, coordinator=2)) is fenced
    led.produce(make_batch(0, epoch=4), verified=True)
    assert led.produce(make_marker(epoch=5, coordinator=2)) is fenced
    assert led.produce(make_marker(epoch=5, coordinator=4)) is None


def test_aborted_transactions_are_found_by_what_is_read() -> None:
    transactions = Transactions()
    transactions.begin(ProducerId(1), Offset(0))
    transactions.begin(ProducerId(2), Offset(10))
    transactions.begin(ProducerId(3), Offset(20))
    transactions.end(ProducerId(2), Offset(30), committed=False)
    transactions.end(ProducerId(3), Offset(31), committed=True)
    transactions.end(ProducerId(1), Offset(40), committed=False)
    transactions.begin(ProducerId(4), Offset(50))
    transactions.end(ProducerId(4), Offset(60), committed=False)

    def within(start: int, end: int) -> list[tuple[int, int]]:
        found = transactions.aborted_within(Offset(start), Offset(end))
        return [(one.producer_id, one.first_offset) for one in found]

    assert within(0, 61) == [(2, 10), (1, 0), (4, 50)]
    assert within(0, 10) == [(1, 0)]
    assert within(31, 50) == [(1, 0)]
    assert within(41, 50) == []
    assert within(55, 56) == [(4, 50)]
    assert within(61, 99) == []
    assert transactions.aborted_after(Offset(60))
    assert not transactions.aborted_after(Offset(61))


def test_a_cut_that_takes_a_marker_opens_its_transaction_again() -> None:
    producers = Producers()
    log = [make_batch(0), make_marker(base=10, committed=False)]
    for batch in log:
        producers.record(batch)
    assert producers.truncate(Offset(10))
    producers.check(Offset(10))
    producers.rebuild(log[:1])
    assert producers.transactions.first_unstable() == 0
    assert producers.transactions.aborted_count == 0
    assert not producers.must_verify(ProducerId(7), ProducerEpoch(0))


def test_a_cut_that_takes_the_beginning_takes_the_transaction() -> None:
    producers = Producers()
    producers.record(make_batch(0))
    assert not producers.truncate(Offset(0))
    assert producers.transactions.first_unstable() is None


# A model: the whole log is looked at, offset by offset


class Told(NamedTuple):
    stable: int
    aborted: frozenset[int]
    """Offsets below it that a reader of committed records must not see."""


def look(log: list[Batch], high_watermark: int) -> Told:
    stable = high_watermark
    aborted: set[int] = set()
    for place, batch in enumerate(log):
        if batch.marker is not None or not batch.transactional:
            continue
        ends = (
            later
            for later in log[place:]
            if later.marker is not None and later.producer_id == batch.producer_id
        )
        end = next(ends, None)
        if end is None or end.base_offset >= high_watermark:
            stable = min(stable, batch.base_offset)
        elif end.marker is not None and not end.marker.committed:
            aborted.update(range(batch.base_offset, batch.last_offset + 1))
    return Told(stable, frozenset(offset for offset in aborted if offset < stable))


def aborted_by_index(producers: Producers, log: list[Batch], stable: int) -> frozenset[int]:
    found: set[int] = set()
    for one in producers.transactions.aborted_within(Offset(0), Offset(stable)):
        for batch in log:
            if batch.producer_id != one.producer_id or batch.base_offset < one.first_offset:
                continue
            if batch.marker is not None:
                break
            found.update(range(batch.base_offset, batch.last_offset + 1))
    return frozenset(offset for offset in found if offset < stable)


@pytest.mark.parametrize("seed", range(30))
def test_any_log_says_the_same_as_the_model(seed: int) -> None:
    random = Random(seed)
    producers = Producers()
    log: list[Batch] = []
    epochs, sequences = [0, 0, 0, 0], [0, 0, 0, 0]
    high_watermark = 0
    noted = 0, encode_producers(producers)
    for _ in range(120):
        end = log[-1].last_offset + 1 if log else 0
        who = random.randrange(4)
        if random.random() < 0.3:
            epochs[who], sequences[who] = epochs[who] + 1, 0
            committed = random.random() < 0.5
            batch = make_marker(producer=who, epoch=epochs[who], base=end, committed=committed)
        else:
            length = random.randrange(1, 4)
            batch = make_batch(
                sequences[who], producer=who, epoch=epochs[who], base=end, length=length
            )
            sequences[who] += length
        log.append(batch)
        producers.record(batch)
        if random.random() < 0.1:
            again = Producers()
            again.rebuild(log)
            producers = again
        if random.random() < 0.1:
            noted = len(log), encode_producers(producers)
        if random.random() < 0.1:
            known = decode_producers(noted[1])
            assert known is not None
            again = Producers()
            again.rebuild(log[noted[0] :], known)
            producers = again
        if random.random() < 0.4:
            bounds = [end for end in (one.last_offset + 1 for one in log) if end >= high_watermark]
            high_watermark = random.choice(bounds)
        producers.transactions.commit(Offset(high_watermark))
        producers.check(Offset(log[-1].last_offset + 1))
        told = look(log, high_watermark)
        unstable = producers.transactions.first_unstable()
        stable = high_watermark if unstable is None else min(unstable, high_watermark)
        assert stable == told.stable
        assert aborted_by_index(producers, log, stable) == told.aborted


def test_what_was_aborted_before_the_log_begins_is_forgotten() -> None:
    log = [
        make_batch(0, producer=1, epoch=0, base=0, length=5),
        make_marker(producer=1, epoch=1, base=5, committed=False),
        make_batch(0, producer=2, epoch=0, base=6, length=4),
        make_marker(producer=2, epoch=1, base=10, committed=False),
    ]
    producers = Producers()
    producers.rebuild(log)
    producers.transactions.begin_at(Offset(5))
    assert producers.transactions.aborted_count == 2, "its marker can still be read"
    producers.transactions.begin_at(Offset(6))
    assert producers.transactions.aborted_count == 1
    assert producers.transactions.aborted_within(Offset(6), Offset(10)) == [
        AbortedTransaction(ProducerId(2), Offset(6))
    ]
    producers.transactions.begin_at(Offset(11))
    assert producers.transactions.aborted_count == 0


def test_a_core_forgets_with_its_log() -> None:
    """By retention as by request, and when a log is opened that begins later than was noted."""
    producers = Producers()
    batches = [
        make_batch(0, producer=1, epoch=0, base=0, length=5),
        make_marker(producer=1, epoch=1, base=5, committed=False),
    ]
    producers.rebuild(batches)
    log = LogState(LogFacts(log_end_offset=Offset(6), high_watermark=Offset(6)), producers)
    assert log.producers.transactions.aborted_count == 1
    log.begin_at(Offset(6), PartitionEffects())
    assert log.producers.transactions.aborted_count == 0
    producers.rebuild(batches)
    LogState(LogFacts(Offset(6), Offset(6), Offset(6)), producers)
    assert producers.transactions.aborted_count == 0


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x93\x01\xc2\x90", encode_producers(Producers())[:-1]]
)
def test_a_snapshot_that_is_none_is_passed_over(data: bytes) -> None:
    assert decode_producers(data) is None
