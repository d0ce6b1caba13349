"""Lock, Election, Semaphore, Counter and Queue for asyncio: the blocking recipes, each call awaited.

A call that waits runs on a thread of its own meanwhile; a task that is cancelled ends the wait.
What they guarantee when a session is lost is said by the blocking ones.  The other recipes are for
blocking programs only, so far.
"""

# ruff: noqa: N802 - the names are kazoo's, of classes
from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, TypeVar

from odradek import coordination
from odradek.recipes.counter import Counter as BlockingCounter
from odradek.recipes.counter import Number
from odradek.recipes.election import Election as BlockingElection
from odradek.recipes.lock import Hold as BlockingHold
from odradek.recipes.queue import Queue as BlockingQueue

T = TypeVar("T")
HoldT = TypeVar("HoldT", bound="Hold[Any]")
BlockingT = TypeVar("BlockingT", bound=BlockingHold)
LOOK_AGAIN_S = 0.05
"""Between two attempts to end a wait."""


async def _on_a_thread(call: Callable[[], T], cancel: Callable[[], object] | None = None) -> T:
    """Run ``call`` on a thread of its own: waits may be many and long, and pools have an end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is the awaiting task's
            future.set_exception(error)

    threading.Thread(target=run, name="odradek-recipe", daemon=True).start()
    awaited = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(awaited)
    except asyncio.CancelledError:
        awaited.add_done_callback(lambda done: done.cancelled() or done.exception())
        while cancel is not None and not awaited.done():
            cancel()  # again and again: the wait may not have begun yet
            await asyncio.wait([awaited], timeout=LOOK_AGAIN_S)
        raise


class Hold(Generic[BlockingT]):
    """What is acquired, held and released; see the blocking one."""

    def __init__(self, inner: BlockingT) -> None:
        self._inner = inner
        self.path = inner.path

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for it; True when it is held. LockTimeout, and False when not ``blocking``."""

        def acquire() -> bool:
            return self._inner.acquire(blocking, timeout)

        try:
            return await _on_a_thread(acquire, self._inner.cancel)
        except asyncio.CancelledError:
            # It may have been acquired just before; a release of what is not held is harmless.
            await _on_a_thread(self._inner.release)
            raise

    async def release(self) -> bool:
        """Give it up; True if it was held until now."""
        return await _on_a_thread(self._inner.release)

    async def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, in order of arrival."""
        return await _on_a_thread(self._inner.contenders)

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

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` on the running event loop when a hold has ended with its session."""
        loop = asyncio.get_running_loop()

        def hand_over() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback)

        self._inner.on_lost(hand_over)

    async def __aenter__(self: HoldT) -> HoldT:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()


class Election(Hold[BlockingElection]):
    """An election; see the blocking one."""

    async def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Stand until elected, await ``function`` as leader, resign; return what it returns.

        When the session is lost meanwhile, the function is cancelled: it is leader no more.
        """
        await self.acquire()
        task = asyncio.ensure_future(function(*arguments))
        self.on_lost(task.cancel)
        try:
            return await task
        finally:
            task.cancel()
            await self.release()

    async def leader(self) -> str | None:
        """Return the identifier of the candidate at the head of the line, or None."""
        return await _on_a_thread(self._inner.leader)


class Counter:
    """A counter; see the blocking one."""

    def __init__(self, inner: BlockingCounter) -> None:
        self._inner = inner
        self.path = inner.path

    async def value(self) -> Number:
        """Return the number at present."""
        return await _on_a_thread(lambda: self._inner.value)

    async def add(self, amount: Number) -> Number:
        """Add, and return the new number."""
        return await _on_a_thread(lambda: self._inner.add(amount))


class Queue:
    """A queue; see the blocking one. A ``get`` that is cancelled may still take an item."""

    def __init__(self, inner: BlockingQueue) -> None:
        self._inner = inner
        self.path = inner.path

    async def put(self, value: bytes, priority: int = 100) -> None:
        """Add an item; a lower ``priority`` is taken first."""
        await _on_a_thread(lambda: self._inner.put(value, priority))

    async def get(self, timeout: float | None = 0.0) -> bytes | None:
        """Take the first item; None if there is none within ``timeout`` seconds."""
        return await _on_a_thread(lambda: self._inner.get(timeout))

    async def size(self) -> int:
        """Return how many items there are."""
        return await _on_a_thread(lambda: len(self._inner))


class Recipes:
    """What :class:`odradek.aio.CoordinationClient` offers beyond single operations."""

    _client: coordination.CoordinationClient

    def Lock(self, path: str, identifier: str | None = None) -> Hold[BlockingHold]:
        """Return a lock; see :class:`odradek.recipes.lock.Lock`."""
        return Hold(self._client.Lock(path, identifier))

    def Semaphore(
        self, path: str, identifier: str | None = None, max_leases: int = 1
    ) -> Hold[BlockingHold]:
        """Return a semaphore; see :class:`odradek.recipes.semaphore.Semaphore`."""
        return Hold(self._client.Semaphore(path, identifier, max_leases))

    def Election(self, path: str, identifier: str | None = None) -> Election:
        """Return an election; see :class:`odradek.recipes.election.Election`."""
        return Election(self._client.Election(path, identifier))

    def Counter(self, path: str, default: Number = 0) -> Counter:
        """Return a counter; see :class:`odradek.recipes.counter.Counter`."""
        return Counter(self._client.Counter(path, default))

    def Queue(self, path: str) -> Queue:
        """Return a queue; see :class:`odradek.recipes.queue.Queue`."""
        return Queue(self._client.Queue(path))
