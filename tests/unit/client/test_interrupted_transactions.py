"""A caller that is ended in the middle of a transaction's call: what it may do, and what it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from odradek import Producer, TopicPartition, aio
from odradek.errors import InvalidTxnStateError, TransactionAbortableError
from odradek.producer.client import ABORT_TIME_S
from odradek.producer.transaction import State
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, ProducerEpoch
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    FoundCoordinator,
)
from transport.wire.messages.group_offsets import (
    CommitOutcome,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from transport.wire.messages.produce import InitProducerIdRequest, ProduceRequest
from transport.wire.messages.transactions import EndTxnRequest, EndTxnResponse

T0 = TopicPartition("t", 0)
WAIT_S = 20
AGAIN = r"its commit was not answered; call commit_transaction\(\) again"


class Coordinator:
    """Coordinates every transaction and group of a scripted cluster."""

    def __init__(self, cluster: Any) -> None:
        cluster.topic("t")
        cluster.before.append(self._answer)
        self.shut: set[type[Message]] = set()
        """Requests that are put off."""
        self.refused: dict[type[Message], ErrorCode] = {}
        self.heard: list[type[Message]] = []
        self.done: list[str] = []
        """What was done, in order."""

    def _answer(self, _node: NodeId, envelope: Envelope) -> Message | None:
        body = envelope.body
        if isinstance(body, FindCoordinatorRequest):
            found = tuple(FoundCoordinator(key, 0, NodeId(1)) for key in body.keys)
            return FindCoordinatorResponse(0, found)
        self.heard.append(type(body))
        if type(body) in self.shut:
            return Refusal(ErrorCode.CONCURRENT_TRANSACTIONS)
        if type(body) in self.refused:
            return Refusal(self.refused[type(body)])
        if isinstance(body, EndTxnRequest):
            self.done.append(f"{'commit' if body.committed else 'abort'} {body.producer_epoch}")
            epoch = ProducerEpoch(body.producer_epoch + 1)
            return EndTxnResponse(0, body.producer_id, epoch)
        if isinstance(body, TxnOffsetCommitRequest):
            self.done.append(f"offsets {body.producer_epoch}")
            outcomes = (CommitOutcome(one.topic_id, one.partition, 0) for one in body.offsets)
            return TxnOffsetCommitResponse(0, "", tuple(outcomes))
        return None


@pytest.fixture
def coordinator(real_loop: Any) -> Coordinator:
    return Coordinator(real_loop)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def cut_off(call: Coroutine[Any, Any, Any], when: Callable[[], bool]) -> None:
    """Make a call on a task of its own, and cancel that."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    await until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cut_a_commit_off(producer: aio.Producer, coordinator: Coordinator) -> None:
    """Of one record: the coordinator has heard of it, and answers nothing."""
    await producer.begin_transaction()
    producer.send("t", b"1")
    coordinator.shut.add(EndTxnRequest)
    await cut_off(producer.commit_transaction(), lambda: EndTxnRequest in coordinator.heard)


def run(use: Callable[[aio.Producer], Awaitable[None]], cluster: Any) -> None:
    async def main() -> None:
        async with open_producer(cluster) as producer:
            await use(producer)

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


@asynccontextmanager
async def open_producer(cluster: Any) -> AsyncIterator[aio.Producer]:
    async with aio.Producer(cluster.bootstrap, transactional_id="x", linger_ms=0) as producer:
        await producer.init_transactions()
        yield producer


def state_of(producer: aio.Producer) -> State:
    transaction = producer._producer._program().transaction
    assert transaction is not None
    return transaction.state


async def write(producer: aio.Producer) -> None:
    async with producer.transaction():
        producer.send("t", b"next")


@pytest.mark.parametrize("ends_before", [False, True])
def test_a_commit_that_was_cut_off_is_told_by_the_next(
    real_loop: Any, coordinator: Coordinator, ends_before: bool
) -> None:
    async def use(producer: aio.Producer) -> None:
        await cut_a_commit_off(producer, coordinator)
        if ends_before:
            coordinator.shut.clear()
            await until(lambda: bool(coordinator.done))
        for call in (producer.begin_transaction, producer.abort_transaction):
            with pytest.raises(InvalidTxnStateError, match=AGAIN):
                await call()
        coordinator.shut.clear()
        await producer.commit_transaction()
        assert coordinator.done == ["commit 0"], "once, and it was told so"
        await write(producer)
        assert coordinator.done == ["commit 0", "commit 1"]

    run(use, real_loop)


