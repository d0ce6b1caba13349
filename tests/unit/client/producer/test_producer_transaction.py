"""A producer's transactions by plain values: what it may do in each state, and what it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.errors import (
    ClientTimeoutError,
    DeliveryTimeoutError,
    InvalidTxnStateError,
    OdradekError,
    ProducerFencedError,
    TransactionAbortableError,
)
from odradek.producer.accumulator import Identity
from odradek.producer.transaction import ProducerTransaction, State
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse
from transport.wire.messages.transactions import EndTxnRequest, EndTxnResponse

NOW = Now(0, 0)
FIRST = Identity(ProducerId(7), ProducerEpoch(0))


class ScriptedCoordinator:
    """Answers with what it was given, in order; without an answer it is silent."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.answers: deque[Message] = deque()
        self.waiting: list[Callable[[Message, Now], None]] = []

    def ask(self, body: Message, on_done: Any, now: Now, **_: Any) -> None:
        self.asked.append(body)
        if self.answers:
            on_done(self.answers.popleft(), now)
        else:
            self.waiting.append(on_done)


class Driven:
    def __init__(self) -> None:
        self.coordinator = ScriptedCoordinator()
        link = cast("CoordinatorLink", self.coordinator)
        self.transaction = ProducerTransaction("t", 5_000, link)
        self.told: list[OdradekError | None] = []

    def ready(self) -> ProducerTransaction:
        self.coordinator.answers.append(InitProducerIdResponse(ErrorCode.NONE, *FIRST))
        self.transaction.init(self._tell, NOW, timeout_ms=1)
        assert self.told.pop() is None
        return self.transaction

    def open(self) -> ProducerTransaction:
        transaction = self.ready()
        transaction.begin()
        transaction.touched()
        return transaction

    def end(self, *answers: Message, committed: bool = True) -> OdradekError | None:
        self.coordinator.answers.extend(answers)
        self.transaction.close(committed=committed)
        self.transaction.end(self._tell, NOW, committed=committed, timeout_ms=1)
        return self.told.pop()

    def _tell(self, error: OdradekError | None, _now: Now) -> None:
        self.told.append(error)


def ended(error: ErrorCode = ErrorCode.NONE, epoch: int = 1, text: str = "") -> EndTxnResponse:
    return EndTxnResponse(error, FIRST.producer_id, ProducerEpoch(epoch), text)


def test_each_transaction_is_written_under_the_epoch_that_the_last_one_gave() -> None:
    driven = Driven()
    transaction = driven.open()
    (asked,) = driven.coordinator.asked
    assert isinstance(asked, InitProducerIdRequest)
    assert (asked.transactional_id, asked.transaction_timeout_ms) == ("t", 5_000)
    assert driven.end(ended()) is None
    assert transaction.identity == (7, 1)
    assert driven.coordinator.asked[-1] == EndTxnRequest("t", *FIRST, True)
    transaction.begin()
    assert transaction.refusal() is None


def test_a_transaction_that_sent_nothing_asks_nobody() -> None:
    driven = Driven()
    driven.ready().begin()
    assert driven.end() is None
    assert len(driven.coordinator.asked) == 1
    assert driven.transaction.state is State.READY


def test_an_end_without_an_answer_is_asked_again_and_nothing_else_goes() -> None:
    driven = Driven()
    transaction = driven.open()
    error = driven.end(Refusal(ErrorCode.REQUEST_TIMED_OUT, "silence"))
    assert isinstance(error, ClientTimeoutError)
    assert "commit_transaction() again" in str(error)
    with pytest.raises(InvalidTxnStateError, match="again"):
        transaction.begin()
    with pytest.raises(InvalidTxnStateError, match="again"):
        transaction.close(committed=False)
    assert driven.end(ended()) is None
    assert driven.coordinator.asked[-2:] == [EndTxnRequest("t", *FIRST, True)] * 2


def test_a_record_that_was_not_written_leaves_only_the_abort() -> None:
    driven = Driven()
    transaction = driven.open()
    transaction.record_failed(DeliveryTimeoutError("late"))
    assert isinstance(transaction.refusal(), DeliveryTimeoutError)
    with pytest.raises(TransactionAbortableError, match="abort_transaction"):
        transaction.close(committed=True)
    assert driven.end(ended(), committed=False) is None
    transaction.begin()
    assert transaction.refusal() is None


def test_a_commit_waits_for_its_offsets_and_nothing_else_ends_it_meanwhile() -> None:
    driven = Driven()
    transaction = driven.open()
    within = [transaction.offsets_asked(), transaction.offsets_asked()]
    transaction.close(committed=True)
    transaction.end(driven._tell, NOW, committed=True, timeout_ms=1)
    transaction.offsets_answered(within[0], None, NOW)
    assert (len(driven.coordinator.asked), driven.told) == (1, [])
    for committed in (True, False):
        with pytest.raises(InvalidTxnStateError, match="another thread"):
            transaction.close(committed=committed)
    driven.coordinator.answers.append(ended())
    transaction.offsets_answered(within[1], None, NOW)
    assert driven.told == [None]
    assert transaction.state is State.READY


def test_offsets_that_are_refused_leave_only_the_abort() -> None:
    driven = Driven()
    transaction = driven.open()
    within = transaction.offsets_asked()
    transaction.close(committed=True)
    transaction.end(driven._tell, NOW, committed=True, timeout_ms=1)
    transaction.offsets_answered(within, DeliveryTimeoutError("late"), NOW)
    assert isinstance(driven.told.pop(), TransactionAbortableError)
    assert driven.end(ended(), committed=False) is None
    transaction.begin()
    transaction.touched()
    transaction.offsets_answered(within, ProducerFencedError(), NOW)
    assert driven.end(ended(epoch=2)) is None, "what is late says nothing of this one"


def test_the_coordinators_time_out_leaves_only_the_abort() -> None:
    driven = Driven()
    driven.open()
    error = driven.end(ended(ErrorCode.TRANSACTION_ABORTABLE, text="its time was up"))
    assert isinstance(error, TransactionAbortableError)
    assert driven.end(ended(), committed=False) is None


@pytest.mark.parametrize("code", [ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH])
def test_a_fenced_producer_stays_fenced(code: ErrorCode) -> None:
    driven = Driven()
    transaction = driven.open()
    error = driven.end(ended(code))
    assert error is not None
    assert error.fatal
    assert transaction.refusal() is error
    for call in (transaction.begin, lambda: transaction.close(committed=False)):
        with pytest.raises(type(error)):
            call()


def test_a_broker_that_knows_of_a_newer_producer_fences_at_once() -> None:
    driven = Driven()
    transaction = driven.open()
    transaction.record_failed(ProducerFencedError())
    assert transaction.state is State.FENCED
    assert transaction.is_lost


def test_what_comes_too_early_is_told_what_comes_first() -> None:
    driven = Driven()
    with pytest.raises(InvalidTxnStateError, match="init_transactions"):
        driven.transaction.begin()
    transaction = driven.ready()
    assert "begin_transaction" in str(transaction.refusal())
    with pytest.raises(InvalidTxnStateError, match="begin_transaction"):
        transaction.close(committed=True)
    transaction.begin()
    with pytest.raises(InvalidTxnStateError, match="commit_transaction"):
        transaction.begin()
