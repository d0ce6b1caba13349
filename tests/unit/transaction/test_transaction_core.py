"""The transaction coordinator by plain values: states, fences, repeated and late requests, time."""

from __future__ import annotations

import pytest

from nodes.core.shard import Asked, ShardEffects, ShardRecord, Told
from nodes.core.transaction import requests
from nodes.core.transaction.core import TransactionCore, TransactionSettings
from nodes.core.transaction.deadlines import SPARE, Deadlines
from nodes.core.transaction.events import (
    FreshIds,
    FreshIdsWanted,
    InitTransactions,
    MarkersWritten,
    WriteMarkers,
)
from nodes.core.transaction.records import State, TransactionValue
from transport.kernel import TICK, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.produce import InitProducerIdResponse
from transport.wire.messages.transactions import (
    NO_EPOCH,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    DescribeTransactionRequest,
    DescribeTransactionResponse,
    EndTxnRequest,
    EndTxnResponse,
    TransactionPartition,
)

TOPIC = TopicId(b"t" * 16)
Who = tuple[int, int]


class Driven:
    """A core whose records are kept, as its host does, and whose orders are noted."""

    def __init__(self, settings: TransactionSettings | None = None) -> None:
        self.settings = settings or TransactionSettings()
        self.log: dict[bytes, ShardRecord] = {}
        self.now = Now(1_000, 1_000_000)
        self.answers: dict[object, Message] = {}
        self.orders: list[WriteMarkers] = []
        self.wanted = 0
        self.ids = 100
        self.core = TransactionCore(self.settings)
        self.core.loaded(self.now)

    def restart(self) -> None:
        """Another broker leads the shard: made from what compaction has left."""
        self.core = TransactionCore(self.settings)
        for record in self.log.values():
            self.core.apply(record)
        self.core.loaded(self.now)
        self.core.check()

    def step(self, event: object) -> ShardEffects:
        effects = self.core.step(event, self.now)  # type: ignore[arg-type]
        for record in effects.append:
            self.log[record.key] = record
        for answer in effects.reply:
            self.answers[answer.token] = answer.message
        self.orders += [order for order in effects.orders if isinstance(order, WriteMarkers)]
        self.wanted += sum(isinstance(order, FreshIdsWanted) for order in effects.orders)
        self.core.check()
        return effects

    def ask(self, body: Message) -> Message | None:
        token = object()
        self.step(Asked(token, body))
        return self.answers.get(token)

    def init(self, name: str = "a", who: Who | None = None, timeout_ms: int = 60_000) -> Who | str:
        self.ids += 1
        known = (ProducerId(-1), NO_EPOCH) if who is None else _who(who)
        answer = self.ask(InitTransactions(name, *known, timeout_ms, ProducerId(self.ids)))
        assert isinstance(answer, InitProducerIdResponse | Refusal)
        if isinstance(answer, Refusal) or answer.error:
            return ErrorCode(answer.error).name
        return answer.producer_id, answer.producer_epoch

    def begun(self, name: str = "a") -> Who:
        who = self.init(name)
        assert not isinstance(who, str)
        return who

    def add(self, who: Who, *partitions: int, name: str = "a") -> str:
        parts = tuple(TransactionPartition(TOPIC, partition) for partition in partitions or (0,))
        answer = self.ask(AddPartitionsToTxnRequest(name, *_who(who), parts))
        assert isinstance(answer, AddPartitionsToTxnResponse)
        return ErrorCode(answer.error).name

    def end(self, who: Who, *, committed: bool = True, name: str = "a") -> Who | str | None:
        """Return the next id and epoch, an error, or None: the answer waits."""
        return _ended(self.ask(EndTxnRequest(name, *_who(who), committed)))

    def written(self, order: WriteMarkers | None = None) -> None:
        """Tell that all markers of an order, by default the newest, are written."""
        order = order or self.orders[-1]
        fact = MarkersWritten(
            order.transactional_id, order.producer_id, order.producer_epoch, order.partitions
        )
        self.step(Told(fact))

    def state(self, name: str = "a") -> State:
        return self.core.values()[name].state

    def wait(self, duration_ms: int) -> None:
        self.now = Now(self.now.mono_ms + duration_ms, self.now.wall_ms + duration_ms)
        due_ms = self.core.next_deadline_ms()
        while due_ms is not None and due_ms <= self.now.mono_ms:
            self.step(TICK)
            due_ms = self.core.next_deadline_ms()


def _who(who: Who) -> tuple[ProducerId, ProducerEpoch]:
    return ProducerId(who[0]), ProducerEpoch(who[1])


