"""Lock, ReadLock, WriteLock, Semaphore and Election for asyncio: the blocking ones, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from odradek.aio.waiting import OnLoop, on_a_thread
from odradek.recipes.election import Election as BlockingElection
from odradek.recipes.lock import Hold as BlockingHold
from odradek.recipes.lock import HoldState
from odradek.recipes.semaphore import Semaphore as BlockingSemaphore

T = TypeVar("T")
BlockingT = TypeVar("BlockingT", bound=BlockingHold)


class Hold(Generic[BlockingT]):
    """What is acquired, held and released; see the blocking one."""

    def __init__(self, inner: BlockingT) -> None:
        self._inner = inner
        self.path = inner.path

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for it; True when it is held. LockTimeout, and False when not ``blocking``."""
        return await on_a_thread(
            lambda: self._inner.acquire(blocking, timeout),
            lambda held: held and self._inner.release(),  # else it may be another task's by now
        )

    async def release(self) -> bool:
        """Give it up; True if it was held until now."""
        return await on_a_thread(self._inner.release)

    async def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, in order of arrival."""
        return await on_a_thread(self._inner.contenders)

    @property
    def is_held(self) -> bool:
        """True while it is held and a coordinator serves the session."""
        return self._inner.is_held

    @property
    def state(self) -> str:
        """FREE, HELD, SUSPENDED (perhaps held) or LOST."""
        return self._inner.state

    @property
    def fencing_token(self) -> int:
        """A number that is larger for every later holder; RuntimeError: not held."""
        return self._inner.fencing_token

    def add_listener(self, listener: Callable[[str], object]) -> None:
        """Call ``listener(state)`` on the running event loop on each change."""
        self._inner.add_listener(OnLoop(listener))

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` on the running event loop when a hold has ended with its session."""
        self._inner.on_lost(OnLoop(callback))

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.release()


class Semaphore(Hold[BlockingSemaphore]):
    """A semaphore; see the blocking one."""

    async def lease_holders(self) -> list[str]:
        """Return the identifiers of those who hold a lease, in order of arrival."""
        return await on_a_thread(self._inner.lease_holders)


class Election(Hold[BlockingElection]):
    """An election; see the blocking one."""

    @property
    def is_leader(self) -> bool:
        """As ``is_held``: leader, and not suspended."""
        return self._inner.is_leader

    async def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Stand until elected, await ``function`` as leader, resign; return what it returns.

        When the session is lost meanwhile, the function is cancelled: it is leader no more.
        """
        await self.acquire()
        task = asyncio.ensure_future(function(*arguments))
        follow = OnLoop(lambda state: task.cancel() if state == HoldState.LOST else None)
        self._inner.add_listener(follow)
        if self._inner.lost.is_set():
            task.cancel()  # lost before it was listened for
        try:
            return await task
        finally:
            self._inner.remove_listener(follow)
            task.cancel()
            await self.release()

    async def leader(self) -> str | None:
        """Return the identifier of the candidate at the head of the line, or None."""
        return await on_a_thread(self._inner.leader)

    async def resign(self) -> bool:
        """As ``release``: the next candidate leads."""
        return await self.release()
