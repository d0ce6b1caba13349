"""Who hears of which change: the one-shot watches of the sessions served here.

Local to one server and never replicated: a client sets its watches again wherever it attaches.
Fires once and forgets.  Semantics are ZooKeeper's: a data watch (set by a read of data, or by a
question whether a znode exists) hears of creation, deletion and new data; a children watch hears of
the deletion of the znode and of children that come and go.  A session that watches a path in both
ways hears of its deletion once.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.core.znode.paths import parent_of
from nodes.core.znode.tree import Tree
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    WatchEvent,
)

DATA = "data"
EXISTS = "exists"
CHILDREN = "children"
KINDS = (DATA, EXISTS, CHILDREN)

WATCHES_MAX = 100_000
"""Watches of one session: far above a cache of a large tree, far below what hurts the server."""


class TreeChange(NamedTuple):
    """What a write did to one znode: created, deleted, or gave it data (NODE_… numbers)."""

    type: int
    path: str
    zxid: Zxid


_Table = dict[str, dict[SessionId, None]]


class Watches:
    """The watches set on this server."""

    def __init__(self) -> None:
        self._data: _Table = {}
        self._children: _Table = {}
        self._by_session: dict[SessionId, dict[tuple[bool, str], None]] = {}

    def __len__(self) -> int:
        return sum(len(watched) for watched in self._by_session.values())

    def add(self, session_id: SessionId, kind: str, path: str) -> bool:
        """Set a watch; setting it again changes nothing. False: the session has too many."""
        children = kind == CHILDREN
        watched = self._by_session.setdefault(session_id, {})
        if len(watched) >= WATCHES_MAX and (children, path) not in watched:
            return False
        watched[children, path] = None
        table = self._children if children else self._data
        table.setdefault(path, {})[session_id] = None
        return True

    def forget(self, session_id: SessionId) -> None:
        """Drop every watch of a session that is no longer served here."""
        for children, path in self._by_session.pop(session_id, {}):
            self._drop(self._children if children else self._data, path, session_id)

    def fire(self, change: TreeChange) -> list[WatchEvent]:
        """Return the events that this change sets off, in the order the watches were set."""
        events: list[WatchEvent] = []
        type_, path, zxid = change
        hearers = self._take(False, path)
        if type_ == NODE_DELETED:
            hearers.update(self._take(True, path))
        events.extend(WatchEvent(session_id, type_, path, zxid) for session_id in hearers)
        if type_ != NODE_DATA_CHANGED:
            parent = parent_of(path)
            events.extend(
                WatchEvent(session_id, NODE_CHILDREN_CHANGED, parent, zxid)
                for session_id in self._take(True, parent)
            )
        return events

    def sessions(self) -> list[SessionId]:
        """Return the sessions that watch something."""
        return list(self._by_session)

    def check(self) -> None:
        """Assert that both directions of the table say the same."""
        for session_id, watched in self._by_session.items():
            for children, path in watched:
                table = self._children if children else self._data
                assert session_id in table[path], (session_id, path)
        tables = (self._data, self._children)
        assert len(self) == sum(len(ids) for table in tables for ids in table.values())

    def _take(self, children: bool, path: str) -> dict[SessionId, None]:
        hearers = (self._children if children else self._data).pop(path, None)
        if hearers is None:
            return {}
        for session_id in hearers:
            watched = self._by_session[session_id]
            del watched[children, path]
            if not watched:
                del self._by_session[session_id]
        return hearers

    @staticmethod
    def _drop(table: _Table, path: str, session_id: SessionId) -> None:
        hearers = table[path]
        del hearers[session_id]
        if not hearers:
            del table[path]


def missed(tree: Tree, kind: str, path: str, seen: Zxid) -> int:
    """Return the event type that a watch set at ``seen`` missed until now, or 0 for none.

    As ZooKeeper's setWatches, with one difference.  An ``exists`` watch of a znode that is not
    there now may have been set while it was there: unless nothing was created or deleted around it
    since, its deletion is told.  Told once too often wakes somebody; never told locks somebody out.
    """
    znode = tree.get(path)
    if znode is None:
        if kind != EXISTS:
            return NODE_DELETED
        return NODE_DELETED if _neighbourhood_zxid(tree, path) > seen else 0
    if kind == CHILDREN:
        return NODE_CHILDREN_CHANGED if znode.pzxid > seen else 0
    if kind == EXISTS and znode.czxid > seen:
        return NODE_CREATED
    return NODE_DATA_CHANGED if znode.mzxid > seen else 0


def _neighbourhood_zxid(tree: Tree, path: str) -> Zxid:
    """Return when the nearest ancestor that exists last gained or lost a child."""
    while True:
        path = parent_of(path)
        znode = tree.get(path)
        if znode is not None:
            return znode.pzxid
