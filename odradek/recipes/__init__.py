"""Recipes of coordination: locks, elections, queues and more, each in a file of its own.

They are made by a client (``client.Lock(path)``) and use nothing but its public calls.  Each says
in its docstring what it guarantees when a session is lost.  Imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.recipes.barrier import Barrier
    from odradek.recipes.children_watch import ChildrenWatch
    from odradek.recipes.config import Config
    from odradek.recipes.counter import Counter
    from odradek.recipes.data_watch import DataWatch
    from odradek.recipes.double_barrier import DoubleBarrier
    from odradek.recipes.election import Election
    from odradek.recipes.lease import MultiNonBlockingLease, NonBlockingLease
    from odradek.recipes.line import HoldState, LockTimeout
    from odradek.recipes.lock import Lock
    from odradek.recipes.locking_queue import LockingQueue
    from odradek.recipes.naming import Instance, Naming, Registration
    from odradek.recipes.partitioner import Partitioner, PartitionState
    from odradek.recipes.party import Party, ShallowParty
    from odradek.recipes.queue import Queue
    from odradek.recipes.read_write_lock import ReadLock, WriteLock
    from odradek.recipes.semaphore import Semaphore
    from odradek.recipes.tree_cache import NodeData, TreeCache, TreeEvent, TreeEventType
    from odradek.recipes.waiting import Cancelled

__all__ = [
    "Barrier",
    "Cancelled",
    "ChildrenWatch",
    "Config",
    "Counter",
    "DataWatch",
    "DoubleBarrier",
    "Election",
    "HoldState",
    "Instance",
    "Lock",
    "LockTimeout",
    "LockingQueue",
    "MultiNonBlockingLease",
    "Naming",
    "NodeData",
    "NonBlockingLease",
    "PartitionState",
    "Partitioner",
    "Party",
    "Queue",
    "ReadLock",
    "Registration",
    "Semaphore",
    "ShallowParty",
    "TreeCache",
    "TreeEvent",
    "TreeEventType",
    "WriteLock",
]

_HOMES = {
    "Barrier": "barrier",
    "Cancelled": "waiting",
    "ChildrenWatch": "children_watch",
    "Config": "config",
    "Counter": "counter",
    "DataWatch": "data_watch",
    "DoubleBarrier": "double_barrier",
    "Election": "election",
    "HoldState": "line",
    "Instance": "naming",
    "Lock": "lock",
    "LockTimeout": "line",
    "LockingQueue": "locking_queue",
    "MultiNonBlockingLease": "lease",
    "Naming": "naming",
    "NodeData": "tree_cache",
    "NonBlockingLease": "lease",
    "PartitionState": "partitioner",
    "Partitioner": "partitioner",
    "Party": "party",
    "Queue": "queue",
    "ReadLock": "read_write_lock",
    "Registration": "naming",
    "Semaphore": "semaphore",
    "ShallowParty": "party",
    "TreeCache": "tree_cache",
    "TreeEvent": "tree_cache",
    "TreeEventType": "tree_cache",
    "WriteLock": "read_write_lock",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"odradek.recipes.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
