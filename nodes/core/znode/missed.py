"""What a watch missed while its client was between two servers.

Lasting watches hear all of it, from this server's history; where the history does not reach back,
and for one-shot watches, the present tree tells what must have happened.  Told once too often wakes
somebody; never told locks somebody out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from nodes.core.znode.history import History
from nodes.core.znode.paths import ROOT, child_of
from nodes.core.znode.tree import Tree
from nodes.core.znode.watch import CHILDREN, EXISTS, RECURSIVE, TreeChange, Watches
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    WatchEvent,
)


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
    """Return when the nearest ancestor that exists last gained or lost a child.

    Looked for from the root on: a path of a megabyte that is not there may have half a million parts.
    """
    nearest = tree.znodes[ROOT]
    end = path.find("/", 1)
    while end > 0:
        znode = tree.get(path[:end])
        if znode is None:
            break
        nearest, end = znode, path.find("/", end + 1)
    return nearest.pzxid


def missed_by_lasting(
    tree: Tree,
    history: History,
    session_id: SessionId,
    watches: Sequence[tuple[str, str]],
    seen: Zxid,
    newest: Zxid,
) -> Iterator[tuple[WatchEvent, TreeChange | None]]:
    """Yield the events that lasting watches, as (kind, path), missed after ``seen``.

    Each with the change behind it, or None when the history is gone: then there is one event for
    every znode that is new or has new data or other children, as if it had new data, and one for
    the watched znode should it be gone.
    """
    changes = history.after(seen)
    if changes is None:
        topmost = _topmost(tree, (path for kind, path in watches if kind == RECURSIVE))
        for kind, path in watches:
            for type_, where in _presumed(tree, kind, path, seen, topmost):
                yield WatchEvent(session_id, type_, where, newest), None
        return
    heard = Watches()
    for kind, path in watches:
        heard.add(session_id, kind, path)
    for change in changes:
        for event in heard.fire(change):
            yield event, change


def _presumed(
    tree: Tree, kind: str, path: str, seen: Zxid, topmost: Set[str]
) -> Iterable[tuple[int, str]]:
    own = missed(tree, EXISTS, path, seen)
    if own:
        yield own, path
    if kind == RECURSIVE:
        if path in topmost:
            yield from _presumed_below(tree, path, seen, told=bool(own))
    elif own != NODE_DELETED and missed(tree, CHILDREN, path, seen) == NODE_CHILDREN_CHANGED:
        yield NODE_CHILDREN_CHANGED, path


def _topmost(tree: Tree, paths: Iterable[str]) -> Set[str]:
    """Return which of these are there and below no other one: what is below all of them is looked at once.

    Sorted as folders: whatever is below a path comes right behind it.
    """
    there = (path for path in paths if tree.get(path) is not None)
    found: set[str] = set()
    last: str | None = None
    for folder in sorted(path if path == ROOT else f"{path}/" for path in there):
        if last is None or not folder.startswith(last):
            found.add(folder[:-1] or ROOT)
            last = folder
    return found


def _presumed_below(tree: Tree, path: str, seen: Zxid, *, told: bool) -> Iterable[tuple[int, str]]:
    """A child that is gone has no name any more: its parent is told to have changed."""
    waiting = [(path, told)]
    while waiting:
        path, told = waiting.pop()
        znode = tree.get(path)
        if znode is None:
            continue
        if not told and znode.czxid > seen:
            yield NODE_CREATED, path
        elif not told and max(znode.mzxid, znode.pzxid) > seen:
            yield NODE_DATA_CHANGED, path
        waiting += [(child_of(path, name), False) for name in reversed(tree.children(path))]
