"""The recipes as attributes of the asyncio client: the blocking ones, each call awaited.

What they guarantee when a session is lost is said by the blocking ones.  Where making a recipe
already asks the coordinators (leases, ``Config``, ``Partitioner``, watches) it is awaited too.
"""

# ruff: noqa: N802 - the names are kazoo's, of classes
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from odradek.aio.groups import Barrier, DoubleBarrier, Partitioner, Party, ShallowParty
from odradek.aio.holds import Election, Hold, Semaphore
from odradek.aio.queues import Counter, LockingQueue, Queue
from odradek.aio.shared_values import Config, Naming, TreeCache
from odradek.aio.waiting import OnLoop, on_a_thread
from odradek.coordination import client as coordination
from odradek.recipes.children_watch import ChildrenWatch
from odradek.recipes.counter import Number
from odradek.recipes.data_watch import DataWatch
from odradek.recipes.lock import Lock
from odradek.recipes.partitioner import Divide
from odradek.recipes.read_write_lock import ReadLock, WriteLock

WatchT = TypeVar("WatchT", DataWatch, ChildrenWatch)


class Recipes:
    """What :class:`odradek.aio.CoordinationClient` offers beyond single operations."""

    _client: coordination.CoordinationClient

    def Lock(self, path: str, identifier: str | None = None) -> Hold[Lock]:
        """Return a lock; see :class:`odradek.recipes.lock.Lock`."""
        return Hold(self._client.Lock(path, identifier))

    def ReadLock(self, path: str, identifier: str | None = None) -> Hold[ReadLock]:
        """Return the shared half of a lock; see :class:`odradek.recipes.read_write_lock.ReadLock`."""
        return Hold(self._client.ReadLock(path, identifier))

    def WriteLock(self, path: str, identifier: str | None = None) -> Hold[WriteLock]:
        """Return the exclusive half of a lock; see :class:`odradek.recipes.read_write_lock.WriteLock`."""
        return Hold(self._client.WriteLock(path, identifier))

    def Semaphore(self, path: str, identifier: str | None = None, max_leases: int = 1) -> Semaphore:
        """Return a semaphore; see :class:`odradek.recipes.semaphore.Semaphore`."""
        return Semaphore(self._client.Semaphore(path, identifier, max_leases))

    def Election(self, path: str, identifier: str | None = None) -> Election:
        """Return an election; see :class:`odradek.recipes.election.Election`."""
        return Election(self._client.Election(path, identifier))

    def Barrier(self, path: str) -> Barrier:
        """Return a barrier; see :class:`odradek.recipes.barrier.Barrier`."""
        return Barrier(self._client.Barrier(path))

    def DoubleBarrier(
        self, path: str, num_clients: int, identifier: str | None = None
    ) -> DoubleBarrier:
        """Return a barrier to enter and leave together; see :class:`odradek.recipes.double_barrier.DoubleBarrier`."""
        return DoubleBarrier(self._client.DoubleBarrier(path, num_clients, identifier))

    def Party(self, path: str, identifier: str | None = None) -> Party:
        """Return a group's list of members; see :class:`odradek.recipes.party.Party`."""
        return Party(self._client.Party(path, identifier))

    def ShallowParty(self, path: str, identifier: str | None = None) -> ShallowParty:
        """Return a group's list of members, kept in names; see :class:`odradek.recipes.party.ShallowParty`."""
        return ShallowParty(self._client.ShallowParty(path, identifier))

    def Counter(self, path: str, default: Number = 0) -> Counter:
        """Return a counter; see :class:`odradek.recipes.counter.Counter`."""
        return Counter(self._client.Counter(path, default))

    def Queue(self, path: str) -> Queue:
        """Return a queue; see :class:`odradek.recipes.queue.Queue`."""
        return Queue(self._client.Queue(path))

    def LockingQueue(self, path: str) -> LockingQueue:
        """Return a queue whose items are kept until they are done; see :class:`odradek.recipes.locking_queue.LockingQueue`."""
        return LockingQueue(self._client.LockingQueue(path))

    async def NonBlockingLease(self, path: str, duration: timedelta, identifier: str) -> bool:
        """Say whether the lease was obtained; see :class:`odradek.recipes.lease.NonBlockingLease`."""
        return await on_a_thread(
            lambda: bool(self._client.NonBlockingLease(path, duration, identifier))
        )

    async def MultiNonBlockingLease(
        self, count: int, path: str, duration: timedelta, identifier: str
    ) -> bool:
        """Say whether one was obtained; see :class:`odradek.recipes.lease.MultiNonBlockingLease`."""
        return await on_a_thread(
            lambda: bool(self._client.MultiNonBlockingLease(count, path, duration, identifier))
        )

    async def Partitioner(
        self,
        path: str,
        set: Iterable[str],  # noqa: A002 - kazoo's name
        partition_func: Divide | None = None,
        identifier: str | None = None,
        time_boundary: float = 0.5,
    ) -> Partitioner:
        """Return our part of a set of things; see :class:`odradek.recipes.partitioner.Partitioner`."""
        made = await on_a_thread(
            lambda: self._client.Partitioner(path, set, partition_func, identifier, time_boundary),
            lambda partitioner: partitioner.finish(),
        )
        return Partitioner(made)

    SetPartitioner = Partitioner

    async def DataWatch(self, path: str, func: Callable[..., object]) -> DataWatch:
        """Call ``func`` on the running event loop; see :class:`odradek.recipes.data_watch.DataWatch`."""
        return await _begun(self._client.DataWatch(path), func)

    async def ChildrenWatch(
        self,
        path: str,
        func: Callable[..., object],
        allow_session_lost: bool = True,
        send_event: bool = False,
    ) -> ChildrenWatch:
        """Call ``func`` on the running event loop; see :class:`odradek.recipes.children_watch.ChildrenWatch`."""
        watch = self._client.ChildrenWatch(path, None, allow_session_lost, send_event)
        return await _begun(watch, func)

    def TreeCache(self, path: str) -> TreeCache:
        """Return a copy of a subtree; see :class:`odradek.recipes.tree_cache.TreeCache`."""
        return TreeCache(self._client.TreeCache(path))

    async def Config(self, path: str, schema: Mapping[str, Any] | None = None) -> Config:
        """Return shared settings; see :class:`odradek.recipes.config.Config`."""
        made = await on_a_thread(
            lambda: self._client.Config(path, schema), lambda config: config.close()
        )
        return Config(made)

    def Naming(self, path: str) -> Naming:
        """Return a registry of services; see :class:`odradek.recipes.naming.Naming`."""
        return Naming(self._client.Naming(path))


async def _begun(watch: WatchT, function: Callable[..., object]) -> WatchT:
    """Let a watch begin; it ends when the function, or its coroutine, returns False."""
    calling = OnLoop(function, lambda outcome: watch.stop() if outcome is False else None)
    await on_a_thread(lambda: watch(calling), lambda _calling: watch.stop())
    return watch
