"""TreeCache: a copy of a subtree in memory, kept up to date by one recursive watch.

The watch says which znodes were made, changed or deleted; each is then read by itself.  Only at the
start, and after a lost session, whole lists of children are read.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_values import EventType, WatchedEvent, ZnodeStat
from odradek.errors import NoAuthError, NoNodeError, OdradekError, SessionExpiredError
from odradek.recipes.waiting import Client, Waiter, joined, read

_log = logging.getLogger("odradek")


ASKED_MAX = 1_000
"""Questions of one cache at a time: a session takes only so many, and others have to do, too."""


class TreeEventType:
    """What has happened to the cache; plain strings."""

    NODE_ADDED = "NODE_ADDED"
    NODE_UPDATED = "NODE_UPDATED"
    NODE_REMOVED = "NODE_REMOVED"
    INITIALIZED = "INITIALIZED"
    """All that was there at the start has been told."""


class NodeData(NamedTuple):
    """A znode as it was when it was read last."""

    path: str
    data: bytes
    stat: ZnodeStat


class TreeEvent(NamedTuple):
    """An event, and the znode it is about (None for INITIALIZED)."""

    event_type: str
    event_data: NodeData | None


@dataclass
class _Reading:
    """The reads of one path that are under way: never two of its data at a time."""

    again: bool = False
    """An event came meanwhile: what is being read may be older than it."""
    listing: bool = False
    """Its children are to be listed as well."""


class TreeCache:
    """A copy of ``path`` and all below it, from :meth:`start` to :meth:`close`.

    Each znode is as new as its last read; two znodes need not be of the same moment.  While the
    session is suspended the copy stays as it is; after a lost session everything is read anew, and
    listeners hear of what has changed meanwhile.  A znode that this client may not read is not in
    the copy.  Listeners run on the callbacks' thread.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._mutex = threading.RLock()
        self._nodes: dict[str, NodeData] = {}
        self._children: dict[str, set[str]] = {}
        """By path, the names of those children that are in the copy."""
        self._reads: dict[str, _Reading] = {}
        self._asked = 0
        """Questions without an answer."""
        self._to_ask: deque[Callable[[], object]] = deque()
        self._listeners: list[Callable[[TreeEvent], object]] = []
        self._begun = False
        self._closed = False
        self._initialized = False
        self._waiters: list[Waiter] = []

    def start(self) -> None:
        """Begin to read; the path is made if it is not there. Nothing if it has begun."""
        with self._mutex:
            if self._begun:
                return
            self._begun = True
        read(self._client, lambda: self._client.ensure_path_async(self.path))
        self._begin()

    def close(self) -> None:
        """Keep the copy up to date no more."""
        with self._mutex:
            self._closed = True
            self._nodes, self._children, self._reads = {}, {}, {}
            self._to_ask.clear()
        try:
            self._client.remove_watch_async(self.path, self._event, recursive=True)
        except OdradekError:
            pass  # the client is closed

    def listen(self, listener: Callable[[TreeEvent], object]) -> Callable[[TreeEvent], object]:
        """Call ``listener(event)`` from now on; a decorator too."""
        with self._mutex:
            self._listeners.append(listener)
        return listener

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was there at the start has been read; False after ``timeout`` s."""
        waiter = Waiter(self._client.waiting, timeout)
        with self._mutex:
            self._waiters.append(waiter)
        try:
            return waiter.until(lambda: self._initialized)
        finally:
            with self._mutex:
                self._waiters.remove(waiter)

    def get_data(self, path: str, default: NodeData | None = None) -> NodeData | None:
        """Return a znode of the copy, or ``default``."""
        with self._mutex:
            return self._nodes.get(path, default)

    def get_children(
        self, path: str, default: frozenset[str] | None = None
    ) -> frozenset[str] | None:
        """Return the names of the children in the copy, or ``default``."""
        with self._mutex:
            if path not in self._nodes:
                return default
            return frozenset(self._children.get(path, ()))

    # What happens

    def _begin(self) -> None:
        """Set the watch, then read everything: what changes in between is heard of."""
        self._ask(
            partial(self._client.add_watch_async, self.path, self._event, recursive=True),
            lambda _watching: self._refresh(self.path, listing=True),
            self._begin,
        )

    def _event(self, event: WatchedEvent) -> None:
        if event.type == EventType.REMOVED or self._closed:
            return  # somebody took the watch away
        if event.path is None:
            self._begin()  # the session was lost, and the watch with it
        else:
            # Also of a deleted one: it may be there again, and the read says so.
            self._refresh(event.path)

    # Reading

    def _refresh(self, path: str, *, listing: bool = False) -> None:
        """Read a znode, or once more if it is being read; with ``listing`` also what is below."""
        with self._mutex:
            if self._closed:
                return
            reading = self._reads.get(path)
            if reading is not None:
                reading.again = True
                reading.listing = reading.listing or listing
                return
            reading = self._reads[path] = _Reading(listing=listing)
        self._read(path, reading)

    def _read(self, path: str, reading: _Reading) -> None:
        reading.again = False
        self._ask(
            partial(self._client.get_async, path),
            lambda found: self._took(path, reading, found),
            lambda: self._read(path, reading),
        )

    def _took(self, path: str, reading: _Reading, found: tuple[bytes, ZnodeStat] | None) -> None:
        if found is None:
            self._remove(path)
        else:
            self._put(NodeData(path, *found))
        if reading.again:
            self._read(path, reading)
        elif reading.listing and found is not None and self._may_have_children(path, found[1]):
            reading.listing = False
            self._list(path, reading)
        else:
            self._done(path)

    def _may_have_children(self, path: str, stat: ZnodeStat) -> bool:
        with self._mutex:
            return stat.numChildren > 0 or bool(self._children.get(path))

    def _list(self, path: str, reading: _Reading) -> None:
        def listed(names: list[str] | None) -> None:
            with self._mutex:
                known = set(self._children.get(path, ()))
            for name in sorted(known.union(names or ())):
                # Not there any more, or made since the list was read: reading each says which.
                self._refresh(joined(path, name), listing=True)
            if reading.again or reading.listing:
                self._read(path, reading)
            else:
                self._done(path)

        self._ask(
            partial(self._client.get_children_async, path),
            listed,
            lambda: self._list(path, reading),
        )

    def _done(self, path: str) -> None:
        with self._mutex:
            self._reads.pop(path, None)
            if self._reads or self._initialized or self._closed:
                return
            self._initialized = True
            waiters = list(self._waiters)
        self._tell(TreeEventType.INITIALIZED, None)
        for waiter in waiters:
            waiter.wake()

    def _ask(
        self,
        ask: Callable[[], AsyncResult[Any]],
        take: Callable[[Any], object],
        again: Callable[[], object],
    ) -> None:
        """Ask, and give ``take`` the answer (None: no such znode); after a lost session, ``again``.

        Answers and events come on the callbacks' thread, one after the other.
        """
        with self._mutex:
            if self._asked >= ASKED_MAX:
                self._to_ask.append(partial(self._ask, ask, take, again))
                return
            self._asked += 1

        def answered(result: AsyncResult[Any]) -> None:
            self._ask_next()
            if self._closed:
                return
            try:
                value = result.get_nowait()
            except SessionExpiredError:
                again()
                return
            except (NoNodeError, NoAuthError):
                value = None
            except OdradekError as error:
                _log.debug("the cache of %s has ended: %s", self.path, error)
                return
            take(value)

        try:
            ask().rawlink(answered)
        except OdradekError:
            pass  # the client is closed

    def _ask_next(self) -> None:
        """One question is answered: there is room for another."""
        with self._mutex:
            self._asked -= 1
            following = self._to_ask.popleft() if self._to_ask else None
        if following is not None:
            following()

    # The copy

    def _put(self, data: NodeData) -> None:
        path = data.path
        with self._mutex:
            if self._closed:
                return
            before = self._nodes.get(path)
            self._nodes[path] = data
            if path != self.path:
                self._children.setdefault(_parent(path), set()).add(path.rpartition("/")[2])
        if before is None:
            self._tell(TreeEventType.NODE_ADDED, data)
        elif (before.stat.czxid, before.stat.mzxid) != (data.stat.czxid, data.stat.mzxid):
            self._tell(TreeEventType.NODE_UPDATED, data)

    def _remove(self, path: str) -> None:
        with self._mutex:
            data = self._nodes.pop(path, None)
            below = sorted(self._children.pop(path, ()))
            beside = self._children.get(_parent(path))
            if beside is not None:
                beside.discard(path.rpartition("/")[2])
        for name in below:
            self._remove(joined(path, name))
        if data is not None:
            self._tell(TreeEventType.NODE_REMOVED, data)

    def _tell(self, event_type: str, data: NodeData | None) -> None:
        with self._mutex:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(TreeEvent(event_type, data))
            except Exception:  # noqa: BLE001 - whatever a listener raises is the user's
                _log.exception("a listener of the cache of %s failed", self.path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
