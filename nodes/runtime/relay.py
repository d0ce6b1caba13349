"""A program's ports handed on as they are: what stands between overrides what it is there for."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from transport.driver.ports import LinkId, Origin, Pool, Ports, Streams, Wire
from transport.wire.codec import Envelope


class Relay:
    """Ports, and their wire, of which everything is somebody else's."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    # Ports

    @property
    def wire(self) -> Wire:
        """The network."""
        return self

    @property
    def streams(self) -> Streams:
        """Other people's connections; whoever listens is told of its own."""
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
        return self._ports.wire.connect(endpoint)

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB."""
        return self._ports.wire.subscribe(endpoint, topics)

    def disconnect(self, link: LinkId) -> None:
        """Close a link."""
        self._ports.wire.disconnect(link)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER."""
        return self._ports.wire.send(link, envelope)

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        """Answer over the ROUTER that a request came by."""
        return self._ports.wire.reply(origin, envelope)

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        """Publish by the process's PUB."""
        self._ports.wire.publish(topic, envelope)
