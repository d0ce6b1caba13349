"""The recipes for asyncio, over a blocking client on a tree in memory."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from odradek import aio
from odradek.aio.holds import Hold
from odradek.aio.waiting import OnLoop, on_a_thread
from odradek.coordination.client import CoordinationClient
from odradek.recipes import Instance

WAIT_S = 10.0


class AsyncFace(aio.CoordinationClient):
    """The asyncio client of a blocking one that is there already."""

    def __init__(self, client: CoordinationClient) -> None:
        super().__init__("c:1")
        self._client = client


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition of other threads holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_lock_is_awaited_and_a_cancelled_wait_leaves_the_line(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    async def scenario() -> None:
        async with AsyncFace(one).Lock("/l", "a") as held:
            assert held.is_held
            waiting = AsyncFace(two).Lock("/l", "b")
            task = asyncio.create_task(waiting.acquire())
            await until(lambda: len(one.get_children("/l")) == 2)
            assert await held.contenders() == ["a", "b"]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: len(one.get_children("/l")) == 1)
            task = asyncio.create_task(waiting.acquire())
            await asyncio.sleep(0)  # begun, though its thread may not have
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: len(one.get_children("/l")) == 1)
        assert await waiting.acquire(timeout=WAIT_S)
        assert waiting.fencing_token > 0
        assert await waiting.release()

    asyncio.run(scenario())


def test_a_leader_that_loses_its_session_is_cancelled(
    ensemble: Any, one: CoordinationClient
) -> None:
    async def scenario() -> None:
        election = AsyncFace(one).Election("/e", "a")
        leads = asyncio.Event()

        async def lead() -> None:
            leads.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(election.run(lead))
        await asyncio.wait_for(leads.wait(), WAIT_S)
        assert await election.leader() == "a"
        ensemble.expire(one)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT_S)
        assert election.state == "LOST"

        async def answer() -> int:
            return 42

        assert await election.run(answer) == 42
        assert election._inner._line._listeners == [], "one for each run, for ever"

    asyncio.run(scenario())


def test_semaphores_counters_and_queues(one: CoordinationClient) -> None:
    async def scenario() -> None:
        client = AsyncFace(one)
        async with client.Semaphore("/s", max_leases=2) as lease:
            assert lease.state == "HELD"
        counter = client.Counter("/c")
        await asyncio.gather(*(counter.add(1) for _ in range(10)))
        assert await counter.value() == 10
        queue = client.Queue("/q")
        assert await queue.get(0) is None
        taken = asyncio.create_task(queue.get(WAIT_S))
        await queue.put(b"item")
        assert await taken == b"item"
        assert await queue.size() == 0

    asyncio.run(scenario())


def test_every_recipe_of_the_blocking_client_is_there_with_its_arguments() -> None:
    def recipes(kind: type) -> dict[str, list[str]]:
        names = [name for name in dir(kind) if name[0].isupper()]
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in names}

    assert recipes(aio.CoordinationClient) == recipes(CoordinationClient)


def test_a_cancelled_wait_ends_whichever_recipe_waits(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    for path in ("/barrier", "/both", "/s/turn"):
        two.ensure_path(path)

    async def scenario() -> None:
        client = AsyncFace(one)
        cache = client.TreeCache("/never-started")
        queue, both = client.LockingQueue("/jobs"), client.DoubleBarrier("/both", 2, "a")
        waits: list[Callable[[], Awaitable[object]]] = [
            client.Barrier("/barrier").wait,
            both.enter,
            queue.get,
            cache.wait,
            lambda: client.Queue("/q").get(None),
            lambda: client.Semaphore("/s", max_leases=1).acquire(),
        ]
        holder = AsyncFace(two).Semaphore("/s", max_leases=1)
        assert await holder.acquire()
        tasks = [asyncio.ensure_future(wait()) for wait in waits]
        await until(lambda: len(one.get_children("/both")) == 1)
        await until(lambda: len(one.get_children("/s/turn")) == 1)
        for task in tasks:
            assert not task.done()
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=WAIT_S)
        assert len(done) == len(tasks)
        assert all(task.cancelled() for task in tasks)
        await until(lambda: "odradek-recipe" not in {each.name for each in threading.enumerate()})
        assert one.get_children("/both") == []
        assert await holder.contenders() == [""]
        await client.Queue("/q").put(b"item")
        assert await client.Queue("/q").get(WAIT_S) == b"item", "nobody else has taken it"

    asyncio.run(scenario())


def test_what_a_cancelled_call_has_done_is_taken_back() -> None:
    async def scenario() -> None:
        going = threading.Event()
        undone: list[str] = []

        def call() -> str:
            going.wait(WAIT_S)
            return "made"

        task = asyncio.ensure_future(on_a_thread(call, undone.append))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        going.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert undone == ["made"]

    asyncio.run(scenario())


def test_what_a_call_has_done_whose_task_is_cancelled_before_it_hears_of_it_is_taken_back() -> None:
    async def scenario() -> None:
        undone: list[str] = []
        call = on_a_thread(lambda: "made", undone.append)
        await cancelled_unheard(call)
        assert undone == ["made"]

    asyncio.run(scenario())


async def cancelled_unheard(call: Coroutine[Any, Any, object]) -> None:
    """Cancel a call that has ended while the event loop was busy, so that nobody knows of it."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name == "odradek-recipe":
            thread.join(WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_who_has_not_got_a_lock_and_is_cancelled_does_not_release_it(
    one: CoordinationClient, two: CoordinationClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then another task may have it, by the same object."""

    async def scenario() -> None:
        lock, released = two.Lock("/l"), list[str]()
        monkeypatch.setattr(lock, "release", lambda: released.append("released"))
        async with AsyncFace(one).Lock("/l"):
            await cancelled_unheard(Hold(lock).acquire(blocking=False))
        assert not released

    asyncio.run(scenario())


def test_a_callback_in_which_something_is_cancelled_holds_up_none_after_it() -> None:
    async def scenario() -> None:
        called: list[int] = []

        async def callback(number: int) -> None:
            called.append(number)
            if number == 1:
                gone = asyncio.ensure_future(asyncio.sleep(WAIT_S))
                gone.cancel()
                await gone

        calling = OnLoop(callback)
        for number in (1, 2, 3):
            calling(number)
        await until(lambda: called == [1, 2, 3])

    asyncio.run(scenario())


def test_groups_and_queues_are_awaited(one: CoordinationClient, two: CoordinationClient) -> None:
    async def scenario() -> None:
        client, other = AsyncFace(one), AsyncFace(two)
        barriers = [each.DoubleBarrier("/both", 2) for each in (client, other)]
        await asyncio.gather(*(barrier.enter(WAIT_S) for barrier in barriers))
        await asyncio.gather(*(barrier.leave(WAIT_S) for barrier in barriers))
        barrier = client.Barrier("/barrier")
        assert await barrier.create()
        passing = asyncio.create_task(other.Barrier("/barrier").wait(WAIT_S))
        assert await barrier.remove()
        assert await passing
        for party in (client.Party("/party", "a"), client.ShallowParty("/shallow", "a")):
            await party.join()
            assert (await party.members(), party.participating) == (["a"], True)
            await party.leave()
        jobs = client.LockingQueue("/jobs")
        await jobs.put_all([b"1", b"2"])
        assert await jobs.get(WAIT_S) == b"1"
        assert await jobs.holds_lock()
        assert await jobs.consume()
        assert await jobs.get(WAIT_S) == b"2"
        assert await jobs.release()
        assert await jobs.size() == 1
        assert await client.NonBlockingLease("/lease", timedelta(hours=1), "a")
        assert not await other.NonBlockingLease("/lease", timedelta(hours=1), "b")
        assert await client.MultiNonBlockingLease(2, "/leases", timedelta(hours=1), "a")
        async with client.ReadLock("/rw"), other.ReadLock("/rw"):
            assert not await other.WriteLock("/rw").acquire(blocking=False)
        parts = await client.Partitioner("/parts", ("x", "y"), time_boundary=0.02)
        assert await parts.wait_for_acquire(WAIT_S)
        assert list(parts) == ["x", "y"]
        await parts.finish()
        assert parts.failed

    asyncio.run(scenario())


def test_watching_recipes_call_on_the_event_loop_one_after_the_other(
    ensemble: Any, one: CoordinationClient, two: CoordinationClient
) -> None:
    async def scenario() -> None:
        client, here = AsyncFace(one), threading.get_ident()
        seen: asyncio.Queue[object] = asyncio.Queue()

        async def next_of() -> object:
            return await asyncio.wait_for(seen.get(), WAIT_S)

        async def data_changed(data: bytes | None, _stat: object) -> bool:
            assert threading.get_ident() == here
            await asyncio.sleep(0.01)  # the next call waits for this one
            seen.put_nowait(data)
            return data != b"end"

        two.create("/d", b"0")
        await client.DataWatch("/d", data_changed)
        assert await next_of() == b"0"
        two.set("/d", b"1")
        assert await next_of() == b"1"
        two.set("/d", b"end")
        assert await next_of() == b"end"
        children = await client.ChildrenWatch("/d", seen.put_nowait)
        assert await next_of() == []
        two.create("/d/c")
        assert await next_of() == ["c"]
        children.stop()
        two.set("/d", b"after")  # nobody watches it any more

        config = await client.Config("/config", {"workers": 4})
        config.on_change(seen.put_nowait)
        assert await config.update({"workers": 5}) == 0
        assert (config["workers"], await next_of()) == (5, {"workers": 5})

        cache = client.TreeCache("/d")
        await cache.start()
        assert await cache.wait(WAIT_S)
        cache.listen(lambda event: seen.put_nowait(event.event_type))
        two.delete("/d/c")
        assert await next_of() in ("NODE_REMOVED", "NODE_UPDATED")
        cache.close()

    asyncio.run(scenario())


def test_a_registration_lives_as_long_as_its_block(
    one: CoordinationClient, two: CoordinationClient
) -> None:
    async def scenario() -> None:
        seen: asyncio.Queue[list[str]] = asyncio.Queue()

        async def told(instances: list[Instance]) -> None:
            seen.put_nowait([each.endpoint for each in instances])

        registry = AsyncFace(two).Naming("/services")
        watch = await registry.watch("search", told)
        assert await asyncio.wait_for(seen.get(), WAIT_S) == []
        made = await AsyncFace(one).Naming("/services").register("search", "here:1")
        async with made:
            assert made.registered
            assert await asyncio.wait_for(seen.get(), WAIT_S) == ["here:1"]
            assert [each.id for each in await registry.resolve("search")] == [made.id]
            assert await registry.names() == ["search"]
        assert await asyncio.wait_for(seen.get(), WAIT_S) == []
        watch.stop()

    asyncio.run(scenario())
