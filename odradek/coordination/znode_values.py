"""What the coordination client takes and gives: stats, events, states, paths, ACL entries.

The names of fields and states are those that kazoo's users know.  Knows nothing of sessions or
threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from odradek.errors import BadArgumentsError
from odradek.settings import INT_MAX, Bounds, check_number, check_text
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Acl,
    Stat,
)

__all__ = [
    "Acl",
    "CoordinationState",
    "EventType",
    "KeeperState",
    "WatchedEvent",
    "ZnodeStat",
    "check_path",
    "check_value",
]


class CoordinationState:
    """What listeners are told; plain strings."""

    SUSPENDED = "SUSPENDED"
    """No coordinator at present: the session, its ephemerals and watches may live on."""
    CONNECTED = "CONNECTED"
    LOST = "LOST"
    """The session has ended, and with it its ephemerals and watches; a new one is being opened."""


class EventType:
    """The types of watch events; plain strings."""

    CREATED = "CREATED"
    DELETED = "DELETED"
    CHANGED = "CHANGED"
    CHILD = "CHILD"
    NONE = "NONE"
    """Not an event of a znode: the watch has ended with its session."""
    REMOVED = "REMOVED"
    """Not an event of a znode: the watch was taken away by ``remove_watches``."""


class KeeperState:
    """The state in which a watch event came, and a client's ``client_state``; plain strings."""

    CONNECTED = "CONNECTED"
    CONNECTED_RO = "CONNECTED_RO"
    """Served without a quorum: reads only."""
    CONNECTING = "CONNECTING"
    EXPIRED_SESSION = "EXPIRED_SESSION"
    AUTH_FAILED = "AUTH_FAILED"
    CLOSED = "CLOSED"


_EVENT_TYPES = {
    NODE_CREATED: EventType.CREATED,
    NODE_DELETED: EventType.DELETED,
    NODE_DATA_CHANGED: EventType.CHANGED,
    NODE_CHILDREN_CHANGED: EventType.CHILD,
}


class WatchedEvent(NamedTuple):
    """What a watch callback receives."""

    type: str
    state: str
    path: str | None
    """None when the watch ended with its session."""

    @classmethod
    def of(cls, type_: int, path: str) -> WatchedEvent:
        """Return the event for a number of the wire."""
        return cls(event_type(type_), KeeperState.CONNECTED, path)


def event_type(type_: int) -> str:
    """Return the name of a number of the wire."""
    return _EVENT_TYPES.get(type_, EventType.NONE)


class ZnodeStat(NamedTuple):
    """ZooKeeper's Stat. Times are wall milliseconds since the Unix epoch, sizes bytes."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeralOwner: int  # noqa: N815 - ZooKeeper's name
    dataLength: int  # noqa: N815 - ZooKeeper's name
    numChildren: int  # noqa: N815 - ZooKeeper's name
    pzxid: int

    @classmethod
    def of(cls, stat: Stat) -> ZnodeStat:
        """Return the user's view of a stat from the wire."""
        return cls(
            stat.czxid,
            stat.mzxid,
            stat.ctime,
            stat.mtime,
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.ephemeral_owner,
            stat.data_length,
            stat.children_count,
            stat.pzxid,
        )

    @property
    def acl_version(self) -> int:
        """How often the ACL was changed."""
        return self.aversion

    @property
    def children_version(self) -> int:
        """How often children were created or deleted."""
        return self.cversion

    @property
    def created(self) -> float:
        """Wall time of creation, in seconds since the Unix epoch."""
        return self.ctime / 1000.0

    @property
    def last_modified(self) -> float:
        """Wall time of the last change of data, in seconds since the Unix epoch."""
        return self.mtime / 1000.0

    @property
    def owner_session_id(self) -> int | None:
        """The session of an ephemeral znode, else None."""
        return self.ephemeralOwner if self.ephemeralOwner > 0 else None

    @property
    def ephemeral_owner(self) -> int:
        """The session of an ephemeral znode, else 0; negative for a container or one with a ttl."""
        return self.ephemeralOwner

    @property
    def creation_transaction_id(self) -> int:
        """The zxid under which it was created."""
        return self.czxid

    @property
    def last_modified_transaction_id(self) -> int:
        """The zxid under which its data was changed last."""
        return self.mzxid

    @property
    def data_length(self) -> int:
        """Bytes of data."""
        return self.dataLength

    @property
    def children_count(self) -> int:
        """How many children it has."""
        return self.numChildren


VERSIONS = Bounds(-1, INT_MAX)
PERMISSIONS = Bounds(0, INT_MAX)
_ILLEGAL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


def check_path(path: str, *, prefix: bool = False) -> str:
    """Return ``path`` if it can name a znode (with ``prefix``: once digits are appended to it).

    Raises BadArgumentsError that says what is wrong; TypeError for what is no string.  The rules
    are ZooKeeper's (Programmer's Guide, "The ZooKeeper Data Model").
    """
    if not isinstance(path, str):
        raise TypeError(f"a path is a string, not {type(path).__name__}")
    whole = f"{path}1" if prefix else path
    if not whole.startswith("/"):
        raise BadArgumentsError(f"{path!r}: a path begins with /")
    if whole == "/":
        return path
    if whole.endswith("/"):
        raise BadArgumentsError(f"{path!r}: a path does not end with /")
    illegal = _ILLEGAL.search(whole)
    if illegal is not None:
        raise BadArgumentsError(f"{path!r}: {illegal.group()!r} is not allowed in a path")
    for name in whole[1:].split("/"):
        if not name:
            raise BadArgumentsError(f"{path!r}: a name between two / is empty")
        if name in (".", ".."):
            raise BadArgumentsError(f"{path!r}: {name!r} is not a name; paths are absolute")
    return path


def check_value(value: bytes | None) -> bytes:
    """Return the data of a znode as bytes; TypeError for what is none (None is empty)."""
    if value is None:
        return b""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"a znode's value is bytes, not {type(value).__name__}; encode it first")
    return bytes(value)


def check_version(version: int) -> int:
    """Return the version that a znode must have (−1: any); TypeError or ValueError for others."""
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"a version is a whole number (-1: any), not {version!r}")
    check_number("version", version, VERSIONS)
    return version


def acl_entries(acl: Iterable[object] | None) -> tuple[Acl, ...]:
    """Return ACL entries for the wire: ours, or anything with ``perms`` and ``id.scheme/id``."""
    entries: list[Acl] = []
    if isinstance(acl, Acl) or hasattr(acl, "perms"):
        raise TypeError("acl is a list of entries, not one of them")
    for entry in acl or ():
        if isinstance(entry, Acl):
            entries.append(entry)
            continue
        try:
            who = entry.id  # type: ignore[attr-defined]
            made = Acl(int(entry.perms), str(who.scheme), str(who.id))  # type: ignore[attr-defined]
        except (AttributeError, TypeError, ValueError):
            raise TypeError(f"{entry!r} is not an ACL entry; use odradek.acl.ACL") from None
        check_number("perms", made.permissions, PERMISSIONS)
        check_text("scheme", made.scheme)
        check_text("id", made.id)
        entries.append(made)
    return tuple(entries)
