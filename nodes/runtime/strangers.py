"""Programs of another tongue, as a node's handlers see them: origins like any other.

A listener hands a stranger's request, translated, to the node's own dispatch; what is replied to the
stranger's origin comes back to the listener instead of leaving by ZeroMQ.  Nothing else can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from transport.driver.ports import Door, LinkId, Origin, Pool, Ports, Streams, Wire
from transport.wire.codec import Envelope

OnReply = Callable[[Envelope], bool]
"""Takes an answer or an event; False: the stranger is gone or stuck, as ``Wire.reply``."""


class Strangers:
    """A node's ports, with a wire that knows the strangers. For nodes that have a listener only."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._wire = ports.wire
        self._known: dict[bytes, OnReply] = {}
        self._last = 0

    def admit(self, address: str, on_reply: OnReply) -> Origin:
        """Return the origin of a stranger at this IP address: it comes by the clients' door.

        ``on_reply`` may be called from within the handing over of a request.
        """
        self._last += 1
        route = b"stranger-%d" % self._last  # ZeroMQ's have five bytes
        self._known[route] = on_reply
        return Origin(Door.CLIENTS, route, address)

    def dismiss(self, origin: Origin) -> None:
        """Know a stranger no more: replies to it are refused."""
        self._known.pop(origin.route, None)

    # Ports

    @property
    def wire(self) -> Wire:
        """The network, strangers included."""
        return self

    @property
    def streams(self) -> Streams:
        """Other people's connections."""
        return self._ports.streams

    @property
    def pool(self) -> Pool:
        """The disk pool."""
        return self._ports.pool

    @property
    def random(self) -> Random:
        """The source of chance."""
        return self._ports.random

    def exit(self, status: int) -> None:
        """End the program."""
        self._ports.exit(status)

    # Wire

    def connect(self, endpoint: str) -> LinkId:
        """Open a DEALER."""
        return self._wire.connect(endpoint)

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB."""
        return self._wire.subscribe(endpoint, topics)

    def disconnect(self, link: LinkId) -> None:
        """Close a link."""
        self._wire.disconnect(link)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER."""
        return self._wire.send(link, envelope)

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        """Answer whoever asked: a stranger through its listener, others over their ROUTER."""
        on_reply = self._known.get(origin.route)
        if on_reply is not None:
            return on_reply(envelope)
        return self._wire.reply(origin, envelope)

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        """Publish by the process's PUB."""
        self._wire.publish(topic, envelope)
