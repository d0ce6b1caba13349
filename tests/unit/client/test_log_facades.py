"""The blocking and asyncio clients, each on its own thread, against scripted brokers."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import odradek
from odradek import (
    AdminClient,
    Consumer,
    NewTopic,
    Producer,
    RecordMetadata,
    TopicPartition,
    aio,
)
from odradek.errors import (
    BufferFullError,
    ClientClosedError,
    ClientError,
    ClientTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

T0 = TopicPartition("t", 0)
WAIT_S = 20


def values(cluster: Any, partition: int = 0) -> list[Any]:
    with cluster.lock:
        found: list[Any] = cluster.topics["t"].partitions[partition].values()
        return found


def fill(cluster: Any, count: int) -> None:
    with Producer(cluster.bootstrap) as producer:
        producer.send_many("t", [(b"k", b"%d" % n) for n in range(count)]).get(WAIT_S)


def test_send_many_threads_and_flush(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap) as producer:
        assert producer.send("t", b"0", timestamp_ms=7).get(WAIT_S) == RecordMetadata("t", 0, 0, 7)
        threads = [
            threading.Thread(target=lambda: [producer.send("t", b"x") for _ in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.flush(WAIT_S)
        assert len(values(real_loop)) == 401
        assert producer.partitions_for("t") == {0}
    with pytest.raises(ClientClosedError):
        producer.send("t", b"late")
    producer.close()


def test_send_many_takes_any_iterable_and_serializes(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(
        real_loop.bootstrap, key_serializer=str.encode, value_serializer=lambda n: b"%d" % n
    ) as producer:
        many = producer.send_many("t", ((f"k{n}", n) for n in range(5_000)))
        written = many.result(WAIT_S)
        one = producer.send("t", 5_000, key=None, headers=[("h", b"v")]).get(WAIT_S)
    assert [int(value) for value in values(real_loop)] == list(range(5_001))
    assert (len(written), written[4_999].offset, one.offset) == (5_000, 4_999, 5_000)


def test_wrong_arguments_are_told_at_once(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap) as producer:
        with pytest.raises(TypeError, match="value_serializer"):
            producer.send("t", "text")
        with pytest.raises(TypeError, match="key_serializer"):
            producer.send_many("t", [(1, b"")])
        with pytest.raises(TypeError, match="header"):
            producer.send("t", b"", headers=[("h", "text")])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="topic"):
            producer.send(b"t", b"")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timestamp_ms"):
            producer.send("t", b"", timestamp_ms=-1)
        assert producer.send("t", b"fine").get(WAIT_S).offset == 0
    for wrong in ({"acks": 2}, {"compression_type": "zip"}, {"max_in_flight": 9}):
        with pytest.raises(ValueError, match=r"acks|zip|max_in_flight"):
            Producer(real_loop.bootstrap, **wrong)


def test_a_partitioner_that_fails_fails_its_record_only(real_loop: Any) -> None:
    real_loop.topic("t", 2)

    def choose(key: bytes, partitions: Any, available: Any) -> Any:
        assert list(partitions) == list(available) == [0, 1]
        return {b"list": [1], b"float": 1.0, b"none": None}.get(key) if key.isalpha() else int(key)

    with Producer(real_loop.bootstrap, partitioner=choose) as producer:
        for key in (b"x:", b"list", b"float", b"none"):
            with pytest.raises(ClientError, match="partitioner"):
                producer.send("t", b"", key=key).get(WAIT_S)
        with pytest.raises(UnknownTopicOrPartitionError):
            producer.send("t", b"", key=b"7").get(WAIT_S)
        assert producer.send("t", b"", key=b"1").get(WAIT_S).partition == 1


def test_headers_count_into_the_memory_of_records_that_wait(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap, buffer_memory=10_000, max_block_ms=300) as producer:
        producer.send("t", b"0").get(WAIT_S)
        producer._inbox.program.on_room = None  # the loop is busy with something else
        producer.send("t", b"1", headers=[("h", bytes(20_000))])
        with pytest.raises(BufferFullError):
            producer.send("t", b"2")
        producer._inbox.program.on_room = producer._inbox.drain
        producer.wake()


def test_close_gives_up_after_its_time_and_tells_each_record(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    producer.send("t", b"0").get(WAIT_S)
    with real_loop.lock:
        real_loop.held = {1, 2, 3}
    future = producer.send("t", b"1")
    with pytest.raises(ClientTimeoutError):
        producer.flush(0.01)
    producer.close(0.01)
    with pytest.raises(ClientClosedError):
        future.get(WAIT_S)


def test_a_failed_loop_fails_what_was_in_flight(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    with real_loop.lock:
        real_loop.held = {1, 2, 3}
    future = producer.send("t", b"1")

    def break_it(_now: Any) -> None:
        raise RuntimeError("a bug")

    producer._engine.post(break_it)
    with pytest.raises(ClientClosedError, match="a bug"):
        future.get(WAIT_S)
    with pytest.raises(ClientClosedError):
        producer.send("t", b"2")


def test_a_dropped_producer_delivers_and_goes(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    thread = producer._engine._running.thread
    assert thread is not None
    gone = weakref.ref(producer)
    future = producer.send("t", b"0")
    del producer
    assert future.get(WAIT_S).offset == 0
    del future
    gc.collect()
    assert gone() is None
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_iteration_follows_what_the_program_does_meanwhile(real_loop: Any) -> None:
    real_loop.topic("t")
    fill(real_loop, 1_000)
    seen: list[int] = []
    with Consumer(
        "t",
        bootstrap_servers=real_loop.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=200,
    ) as consumer:
        for record in consumer:
            seen.append(record.offset)
            if record.offset == 3:
                consumer.seek(T0, 990)
            elif record.offset == 995:
                assert [one.offset for one in consumer.poll()[T0]] == [996, 997, 998, 999]
    assert seen == [0, 1, 2, 3, *range(990, 996)]


def test_consuming_by_poll_and_by_iteration(real_loop: Any) -> None:
    real_loop.topic("t")
    fill(real_loop, 1_000)
    with Consumer(
        "t",
        bootstrap_servers=real_loop.bootstrap,
        auto_offset_reset="earliest",
        value_deserializer=int,
        consumer_timeout_ms=200,
        max_poll_records=70,
    ) as consumer:
        polled = consumer.poll(1_000, max_records=10)
        assert [record.value for record in polled[T0]] == list(range(10))
        assert consumer.position(T0) == 10
        assert next(consumer).value == 10
        assert consumer.position(T0) == 11, "of what was given, not of what was polled"
        rest = consumer.poll()
        assert rest[T0][0].value == 11
        consumer.seek(T0, 500)
        assert [record.value for record in consumer] == list(range(500, 1_000))
        assert consumer.position(T0) == 1_000
        assert consumer.end_offsets([T0]) == {T0: 1_000}
        assert consumer.beginning_offsets([T0]) == {T0: 0}
        consumer.seek_to_beginning()
        assert next(consumer).value == 0
        consumer.seek_to_end(T0)
        assert consumer.position(T0) == 1_000
        assert consumer.poll(10) == {}


@pytest.mark.parametrize("method", ["seek_to_beginning", "seek_to_end", "pause", "resume"])
def test_one_partition_that_is_not_assigned_changes_nothing_of_the_others(
    real_loop: Any, method: str
) -> None:
    real_loop.topic("t")
    fill(real_loop, 10)
    with Consumer(
        "t",
        bootstrap_servers=real_loop.bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=200,
    ) as consumer:
        assert next(consumer).offset == 0
        for keys in [(T0, TopicPartition("t", 7)), (TopicPartition("t", 7), T0)]:
            with pytest.raises(ValueError, match="t-7 is not assigned"):
                getattr(consumer, method)(*keys)
        assert consumer.paused() == set()
        assert [record.offset for record in consumer] == list(range(1, 10))


def test_a_lag_leaves_out_what_the_group_has_taken_meanwhile(
    real_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_loop.topic("t", 2)
    fill(real_loop, 10)
    with Consumer(bootstrap_servers=real_loop.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([T0])
        assigned = {T0, TopicPartition("t", 1)}
        monkeypatch.setattr(consumer, "assignment", lambda: assigned)
        (lag,) = consumer.lag().items()
    assert lag[0] == T0


def test_what_a_consumer_tells_of_topics(real_loop: Any) -> None:
    real_loop.topic("t", 2)
    with Consumer(bootstrap_servers=real_loop.bootstrap) as consumer:
        assert consumer.topics() == {"t"}
        assert consumer.partitions_for_topic("t") == {0, 1}
        assert consumer.partitions_for_topic("x") is None
        consumer.assign([T0])
        assert consumer.assignment() == {T0}
        consumer.pause(T0)
        assert consumer.paused() == {T0}
        consumer.resume(T0)
        assert consumer.paused() == set()
        consumer.subscribe("t")
        assert consumer.subscription() == {"t"}
        with pytest.raises(ValueError, match="not assigned"):
            consumer.seek(TopicPartition("x", 0), 0)
        with pytest.raises(ValueError, match="at least"):
            consumer.poll(0, max_records=0)
    with pytest.raises(ValueError, match="auto_offset_reset"):
        Consumer(bootstrap_servers=real_loop.bootstrap, auto_offset_reset="first")


def test_administration(real_loop: Any) -> None:
    with AdminClient(real_loop.bootstrap) as admin:
        admin.create_topics([NewTopic("t", 2), "u"])
        assert admin.list_topics() == ["t", "u"]
        assert [len(topic.partitions) for topic in admin.describe_topics()] == [2, 1]
        with pytest.raises(TopicAlreadyExistsError):
            admin.create_topics(["t"])
        admin.delete_topics(["u"])
        assert admin.list_topics() == ["t"]
        assert admin.describe_cluster().cluster_id == "scripted"
        with pytest.raises(TypeError, match="list"):
            admin.delete_topics("t")


def test_asyncio_produces_and_consumes(real_loop: Any) -> None:
    real_loop.topic("t")

    async def produce() -> None:
        async with aio.Producer(real_loop.bootstrap, buffer_memory=2_000) as producer:
            assert (await producer.send("t", b"0")).offset == 0
            futures = [producer.send("t", b"%d" % number) for number in range(1, 300)]
            written = await asyncio.gather(*futures)
            assert [metadata.offset for metadata in written] == list(range(1, 300))
            assert len(await producer.send_many("t", [(None, b"300"), (None, b"301")])) == 2
            await producer.flush(WAIT_S)
            with pytest.raises(TypeError):
                await producer.send("t", "text")

    async def consume() -> None:
        async with aio.Consumer(
            "t",
            bootstrap_servers=real_loop.bootstrap,
            auto_offset_reset="earliest",
            consumer_timeout_ms=200,
        ) as consumer:
            assert [int(record.value) async for record in consumer] == list(range(302))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(consumer.poll(1_000_000), 0.02)
            await consumer.seek(T0, 300)
            assert await consumer.position(T0) == 300
            polled = await consumer.poll(1_000)
            assert [record.value for record in polled[T0]] == [b"300", b"301"]

    async def administer() -> None:
        async with aio.AdminClient(real_loop.bootstrap) as admin:
            assert await admin.list_topics() == ["t"]

    asyncio.run(produce())
    assert [int(value) for value in values(real_loop)] == list(range(302))
    asyncio.run(consume())
    asyncio.run(administer())


def test_asyncio_clients_need_no_thread_of_the_pool_that_users_fill(real_loop: Any) -> None:
    real_loop.topic("t")
    done, named = threading.Event(), contextvars.ContextVar("named", default="")

    async def use() -> None:
        loop, named_there = asyncio.get_running_loop(), []
        loop.set_default_executor(ThreadPoolExecutor(1))
        filled = loop.run_in_executor(None, done.wait, 2 * WAIT_S)

        def serialize(value: bytes) -> bytes:
            named_there.append(named.get())
            return value

        named.set("by the task")
        async with aio.Producer(real_loop.bootstrap, value_serializer=serialize) as producer:
            assert len(await producer.send_many("t", [(None, b"0"), (None, b"1")])) == 2
            assert await producer.partitions_for("t") == {0}
        assert set(named_there) == {"by the task"}
        options: dict[str, Any] = {"bootstrap_servers": real_loop.bootstrap}
        async with aio.Consumer(auto_offset_reset="earliest", **options) as consumer:
            await consumer.subscribe("t")
            await consumer.assign([T0])
            assert len((await consumer.poll(1_000))[T0]) == 2
            assert await consumer.position(T0) == 2
        async with aio.AdminClient(real_loop.bootstrap) as admin:
            questions = [admin.list_topics() for _ in range(50)]
            assert await asyncio.gather(*questions) == [["t"]] * 50
        assert not filled.done()
        with pytest.raises(ClientClosedError):
            await admin.list_topics()

    async def use_in_time() -> None:
        try:
            await asyncio.wait_for(use(), WAIT_S)
        finally:
            done.set()

    asyncio.run(use_in_time())


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "forgotten"])
def test_an_asyncio_client_takes_its_threads_along(real_loop: Any, closed: bool) -> None:
    async def use() -> aio.AdminClient:
        admin = aio.AdminClient(real_loop.bootstrap)
        await asyncio.gather(*(admin.list_topics() for _ in range(5)))
        await (admin.close() if closed else asyncio.to_thread(admin._admin.close))
        return admin

    def theirs() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name.startswith("odradek-call")]

    admin: aio.AdminClient | None = asyncio.run(use())
    if not closed:
        assert theirs()
        admin = None
        gc.collect()
    for one in theirs():
        one.join(WAIT_S)
    assert not theirs(), admin


def test_everything_promised_can_be_imported() -> None:
    for name in odradek.__all__:
        assert getattr(odradek, name).__name__ == name
    for name in aio.__all__:
        assert getattr(aio, name).__name__ == name
    with pytest.raises(AttributeError):
        odradek.Nothing  # noqa: B018 - the access is what is tested
