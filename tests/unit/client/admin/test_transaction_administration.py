"""Transactions as an admin client sees and ends them, against scripted brokers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from odradek import AdminClient, TopicPartition
from odradek.errors import (
    CoordinatorNotAvailableError,
    InvalidTxnStateError,
    TransactionalIdNotFoundError,
)
from tests.unit.client.commands.test_topic_commands import parse
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, Offset, ProducerEpoch, ProducerId
from transport.wire.messages import Message
from transport.wire.messages.coordinators import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    FoundCoordinator,
)
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse
from transport.wire.messages.transactions import (
    ActiveProducer,
    DescribedProducers,
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeTransactionRequest,
    DescribeTransactionResponse,
    ListedTransaction,
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

COORDINATOR = NodeId(2)
LEDGER = TopicPartition("ledger", 0)


class Script:
    """Broker 2 coordinates "book" (producer 7), open in ledger-0; producer 9 hangs there."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.topic = cluster.topic("ledger", 2)
        self.open = {7: ActiveProducer(ProducerId(7), ProducerEpoch(3), 4, 1, Offset(10))}
        self.open[9] = ActiveProducer(ProducerId(9), ProducerEpoch(0), 0, -1, Offset(12))
        self.markers: list[TransactionMarker] = []
        self.loading = 1
        self.taken: list[InitProducerIdRequest] = []
        cluster.before.append(self.answer)

    def answer(self, node: NodeId, envelope: Envelope) -> Message | None:
        handlers: dict[type, Callable[[NodeId, Any], Message]] = {
            FindCoordinatorRequest: self._find,
            ListTransactionsRequest: self._list,
            DescribeTransactionRequest: self._describe,
            DescribeProducersRequest: self._producers,
            WriteTxnMarkersRequest: self._write,
            InitProducerIdRequest: self._init,
        }
        handler = handlers.get(type(envelope.body))
        return None if handler is None else handler(node, envelope.body)

    def _find(self, _node: NodeId, body: FindCoordinatorRequest) -> Message:
        return FindCoordinatorResponse(
            0, tuple(FoundCoordinator(key, 0, COORDINATOR) for key in body.keys)
        )

    def _list(self, node: NodeId, body: ListTransactionsRequest) -> Message:
        if node != COORDINATOR:
            return ListTransactionsResponse(0)
        if self.loading:
            self.loading -= 1
            return ListTransactionsResponse(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        known = [("book", 7, "Ongoing"), ("old", 8, "CompleteCommit")]
        listed = [
            ListedTransaction(name, ProducerId(number), state)
            for name, number, state in known
            if not body.states or state in body.states
            if not body.producer_ids or number in body.producer_ids
        ]
        return ListTransactionsResponse(0, tuple(listed))

    def _describe(self, node: NodeId, body: DescribeTransactionRequest) -> Message:
        assert node == COORDINATOR
        if body.transactional_id != "book":
            return DescribeTransactionResponse(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)
        part = TransactionPartition(self.topic.id, 0)
        return DescribeTransactionResponse(
            0, "Ongoing", ProducerId(7), ProducerEpoch(3), 60_000, 1_234, (part,)
        )

    def _producers(self, _node: NodeId, body: DescribeProducersRequest) -> Message:
        (part,) = body.partitions
        here = tuple(self.open.values()) if part.partition == 0 else ()
        return DescribeProducersResponse(
            0, (DescribedProducers(part.topic_id, part.partition, 0, here),)
        )

    def _write(self, _node: NodeId, body: WriteTxnMarkersRequest) -> Message:
        self.markers += body.markers
        return WriteTxnMarkersResponse(0, ((0,),))

    def _init(self, node: NodeId, body: InitProducerIdRequest) -> Message:
        assert node == COORDINATOR
        self.taken.append(body)
        return InitProducerIdResponse(0, ProducerId(7), ProducerEpoch(5))


@pytest.fixture
def script(real_loop: Any) -> Script:
    return Script(real_loop)


@pytest.fixture
def admin(script: Script) -> Any:
    with AdminClient(script.cluster.bootstrap, request_timeout_ms=5_000) as client:
        yield client


def test_transactions_are_listed_and_described(admin: AdminClient) -> None:
    assert [one.transactional_id for one in admin.list_transactions()] == ["book", "old"]
    assert admin.list_transactions(["Ongoing"], [7, 8]) == [("book", 7, "Ongoing")]
    with pytest.raises(ValueError, match=r"'Open'.*Ongoing"):
        admin.list_transactions(["Open"])
    assert admin.describe_transactions(["book"]) == [
        ("book", "Ongoing", 7, 3, 60_000, 1_234, (LEDGER,))
    ]
    with pytest.raises(TransactionalIdNotFoundError, match="'nobody'"):
        admin.describe_transactions(["nobody"])
    first, second = admin.describe_producers([LEDGER, TopicPartition("ledger", 1)])[LEDGER]
    assert (first.producer_id, first.transaction_start_offset) == (7, 10)
    assert (second.producer_id, second.coordinator_epoch) == (9, -1)


def test_only_what_no_coordinator_will_end_hangs(admin: AdminClient, script: Script) -> None:
    assert admin.find_hanging_transactions() == [(LEDGER, 9, 0, -1, 12)]
    assert admin.find_hanging_transactions(["other"]) == []
    with pytest.raises(InvalidTxnStateError, match="does not hang"):
        admin.abort_transaction(LEDGER, 7)
    with pytest.raises(InvalidTxnStateError, match="has no transaction open"):
        admin.abort_transaction(LEDGER, 8)
    assert script.markers == []
    admin.abort_transaction(LEDGER, 9)
    (marker,) = script.markers
    assert (marker.producer_id, marker.producer_epoch) == (9, 1)
    assert not marker.committed
    assert marker.partitions == (TransactionPartition(script.topic.id, 0),)


def test_what_ends_while_coordinators_are_asked_does_not_hang(
    admin: AdminClient, script: Script
) -> None:
    def end(_node: NodeId, envelope: Envelope) -> None:
        if isinstance(envelope.body, ListTransactionsRequest):
            script.open.pop(9, None)

    script.cluster.before.insert(0, end)
    assert admin.find_hanging_transactions() == []


def test_without_all_coordinators_nothing_can_be_said(admin: AdminClient, script: Script) -> None:
    with script.cluster.lock:
        script.cluster.topic("__transaction_state")
        script.cluster.elect("__transaction_state", 0, -1)
    with pytest.raises(CoordinatorNotAvailableError, match="no leader"):
        admin.find_hanging_transactions()


def test_a_transaction_is_ended_by_force(admin: AdminClient, script: Script) -> None:
    admin.force_terminate_transaction("book")
    (taken,) = script.taken
    assert (taken.transactional_id, taken.transaction_timeout_ms) == ("book", 60_000)
    with pytest.raises(TransactionalIdNotFoundError):
        admin.force_terminate_transaction("nobody")


def run(script: Script, *words: str) -> int:
    address = ",".join(place.removeprefix("tcp://") for place in script.cluster.bootstrap)
    given = parse("transaction", *words, "--bootstrap", address)
    status: int = given.run(given)
    return status


def test_the_commands_print_for_people_and_programs(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, "list") == 0
    assert "book              7            Ongoing" in capsys.readouterr().out
    assert run(script, "describe", "book", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["state"], described["partitions"]) == ("Ongoing", [["ledger", 0]])
    assert run(script, "describe", "book") == 0
    assert "\n  ledger-0\n" in capsys.readouterr().out
    assert run(script, "find-hanging", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["producer_id"] == 9
    assert run(script, "find-hanging", "--topic", "none") == 0
    assert capsys.readouterr().out == "nothing hangs\n"
    assert run(script, "describe-producers", "ledger-0") == 0
    assert "ledger-0   9            0      0              12\n" in capsys.readouterr().out
    assert run(script, "abort", "--partition", "ledger-0", "--producer-id", "9") == 0
    assert run(script, "abort", "book") == 0
    assert "book had open; its producer is fenced" in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("book", "--producer-id", "9"), ("--partition", "ledger-0")])
def test_an_abort_must_say_of_what(
    script: Script, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, "abort", *words) == 2
    assert "either a transactional id" in capsys.readouterr().err
    assert run(script, "describe", "nobody") == 1
    assert "see `odradek transaction list`" in capsys.readouterr().err
