"""What was written at and under a path since a zxid: GetChanges, answered from the history.

Pure.  An answer ends only between two zxids, so that whoever goes on from it misses nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.core.znode.acl import allows
from nodes.core.znode.history import History
from nodes.core.znode.paths import ROOT
from nodes.core.znode.reserved import may_read
from nodes.core.znode.watch import TreeChange
from transport.wire.ids import Zxid
from transport.wire.messages.coordination import NODE_DELETED, READ, Change, GetChanges, Identity

CHANGE_OVERHEAD_BYTES = 32


class Page(NamedTuple):
    """One answer's worth of changes."""

    changes: list[Change]
    through: Zxid
    """Nothing up to here is missing: where to go on from."""
    size_bytes: int


def page(
    history: History,
    operation: GetChanges,
    newest: Zxid,
    identities: tuple[Identity, ...],
    size_bytes_max: int,
) -> Page | None:
    """Return the oldest changes after ``operation.since``; None: not all of them are known.

    An answer without any says that there are none up to now, so one write's are told whatever their
    size.  Changes of znodes that ``identities`` may not read are left out.
    """
    known = history.after(operation.since)
    if known is None:
        return None
    below = "/" if operation.prefix == ROOT else operation.prefix + "/"
    changes: list[Change] = []
    size_bytes = 0
    through = operation.since
    for change in known:
        is_full = len(changes) >= operation.limit or size_bytes > size_bytes_max
        if changes and change.zxid > through and is_full:
            return Page(changes, through, size_bytes)
        through = change.zxid
        path = change.path
        if path != operation.prefix and not path.startswith(below):
            continue
        if change.znode is None or not allows(change.znode.acl, READ, identities):
            continue
        if not may_read(path, identities):
            continue
        changes.append(_told(change))
        size_bytes += CHANGE_OVERHEAD_BYTES + len(path) + len(changes[-1].data or b"")
    return Page(changes, max(newest, operation.since), size_bytes)


def _told(change: TreeChange) -> Change:
    znode = change.znode
    assert znode is not None
    data = None if change.type == NODE_DELETED else znode.data
    return Change(change.zxid, change.type, change.path, data, znode.version)
