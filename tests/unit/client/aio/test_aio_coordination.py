"""What the asyncio client has beyond single operations, against one coordinator in this process."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from odradek import aio
from odradek.coordination.client import CoordinationClient, EventType, WatchedEvent
from odradek.coordination.retry import RetryFailedError
from odradek.errors import ConnectionLoss, NoNodeError
from tests.unit.client.coordinator import WAIT_S, InProcessLoop


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odradek.cluster.engine._real_loop", InProcessLoop)


def run(use: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(use, WAIT_S))


def test_every_call_of_the_blocking_client_is_there_with_its_arguments() -> None:
    missing = {}
    kept_apart = {"start_async", "trouble", "unchroot"}
    for name, call in inspect.getmembers(CoordinationClient, inspect.isfunction):
        if name.startswith("_") or name.endswith("_async") or name[0].isupper():
            continue
        twin = getattr(aio.CoordinationClient, name, None)
        parameters = list(inspect.signature(call).parameters)
        if name not in kept_apart and (
            twin is None or list(inspect.signature(twin).parameters) != parameters
        ):
            missing[name] = parameters
    assert missing == {}


def test_a_time_that_is_none_is_said_at_once() -> None:
    with pytest.raises(TypeError, match="operation_timeout"):
        aio.CoordinationClient("c:1", operation_timeout="1")  # type: ignore[arg-type]


def test_a_session_is_closed_though_users_fill_the_pool_of_threads() -> None:
    done = threading.Event()

    async def use() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, done.wait, 2 * WAIT_S)
        try:
            async with asyncio.timeout(WAIT_S), aio.CoordinationClient("c:1") as client:
                await client.create("/a")
        finally:
            done.set()

    run(use())


def test_lasting_watches_linearizable_reads_and_reads_at_once() -> None:
    async def use() -> None:
        events: asyncio.Queue[WatchedEvent] = asyncio.Queue()
        async with aio.CoordinationClient("c:1/app", auth_data=[("digest", "me:x")]) as client:
            assert client.chroot == "/app"
            await client.ensure_path("/")
            assert await client.add_watch("/", events.put, recursive=True)
            await client.create("/a", b"1")
            event = await events.get()
            assert (event.type, event.path) == (EventType.CREATED, "/a")
            assert (await client.get("/a", linearizable=True))[0] == b"1"
            assert await client.exists("/no", linearizable=True) is None
            assert await client.get_children("/", linearizable=True) == ["a"]
            assert await client.add_auth("digest", "me:secret")
            assert await client.remove_watches("/") is True
            assert (await events.get()).type == EventType.REMOVED

    run(use())


def test_changes_are_an_async_iterator() -> None:
    async def use() -> None:
        async with aio.CoordinationClient("c:1") as client:
            changes = client.changes("/", since=0)

            async def follow() -> list[str]:
                return [change.path async for change in changes]

            following = asyncio.create_task(follow())
            for name in ("a", "b", "c"):
                await client.create(f"/{name}")
            async with client.changes("/", since=0) as others:
                assert [(await anext(others)).path for _ in range(3)] == ["/a", "/b", "/c"]
                late = asyncio.create_task(others.next())
                await client.create("/d")
                change = await late
                assert change is not None
                assert (change.path, others.position) == ("/d", change.zxid)
            while changes.position != others.position:
                await asyncio.sleep(0)
            await changes.close()
            assert await following == ["/a", "/b", "/c", "/d"]

    run(use())


def test_retry_awaits_again() -> None:
    async def use() -> None:
        failures = [ConnectionLoss(), ConnectionLoss()]

        async def fail() -> str:
            if failures:
                raise failures.pop()
            return "done"

        client = aio.CoordinationClient("c:1", command_retry={"max_tries": 2, "delay": 0})
        assert await client.retry(fail) == "done"
        failures.extend(ConnectionLoss() for _ in range(3))
        with pytest.raises(RetryFailedError):
            await client.retry(fail)
        with pytest.raises(NoNodeError):
            await client.retry(client.get, "/no")
        await client.restart()
        assert client.connected
        await client.stop()

    run(use())


def test_a_call_whose_answer_comes_with_its_cancellation_is_cancelled() -> None:
    async def use() -> None:
        async with aio.CoordinationClient("c:1") as client, client.changes("/") as changes:
            calls = (lambda: client.get("/"), changes.next)
            for call in calls:
                task = asyncio.ensure_future(call())
                await asyncio.sleep(0)
                time.sleep(0.05)  # the event loop is busy while the answer comes
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
                assert task.cancelled()

    run(use())


def test_a_client_whose_block_is_cancelled_before_it_begins_is_stopped() -> None:
    async def use() -> None:
        client = aio.CoordinationClient("c:1")
        entering = asyncio.create_task(client.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await asyncio.sleep(0.1)
        assert not client.connected

    run(use())


def test_a_start_that_is_cancelled_leaves_others_and_later_ones_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = threading.Event()

    class LateLoop(InProcessLoop):
        def run(self) -> int:
            there.wait(WAIT_S)
            return super().run()

    monkeypatch.setattr("odradek.cluster.engine._real_loop", LateLoop)

    async def use() -> None:
        client = aio.CoordinationClient("c:1")
        first, second = (asyncio.ensure_future(client.start()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        there.set()
        await asyncio.wait([second])
        assert first.cancelled()
        assert second.exception() is None
        await client.start()
        assert client.connected
        await client.stop()

    run(use())