def _ended(answer: Message | None) -> Who | str | None:
    if answer is None:
        return None
    assert isinstance(answer, EndTxnResponse | Refusal)
    if isinstance(answer, Refusal) or answer.error:
        return ErrorCode(answer.error).name
    return answer.producer_id, answer.producer_epoch


@pytest.mark.parametrize("committed", [True, False])
def test_the_end_is_answered_once_every_marker_is_written(committed: bool) -> None:
    driven = Driven()
    who = driven.begun()
    assert who == (101, 0)
    assert driven.add(who, 0, 1) == "NONE"
    assert driven.add(who, 2) == "NONE"
    token = object()
    driven.step(Asked(token, EndTxnRequest("a", *_who(who), committed)))
    (order,) = driven.orders
    assert (order.producer_id, order.producer_epoch, order.committed) == (101, 1, committed)
    assert [part.partition for part in order.partitions] == [0, 1, 2]
    driven.written(order._replace(partitions=order.partitions[:2]))
    assert token not in driven.answers
    driven.written()
    assert _ended(driven.answers[token]) == (101, 1)
    assert driven.state() is (State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT)
    assert driven.add((101, 1), 5) == "NONE"


def test_a_repeated_end_is_recognised_at_every_stage() -> None:
    driven = Driven()
    who = driven.begun()
    driven.add(who)
    assert driven.end(who) is None
    assert driven.end(who) is None
    first = next(iter(driven.answers.values()))
    assert first is not None
    assert "CONCURRENT_TRANSACTIONS" in {
        ErrorCode(getattr(one, "error", 0)).name for one in driven.answers.values()
    }
    driven.written()
    assert driven.end(who) == (101, 1)
    assert driven.end(who, committed=False) == "INVALID_TXN_STATE"
    assert len(driven.orders) == 1


def test_nothing_late_touches_the_next_transaction() -> None:
    """What KAFKA-17754 is about: requests of the transaction before, arriving during this one."""
    driven = Driven()
    who = driven.begun()
    driven.add(who)
    driven.end(who)
    driven.written()
    following = (101, 1)
    assert driven.add(who, 7) == "INVALID_PRODUCER_EPOCH"
    driven.add(following, 1)
    assert driven.end(who) == "INVALID_PRODUCER_EPOCH"
    assert driven.end(who, committed=False) == "INVALID_PRODUCER_EPOCH"
    assert driven.add(who, 7) == "INVALID_PRODUCER_EPOCH"
    assert driven.state() is State.ONGOING


def test_a_newer_producer_fences_the_older_and_aborts_what_it_has_open() -> None:
    driven = Driven()
    old = driven.begun()
    driven.add(old)
    assert driven.init() == "CONCURRENT_TRANSACTIONS"
    assert driven.orders[-1].committed is False
    assert driven.end(old) == "PRODUCER_FENCED"
    assert driven.add(old) == "PRODUCER_FENCED"
    driven.written()
    assert driven.end(old, committed=False) == "PRODUCER_FENCED"
    assert driven.init() == (101, 2)
    for epoch in (0, 1):
        assert driven.end((101, epoch), committed=False) == "PRODUCER_FENCED"


def test_a_producer_goes_on_after_an_error_under_its_own_id() -> None:
    driven = Driven()
    who = driven.begun()
    driven.add(who)
    assert driven.init(who=who) == "CONCURRENT_TRANSACTIONS"
    driven.written()
    assert driven.init(who=who) == (101, 2)
    assert driven.init("unknown", who=who) == "INVALID_PRODUCER_ID_MAPPING"


@pytest.mark.parametrize("restarts", [False, True])
def test_who_asks_to_go_on_again_is_answered_as_before(restarts: bool) -> None:
    """The answer was lost; a repetition that comes late fences nobody (KIP-360)."""
    driven = Driven()
    who = driven.begun()
    going_on = driven.init(who=who)
    assert going_on == (101, 1)
    if restarts:
        driven.restart()
    assert driven.init(who=who) == going_on
    assert driven.init(who=going_on) == (101, 2)
    assert driven.init(who=who) == "PRODUCER_FENCED"
    newer = driven.begun()
    assert driven.init(who=going_on) == "PRODUCER_FENCED"
    assert driven.add(newer) == "NONE"


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("aborts", [False, True])
def test_who_asked_to_go_on_long_ago_ends_no_later_transaction(
    restarts: bool, aborts: bool
) -> None:
    driven = Driven()
    who = driven.begun()
    if aborts:
        driven.add(who)
        assert driven.init(who=who) == "CONCURRENT_TRANSACTIONS"
        driven.written()
    going_on = driven.init(who=who)
    assert not isinstance(going_on, str)
    assert driven.add(going_on) == "NONE"
    if restarts:
        driven.restart()
    assert driven.init(who=who) == "PRODUCER_FENCED"
    assert driven.state() is State.ONGOING
    assert driven.end(going_on) is None


