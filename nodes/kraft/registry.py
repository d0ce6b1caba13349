"""Who is registered under ``/brokers/ids``, read from the tree as applied on the leader.

Says the whole list each time, as ``nodes.broker.cluster.registrations`` does over a session.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.broker.cluster import znodes
from nodes.broker.cluster.registrations import OnLive
from nodes.core.znode.tree import Tree
from transport.kernel import Now
from transport.wire.ids import BrokerEpoch, NodeId
from transport.wire.messages.metadata import BrokerRecord


class TreeRegistry:
    """Follows the list from ``start`` to ``stop``. A ``nodes.broker.cluster.controller.Registry``."""

    def __init__(self, tree: Tree, on_live: OnLive) -> None:
        self._tree = tree
        self._on_live = on_live
        self._said: tuple[BrokerRecord, ...] | None = None
        self._stopped = False

    def start(self, now: Now) -> None:
        """Say who is registered, and go on."""
        self.look(now)

    def stop(self) -> None:
        """Say nothing any more."""
        self._stopped = True

    def look(self, now: Now) -> None:
        """Say the list if it is another one now."""
        found = tuple(self._registered())
        if found != self._said and not self._stopped:
            self._said = found
            self._on_live(found, now)

    def _registered(self) -> Iterator[BrokerRecord]:
        for name in self._tree.children(znodes.BROKER_IDS):
            znode = self._tree.get(f"{znodes.BROKER_IDS}/{name}")
            assert znode is not None, "a child is in the tree"
            try:
                node, epoch = NodeId(int(name)), BrokerEpoch(znode.czxid)
                yield znodes.broker_record(node, epoch, znode.data)
            except (znodes.UnreadableZnode, ValueError):
                continue  # somebody's own znode: it registers nobody
