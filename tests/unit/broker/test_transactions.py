"""Transactions through real brokers: coordinator, verification, markers, failing over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from odradek.consumer.isolation import aborted_batches
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, PartitionKey, ProducerEpoch, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import (
    KEY_TRANSACTION,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from transport.wire.messages.fetch import READ_COMMITTED
from transport.wire.messages.produce import (
    ACKS_ALL,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeTransactionRequest,
    DescribeTransactionResponse,
    EndTxnRequest,
    EndTxnResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from transport.wire.records import iterate_headers

AGAIN = frozenset(
    {
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.DISCONNECTED,
        ErrorCode.REQUEST_TIMED_OUT,
    }
)
"""Each is met while nodes come and go, and none says that something was refused."""


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2)
    fleet.settle()
    return fleet


class Transactional:
    """A producer of the test: it asks again what may be asked again."""

    def __init__(self, fleet: PartitionFleet, name: str = "txn", *, declares: bool = False) -> None:
        """``declares``: it adds each partition to the transaction before it writes there."""
        self.fleet = fleet
        self.declares = declares
        self.name = name
        self.who: tuple[Any, Any] = (-1, -1)
        self.sequences: dict[PartitionKey, int] = {}

    def coordinator(self) -> int:
        while True:
            request = FindCoordinatorRequest(KEY_TRANSACTION, (self.name,))
            found = self.fleet.ask(self.fleet.alive()[0], request)
            if isinstance(found, FindCoordinatorResponse):
                node = int(found.coordinators[0].node)
                if node in self.fleet.started():
                    return node
            self.fleet.world.run_for(50)

    def ask(self, body: Message) -> Any:
        for _ in range(200):
            answer = self.fleet.ask(self.coordinator(), body)
            if answer.error not in AGAIN:
                return answer
            self.fleet.world.run_for(50)
        raise AssertionError(f"no answer to {body}")

    def init(self, timeout_ms: int = 60_000) -> None:
        request = InitProducerIdRequest(self.name, transaction_timeout_ms=timeout_ms)
        answer = cast("InitProducerIdResponse", self.ask(request))
        assert answer.error == ErrorCode.NONE, answer
        self.took(answer)

    def took(self, answer: InitProducerIdResponse | EndTxnResponse) -> None:
        who = (answer.producer_id, answer.producer_epoch)
        if who != self.who:
            self.who = who
            self.sequences.clear()

    def declare(self, *keys: PartitionKey) -> ErrorCode:
        parts = tuple(TransactionPartition(*key) for key in keys)
        request = AddPartitionsToTxnRequest(self.name, *self.who, parts, declared=True)
        return ErrorCode(self.ask(request).error)

    def send(self, key: PartitionKey, *values: bytes) -> ErrorCode:
        if self.declares:
            assert self.declare(key) is ErrorCode.NONE
        sequence = self.sequences.get(key, 0)
        batch = make_batch(
            *values,
            producer=self.who[0],
            epoch=self.who[1],
            sequence=sequence,
            transactional=True,
        )
        part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0)
        request = ProduceRequest(ACKS_ALL, 2_000, (part,), self.name)
        for _ in range(200):
            body, _ = self.fleet.ask_whole(self.fleet.leader(key), request, payload=(batch,))
            error = body.error if isinstance(body, Refusal) else None
            if isinstance(body, ProduceResponse):
                error = body.partitions[0].error
            if error not in AGAIN:
                self.sequences[key] = sequence + len(values)
                return ErrorCode(cast("int", error))
            self.fleet.world.run_for(50)
        raise AssertionError("never written")

    def end(self, *, committed: bool) -> ErrorCode:
        answer = cast("EndTxnResponse", self.ask(EndTxnRequest(self.name, *self.who, committed)))
        if answer.error == ErrorCode.NONE:
            self.took(answer)
        return ErrorCode(answer.error)


def committed_offsets(fleet: PartitionFleet, key: PartitionKey) -> list[int]:
    """Base offsets of the batches that a reader of committed records gets, without the aborted."""
    found: list[int] = []
    offset = 0
    while True:  # a fetch reads from one segment only
        response, payload = fleet.fetch(fleet.leader(key), key, offset, isolation=READ_COMMITTED)
        if not payload:
            return found
        void = aborted_batches(payload[0], response.partitions[0].aborted)
        for _, header in iterate_headers(payload[0]):
            offset = header.next_offset
            if not header.is_control and header.base_offset not in void:
                found.append(header.base_offset)


def test_a_transaction_is_seen_as_a_whole_once_it_is_committed(fleet: PartitionFleet) -> None:
    one, two = fleet.create("one"), fleet.create("two")
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(one, b"a", b"b") is ErrorCode.NONE
    assert producer.send(two, b"c") is ErrorCode.NONE
    assert producer.send(two, b"d") is ErrorCode.NONE
    assert (committed_offsets(fleet, one), committed_offsets(fleet, two)) == ([], [])
    assert producer.end(committed=True) is ErrorCode.NONE
    assert (committed_offsets(fleet, one), committed_offsets(fleet, two)) == ([0], [0, 1])
    assert producer.who[1] == 1
    producer.send(one, b"e")
    assert producer.end(committed=False) is ErrorCode.NONE
    assert committed_offsets(fleet, one) == [0]


def test_many_partitions_of_many_leaders_end_together(fleet: PartitionFleet) -> None:
    first = fleet.create("wide", 9)
    keys = [first._replace(partition=partition) for partition in range(9)]
    producer = Transactional(fleet)
    producer.init()
    for _ in range(2):
        for key in keys:
            assert producer.send(key, b"a") is ErrorCode.NONE
        assert producer.end(committed=True) is ErrorCode.NONE
    assert [committed_offsets(fleet, key) for key in keys] == [[0, 2]] * 9


def test_a_late_write_of_an_ended_transaction_is_refused(fleet: PartitionFleet) -> None:
    """KIP-890, also in a partition that was never part of it."""
    one, two = fleet.create("one"), fleet.create("two")
    producer = Transactional(fleet)
    producer.init()
    producer.send(one, b"a")
    late = Transactional(fleet)
    late.who = producer.who
    producer.end(committed=True)
    late.sequences[one] = 1
    assert late.send(one, b"late") is ErrorCode.INVALID_PRODUCER_EPOCH
    assert late.send(two, b"late") is ErrorCode.INVALID_PRODUCER_EPOCH
    assert producer.send(two, b"b") is ErrorCode.NONE


def test_a_late_marker_does_not_tear_the_next_transaction(fleet: PartitionFleet) -> None:
    """Its connection was slow, its coordinator sent it again by another, and the producer went on."""
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init()
    producer.send(key, b"a")
    sent: list[TransactionMarker] = []
    for number in fleet.alive():
        fleet.server(number).transactions._sender._here.heed = sent.extend
    producer.end(committed=False)
    producer.send(key, b"b")
    late = fleet.ask(fleet.leader(key), WriteTxnMarkersRequest(tuple(sent[:1])))
    assert isinstance(late, WriteTxnMarkersResponse)
    assert late.outcomes == ((ErrorCode.INVALID_PRODUCER_EPOCH,),)
    producer.send(key, b"c")
    assert producer.end(committed=True) is ErrorCode.NONE
    assert committed_offsets(fleet, key) == [2, 3]


def test_a_producer_that_declares_its_partitions_goes_on_under_its_epoch(
    fleet: PartitionFleet,
) -> None:
    """As Kafka's clients do: sequences go on too."""
    one, two = fleet.create("one"), fleet.create("two")
    producer = Transactional(fleet)
    producer.init()
    who = producer.who
    for committed in (True, False, True):
        assert producer.declare(one, two) is ErrorCode.NONE
        assert producer.send(one, b"a") is ErrorCode.NONE
        assert producer.send(one, b"b") is ErrorCode.NONE
        assert producer.end(committed=committed) is ErrorCode.NONE
        assert producer.who == who
    assert producer.declare(one._replace(partition=7)) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    fleet.kill(fleet.leader(one))
    assert producer.send(one, b"late") is ErrorCode.INVALID_TXN_STATE
    assert producer.declare(two) is ErrorCode.NONE
    assert producer.send(two, b"c") is ErrorCode.NONE
    assert producer.end(committed=True) is ErrorCode.NONE
    assert (committed_offsets(fleet, one), committed_offsets(fleet, two)) == ([0, 1, 6, 7], [1])