def test_the_time_of_a_transaction_ends_it() -> None:
    driven = Driven()
    who = driven.init(timeout_ms=5_000)
    assert not isinstance(who, str | None)
    driven.wait(30_000)
    driven.add(who)
    driven.wait(4_999)
    assert driven.state() is State.ONGOING
    driven.add(who, 1)
    driven.wait(1)
    assert driven.state() is State.PREPARE_ABORT
    assert driven.add(who, 2) == "TRANSACTION_ABORTABLE"
    assert driven.end(who) == "TRANSACTION_ABORTABLE"
    driven.written()
    assert driven.end(who) == "TRANSACTION_ABORTABLE"
    assert driven.end(who, committed=False) == (101, 1)


def test_a_new_coordinator_grants_the_whole_time_and_carries_out_what_was_decided() -> None:
    driven = Driven()
    ongoing, decided = driven.begun("a"), driven.begun("b")
    driven.add(ongoing, name="a")
    driven.add(decided, 3, 4, name="b")
    driven.end(decided, name="b")
    driven.wait(50_000)
    before = list(driven.orders)
    driven.restart()
    driven.wait(0)
    assert driven.orders[1:] == before
    driven.wait(50_000)
    assert driven.state("a") is State.ONGOING
    driven.wait(10_000)
    assert driven.state("a") is State.PREPARE_ABORT
    driven.written(before[0])
    assert driven.state("b") is State.COMPLETE_COMMIT
    assert driven.end(decided, name="b") == (decided[0], 1)


def test_a_gap_of_the_loop_is_no_fault_of_the_producers() -> None:
    driven = Driven()
    driven.add(driven.begun())
    driven.core.delay(30_000)
    driven.wait(60_000)
    assert driven.state() is State.ONGOING
    driven.wait(30_000)
    assert driven.state() is State.PREPARE_ABORT


def test_aborting_what_the_coordinator_knows_nothing_of_keeps_out_what_is_on_its_way() -> None:
    driven = Driven()
    who = driven.begun()
    assert driven.end(who) == "INVALID_TXN_STATE"
    assert driven.end(who, committed=False) == (101, 1)
    assert driven.end(who, committed=False) == (101, 1)
    assert driven.add(who) == "TRANSACTION_ABORTABLE"
    assert driven.orders == []


def test_before_the_epochs_are_used_up_a_fresh_id_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "EPOCH_MAX", 3)
    monkeypatch.setattr(requests, "EPOCH_NEARLY_MAX", 2)
    driven = Driven()
    who: Who = driven.begun()
    for _ in range(3):
        driven.add(who)
        driven.end(who)
        driven.written()
        who = (101, who[1] + 1)
    assert driven.wanted >= 1
    driven.add(who)
    assert driven.end(who) == "COORDINATOR_NOT_AVAILABLE"
    driven.step(Told(FreshIds((ProducerId(900),))))
    assert driven.end(who) is None
    assert driven.orders[-1].producer_epoch == 4
    driven.written()
    assert driven.end(who) == (900, 0)
    assert driven.add(who) == "INVALID_PRODUCER_EPOCH"
    assert driven.add((900, 0)) == "NONE"


def test_ids_that_nobody_uses_are_forgotten() -> None:
    driven = Driven(TransactionSettings(id_expiration_ms=10_000_000))
    driven.begun("idle")
    driven.add(driven.begun("open"), name="open")
    driven.wait(8_000_000)
    driven.begun("young")
    driven.wait(4_000_000)
    assert sorted(driven.core.values()) == ["open", "young"]
    assert driven.log[b"idle"].value is None
    assert driven.end((101, 0), name="idle") == "INVALID_PRODUCER_ID_MAPPING"


@pytest.mark.parametrize(
    ("name", "timeout_ms", "expected"),
    [
        ("", 1_000, "INVALID_REQUEST"),
        ("x" * 1_001, 1_000, "INVALID_REQUEST"),
        ("a", 0, "INVALID_TRANSACTION_TIMEOUT"),
        ("a", 900_001, "INVALID_TRANSACTION_TIMEOUT"),
    ],
)
def test_bad_input_is_refused(name: str, timeout_ms: int, expected: str) -> None:
    assert Driven().init(name, timeout_ms=timeout_ms) == expected


