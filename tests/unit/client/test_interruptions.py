"""Ctrl-C, cancelled tasks and what users' functions raise: nothing is lost, stuck or left open."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from odradek import Consumer, Producer, RecordMetadata, TopicPartition, aio
from odradek.consumer.listener import ConsumerRebalanceListener
from odradek.consumer.rebalancing import ASSIGNED, Change
from odradek.errors import ClientClosedError, ClientTimeoutError
from odradek.interceptors import ConsumerInterceptor, ProducerInterceptor
from odradek.records import ConsumerRecord

T0 = TopicPartition("t", 0)
WAIT_S = 20
POLL_MS = WAIT_S * 1_000


@pytest.fixture
def filled(real_loop: Any) -> Any:
    """Give a cluster with ten records in a topic."""
    real_loop.topic("t")
    with Producer(real_loop.bootstrap) as producer:
        producer.send_many("t", [(None, b"%d" % n) for n in range(10)]).result(WAIT_S)
    return real_loop


def reader(cluster: Any, **settings: Any) -> Consumer:
    return Consumer(
        "t", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest", **settings
    )


def numbers(polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[int]:
    return [int(record.value) for records in polled.values() for record in records]


def test_a_poll_that_ctrl_c_ends_with_its_records_taken(
    filled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(filled) as consumer:
        wait = consumer._engine.wait

        def interrupted(future: Any, timeout_s: float | None = None) -> Any:
            wait(future, timeout_s)
            raise KeyboardInterrupt

        monkeypatch.setattr(consumer._engine, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(POLL_MS, max_records=4)
        monkeypatch.undo()
        assert consumer.position(T0) == 0  # and so nothing of it would be committed
        assert numbers(consumer.poll(POLL_MS)) == list(range(10))


def test_a_poll_that_ctrl_c_ends_before_it_is_waited_for(
    filled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(filled) as consumer:
        ask = consumer._engine.ask

        def interrupted(*arguments: Any, **named: Any) -> Any:
            taken = ask(*arguments, **named)
            assert taken.result(WAIT_S)
            raise KeyboardInterrupt

        monkeypatch.setattr(consumer._engine, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(POLL_MS, max_records=4)
        monkeypatch.undo()
        assert consumer.position(T0) == 0
        assert numbers(consumer.poll(POLL_MS)) == list(range(10))


def test_a_deserializer_that_ctrl_c_ends(filled: Any) -> None:
    tries = iter(range(100))

    def decode(value: bytes) -> bytes:
        if next(tries) == 3:
            raise KeyboardInterrupt
        return value

    with reader(filled, value_deserializer=decode) as consumer:
        with pytest.raises(KeyboardInterrupt):
            next(consumer)
        assert consumer.position(T0) == 0
        assert [int(next(consumer).value) for _ in range(10)] == list(range(10))


def test_an_interceptor_that_raises_keeps_nothing(filled: Any) -> None:
    class Flaky(ConsumerInterceptor):
        raised = False

        def on_consume(
            self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
        ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
            if not self.raised:
                self.raised = True
                raise ZeroDivisionError
            return records

    with reader(filled, interceptors=[Flaky()]) as consumer:
        with pytest.raises(ZeroDivisionError):
            consumer.poll(POLL_MS)
        assert numbers(consumer.poll(POLL_MS)) == list(range(10))


def test_iteration_goes_on_over_records_that_an_interceptor_keeps(filled: Any) -> None:
    class Last(ConsumerInterceptor):
        def on_consume(
            self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
        ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
            return {key: some for key, some in records.items() if some[-1].value == b"9"}

    settings: dict[str, Any] = {"interceptors": [Last()], "consumer_timeout_ms": 500}
    with reader(filled, max_poll_records=3, **settings) as consumer:
        assert [int(record.value) for record in consumer] == [9]

    async def use() -> None:
        async with aio.Consumer(
            "t",
            bootstrap_servers=filled.bootstrap,
            auto_offset_reset="earliest",
            max_poll_records=3,
            **settings,
        ) as consumer:
            assert [int(record.value) async for record in consumer] == [9]

    asyncio.run(asyncio.wait_for(use(), WAIT_S))


def test_an_awaited_poll_that_is_cancelled_while_it_deserializes(filled: Any) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def decode(value: bytes) -> bytes:
        begun.set()
        may_go_on.wait(WAIT_S)
        return value

    async def use() -> None:
        async with aio.Consumer(
            "t",
            bootstrap_servers=filled.bootstrap,
            auto_offset_reset="earliest",
            value_deserializer=decode,
        ) as consumer:
            poll = asyncio.create_task(consumer.poll(POLL_MS))
            await asyncio.to_thread(begun.wait, WAIT_S)
            poll.cancel()
            may_go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await poll
            assert await consumer.position(T0) == 0
            assert numbers(await consumer.poll(POLL_MS)) == list(range(10))

    asyncio.run(asyncio.wait_for(use(), WAIT_S))


def test_an_awaited_poll_that_is_cancelled_with_its_records_taken(filled: Any) -> None:
    async def use() -> None:
        async with aio.Consumer(
            "t", bootstrap_servers=filled.bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            begin = consumer._polling.begin
            polls: list[Any] = []

            def noted(future: Any, records_max: int, timeout_ms: float) -> None:
                polls.append(future)
                begin(future, records_max, timeout_ms)

            consumer._polling.begin = noted  # type: ignore[method-assign]
            poll = asyncio.create_task(consumer.poll(POLL_MS))
            await asyncio.sleep(0)
            assert polls[0].result(WAIT_S), "taken, and the task does not know yet"
            poll.cancel()
            with pytest.raises(asyncio.CancelledError):
                await poll
            assert await consumer.position(T0) == 0
            assert numbers(await consumer.poll(POLL_MS)) == list(range(10))

    asyncio.run(asyncio.wait_for(use(), WAIT_S))


def test_what_iteration_has_not_given_yet(filled: Any) -> None:
    with reader(filled, consumer_timeout_ms=50) as consumer:
        assert int(next(consumer).value) == 0
        assert numbers(consumer.poll(max_records=2)) == [1, 2]
        assert int(next(consumer).value) == 3
        consumer.pause(T0)
        assert list(consumer) == []
        consumer.resume(T0)
        assert int(next(consumer).value) == 4
        consumer.subscribe("t")
        assert int(next(consumer).value) == 5
        consumer.assign([T0])
        assert [int(record.value) for record in consumer] == [6, 7, 8, 9]


@pytest.mark.parametrize("number", [2.5, "5", True, 0])
def test_a_number_of_records_that_is_none(filled: Any, number: Any) -> None:
    with reader(filled) as consumer:
        with pytest.raises((TypeError, ValueError), match="max_records"):
            consumer.poll(POLL_MS, max_records=number)
        assert numbers(consumer.poll(POLL_MS)) == list(range(10))


# The producer


class Told(ProducerInterceptor):
    def __init__(self) -> None:
        self.words: list[str] = []

    def on_acknowledgement(
        self, metadata: RecordMetadata | None, error: BaseException | None
    ) -> None:
        self.words.append("acked" if error is None else "failed")

    def close(self) -> None:
        self.words.append("closed")


def test_interceptors_are_closed_after_the_last_record_has_met_its_end(real_loop: Any) -> None:
    real_loop.topic("t")
    told = Told()
    with Producer(real_loop.bootstrap, interceptors=[told]) as producer:
        producer.send("t", b"x")
    producer.close()
    assert told.words == ["acked", "closed"]


def test_a_close_that_ctrl_c_ends_is_finished_by_the_next(
    real_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    sent = producer.send("t", b"x")

    def interrupted(timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(producer, "flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        producer.close()
    monkeypatch.undo()
    producer.close(float("inf"))
    assert sent.succeeded()
    assert producer._engine.closed


@pytest.mark.parametrize("call", ["flush", "result", "metrics"])
def test_a_callback_that_would_wait_for_itself_is_told_so(real_loop: Any, call: str) -> None:
    real_loop.topic("t")
    raised: list[BaseException] = []
    with Producer(real_loop.bootstrap) as producer:
        waits: dict[str, Callable[[], object]] = {
            "flush": producer.flush,
            "result": lambda: producer.send("t", b"y").result(),
            "metrics": producer.metrics,
        }

        def called(_metadata: RecordMetadata) -> None:
            try:
                waits[call]()
            except RuntimeError as error:
                raised.append(error)

        producer.send("t", b"x").add_callback(called)
        producer.flush(WAIT_S)
    assert len(raised) == 1


def test_a_callback_closes_its_producer(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    producer.send("t", b"x").add_callback(lambda _metadata: producer.close())
    assert producer._engine._running.thread is not None
    producer._engine._running.thread.join(WAIT_S)
    with pytest.raises(ClientClosedError):
        producer.send("t", b"y")


def test_ctrl_c_in_the_middle_of_send_leaves_no_lock_behind(real_loop: Any) -> None:
    real_loop.topic("t")
    chance = random.Random(7)

    class Interrupted(BaseException):
        pass

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGVTALRM, interrupt)  # the other alarm ends tests that hang
    gc.collect()
    gc.disable()  # what interrupts a finalizer interrupts nothing else
    try:
        with Producer(real_loop.bootstrap, acks=0) as producer:
            for _ in range(100):
                try:
                    first_s = chance.uniform(0.0001, 0.0004)
                    signal.setitimer(signal.ITIMER_VIRTUAL, first_s)
                    while True:
                        producer.send("t", b"x")
                except Interrupted:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                    assert producer._inbox._lock.acquire(timeout=WAIT_S), "left locked"
                    producer._inbox._lock.release()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        gc.enable()


def test_headers_are_taken_as_they_are_at_the_call(real_loop: Any) -> None:
    real_loop.topic("t")

    def once() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        yield "b", b"2"

    changed = [("a", b"1"), ("b", b"2")]
    with Producer(real_loop.bootstrap) as producer:
        producer.send("t", b"x", headers=once())  # type: ignore[arg-type]
        sent = producer.send("t", b"y", headers=changed)
        changed.clear()
        sent.result(WAIT_S)
    with reader(real_loop) as consumer:
        given = [list(next(consumer).headers) for _ in range(2)]
    assert given == [[("a", b"1"), ("b", b"2")]] * 2


def test_what_waits_for_its_turn_fails_when_an_awaited_producer_is_closed() -> None:
    async def use() -> None:
        producer = aio.Producer("127.0.0.1:1", buffer_memory=1)
        sends = [producer.send("t", b"x") for _ in range(4)]
        await producer.close(0.01)
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ClientClosedError] * 4

    asyncio.run(asyncio.wait_for(use(), WAIT_S))


def test_a_record_that_waits_for_its_turn_is_written_as_it_was_handed_over(real_loop: Any) -> None:
    real_loop.topic("t")
    given: dict[str, int] = {}
    headers: list[tuple[str, bytes | None]] = []

    async def use() -> None:
        async with aio.Producer(
            real_loop.bootstrap, buffer_memory=1, value_serializer=lambda one: repr(one).encode()
        ) as producer:
            sends = []
            for number in range(3):
                given["n"] = number
                headers[:] = [("n", b"%d" % number)]
                sends.append(producer.send("t", given, headers=headers, partition=0))
            with pytest.raises(TypeError, match="headers"):
                producer.send("t", given, headers=7)  # type: ignore[arg-type]
            await asyncio.gather(*sends)

    asyncio.run(asyncio.wait_for(use(), WAIT_S))
    with reader(real_loop) as consumer:
        found = [(next(consumer)) for _ in range(3)]
    assert [one.value for one in found] == [b"{'n': 0}", b"{'n': 1}", b"{'n': 2}"]
    assert [one.headers[0][1] for one in found] == [b"0", b"1", b"2"]


def test_records_handed_over_right_before_the_end_are_written(filled: Any) -> None:
    async def run() -> None:
        producer = aio.Producer(filled.bootstrap)
        many = producer.send_many("t", [(None, b"%d" % n) for n in range(10, 20)])
        await producer.close()
        assert [one.offset for one in await many] == list(range(10, 20))

    asyncio.run(run())


@pytest.mark.parametrize("flushes", [1, 2])
def test_a_producer_ends_whose_flush_waits_for_a_topic(real_loop: Any, flushes: int) -> None:
    producer = Producer(real_loop.bootstrap)
    sent = producer.send("missing", b"x")
    for _ in range(flushes):
        with pytest.raises(ClientTimeoutError):
            producer.flush(0.001)
    producer._engine.close()
    with pytest.raises(ClientClosedError, match="closed before the record was acked"):
        sent.result(WAIT_S)
    thread = producer._engine._running.thread
    assert thread is not None
    assert not thread.is_alive(), "it goes on and on"
    assert producer._engine._running.failure is None


def test_a_callback_of_a_commit_that_exits_ends_no_loop(filled: Any) -> None:
    heard: list[BaseException | None] = []

    def leave(error: BaseException | None) -> None:
        heard.append(error)
        raise SystemExit

    with Consumer(bootstrap_servers=filled.bootstrap, group_id="g") as consumer:
        consumer.commit_async({}, leave).result(WAIT_S)
        assert consumer.assignment() == set()
    assert heard == [None]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_listener_that_polls_is_told_that_it_cannot(filled: Any, asynchronous: bool) -> None:
    polls: list[Callable[[], object]] = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, _assigned: object) -> object:
            return polls[0]()

    async def run() -> None:
        async with aio.Consumer(bootstrap_servers=filled.bootstrap, group_id="g") as consumer:
            polls.append(consumer.poll)
            consumer._polling.listening.listener = Listener()
            consumer._consumer._program.rebalancing.changes.append(told)  # type: ignore[union-attr]
            with pytest.raises(RuntimeError, match="a rebalance listener cannot poll"):
                await consumer.poll()

    told = Change(ASSIGNED, (T0,))
    if asynchronous:
        asyncio.run(run())
        return
    with Consumer(bootstrap_servers=filled.bootstrap, group_id="g") as consumer:
        polls.append(consumer.poll)
        consumer.polling.listening.listener = Listener()
        consumer._program.rebalancing.changes.append(told)  # type: ignore[union-attr]
        with pytest.raises(RuntimeError, match="a rebalance listener cannot poll"):
            consumer.poll()


def test_a_record_of_before_a_fork_is_not_waited_for_after_it(real_loop: Any) -> None:
    producer = Producer(real_loop.bootstrap)
    sent = producer.send("missing", b"x")
    many = producer.send_many("missing", [(None, b"x")])
    child = os.fork()
    if child == 0:
        told = 0
        for future in (sent, many):
            try:
                future.result(WAIT_S)
            except ClientClosedError:
                told += 1
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    producer._engine.close()
