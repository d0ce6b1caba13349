"""A client's watches set anew at this server, and who may hear of what."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.coordinator.context import CoordinatorContext
from nodes.core.znode.acl import allows
from nodes.core.znode.missed import missed, missed_by_lasting
from nodes.core.znode.paths import is_valid
from nodes.core.znode.reserved import may_read
from nodes.core.znode.tree import Tree
from nodes.core.znode.watch import KINDS, LASTING, TreeChange
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import READ, Identity, WatchEvent, WatchRegistration


def set_watches(
    context: CoordinatorContext,
    session_id: SessionId,
    watches: Iterable[WatchRegistration],
    seen: Zxid,
) -> dict[WatchEvent, TreeChange | None] | None:
    """Set watches anew; return what they missed after ``seen``, with the change behind it if known.

    One-shot watches that missed something are not set.  None: there is no room for all of them, and
    who goes on without one would never hear of it.
    """
    core = context.core
    events: dict[WatchEvent, TreeChange | None] = {}
    lasting: list[tuple[str, str]] = []
    # Each once: to look below a path is not to be had a hundred thousand times by one request.
    for path, kind in dict.fromkeys((watch.path, watch.kind) for watch in watches):
        if kind not in KINDS or not is_valid(path):
            continue
        type_ = 0 if kind in LASTING else missed(core.tree, kind, path, seen)
        if type_:
            events[WatchEvent(session_id, type_, path, core.zxid)] = None
            continue
        if not context.watches.add(session_id, kind, path):
            context.count("watches_over_budget")
            return None
        if kind in LASTING:
            lasting.append((kind, path))
    for event, change in missed_by_lasting(
        core.tree, context.history, session_id, lasting, seen, core.zxid
    ):
        events[event] = change
    return events


def may_hear(
    tree: Tree, identities: tuple[Identity, ...], event: WatchEvent, change: TreeChange | None
) -> bool:
    """Tell whether somebody of these identities may read the znode that ``event`` is about."""
    if not may_read(event.path, identities):
        return False
    if change is None:
        znode = tree.get(event.path)
    elif change.path == event.path:
        znode = change.znode
    else:
        return allows(change.parent_acl, READ, identities)
    return znode is None or allows(znode.acl, READ, identities)
