"""Partitioner: a set of things divided among the members of a group, each with one owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from odradek.coordination.znode_values import WatchedEvent
from odradek.recipes.lock import Lock, LockTimeout, identifier_bytes
from odradek.recipes.presence import Presence
from odradek.recipes.waiting import Client, Waiter, children_of, in_order, joined
from odradek.recipes.watching import Watching

MEMBER = "member-"
TIME_BOUNDARY_S = 0.5

Divide = Callable[[str, list[str], list[str]], Iterable[str]]
"""Given one's own name, all members and all things, in the same order everywhere: one's own things."""


class PartitionState:
    """What is to be done next; plain strings."""

    ALLOCATING = "ALLOCATING"
    """Call ``wait_for_acquire``."""
    ACQUIRED = "ACQUIRED"
    """Work on what iterating gives."""
    RELEASE = "RELEASE"
    """The members have changed: stop the work, and call ``release_set``."""
    FAILURE = "FAILURE"
    """It was finished."""


def every_nth(member: str, members: list[str], things: list[str]) -> list[str]:
    """Deal the things out like cards."""
    return things[members.index(member) :: len(members)]


class Partitioner:
    """Divides ``set`` among all who make a partitioner of the same ``path`` and ``set``.

    Each thing is guarded by a lock, so it has one owner at a time also while members come and go:
    the new owner waits until the old one has called :meth:`release_set`, or lost its session.  When
    the session is suspended the state stays ACQUIRED but ``is_certain`` is False; when it is LOST,
    the things are gone at once (the state is ALLOCATING) and the client joins again by itself.
    Tokens for fencing: :meth:`fencing_token`.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        set: Iterable[str],  # noqa: A002 - kazoo's name
        partition_func: Divide | None = None,
        identifier: str | None = None,
        time_boundary: float = TIME_BOUNDARY_S,
    ) -> None:
        self.path = path
        self._client = client
        self._things = sorted(set)
        self._divide = partition_func or every_nth
        self._identifier = identifier
        self._time_boundary_s = time_boundary
        self._locks: dict[str, Lock] = {}
        self._members: list[str] = []
        """As they are now."""
        self._divided: list[str] | None = None
        """The members by whom the things were divided; None: they are not."""
        self._finished = False
        self._changed = client.waiting.signal()
        self._presence = Presence(
            client, joined(path, f"members/{MEMBER}"), identifier_bytes(identifier)
        )
        self._presence.begin()
        members = joined(path, "members")
        self._watching: Watching[list[str]] = Watching(
            client, members, lambda watch: client.get_children_async(members, watch), self._listed
        )
        self._watching.begin()

    @property
    def state(self) -> str:
        """One of :class:`PartitionState`, judged now."""
        if self._finished:
            return PartitionState.FAILURE
        if self._divided is None or any(lock.lost.is_set() for lock in self._locks.values()):
            return PartitionState.ALLOCATING
        if self._presence.name not in self._divided:
            return PartitionState.ALLOCATING
        return PartitionState.ACQUIRED if self._divided == self._members else PartitionState.RELEASE

    @property
    def allocating(self) -> bool:
        """The state is ALLOCATING."""
        return self.state == PartitionState.ALLOCATING

    @property
    def acquired(self) -> bool:
        """The state is ACQUIRED."""
        return self.state == PartitionState.ACQUIRED

    @property
    def release(self) -> bool:
        """The state is RELEASE."""
        return self.state == PartitionState.RELEASE

    @property
    def failed(self) -> bool:
        """The state is FAILURE."""
        return self.state == PartitionState.FAILURE

    @property
    def is_certain(self) -> bool:
        """True when everything that was acquired is held, and a coordinator serves the session."""
        return self._divided is not None and all(lock.is_held for lock in self._locks.values())

    def __iter__(self) -> Iterator[str]:
        owned = self.state in (PartitionState.ACQUIRED, PartitionState.RELEASE)
        return iter(sorted(self._locks) if owned else [])

    def fencing_token(self, thing: str) -> int:
        """Return the token of a thing that is owned; KeyError: it is not."""
        return self._locks[thing].fencing_token

    def wait_for_acquire(self, timeout: float | None = 30.0) -> bool:
        """Wait for steady members, and for the things that are ours; False after ``timeout`` s."""
        waiter = Waiter(self._client.waiting, timeout)
        while not self._finished:
            members = self._steady(waiter)
            if members is None:
                break
            self.release_set()
            if self._presence.name in members and self._acquire(members, waiter):
                self._divided = members
                if not self.failed:
                    return True
                break
            if waiter.over:
                break
        self.release_set()  # also what was obtained while another thread has finished
        return False

    def release_set(self) -> None:
        """Give up what is owned, so that its next owners get it."""
        self._divided = None
        locks, self._locks = self._locks, {}
        for lock in locks.values():
            lock.release()

    def finish(self) -> None:
        """Give up everything, and leave the group for good."""
        self._finished = True
        self._changed.set()
        self._watching.stop()
        self.release_set()
        self._presence.end()

    # Inside

    def _listed(self, names: list[str] | None, _event: WatchedEvent | None) -> None:
        self._members = in_order(names or [], MEMBER)
        self._changed.set()

    def _steady(self, waiter: Waiter) -> list[str] | None:
        """Return the members once they have not changed for a while; None: the time is over."""
        members = joined(self.path, "members")
        while not waiter.over:
            self._changed.clear()
            before = self._members
            if self._changed.wait(self._time_boundary_s) or before != self._members:
                if self._finished:
                    return None
                continue
            found = in_order(children_of(self._client, members, None, waiter), MEMBER)
            if found == before:
                return found
        return None

    def _acquire(self, members: list[str], waiter: Waiter) -> bool:
        """Lock what is ours; False: the members have changed, or the time is over."""
        for thing in self._divide(self._presence.name, members, list(self._things)):
            lock = Lock(
                self._client, joined(self.path, f"locks/{quote(thing, safe='')}"), self._identifier
            )
            self._locks[thing] = lock
            while not self._obtain(lock):
                if self._finished or self._members != members or waiter.over:
                    return False
            if self._finished:
                lock.release()  # who has finished may have looked at it before it was held
                return False
        return self._members == members

    def _obtain(self, lock: Lock) -> bool:
        try:
            return lock.acquire(timeout=self._time_boundary_s)
        except LockTimeout:
            return False
