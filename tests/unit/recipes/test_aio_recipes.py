"""The recipes for asyncio, over a blocking client on a tree in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from odradek import aio
from odradek.coordination import CoordinationClient

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
