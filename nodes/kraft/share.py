"""One program's share of the ports of a process that runs two: its links, and its own end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.runtime.relay import Relay
from transport.driver.ports import LinkId, Ports


class Share(Relay):
    """Ports and wire of one program: what it opens is noted as its own, where it ends is told."""

    def __init__(self, ports: Ports, on_exit: Callable[[int], None]) -> None:
        super().__init__(ports)
        self._on_exit = on_exit
        self._links: set[LinkId] = set()

    def owns(self, link: LinkId) -> bool:
        """Tell whether this program opened the link."""
        return link in self._links

    def exit(self, status: int) -> None:
        """End this program; whether the process ends is the other's matter too."""
        self._on_exit(status)

    def connect(self, endpoint: str) -> LinkId:
        """Open a DEALER of this program's own."""
        return self._noted(super().connect(endpoint))

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB of this program's own."""
        return self._noted(super().subscribe(endpoint, topics))

    def _noted(self, link: LinkId) -> LinkId:
        self._links.add(link)
        return link

    def disconnect(self, link: LinkId) -> None:
        """Close a link."""
        self._links.discard(link)
        super().disconnect(link)
