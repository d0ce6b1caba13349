"""The recipes as attributes of a client, by the names that kazoo's users know.

Each recipe is imported when it is first made.
"""

# ruff: noqa: N802 - the names are kazoo's, of classes
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from odradek.recipes.waiting import REAL, Client, Waiting

if TYPE_CHECKING:
    from odradek.recipes.barrier import Barrier
    from odradek.recipes.children_watch import ChildrenWatch
    from odradek.recipes.config import Config
    from odradek.recipes.counter import Counter
    from odradek.recipes.data_watch import DataWatch
    from odradek.recipes.double_barrier import DoubleBarrier
    from odradek.recipes.election import Election
    from odradek.recipes.lease import MultiNonBlockingLease, NonBlockingLease
    from odradek.recipes.lock import Lock
    from odradek.recipes.locking_queue import LockingQueue
    from odradek.recipes.naming import Naming
    from odradek.recipes.partitioner import Divide, Partitioner
    from odradek.recipes.party import Party, ShallowParty
    from odradek.recipes.queue import Queue
    from odradek.recipes.read_write_lock import ReadLock, WriteLock
    from odradek.recipes.semaphore import Semaphore
    from odradek.recipes.tree_cache import TreeCache


class Recipes:
    """What :class:`odradek.CoordinationClient` offers beyond single operations."""

    waiting: Waiting = REAL
    """How recipes wait: the simulator puts its own here."""

    def Lock(self: Client, path: str, identifier: str | bytes | None = None) -> Lock:
        """Return a lock; see :class:`odradek.recipes.lock.Lock`."""
        from odradek.recipes.lock import Lock

        return Lock(self, path, identifier)

    def ReadLock(self: Client, path: str, identifier: str | bytes | None = None) -> ReadLock:
        """Return the shared half of a lock; see :class:`odradek.recipes.read_write_lock.ReadLock`."""
        from odradek.recipes.read_write_lock import ReadLock

        return ReadLock(self, path, identifier)

    def WriteLock(self: Client, path: str, identifier: str | bytes | None = None) -> WriteLock:
        """Return the exclusive half of a lock; see :class:`odradek.recipes.read_write_lock.WriteLock`."""
        from odradek.recipes.read_write_lock import WriteLock

        return WriteLock(self, path, identifier)

    def Semaphore(
        self: Client, path: str, identifier: str | bytes | None = None, max_leases: int = 1
    ) -> Semaphore:
        """Return a semaphore; see :class:`odradek.recipes.semaphore.Semaphore`."""
        from odradek.recipes.semaphore import Semaphore

        return Semaphore(self, path, identifier, max_leases)

    def Election(self: Client, path: str, identifier: str | bytes | None = None) -> Election:
        """Return an election; see :class:`odradek.recipes.election.Election`."""
        from odradek.recipes.election import Election

        return Election(self, path, identifier)

    def Barrier(self: Client, path: str) -> Barrier:
        """Return a barrier; see :class:`odradek.recipes.barrier.Barrier`."""
        from odradek.recipes.barrier import Barrier

        return Barrier(self, path)

    def DoubleBarrier(
        self: Client, path: str, num_clients: int, identifier: str | bytes | None = None
    ) -> DoubleBarrier:
        """Return a barrier to enter and leave together; see :class:`odradek.recipes.double_barrier.DoubleBarrier`."""
        from odradek.recipes.double_barrier import DoubleBarrier

        return DoubleBarrier(self, path, num_clients, identifier)

    def Party(self: Client, path: str, identifier: str | bytes | None = None) -> Party:
        """Return a group's list of members; see :class:`odradek.recipes.party.Party`."""
        from odradek.recipes.party import Party

        return Party(self, path, identifier)

    def ShallowParty(
        self: Client, path: str, identifier: str | bytes | None = None
    ) -> ShallowParty:
        """Return a group's list of members, kept in names; see :class:`odradek.recipes.party.ShallowParty`."""
        from odradek.recipes.party import ShallowParty

        return ShallowParty(self, path, identifier)

    def Counter(self: Client, path: str, default: int | float = 0) -> Counter:
        """Return a counter; see :class:`odradek.recipes.counter.Counter`."""
        from odradek.recipes.counter import Counter

        return Counter(self, path, default)

    def Queue(self: Client, path: str) -> Queue:
        """Return a queue; see :class:`odradek.recipes.queue.Queue`."""
        from odradek.recipes.queue import Queue

        return Queue(self, path)

    def LockingQueue(self: Client, path: str) -> LockingQueue:
        """Return a queue whose items are kept until they are done; see :class:`odradek.recipes.locking_queue.LockingQueue`."""
        from odradek.recipes.locking_queue import LockingQueue

        return LockingQueue(self, path)

    def NonBlockingLease(
        self: Client, path: str, duration: timedelta, identifier: str
    ) -> NonBlockingLease:
        """Return a lease, obtained or not; see :class:`odradek.recipes.lease.NonBlockingLease`."""
        from odradek.recipes.lease import NonBlockingLease

        return NonBlockingLease(self, path, duration, identifier)

    def MultiNonBlockingLease(
        self: Client, count: int, path: str, duration: timedelta, identifier: str
    ) -> MultiNonBlockingLease:
        """Return one of several leases, obtained or not; see :class:`odradek.recipes.lease.MultiNonBlockingLease`."""
        from odradek.recipes.lease import MultiNonBlockingLease

        return MultiNonBlockingLease(self, count, path, duration, identifier)

    def Partitioner(
        self: Client,
        path: str,
        set: Iterable[str],  # noqa: A002 - kazoo's name
        partition_func: Divide | None = None,
        identifier: str | None = None,
        time_boundary: float = 0.5,
    ) -> Partitioner:
        """Return our part of a set of things; see :class:`odradek.recipes.partitioner.Partitioner`."""
        from odradek.recipes.partitioner import Partitioner

        return Partitioner(self, path, set, partition_func, identifier, time_boundary)

    SetPartitioner = Partitioner

    def DataWatch(self: Client, path: str, func: Callable[..., Any] | None = None) -> DataWatch:
        """Return a watch of a znode's data; see :class:`odradek.recipes.data_watch.DataWatch`."""
        from odradek.recipes.data_watch import DataWatch

        return DataWatch(self, path, func)

    def ChildrenWatch(
        self: Client,
        path: str,
        func: Callable[..., Any] | None = None,
        allow_session_lost: bool = True,
        send_event: bool = False,
    ) -> ChildrenWatch:
        """Return a watch of a znode's children; see :class:`odradek.recipes.children_watch.ChildrenWatch`."""
        from odradek.recipes.children_watch import ChildrenWatch

        return ChildrenWatch(self, path, func, allow_session_lost, send_event)

    def TreeCache(self: Client, path: str) -> TreeCache:
        """Return a copy of a subtree; see :class:`odradek.recipes.tree_cache.TreeCache`."""
        from odradek.recipes.tree_cache import TreeCache

        return TreeCache(self, path)

    def Config(self: Client, path: str, schema: Mapping[str, Any] | None = None) -> Config:
        """Return shared settings; see :class:`odradek.recipes.config.Config`."""
        from odradek.recipes.config import Config

        return Config(self, path, schema)

    def Naming(self: Client, path: str) -> Naming:
        """Return a registry of services; see :class:`odradek.recipes.naming.Naming`."""
        from odradek.recipes.naming import Naming

        return Naming(self, path)