def test_a_transaction_without_its_producer_is_aborted_in_time(fleet: PartitionFleet) -> None:
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init(timeout_ms=1_000)
    assert producer.send(key, b"a") is ErrorCode.NONE
    core = fleet.replica(fleet.leader(key), key).core
    assert core is not None
    assert core.last_stable_offset == 0
    fleet.wait(lambda: core.last_stable_offset == 2)
    assert committed_offsets(fleet, key) == []
    assert producer.end(committed=True) is ErrorCode.TRANSACTION_ABORTABLE
    assert producer.end(committed=False) is ErrorCode.NONE
    assert producer.send(key, b"b") is ErrorCode.NONE
    assert producer.end(committed=True) is ErrorCode.NONE
    assert committed_offsets(fleet, key) == [2]


def test_transactions_are_listed_by_how_long_they_are_open(fleet: PartitionFleet) -> None:
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(fleet.create(), b"a") is ErrorCode.NONE
    fleet.world.run_for(1_000)

    def listed(open_for_ms: int) -> list[str]:
        answer = fleet.ask(producer.coordinator(), ListTransactionsRequest(open_for_ms=open_for_ms))
        assert isinstance(answer, ListTransactionsResponse)
        return [one.transactional_id for one in answer.transactions]

    assert (listed(-1), listed(900), listed(60_000)) == (["txn"], ["txn"], [])
    assert producer.end(committed=True) is ErrorCode.NONE
    assert (listed(-1), listed(0)) == (["txn"], [])


