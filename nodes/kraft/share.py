"""One program's share of the ports of a process that runs two: its links, and its own end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from transport.driver.ports import LinkId, Origin, Pool, Ports, Streams, Wire
from transport.wire.codec import Envelope


class Share:
    """Ports and wire of one program: what it opens is noted as its own, where it ends is told."""

    def __init__(self, ports: Ports, on_exit: Callable[[int], None]) -> None:
        self._ports = ports
        self._on_exit = on_exit
        self._links: set[LinkId] = set()

    def owns(self, link: LinkId) -> bool:
        """Tell whether this program opened the link."""
        return link in self._links

    # Ports

    @property
    def wire(self) -> Wire:
        """The network."""
        return self

    @property
    def streams(self) -> Streams:
        """Other people's connections: each program is told of those to what it listens at."""
        return self._ports.streams

    @property
    def pool(self) -> Pool:
        """The disk pool, which is the process's."""
        return self._ports.pool

    @property
    def random(self) -> Random:
        """The source of chance, which is the process's."""
        return self._ports.random

    def exit(self, status: int) -> None:
        """End this program; whether the process ends is the other's matter too."""
        self._on_exit(status)

    # Wire

    def connect(self, endpoint: str) -> LinkId:
        """Open a DEALER of this program's own."""
        return self._noted(self._ports.wire.connect(endpoint))

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB of this program's own."""
        return self._noted(self._ports.wire.subscribe(endpoint, topics))

    def _noted(self, link: LinkId) -> LinkId:
        self._links.add(link)
        return link

    def disconnect(self, link: LinkId) -> None:
        """Close a link."""
        self._links.discard(link)
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
