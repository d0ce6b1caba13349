"""The other brokers and controllers: a DEALER to each that is called, a SUB to each one's events.

Owns the links and which of them are up.  Knows endpoints from the config, those of later brokers from
the image, and nothing of what is said over them.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.broker.context import BrokerContext
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.ids import NodeId
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.metadata import EVENT_BEAT, EVENT_DELTA, BrokerRecord


def endpoints_of(broker: BrokerRecord) -> NodeEndpoints:
    """Return where a registered broker listens."""
    return NodeEndpoints(
        broker.id,
        broker.name,
        ("broker",),
        broker.peers,
        broker.clients,
        broker.events,
        broker.rack,
        broker.http,
    )


class Peers:
    """Links to the cluster's other brokers, and in mode ``kraft`` its controllers, by node id."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        config = context.config
        nodes = (*config.with_role("broker"), *config.with_role("controller"))
        self._endpoints: dict[NodeId, NodeEndpoints] = {
            node.id: node for node in nodes if node.id != context.id
        }
        self._calls: dict[NodeId, LinkId] = {}
        self._events: dict[LinkId, NodeId] = {}
        self._owners: dict[LinkId, NodeId] = {}
        self._up: set[LinkId] = set()

    def start(self) -> None:
        """Subscribe to the heartbeats and metadata deltas of each of them."""
        for node in sorted(self._endpoints):
            self._hear(self._endpoints[node])

    def _hear(self, node: NodeEndpoints) -> None:
        link = self._context.ports.wire.subscribe(node.events, (EVENT_DELTA, EVENT_BEAT))
        self._events[link] = node.id

    def hear(self, nodes: Iterable[NodeEndpoints]) -> None:
        """Hear these too from now on: members of the quorum, which have become controllers."""
        for node in nodes:
            if node.id not in self._endpoints:
                self._endpoints[node.id] = node
                self._hear(node)

    def meet(self, brokers: Iterable[BrokerRecord]) -> None:
        """Learn of brokers that joined after this one was started, and hear them from now on."""
        for broker in brokers:
            if broker.id not in self._endpoints and broker.id != self._context.id:
                self._endpoints[broker.id] = node = endpoints_of(broker)
                self._hear(node)

    def link(self, node: NodeId) -> LinkId | None:
        """Return the DEALER to a broker's peers door, opened on first use; None: no such broker.

        It may be down: then requests over it are refused, until ``on_link`` says it is up.
        """
        known = self._calls.get(node)
        if known is not None:
            return known
        endpoints = self._endpoints.get(node)
        if endpoints is None:
            return None
        link = self._context.ports.wire.connect(endpoints.peers)
        self._calls[node] = link
        self._owners[link] = node
        return link

    def owner(self, link: LinkId) -> NodeId | None:
        """Return the broker behind one of our DEALERs, or None."""
        return self._owners.get(link)

    def publisher(self, link: LinkId) -> NodeId | None:
        """Return the broker whose events come over one of our SUBs, or None."""
        return self._events.get(link)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Note that a link came up or went down; False when it is none of ours."""
        if link in self._events:
            return True
        if link not in self._owners:
            return False
        if up:
            self._up.add(link)
        else:
            self._up.discard(link)
        return True