@pytest.mark.parametrize("again", [False, True])
def test_a_commit_that_failed_unheard_leaves_what_is_possible_then(
    real_loop: Any, coordinator: Coordinator, again: bool
) -> None:
    async def use(producer: aio.Producer) -> None:
        await cut_a_commit_off(producer, coordinator)
        coordinator.refused[EndTxnRequest] = ErrorCode.TRANSACTION_ABORTABLE
        coordinator.shut.clear()
        await until(lambda: state_of(producer) is State.FAILED)
        coordinator.refused.clear()
        if again:
            with pytest.raises(TransactionAbortableError):
                await producer.commit_transaction()
        await producer.abort_transaction()
        await write(producer)
        assert coordinator.done == ["abort 0", "commit 1"]

    run(use, real_loop)


@pytest.mark.parametrize("in_block", [False, True])
def test_a_commit_that_was_cut_off_before_anybody_was_asked_can_be_aborted(
    real_loop: Any, coordinator: Coordinator, in_block: bool
) -> None:
    async def use(producer: aio.Producer) -> None:
        async def end() -> None:
            if in_block:
                await write(producer)
                return
            await producer.begin_transaction()
            producer.send("t", b"1")
            await producer.commit_transaction()

        coordinator.shut.add(ProduceRequest)
        await cut_off(end(), lambda: ProduceRequest in coordinator.heard)
        coordinator.shut.clear()
        if not in_block:
            await producer.abort_transaction()
        await write(producer)
        assert [done.split()[0] for done in coordinator.done][-2:] == ["abort", "commit"]

    run(use, real_loop)


