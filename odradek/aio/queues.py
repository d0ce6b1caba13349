"""Counter, Queue and LockingQueue for asyncio: the blocking ones, awaited."""

from __future__ import annotations

from collections.abc import Iterable

from odradek.aio.waiting import on_a_thread
from odradek.recipes.counter import Counter as BlockingCounter
from odradek.recipes.counter import Number
from odradek.recipes.locking_queue import LockingQueue as BlockingLockingQueue
from odradek.recipes.queue import Queue as BlockingQueue


class Counter:
    """A counter; see the blocking one."""

    def __init__(self, inner: BlockingCounter) -> None:
        self._inner = inner
        self.path = inner.path

    async def value(self) -> Number:
        """Return the number at present."""
        return await on_a_thread(lambda: self._inner.value)

    async def add(self, amount: Number) -> Number:
        """Add, and return the new number."""
        return await on_a_thread(lambda: self._inner.add(amount))


class Queue:
    """A queue; see the blocking one. A ``get`` that is cancelled may still take an item."""

    def __init__(self, inner: BlockingQueue) -> None:
        self._inner = inner
        self.path = inner.path

    async def put(self, value: bytes, priority: int = 100) -> None:
        """Add an item; a lower ``priority`` is taken first."""
        await on_a_thread(lambda: self._inner.put(value, priority))

    async def get(self, timeout: float | None = 0.0) -> bytes | None:
        """Take the first item; None if there is none within ``timeout`` seconds."""
        return await on_a_thread(lambda: self._inner.get(timeout))

    async def size(self) -> int:
        """Return how many items there are."""
        return await on_a_thread(lambda: len(self._inner))


class LockingQueue:
    """A queue whose items are kept until they are done; see the blocking one."""

    def __init__(self, inner: BlockingLockingQueue) -> None:
        self._inner = inner
        self.path = inner.path

    async def put(self, value: bytes, priority: int = 100) -> None:
        """Add an item; a lower ``priority`` is taken first."""
        await on_a_thread(lambda: self._inner.put(value, priority))

    async def put_all(self, values: Iterable[bytes], priority: int = 100) -> None:
        """Add items, all of them or none."""
        await on_a_thread(lambda: self._inner.put_all(values, priority))

    async def get(self, timeout: float | None = None) -> bytes | None:
        """Take the first free item; None after ``timeout`` seconds (None: wait for ever)."""
        return await on_a_thread(lambda: self._inner.get(timeout))

    async def consume(self) -> bool:
        """Remove the item that was taken. False: none was, or it was lost with its session."""
        return await on_a_thread(self._inner.consume)

    async def release(self) -> bool:
        """Give the item back. False: none was taken, or it was lost with its session."""
        return await on_a_thread(self._inner.release)

    async def holds_lock(self) -> bool:
        """Say whether the item that was taken is still ours."""
        return await on_a_thread(self._inner.holds_lock)

    async def size(self) -> int:
        """Return how many items there are."""
        return await on_a_thread(lambda: len(self._inner))
