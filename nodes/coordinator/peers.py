"""The links to the rest of the cluster: a DEALER to each coordinator, a SUB to each broker.

Knows endpoints and names; nothing of what is said over the links.
"""

from __future__ import annotations

from nodes.config import NodeConfig
from transport.driver.ports import LinkId, Ports
from transport.wire.codec import ANY_INCARNATION, ANY_NODE, NO_CLUSTER, Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages import Message
from transport.wire.messages.metadata import EVENT_BEAT


class Peers:
    """Outgoing links, opened once and kept for the life of the process, or of their node."""

    def __init__(self, config: NodeConfig, ports: Ports) -> None:
        self._config = config
        self._ports = ports
        self._links: dict[NodeId, LinkId] = {}
        self._nodes: dict[LinkId, NodeId] = {}
        self._names: dict[NodeId, NodeName] = {}

    def connect(self) -> None:
        """Open every link; each comes up when its node is there."""
        wire = self._ports.wire
        for node in self._config.quorum_members():
            if node.id != self._config.id:
                link = wire.connect(node.peers)
                self._links[node.id] = link
                self._nodes[link] = node.id
                self._names[node.id] = node.name
        for node in self._config.with_role("broker"):
            wire.subscribe(node.events, (EVENT_BEAT,))

    def node_of(self, link: LinkId) -> NodeId | None:
        """Return the coordinator behind a link; None for a link that is not one of a coordinator."""
        return self._nodes.get(link)

    def forget(self, node: NodeId) -> None:
        """Close the link to a coordinator that is gone for good."""
        link = self._links.pop(node, None)
        if link is not None:
            del self._nodes[link]
            self._ports.wire.disconnect(link)

    def send(self, to: NodeId, message: Message, payload: tuple[bytes, ...] = ()) -> bool:
        """Tell a coordinator something, one-way. False: the link is down or full."""
        if to not in self._links:
            return False  # It votes by the log, and the settings do not name it any more.
        envelope = Envelope(
            Kind.ONE_WAY,
            message,
            payload,
            cluster_id=self._config.cluster_id,
            destination=self._names[to],
        )
        return self._ports.wire.send(self._links[to], envelope)


def misaddressed(config: NodeConfig, envelope: Envelope) -> ErrorCode | None:
    """Return why a message is not for this process, or None when it is (or does not say)."""
    if envelope.cluster_id not in (NO_CLUSTER, config.cluster_id):
        return ErrorCode.INCONSISTENT_CLUSTER_ID
    if envelope.destination not in (ANY_NODE, config.name):
        return ErrorCode.WRONG_NODE
    if envelope.incarnation not in (ANY_INCARNATION, config.incarnation):
        return ErrorCode.WRONG_INCARNATION
    return None
