"""Who hears of which change: the watches of the sessions served here.

Local to one server and never replicated: a client sets its watches again wherever it attaches.
Semantics are ZooKeeper's.  One-shot ones fire once and are forgotten: a data watch (set by a read
of data, or by a question whether a znode exists) hears of creation, deletion and new data; a
children watch hears of the deletion of the znode and of children that come and go.  Lasting ones go
on until they are removed: a persistent watch hears of all of this; a recursive one hears of
creation, deletion and new data of a znode and of everything below it, never of children.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.core.znode.paths import ROOT, parent_of
from nodes.core.znode.tree import Znode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Acl,
    WatchEvent,
)

DATA = "data"
EXISTS = "exists"
CHILDREN = "children"
PERSISTENT = "persistent"
RECURSIVE = "recursive"
ANY = "any"
KINDS = (DATA, EXISTS, CHILDREN, PERSISTENT, RECURSIVE)
LASTING = (PERSISTENT, RECURSIVE)
"""Kinds that do not end with the first event."""

WATCHES_MAX = 100_000
"""Watches of one session: far above a cache of a large tree, far below what hurts the server."""
PATHS_BYTES_MAX = 12 * 1024 * 1024
"""What the paths of one session's may take: where it moves, one message names them all."""
TOTAL_BYTES_MAX = 512 * 1024 * 1024
"""What those of all sessions served here may take."""
WATCH_BYTES = 400
"""A watch takes that beside its path."""

_TABLE_OF = {each: DATA if each == EXISTS else each for each in KINDS}
"""Once they are set, watches of data and of existence are the same, as in ZooKeeper."""


@dataclass(slots=True)
class TreeChange:
    """What a write did to one znode: created, deleted, or gave it data (NODE_… numbers)."""

    type: int
    path: str
    zxid: Zxid
    znode: Znode | None = field(default=None, compare=False)
    """As it was made; of a deletion: as it was last."""
    parent_acl: tuple[Acl, ...] = field(default=(), compare=False)
    """Of a creation or deletion: who may hear that the parent's children changed."""


_Table = dict[str, dict[SessionId, None]]


def _bytes_of(path: str) -> int:
    """Return what a path takes; a character takes up to four bytes."""
    return len(path) * (1 if path.isascii() else 4)


