"""The znodes themselves: a flat table by path, the children of each, and who owns which ephemeral.

Znodes are immutable values; a change replaces one.  So a copy of the table is a consistent picture
of the whole tree, and taking changes back is putting earlier values in place again.  The tree knows
nothing of operations, sessions' lives, or watches; it never judges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from nodes.core.znode.modes import NO_SESSION
from nodes.core.znode.paths import ROOT, child_of, name_of, parent_of
from nodes.core.znode.quota import Quotas
from nodes.core.znode.reserved import (
    BORN_WITH,
    CONFIG,
    LIMITS_NAME,
    RESERVED,
    STATS_NAME,
    ZOOKEEPER,
    limited_path,
)
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import ANY_VERSION, Acl, Stat

VERSION_MAX = 2**31 - 1
"""Versions are of 32 bits to ZooKeeper's clients, and begin anew from the other end, as there."""


def next_version(version: int) -> int:
    """Return the version after this one; never −1, which stands for any."""
    if version >= VERSION_MAX:
        return -VERSION_MAX - 1
    return 0 if version == ANY_VERSION - 1 else version + 1


class Znode(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One znode. Times in wall milliseconds. Acyclic, so the collector need not follow it."""

    data: bytes
    acl: tuple[Acl, ...]
    czxid: Zxid
    mzxid: Zxid
    pzxid: Zxid
    """The last create or delete of a child; its own creation before that."""
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: SessionId
    """The session of an ephemeral; 0, or what ``modes`` makes of a container or a TTL."""
    creates: int
    """How many children were ever created: the next sequence number. Deletes do not count."""

    def after_child(self, zxid: Zxid, *, created: bool) -> Znode:
        """Return this znode as it is once a child was created or deleted under ``zxid``."""
        return Znode(
            self.data,
            self.acl,
            self.czxid,
            self.mzxid,
            zxid,
            self.ctime,
            self.mtime,
            self.version,
            next_version(self.cversion),
            self.aversion,
            self.owner,
            self.creates + created,
        )

    def with_data(self, data: bytes, zxid: Zxid, wall_ms: int) -> Znode:
        """Return this znode as it is once its data was set under ``zxid``."""
        return Znode(
            data,
            self.acl,
            self.czxid,
            zxid,
            self.pzxid,
            self.ctime,
            wall_ms,
            next_version(self.version),
            self.cversion,
            self.aversion,
            self.owner,
            self.creates,
        )

    def showing(self, data: bytes) -> Znode:
        """Return this znode as readers see it that are shown other data."""
        return msgspec.structs.replace(self, data=data)

    def with_acl(self, acl: tuple[Acl, ...]) -> Znode:
        """Return this znode as it is once its ACL was set."""
        return Znode(
            self.data,
            acl,
            self.czxid,
            self.mzxid,
            self.pzxid,
            self.ctime,
            self.mtime,
            self.version,
            self.cversion,
            next_version(self.aversion),
            self.owner,
            self.creates,
        )


def new_znode(
    data: bytes, acl: tuple[Acl, ...], zxid: Zxid, wall_ms: int, owner: SessionId = NO_SESSION
) -> Znode:
    """Return a znode as it is created under ``zxid``."""
    return Znode(data, acl, zxid, zxid, zxid, wall_ms, wall_ms, 0, 0, 0, owner, 0)


class Tree:
    """All znodes. Begins with the reserved ones."""

    def __init__(self) -> None:
        self.znodes: dict[str, Znode] = {}
        self._children: dict[str, set[str]] = {}
        self._ephemerals: dict[SessionId, set[str]] = {}
        self._passing: dict[str, None] = {}
        """Containers and znodes with a TTL: what is to go once it is due."""
        self.quotas = Quotas()
        self.config_text = b""
        """Who is of the ensemble: read as the data of /zookeeper/config. Set by the server."""
        self._newest_acl: tuple[Acl, ...] = ()
        self._journal: list[tuple[str, Znode | None]] | None = None
        self._reserve()

    def __len__(self) -> int:
        return len(self.znodes)

    def get(self, path: str) -> Znode | None:
        """Return the znode at ``path``, or None."""
        return self.znodes.get(path)

    def as_read(self, path: str, znode: Znode) -> Znode:
        """Return ``znode``, which is at ``path``, with the data that readers of it see."""
        if not path.startswith(ZOOKEEPER):
            return znode
        if path == CONFIG:
            return znode.showing(self.config_text)
        limited = limited_path(path, STATS_NAME)
        quota = None if limited is None else self.quotas.get(limited)
        return znode if quota is None else znode.showing(quota.text())

    def children_count(self, path: str) -> int:
        """Return how many children ``path`` has."""
        names = self._children.get(path)
        return len(names) if names else 0

    def children(self, path: str) -> tuple[str, ...]:
        """Return the sorted names of the children of ``path``."""
        names = self._children.get(path)
        return tuple(sorted(names)) if names else ()

    def below(self, path: str) -> Iterator[str]:
        """Yield the paths of all descendants of ``path``, in no order that counts."""
        waiting = [path]
        while waiting:
            parent = waiting.pop()
            for name in self._children.get(parent, ()):
                child = child_of(parent, name)
                yield child
                if child in self._children:
                    waiting.append(child)

    def ephemerals(self, session_id: SessionId) -> list[str]:
        """Return the sorted paths of the ephemerals of a session."""
        return sorted(self.ephemerals_of(session_id))

    def ephemerals_of(self, session_id: SessionId) -> Collection[str]:
        """Return the same in no order that counts; to be read only."""
        return self._ephemerals.get(session_id, frozenset())

    @property
    def ephemerals_count(self) -> int:
        """How many there are of all sessions."""
        return sum(map(len, self._ephemerals.values()))

    def passing(self) -> list[str]:
        """Return the paths of all containers and znodes with a TTL, in order of creation."""
        return list(self._passing)

    def stat(self, path: str, znode: Znode) -> Stat:
        """Return ZooKeeper's Stat of ``znode``, which is at ``path``."""
        names = self._children.get(path)
        return Stat(
            znode.czxid,
            znode.mzxid,
            znode.ctime,
            znode.mtime,
            znode.version,
            znode.cversion,
            znode.aversion,
            znode.owner,
            len(znode.data),
            len(names) if names else 0,
            znode.pzxid,
        )

    def shared_acl(self, acl: tuple[Acl, ...]) -> tuple[Acl, ...]:
        """Return ``acl``, as the same object that the znode before it has, if it is equal."""
        if acl != self._newest_acl:
            self._newest_acl = acl
        return self._newest_acl

    # Changes

    def create(self, path: str, znode: Znode, parent: str) -> None:
        """Add ``znode``; its parent must be there and it must not."""
        self._set(path, znode)
        self._set(parent, self.znodes[parent].after_child(znode.czxid, created=True))

    def delete(self, path: str, zxid: Zxid) -> Znode:
        """Remove a znode that is there and has no children; return what it was."""
        parent, znode = parent_of(path), self.znodes[path]
        self._set(path, None)
        self._set(parent, self.znodes[parent].after_child(zxid, created=False))
        return znode

    def replace(self, path: str, znode: Znode) -> None:
        """Put the new value of a znode that is there."""
        self._set(path, znode)

    def begin(self) -> None:
        """Remember from here on what changes, so that it can be taken back."""
        assert self._journal is None, "no multi inside a multi"
        self._journal = []

    def commit(self) -> None:
        """Keep what was changed since ``begin``."""
        self._journal = None

    def roll_back(self) -> None:
        """Take back everything that was changed since ``begin``."""
        journal, self._journal = self._journal, None
        assert journal is not None
        for path, previous in reversed(journal):
            self._set(path, previous)

    def restore(self, znodes: Iterable[tuple[str, Znode]]) -> None:
        """Become the tree of these znodes (from a snapshot)."""
        self.znodes = {}
        self._children = {}
        self._ephemerals = {}
        self._passing = {}
        self.quotas = Quotas()
        acls: dict[tuple[Acl, ...], tuple[Acl, ...]] = {}
        for path, znode in znodes:
            if znode.acl:  # equal ones were one object, and are to be one again
                msgspec.structs.force_setattr(znode, "acl", acls.setdefault(znode.acl, znode.acl))
            self._set(path, znode)
        self._reserve()

    def _reserve(self) -> None:
        """Make the reserved znodes that are not there: in a new tree, or an old snapshot's."""
        for path, acl in RESERVED.items():
            if path not in self.znodes:
                self._set(path, new_znode(b"", acl, Zxid(0), 0))

    def _set(self, path: str, znode: Znode | None) -> None:
        previous = self.znodes.get(path)
        if self._journal is not None:
            self._journal.append((path, previous))
        if znode is None:
            assert previous is not None
            del self.znodes[path]
            self._unlink(path, previous)
        else:
            self._put(path, previous, znode)
        if self.quotas.by_path:
            count = (znode is not None) - (previous is not None)
            size_bytes = (len(znode.data) if znode else 0) - (len(previous.data) if previous else 0)
            if count or size_bytes:
                self.quotas.used(path, count, size_bytes)
        if path.endswith(LIMITS_NAME):
            self._limit(path, znode)

    def _limit(self, path: str, znode: Znode | None) -> None:
        limited = limited_path(path, LIMITS_NAME)
        if limited is None:
            return
        if znode is None:
            self.quotas.drop(limited)
        else:
            self.quotas.define(limited, znode.data, self.measure)

    def measure(self, path: str) -> tuple[int, int]:
        """Return how many znodes are at and below ``path``, and the bytes of their data."""
        znode = self.znodes.get(path)
        if znode is None:
            return 0, 0
        sizes = [len(self.znodes[each].data) for each in self.below(path)]
        return 1 + len(sizes), len(znode.data) + sum(sizes)

    def _put(self, path: str, previous: Znode | None, znode: Znode) -> None:
        self.znodes[path] = znode
        if previous is None and path != ROOT:
            self._children.setdefault(parent_of(path), set()).add(name_of(path))
            if znode.owner > 0:
                self._ephemerals.setdefault(znode.owner, set()).add(path)
            elif znode.owner:
                self._passing[path] = None

    def _unlink(self, path: str, previous: Znode) -> None:
        parent = parent_of(path)
        names = self._children[parent]
        names.discard(name_of(path))
        if not names:
            del self._children[parent]
        if previous.owner < 0:
            del self._passing[path]
        elif previous.owner:
            paths = self._ephemerals[previous.owner]
            paths.discard(path)
            if not paths:
                del self._ephemerals[previous.owner]

    # Invariants

    def check(self, newest: Zxid) -> None:
        """Assert Z1, Z3, Z7, Z8 and the tree's part of Z4."""
        assert self._journal is None, "a multi was left open"
        assert all(path in self.znodes for path in RESERVED)
        self.quotas.check(self.measure)
        linked = 0
        for path, znode in self.znodes.items():
            assert znode.czxid <= znode.mzxid <= newest, (path, znode)
            assert znode.czxid <= znode.pzxid <= newest, (path, znode)
            names = self._children.get(path)
            assert names is None or names, f"an empty set of children is kept at {path}"
            assert not (znode.owner > 0 and names), f"the ephemeral {path} has children"
            assert self.children_count(path) <= znode.creates + BORN_WITH.get(path, 0), path
            linked += len(names or ())
            for name in sorted(names or ()):
                assert child_of(path, name) in self.znodes, (path, name)
        assert linked == len(self.znodes) - 1, "a znode hangs under no parent"
        owned = [path for paths in self._ephemerals.values() for path in paths]
        assert len(owned) == sum(1 for znode in self.znodes.values() if znode.owner > 0)
        assert set(self._passing) == {p for p, znode in self.znodes.items() if znode.owner < 0}
        for owner, paths in self._ephemerals.items():
            for path in sorted(paths):
                assert self.znodes[path].owner == owner, path

    def owners(self) -> list[SessionId]:
        """Return the sessions that own ephemerals."""
        return list(self._ephemerals)
