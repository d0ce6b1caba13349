"""Consumers read from a replica in their own rack where there is one in sync (KIP-392)."""

from __future__ import annotations

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from transport.kernel import Now
from transport.wire.ids import NO_NODE, NodeId, Offset
from transport.wire.messages.fetch import FetchRequest

SOON_MS = 10
"""From a commit until a replica that readers were sent to hears of it, at the latest."""
SENT_MS = 120_000
"""Readers come back to be sent to a replica more often than this, while they read there."""


class NearReaders:
    """Sends consumers to replicas, and knows which these are: as many as there are brokers, at most."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._sent_ms: dict[NodeId, int] = {}

    def are_at(self, replica: NodeId, now: Now) -> bool:
        """Tell whether readers that were sent to a replica may be there still."""
        sent_ms = self._sent_ms.get(replica)
        return sent_ms is not None and now.mono_ms - sent_ms <= SENT_MS

    def nearest_to(self, asked: FetchRequest, replica: Replica, offset: Offset, now: Now) -> NodeId:
        """Return who in a consumer's rack has what it asks for and is in sync; −1: this will do."""
        core, rack = replica.core, asked.rack
        assert core is not None, "it was judged"
        if not rack or asked.replica_id != NO_NODE or not core.is_leader:
            return NO_NODE
        if rack == self._context.config.endpoints().rack:
            return NO_NODE
        brokers, ends = self._context.image.brokers, core.replica_ends()
        near = [
            (ends.get(node, -1), -node)
            for node in core.isr
            if node in brokers and brokers[node].alive and brokers[node].rack == rack
        ]
        end, node = max(near, default=(-1, 0))
        if end < offset:
            return NO_NODE
        self._sent_ms[NodeId(-node)] = now.mono_ms
        return NodeId(-node)
