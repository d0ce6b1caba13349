"""Records that come to no batch: their futures end, and a transaction that lacks one is not committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from odradek import Producer, aio
from odradek.errors import (
    BufferFullError,
    ClientError,
    OdradekError,
    SerializationError,
    TransactionAbortableError,
)
from tests.unit.client.test_interrupted_transactions import WAIT_S, Coordinator

BIG = bytes(2_000)
Send = Callable[[Producer], Any]


def choose(_key: bytes, _partitions: Any, _available: Any) -> int:
    raise KeyError("no such customer")


def transactional(cluster: Any, **settings: Any) -> Producer:
    producer = Producer(cluster.bootstrap, transactional_id="x", **settings)
    producer.init_transactions()
    return producer


@pytest.mark.parametrize(
    "send",
    [
        lambda producer: producer.send("t", b"", partition=7),
        lambda producer: producer.send("t", b"", partition=7, headers=[("h", b"")]),
        lambda producer: producer.send_many("t", [(None, b""), (None, b"")], partition=7),
        lambda producer: producer.send("t", b"", b"k"),
        lambda producer: producer.send("t", b"", b"k", headers=[("h", b"")]),
        lambda producer: producer.send_many("t", [(None, b""), (b"k", b"")]),
        lambda producer: producer.send("t", BIG),
        lambda producer: producer.send("t", BIG, headers=[("h", b"")]),
        lambda producer: producer.send("absent", b""),
        lambda producer: producer.send("absent", b"", headers=[("h", b"")]),
        lambda producer: producer.send_many("absent", [(None, b"")]),
    ],
)
def test_a_record_that_is_refused_leaves_only_the_abort(real_loop: Any, send: Send) -> None:
    coordinator = Coordinator(real_loop)
    with transactional(
        real_loop, partitioner=choose, max_request_size=1_000, max_block_ms=200
    ) as producer:
        producer.begin_transaction()
        producer.send("t", b"1").result(WAIT_S)
        refused = send(producer)
        with pytest.raises(TransactionAbortableError, match="abort_transaction"):
            producer.commit_transaction()
        assert isinstance(refused.exception(WAIT_S), OdradekError)
        producer.abort_transaction()
        with producer.transaction():
            producer.send("t", b"2")
    assert coordinator.done == ["abort 0", "commit 1"]


def test_what_finds_no_room_among_many_leaves_only_the_abort(real_loop: Any) -> None:
    coordinator = Coordinator(real_loop)
    with transactional(real_loop, buffer_memory=1_000, max_block_ms=200) as producer:
        producer.begin_transaction()
        producer.send("t", b"1").result(WAIT_S)
        producer._inbox.program.on_room = None  # the loop is busy with something else
        many = producer.send_many("t", ((None, BIG) for _ in range(10_000)))
        producer._inbox.program.on_room = producer._inbox.drain
        producer.wake()
        assert isinstance(many.exception(WAIT_S), BufferFullError)
        with pytest.raises(TransactionAbortableError):
            producer.commit_transaction()
        producer.abort_transaction()
    assert coordinator.done == ["abort 0"]


def test_what_cannot_be_handed_over_later_leaves_only_the_abort(real_loop: Any) -> None:
    coordinator = Coordinator(real_loop)

    def fail(_value: Any) -> bytes:
        raise KeyError("no such type")

    async def main() -> None:
        async with aio.Producer(
            real_loop.bootstrap, transactional_id="x", value_serializer=fail
        ) as producer:
            await producer.init_transactions()
            await producer.begin_transaction()
            many = producer.send_many("t", [(None, 1)])
            with pytest.raises(TransactionAbortableError):
                await producer.commit_transaction()
            assert isinstance(many.exception(), SerializationError)
            await producer.abort_transaction()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))
    assert coordinator.done == []


def test_a_partitioner_that_exits_fails_its_record_and_ends_no_loop(real_loop: Any) -> None:
    real_loop.topic("t")

    def leave(_key: bytes, _partitions: Any, _available: Any) -> int:
        raise SystemExit(3)

    with Producer(real_loop.bootstrap, partitioner=leave) as producer:
        with pytest.raises(ClientError, match="the partitioner failed"):
            producer.send("t", b"", b"k").result(WAIT_S)
        assert producer.send("t", b"").result(WAIT_S).offset == 0
