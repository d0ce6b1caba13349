"""TreeCache: a copy of a subtree in memory, kept up to date by watches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from odradek.recipes.waiting import Client, joined, read
from odradek.recipes.watching import Watching
from odradek.znode_values import ZnodeStat

_log = logging.getLogger("odradek")


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
class _Node:
    """A znode of the copy, and the reads that keep it fresh."""

    data: NodeData | None = None
    children: list[str] = field(default_factory=list)
    watches: list[Watching[tuple[bytes, ZnodeStat]] | Watching[list[str]]] = field(
        default_factory=list
    )
    unread: int = 2
    """Of the reads of data and of children, how many have not been answered."""


class TreeCache:
    """A copy of ``path`` and all below it, from :meth:`start` to :meth:`close`.

    Each znode is as new as its last read; two znodes need not be of the same moment.  While the
    session is suspended the copy stays as it is; after a lost session everything is read anew, and
    listeners hear of what has changed meanwhile.  Listeners run on the callbacks' thread.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._mutex = threading.RLock()
        self._nodes: dict[str, _Node] = {}
        self._listeners: list[Callable[[TreeEvent], object]] = []
        self._begun = False
        self._closed = False
        self._unread = 0
        self._initialized = client.waiting.signal()

    def start(self) -> None:
        """Begin to read; the path is made if it is not there. Nothing if it has begun."""
        with self._mutex:
            if self._begun:
                return
            self._begun = True
        read(self._client, lambda: self._client.ensure_path_async(self.path))
        self._add(self.path)

    def close(self) -> None:
        """Keep the copy up to date no more."""
        with self._mutex:
            self._closed = True
            nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            _stop(node)

    def listen(self, listener: Callable[[TreeEvent], object]) -> Callable[[TreeEvent], object]:
        """Call ``listener(event)`` from now on; a decorator too."""
        with self._mutex:
            self._listeners.append(listener)
        return listener

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was there at the start has been read; False after ``timeout`` s."""
        return self._initialized.wait(timeout)

    def get_data(self, path: str, default: NodeData | None = None) -> NodeData | None:
        """Return a znode of the copy, or ``default``."""
        with self._mutex:
            node = self._nodes.get(path)
            return default if node is None or node.data is None else node.data

    def get_children(
        self, path: str, default: frozenset[str] | None = None
    ) -> frozenset[str] | None:
        """Return the names of the children in the copy, or ``default``."""
        with self._mutex:
            node = self._nodes.get(path)
            return default if node is None or node.data is None else frozenset(node.children)

    # Inside

    def _add(self, path: str) -> None:
        node = _Node()
        with self._mutex:
            if self._closed or path in self._nodes:
                return
            self._nodes[path] = node
            self._unread += 0 if self._initialized.is_set() else node.unread
        data: Watching[tuple[bytes, ZnodeStat]] = Watching(
            self._client,
            None,
            lambda watch: self._client.get_async(path, watch),
            lambda found, _event: self._took_data(path, node, found),
        )
        children: Watching[list[str]] = Watching(
            self._client,
            None,
            lambda watch: self._client.get_children_async(path, watch),
            lambda found, _event: self._took_children(path, node, found),
        )
        node.watches = [data, children]
        data.begin_later()
        children.begin_later()

    def _took_data(self, path: str, node: _Node, found: tuple[bytes, ZnodeStat] | None) -> None:
        if found is None:
            self._remove(path, node)
        else:
            known, node.data = node.data, NodeData(path, *found)
            if known is None:
                self._tell(TreeEventType.NODE_ADDED, node.data)
            elif (
                known.stat.czxid != node.data.stat.czxid or known.stat.mzxid != node.data.stat.mzxid
            ):
                self._tell(TreeEventType.NODE_UPDATED, node.data)
        self._was_read(node)

    def _took_children(self, path: str, node: _Node, found: list[str] | None) -> None:
        before, node.children = node.children, found or []
        for name in node.children:
            self._add(joined(path, name))
        for name in before:
            if name not in node.children:
                self._remove(joined(path, name))
        self._was_read(node)

    def _remove(self, path: str, expected: _Node | None = None) -> None:
        with self._mutex:
            node = self._nodes.get(path)
            if node is None or (expected is not None and node is not expected):
                return
            del self._nodes[path]
        _stop(node)
        for name in node.children:
            self._remove(joined(path, name))
        if node.data is not None:
            self._tell(TreeEventType.NODE_REMOVED, node.data)
        while node.unread:
            self._was_read(node)

    def _was_read(self, node: _Node) -> None:
        with self._mutex:
            if not node.unread:
                return
            node.unread -= 1
            if self._initialized.is_set():
                return
            self._unread -= 1
            if self._unread:
                return
            self._initialized.set()
        self._tell(TreeEventType.INITIALIZED, None)

    def _tell(self, event_type: str, data: NodeData | None) -> None:
        with self._mutex:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(TreeEvent(event_type, data))
            except Exception:  # noqa: BLE001 - whatever a listener raises is the user's
                _log.exception("a listener of the cache of %s failed", self.path)


def _stop(node: _Node) -> None:
    for watch in node.watches:
        watch.stop()