def test_a_beginning_that_was_cut_off_is_the_next_one(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def use(producer: aio.Producer) -> None:
        await cut_off(producer.begin_transaction(), lambda: True)
        await write(producer)
        await cut_off(producer.begin_transaction(), lambda: True)
        await producer.abort_transaction()
        await write(producer)
        assert coordinator.done == ["commit 0", "commit 1"]

    run(use, real_loop)


def test_an_initialisation_that_was_cut_off_is_not_made_twice(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def main() -> None:
        async with aio.Producer(real_loop.bootstrap, transactional_id="x") as producer:
            coordinator.shut.add(InitProducerIdRequest)
            for times in (1, 5):
                await cut_off(
                    producer.init_transactions(),
                    lambda: coordinator.heard.count(InitProducerIdRequest) >= times,  # noqa: B023
                )
            link = producer._producer._program()._coordinator
            assert link is not None
            assert len(link._open) == 1, "one question"
            coordinator.shut.clear()
            await producer.init_transactions()
            await write(producer)

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_an_abort_that_was_cut_off_is_made_again(real_loop: Any, coordinator: Coordinator) -> None:
    async def use(producer: aio.Producer) -> None:
        await producer.begin_transaction()
        producer.send("t", b"1")
        await producer.flush()
        coordinator.shut.add(EndTxnRequest)
        await cut_off(producer.abort_transaction(), lambda: EndTxnRequest in coordinator.heard)
        with pytest.raises(InvalidTxnStateError, match=r"call abort_transaction\(\) again"):
            await producer.begin_transaction()
        coordinator.shut.clear()
        await producer.abort_transaction()
        await write(producer)
        assert coordinator.done == ["abort 0", "commit 1"]

    run(use, real_loop)


def test_an_abort_that_was_cut_off_does_not_stand_for_the_next(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def use(producer: aio.Producer) -> None:
        coordinator.shut.add(EndTxnRequest)
        await producer.begin_transaction()
        producer.send("t", b"1")
        await producer.flush()
        await cut_off(producer.abort_transaction(), lambda: EndTxnRequest in coordinator.heard)
        coordinator.shut.clear()
        await until(lambda: bool(coordinator.done))
        await producer.begin_transaction()
        producer.send("t", b"2")
        await producer.flush()
        await producer.abort_transaction()
        assert coordinator.done == ["abort 0", "abort 1"]

    run(use, real_loop)


@pytest.mark.parametrize("refused", [False, True])
def test_offsets_whose_caller_was_cut_off_are_part_of_the_transaction(
    real_loop: Any, coordinator: Coordinator, refused: bool
) -> None:
    async def use(producer: aio.Producer) -> None:
        await producer.begin_transaction()
        coordinator.shut.add(TxnOffsetCommitRequest)
        await cut_off(
            producer.send_offsets_to_transaction({T0: 5}, "g"),
            lambda: TxnOffsetCommitRequest in coordinator.heard,
        )
        commit = asyncio.create_task(producer.commit_transaction())
        await until(lambda: state_of(producer) is State.COMMITTING)
        if refused:
            coordinator.refused[TxnOffsetCommitRequest] = ErrorCode.UNKNOWN_MEMBER_ID
        coordinator.shut.clear()
        if refused:
            with pytest.raises(TransactionAbortableError):
                await commit
            await producer.abort_transaction()
            assert coordinator.done == ["abort 0"]
        else:
            await commit
            assert coordinator.done == ["offsets 0", "commit 0"]

    run(use, real_loop)


def test_offsets_of_an_aborted_transaction_do_no_harm_to_the_next(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def use(producer: aio.Producer) -> None:
        await producer.begin_transaction()
        coordinator.shut.add(TxnOffsetCommitRequest)
        offsets = asyncio.create_task(producer.send_offsets_to_transaction({T0: 5}, "g"))
        await until(lambda: TxnOffsetCommitRequest in coordinator.heard)
        await producer.abort_transaction()
        await producer.begin_transaction()
        producer.send("t", b"1")
        coordinator.refused[TxnOffsetCommitRequest] = ErrorCode.INVALID_PRODUCER_EPOCH
        coordinator.shut.clear()
        await asyncio.wait([offsets])
        assert offsets.exception() is not None
        await producer.commit_transaction()
        assert coordinator.done == ["abort 0", "commit 1"]

    run(use, real_loop)


def test_a_flush_that_was_cut_off_leaves_no_thread_behind(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def use(producer: aio.Producer) -> None:
        await producer.begin_transaction()
        coordinator.shut.add(ProduceRequest)
        producer.send("t", b"1")
        await cut_off(producer.flush(), lambda: ProduceRequest in coordinator.heard)
        await cut_off(producer.commit_transaction(), lambda: True)
        assert not [one for one in threading.enumerate() if one.name.startswith("asyncio")]
        await producer.abort_transaction()

    run(use, real_loop)


@pytest.mark.parametrize("failed", [False, True])
def test_what_is_open_when_its_producer_is_closed_is_aborted(
    real_loop: Any, coordinator: Coordinator, failed: bool
) -> None:
    producer = Producer(real_loop.bootstrap, transactional_id="x")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("t", b"1").result(WAIT_S)
    if failed:
        producer.send("t", b"2", partition=7).exception(WAIT_S)
    producer.close()
    producer.close()
    assert coordinator.done == ["abort 0"]


def test_what_may_be_committed_already_is_not_aborted_by_a_close(
    real_loop: Any, coordinator: Coordinator
) -> None:
    async def use(producer: aio.Producer) -> None:
        await cut_a_commit_off(producer, coordinator)
        coordinator.shut.clear()
        await producer.close()

    run(use, real_loop)
    assert "abort 0" not in coordinator.done, "what becomes of it, only another commit could tell"


def test_a_close_waits_for_no_coordinator_for_longer_than_it_may(
    real_loop: Any, coordinator: Coordinator
) -> None:
    producer = Producer(real_loop.bootstrap, transactional_id="x")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("t", b"1").result(WAIT_S)
    coordinator.shut.add(EndTxnRequest)
    began_s = time.monotonic()
    producer.close(0.2)
    assert time.monotonic() - began_s < ABORT_TIME_S
    assert coordinator.done == []


@pytest.mark.parametrize(("call", "waits"), [("begin", 1), ("commit", 1), ("abort", 2)])
def test_a_call_that_ctrl_c_ends_is_told_by_the_next(
    real_loop: Any,
    coordinator: Coordinator,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    waits: int,
) -> None:
    """``waits``: how often the call waits; it is ended at the end of the last."""
    with Producer(real_loop.bootstrap, transactional_id="x") as producer:
        producer.init_transactions()
        wait = producer._engine.wait
        waited: list[Any] = []

        def interrupted(future: Any, timeout_s: float | None = None) -> None:
            wait(future, timeout_s)
            waited.append(future)
            if len(waited) == waits:
                raise KeyboardInterrupt

        if call != "begin":
            producer.begin_transaction()
            producer.send("t", b"1").result(WAIT_S)
        make = getattr(producer, f"{call}_transaction")
        monkeypatch.setattr(producer._engine, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make()
        monkeypatch.setattr(producer._engine, "wait", wait)
        make()
        if call != "begin":
            assert coordinator.done == [f"{call} 0"]
            producer.begin_transaction()
        producer.send("t", b"2").result(WAIT_S)
        producer.commit_transaction()
