"""Barrier, DoubleBarrier, Party and Partitioner for asyncio: the blocking ones, awaited."""

from __future__ import annotations

from collections.abc import Iterator

from odradek.aio.waiting import on_a_thread
from odradek.recipes.barrier import Barrier as BlockingBarrier
from odradek.recipes.double_barrier import DoubleBarrier as BlockingDoubleBarrier
from odradek.recipes.partitioner import Partitioner as BlockingPartitioner
from odradek.recipes.party import Party as BlockingParty


class Barrier:
    """A barrier; see the blocking one."""

    def __init__(self, inner: BlockingBarrier) -> None:
        self._inner = inner
        self.path = inner.path

    async def create(self) -> bool:
        """Put the barrier up; False if it was up."""
        return await on_a_thread(self._inner.create)

    async def remove(self) -> bool:
        """Let everybody pass; False if it was not up."""
        return await on_a_thread(self._inner.remove)

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the barrier is not up; False after ``timeout`` seconds."""
        return await on_a_thread(lambda: self._inner.wait(timeout))


class DoubleBarrier:
    """A barrier to enter and leave together; see the blocking one."""

    def __init__(self, inner: BlockingDoubleBarrier) -> None:
        self._inner = inner
        self.path = inner.path

    @property
    def participating(self) -> bool:
        """True from entering until leaving, while the session lives."""
        return self._inner.participating

    async def enter(self, timeout: float | None = None) -> None:
        """Wait until all are here. LockTimeout: then this one is not."""
        await on_a_thread(lambda: self._inner.enter(timeout))

    async def leave(self, timeout: float | None = None) -> None:
        """Wait until all that entered have come here or are gone. LockTimeout: this one left."""
        await on_a_thread(lambda: self._inner.leave(timeout))


class Party:
    """A group's list of members; see the blocking one."""

    def __init__(self, inner: BlockingParty) -> None:
        self._inner = inner
        self.path = inner.path

    @property
    def participating(self) -> bool:
        """True while our znode is there, as far as is known."""
        return self._inner.participating

    async def join(self) -> None:
        """Be here, from now to :meth:`leave`."""
        await on_a_thread(self._inner.join)

    async def leave(self) -> None:
        """Be here no more."""
        await on_a_thread(self._inner.leave)

    async def members(self) -> list[str]:
        """Return the identifiers of the members, in order of joining."""
        return await on_a_thread(lambda: list(self._inner))


class ShallowParty(Party):
    """A party whose identifiers are in names; see the blocking one."""


class Partitioner:
    """A division of a set of things; see the blocking one."""

    def __init__(self, inner: BlockingPartitioner) -> None:
        self._inner = inner
        self.path = inner.path

    @property
    def state(self) -> str:
        """ALLOCATING, ACQUIRED, RELEASE or FAILURE, judged now."""
        return self._inner.state

    @property
    def allocating(self) -> bool:
        """The state is ALLOCATING: await ``wait_for_acquire``."""
        return self._inner.allocating

    @property
    def acquired(self) -> bool:
        """The state is ACQUIRED: work on what iterating gives."""
        return self._inner.acquired

    @property
    def release(self) -> bool:
        """The state is RELEASE: stop the work, and await ``release_set``."""
        return self._inner.release

    @property
    def failed(self) -> bool:
        """The state is FAILURE: it was finished."""
        return self._inner.failed

    @property
    def is_certain(self) -> bool:
        """True when everything that was acquired is held, and a coordinator serves the session."""
        return self._inner.is_certain

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def fencing_token(self, thing: str) -> int:
        """Return the token of a thing that is owned; KeyError: it is not."""
        return self._inner.fencing_token(thing)

    async def wait_for_acquire(self, timeout: float | None = 30.0) -> bool:
        """Wait for steady members, and for the things that are ours; False after ``timeout`` s."""
        return await on_a_thread(lambda: self._inner.wait_for_acquire(timeout))

    async def release_set(self) -> None:
        """Give up what is owned, so that its next owners get it."""
        await on_a_thread(self._inner.release_set)

    async def finish(self) -> None:
        """Give up everything, and leave the group for good."""
        await on_a_thread(self._inner.finish)
