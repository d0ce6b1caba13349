"""The other brokers and controllers: a DEALER to each that is called, a SUB to each one's events.

Owns the links and which of them are up.  Knows endpoints from the config, those of brokers that came
or moved later from the image, and nothing of what is said over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from nodes.broker.context import BrokerContext
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.ids import BrokerEpoch, NodeId
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
        self._epochs: dict[NodeId, BrokerEpoch] = {}
        """Of the latest registration that was met."""
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

    def meet(self, brokers: Iterable[BrokerRecord], now: Now) -> None:
        """Learn of brokers that came after this one was started, or listen elsewhere now.

        Each is heard from now on where it is; calls to where it was have failed.
        """
        for broker in brokers:
            if broker.id == self._context.id:
                continue
            node, known = endpoints_of(broker), self._endpoints.get(broker.id)
            if known is None and not broker.alive:
                continue  # it is met when it comes
            if known is None:
                self._endpoints[node.id] = node
                self._hear(node)
            elif (known.peers, known.events) != (node.peers, node.events) and (
                self._is_news(broker, known)
            ):
                self._move(node, now)
            self._epochs[node.id] = broker.epoch

    def _is_news(self, broker: BrokerRecord, known: NodeEndpoints) -> bool:
        """Tell whether a registration knows better where a broker listens.

        A later one than was met does. The first that is met may be of the past, from before a whole
        cluster was moved, or the settings may be: whoever answers where these say is there. Where
        the quorum is, settings alone say.
        """
        before = self._epochs.get(broker.id)
        if before is not None:
            return broker.epoch > before
        connected = not self._up.isdisjoint(self._links_to(broker.id))
        return broker.alive and not connected and "controller" not in known.roles

    def forget(self, node: NodeId, now: Now) -> None:
        """Call and hear a node no more that is gone for good."""
        self._close(node, now)
        self._calls.pop(node, None)
        self._endpoints.pop(node, None)

    def _links_to(self, node: NodeId) -> list[LinkId]:
        links = {**self._events, **self._owners}
        return [link for link, owner in links.items() if owner == node]

    def _close(self, node: NodeId, now: Now) -> None:
        context = self._context
        for link in self._links_to(node):
            context.ports.wire.disconnect(link)
            self._up.discard(link)
            self._events.pop(link, None)
            self._owners.pop(link, None)
            context.timers.at(now.mono_ms, partial(context.calls.on_link_down, link))

    def _move(self, node: NodeEndpoints, now: Now) -> None:
        self._close(node.id, now)
        self._context.report("brokers_moved", f"{node.name} listens at {node.peers} now")
        self._endpoints[node.id] = node
        self._hear(node)
        if self._calls.pop(node.id, None) is not None:
            self.link(node.id)

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

    def is_up(self, node: NodeId) -> bool:
        """Tell whether a request to a broker would leave now; opens the way to it on first use."""
        return self.link(node) in self._up

    def owner(self, link: LinkId) -> NodeId | None:
        """Return the broker behind one of our DEALERs, or None."""
        return self._owners.get(link)

    def publisher(self, link: LinkId) -> NodeId | None:
        """Return the broker whose events come over one of our SUBs, or None."""
        return self._events.get(link)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Note that a link came up or went down; False when it is none of ours."""
        if link not in self._events and link not in self._owners:
            return False
        if up:
            self._up.add(link)
        else:
            self._up.discard(link)
        return True