class Compared(int):
    """A number that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_transactions_are_listed_by_many_producers_as_fast_as_by_few(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may name fifty thousand, and a coordinator know as many transactional ids."""
    producer = Transactional(fleet)
    producer.init()
    coordinator = fleet.server(producer.coordinator()).transactions
    answers: list[Any] = []
    context = SimpleNamespace(reply=lambda _request, answer: answers.append(answer))
    monkeypatch.setattr(coordinator, "_context", context)
    many = tuple(ProducerId(Compared(number)) for number in range(10_000, 20_000))
    body = ListTransactionsRequest(producer_ids=(*many, ProducerId(producer.who[0])))
    request: Any = SimpleNamespace(envelope=SimpleNamespace(body=body))
    coordinator.clients[ListTransactionsRequest](request, Now(0, 0))
    assert [one.transactional_id for one in answers[0].transactions] == ["txn"]
    assert Compared.times < 100


def test_when_a_producer_has_written_last_is_known_to_the_next_leader_too(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(key, b"a") is ErrorCode.NONE

    def last_ms() -> int:
        asked = DescribeProducersRequest((TransactionPartition(*key),))
        answer = fleet.ask(fleet.leader(key), asked)
        assert isinstance(answer, DescribeProducersResponse)
        [one] = answer.partitions[0].producers
        return one.last_timestamp_ms

    assert last_ms() == 1
    fleet.kill(fleet.leader(key))
    assert last_ms() == 1
    assert producer.end(committed=True) is ErrorCode.NONE
    assert last_ms() > 1, "its marker counts, too"


@pytest.mark.parametrize("declares", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_decision_outlives_its_coordinator_and_the_partitions_leader(
    seed: int, declares: bool
) -> None:
    fleet = PartitionFleet(seed=seed, min_insync_replicas=2)
    fleet.settle()
    key = fleet.create()
    producer = Transactional(fleet, declares=declares)
    producer.init()
    assert producer.send(key, b"a") is ErrorCode.NONE
    for round_ in range(3):
        answers: list[Any] = []
        fleet.post_whole(producer.coordinator(), EndTxnRequest("txn", *producer.who, True), answers)
        fleet.world.run_for(seed * round_)
        victim = producer.coordinator() if round_ % 2 else fleet.leader(key)
        fleet.kill(victim)
        assert producer.end(committed=True) is ErrorCode.NONE
        for _ in range(100):
            if len(committed_offsets(fleet, key)) > round_:
                break
            fleet.world.run_for(50)  # a new leader learns first how far all is committed
        assert len(committed_offsets(fleet, key)) == round_ + 1
        fleet.start(victim)
        fleet.wait(lambda: fleet.started() == fleet.alive() and len(fleet.isr(key)) == 3, 20_000)
        assert producer.send(key, b"b") is ErrorCode.NONE


def test_what_is_open_can_be_looked_at(fleet: PartitionFleet) -> None:
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(key, b"a") is ErrorCode.NONE
    asked = fleet.ask(producer.coordinator(), DescribeTransactionRequest("txn"))
    assert isinstance(asked, DescribeTransactionResponse)
    assert (asked.state, asked.partitions) == ("Ongoing", (TransactionPartition(*key),))
    listed = fleet.ask(producer.coordinator(), ListTransactionsRequest(("Ongoing",)))
    assert isinstance(listed, ListTransactionsResponse)
    assert [one.transactional_id for one in listed.transactions] == ["txn"]
    request = DescribeProducersRequest((TransactionPartition(*key),))
    described = fleet.ask(fleet.leader(key), request)
    assert isinstance(described, DescribeProducersResponse)
    (active,) = described.partitions[0].producers
    assert (active.producer_id, active.transaction_start_offset) == (producer.who[0], 0)
    twice = DescribeProducersRequest(request.partitions * 2)
    refused = fleet.ask(fleet.leader(key), twice)
    assert isinstance(refused, DescribeProducersResponse)
    assert (refused.error, refused.partitions) == (ErrorCode.INVALID_REQUEST, ())


def test_an_administrator_ends_what_no_coordinator_remembers(fleet: PartitionFleet) -> None:
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(key, b"a") is ErrorCode.NONE
    part = TransactionPartition(*key)
    described = fleet.ask(fleet.leader(key), DescribeProducersRequest((part,)))
    assert isinstance(described, DescribeProducersResponse)
    (active,) = described.partitions[0].producers
    fence = ProducerEpoch(active.producer_epoch + 1)
    marker = TransactionMarker(active.producer_id, fence, 0, committed=False, partitions=(part,))
    written = fleet.ask(fleet.leader(key), WriteTxnMarkersRequest((marker,)))
    assert isinstance(written, WriteTxnMarkersResponse)
    assert written.outcomes == ((ErrorCode.NONE,),)
    described = fleet.ask(fleet.leader(key), DescribeProducersRequest((part,)))
    assert isinstance(described, DescribeProducersResponse)
    (ended,) = described.partitions[0].producers
    assert ended.transaction_start_offset == -1
    assert producer.send(key, b"b") is ErrorCode.INVALID_PRODUCER_EPOCH


@pytest.mark.parametrize(
    ("producer_id", "epoch", "coordinator_epoch"),
    [(2**63, 1, 0), (-1, 1, 0), (7, 2**15, 0), (7, -1, 0), (7, 1, 2**31), (7, 1, -2)],
)
def test_a_marker_that_no_log_could_hold_is_refused(
    fleet: PartitionFleet, producer_id: int, epoch: int, coordinator_epoch: int
) -> None:
    key = fleet.create()
    where = (TransactionPartition(*key),)
    marker = TransactionMarker(
        ProducerId(producer_id), ProducerEpoch(epoch), coordinator_epoch, False, where
    )
    answer = fleet.ask(fleet.leader(key), WriteTxnMarkersRequest((marker,)))
    assert answer.error == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("declared", [True, False])
def test_a_partition_that_is_not_there_is_no_part_of_a_transaction(
    fleet: PartitionFleet, declared: bool
) -> None:
    """It would never have its marker, and the transaction never end."""
    key = fleet.create()
    producer = Transactional(fleet)
    producer.init()
    parts = (TransactionPartition(*key), TransactionPartition(key.topic_id, 1))
    request = AddPartitionsToTxnRequest("txn", *producer.who, parts, declared=declared)
    assert producer.ask(request).error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_transaction_ends_though_an_administrator_has_ended_a_part_of_it(
    fleet: PartitionFleet,
) -> None:
    """Under a later epoch than the coordinator's marker has: the partition needs that one no more."""
    one, two = fleet.create("one"), fleet.create("two")
    producer = Transactional(fleet)
    producer.init()
    assert producer.send(one, b"a") is ErrorCode.NONE
    assert producer.send(two, b"b") is ErrorCode.NONE
    where = (TransactionPartition(*one),)
    later = ProducerEpoch(producer.who[1] + 2)
    marker = TransactionMarker(producer.who[0], later, 0, committed=False, partitions=where)
    written = fleet.ask(fleet.leader(one), WriteTxnMarkersRequest((marker,)))
    assert isinstance(written, WriteTxnMarkersResponse)
    assert written.outcomes == ((ErrorCode.NONE,),)
    assert producer.end(committed=True) is ErrorCode.NONE
    assert (committed_offsets(fleet, one), committed_offsets(fleet, two)) == ([], [0])