def test_who_is_not_known_is_told_so() -> None:
    driven = Driven()
    assert driven.add((5, 0)) == "INVALID_PRODUCER_ID_MAPPING"
    assert driven.end((5, 0)) == "INVALID_PRODUCER_ID_MAPPING"
    driven.begun()
    assert driven.add((5, 0)) == "INVALID_PRODUCER_ID_MAPPING"
    described = driven.ask(DescribeTransactionRequest("nobody"))
    assert isinstance(described, DescribeTransactionResponse)
    assert described.error == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    described = driven.ask(DescribeTransactionRequest("a"))
    assert isinstance(described, DescribeTransactionResponse)
    assert (described.state, described.started_ms) == ("Empty", -1)


def test_a_transaction_has_a_bounded_number_of_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PARTITIONS_MAX", 2)
    driven = Driven()
    who = driven.begun()
    driven.add(who, 0, 1)
    assert driven.add(who, 2) == "TRANSACTION_ABORTABLE"
    assert driven.add(who, 1) == "NONE"


# Producers that declare their partitions themselves, and keep their epoch


def declare(driven: Driven, who: Who, *partitions: int) -> str:
    parts = tuple(TransactionPartition(TOPIC, partition) for partition in partitions or (0,))
    answer = driven.ask(AddPartitionsToTxnRequest("a", *_who(who), parts, declared=True))
    assert isinstance(answer, AddPartitionsToTxnResponse)
    return ErrorCode(answer.error).name


@pytest.mark.parametrize("restarts", [False, True])
def test_who_declares_its_partitions_keeps_its_epoch(restarts: bool) -> None:
    driven = Driven()
    who = driven.begun()
    for committed in (True, False, True):
        assert declare(driven, who, 0, 1) == "NONE"
        assert driven.end(who, committed=committed) is None
        assert driven.add(who, 0) == "CONCURRENT_TRANSACTIONS"
        if restarts:
            driven.restart()
            driven.wait(0)
        order = driven.orders[-1]
        assert (order.producer_epoch, order.committed, order.keeps_epoch) == (0, committed, True)
        driven.written()
        assert driven.end(who, committed=committed) == who
        assert driven.state() is (State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT)


def test_what_was_not_declared_is_no_part_of_the_transaction() -> None:
    """A batch of the transaction before, arriving late, neither begins nor joins the next one."""
    driven = Driven()
    who = driven.begun()
    declare(driven, who, 0)
    assert driven.add(who, 0) == "NONE"
    assert driven.add(who, 1) == "INVALID_TXN_STATE"
    driven.end(who)
    driven.written()
    assert driven.add(who, 0) == "INVALID_TXN_STATE"
    assert driven.state() is State.COMPLETE_COMMIT
    declare(driven, who, 2)
    assert driven.add(who, 0) == "INVALID_TXN_STATE"
    assert driven.end(who, committed=False) is None


def test_an_end_that_is_not_its_own_doing_ends_the_epoch_of_who_declares() -> None:
    driven = Driven()
    old = driven.begun()
    declare(driven, old)
    assert driven.init() == "CONCURRENT_TRANSACTIONS"
    assert (driven.orders[-1].producer_epoch, driven.orders[-1].keeps_epoch) == (1, False)
    driven.written()
    assert driven.init() == (101, 2)
    assert declare(driven, old) == "PRODUCER_FENCED"
    assert driven.end(old) == "PRODUCER_FENCED"
    late = (101, 2)
    declare(driven, late)
    driven.wait(60_000)
    assert driven.orders[-1].producer_epoch == 3
    assert declare(driven, late) == "INVALID_PRODUCER_EPOCH"
    driven.written()
    assert driven.init(who=late) == (101, 4)
    assert driven.end((101, 4), committed=False) == (101, 5)


def test_transactions_that_end_before_their_time_leave_no_deadline_behind() -> None:
    """One that goes on ends sooner than they would have."""
    deadlines = Deadlines()
    value = TransactionValue(ProducerId(7), ProducerEpoch(0), State.ONGOING, 1, 1)
    deadlines.set("long", value, 50_000)
    for number in range(1_000):
        deadlines.set("short", value, 60_000 + number)
        deadlines.drop("short")
    assert len(deadlines._heap) <= SPARE + 3
    assert deadlines.next_ms() == 50_000
    assert deadlines.due(70_000) == ["long"]