class Watches:
    """The watches set on this server."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {
            kind: {} for kind in (DATA, CHILDREN, PERSISTENT, RECURSIVE)
        }
        self._by_session: dict[SessionId, dict[tuple[str, str], None]] = {}
        self._paths_bytes: dict[SessionId, int] = {}
        """Of each session."""
        self._total_bytes = 0

    def __len__(self) -> int:
        return sum(len(watched) for watched in self._by_session.values())

    def add(self, session_id: SessionId, kind: str, path: str) -> bool:
        """Set a watch; setting it again changes nothing. False: there is no room for it."""
        kind = _TABLE_OF[kind]
        watched = self._by_session.get(session_id, {})
        if (kind, path) in watched:
            return True
        size_bytes = _bytes_of(path)
        paths_bytes = self._paths_bytes.get(session_id, 0) + size_bytes
        total_bytes = self._total_bytes + size_bytes + WATCH_BYTES
        if (
            len(watched) >= WATCHES_MAX
            or paths_bytes > PATHS_BYTES_MAX
            or total_bytes > TOTAL_BYTES_MAX
        ):
            return False
        self._paths_bytes[session_id] = paths_bytes
        self._total_bytes = total_bytes
        watched[kind, path] = None
        self._by_session[session_id] = watched
        self._tables[kind].setdefault(path, {})[session_id] = None
        return True

    def remove(self, session_id: SessionId, kind: str, path: str) -> bool:
        """Drop the watches of a session on one path, of one kind or ANY. False: there was none."""
        found = False
        for each in tuple(self._tables) if kind == ANY else (_TABLE_OF[kind],):
            watched = self._by_session.get(session_id, {})
            if (each, path) in watched:
                found = True
                self._forget_one(session_id, watched, each, path)
                self._drop(self._tables[each], path, session_id)
        return found

    def has(self, session_id: SessionId, kind: str, path: str) -> bool:
        """Tell whether a session has a watch of this kind, or of ANY, on a path."""
        watched = self._by_session.get(session_id, {})
        kinds = tuple(self._tables) if kind == ANY else (_TABLE_OF[kind],)
        return any((each, path) in watched for each in kinds)

    def forget(self, session_id: SessionId) -> None:
        """Drop every watch of a session that is no longer served here."""
        watched = self._by_session.pop(session_id, {})
        self._total_bytes -= self._paths_bytes.pop(session_id, 0) + WATCH_BYTES * len(watched)
        for kind, path in watched:
            self._drop(self._tables[kind], path, session_id)

    def fire(self, change: TreeChange) -> list[WatchEvent]:
        """Return the events that this change sets off, in the order the watches were set.

        A session hears once of one thing, in however many ways it watches.
        """
        tables, type_, path = self._tables, change.type, change.path
        hearers = self._take(DATA, path)
        if type_ == NODE_DELETED:
            hearers.update(self._take(CHILDREN, path))
        if tables[PERSISTENT]:
            hearers.update(tables[PERSISTENT].get(path, ()))
        if tables[RECURSIVE]:
            self._add_recursive(hearers, path)
        events = [WatchEvent(session_id, type_, path, change.zxid) for session_id in hearers]
        if type_ != NODE_DATA_CHANGED:
            parent = parent_of(path)
            hearers = self._take(CHILDREN, parent)
            if tables[PERSISTENT]:
                hearers.update(tables[PERSISTENT].get(parent, ()))
            events += [
                WatchEvent(session_id, NODE_CHILDREN_CHANGED, parent, change.zxid)
                for session_id in hearers
            ]
        return events

    def sessions(self) -> list[SessionId]:
        """Return the sessions that watch something."""
        return list(self._by_session)

    def check(self) -> None:
        """Assert Z9: both directions of the table say the same; and D5: what they take is bounded."""
        for session_id, watched in self._by_session.items():
            assert watched, f"an empty set of watches is kept for {session_id}"
            for kind, path in watched:
                assert session_id in self._tables[kind][path], (session_id, kind, path)
        tables = self._tables.values()
        assert len(self) == sum(len(ids) for table in tables for ids in table.values())
        held = {
            session_id: sum(_bytes_of(path) for _, path in watched)
            for session_id, watched in self._by_session.items()
        }
        assert held == self._paths_bytes, "every byte of a path is counted once"
        total_bytes = sum(held.values()) + WATCH_BYTES * len(self)
        assert total_bytes == self._total_bytes <= TOTAL_BYTES_MAX, "D5"
        assert all(size_bytes <= PATHS_BYTES_MAX for size_bytes in held.values()), "D5"

    def _add_recursive(self, hearers: dict[SessionId, None], path: str) -> None:
        table = self._tables[RECURSIVE]
        while True:
            hearers.update(table.get(path, ()))
            if path == ROOT:
                return
            path = parent_of(path)

    def _take(self, kind: str, path: str) -> dict[SessionId, None]:
        hearers = self._tables[kind].pop(path, None)
        if hearers is None:
            return {}
        for session_id in hearers:
            self._forget_one(session_id, self._by_session[session_id], kind, path)
        return hearers

    def _forget_one(
        self, session_id: SessionId, watched: dict[tuple[str, str], None], kind: str, path: str
    ) -> None:
        del watched[kind, path]
        size_bytes = _bytes_of(path)
        self._total_bytes -= size_bytes + WATCH_BYTES
        self._paths_bytes[session_id] -= size_bytes
        if not watched:
            del self._by_session[session_id], self._paths_bytes[session_id]

    @staticmethod
    def _drop(table: _Table, path: str, session_id: SessionId) -> None:
        hearers = table[path]
        del hearers[session_id]
        if not hearers:
            del table[path]
