"""Connections of a client to the doors of nodes, one per endpoint, opened when first wanted.

Knows which of them are worth a try now.  It must not know what is said over them.
"""

from __future__ import annotations

from collections.abc import Collection

from transport.driver.ports import LinkId, Wire
from transport.kernel import Now

FULL_PAUSE_MS = 10
"""After a refused send on a link that is not known to be down: its queue drains in milliseconds."""


class Links:
    """DEALERs by endpoint. A new link is worth a try at once: some wires connect immediately."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._by_endpoint: dict[str, LinkId] = {}
        self._endpoints: dict[LinkId, str] = {}
        self._down: set[LinkId] = set()
        self._blocked_until_ms: dict[LinkId, int] = {}

    def attach(self, wire: Wire) -> None:
        """Give the links their wire, once the program has its ports."""
        self._wire = wire

    def open(self, endpoint: str) -> LinkId:
        """Return the link to ``endpoint``, connecting if there is none yet."""
        link = self._by_endpoint.get(endpoint)
        if link is None:
            assert self._wire is not None, "attach() first"
            link = self._wire.connect(endpoint)
            self._by_endpoint[endpoint] = link
            self._endpoints[link] = endpoint
        return link

    def usable(self, link: LinkId, now: Now) -> bool:
        """Return whether a send over ``link`` may succeed now."""
        if link in self._down or link not in self._endpoints:
            return False
        return self._blocked_until_ms.get(link, 0) <= now.mono_ms

    def refused(self, link: LinkId, now: Now) -> None:
        """Note that a send was refused: not worth another try for some milliseconds."""
        self._blocked_until_ms[link] = now.mono_ms + FULL_PAUSE_MS

    def end_turn(self, now: Now) -> bool:
        """Forget the pauses that are over; True: there were some, so more can be sent."""
        over = [link for link, due_ms in self._blocked_until_ms.items() if due_ms <= now.mono_ms]
        for link in over:
            del self._blocked_until_ms[link]
        return bool(over)

    def next_deadline_ms(self) -> int | None:
        """Return when the next pause is over."""
        return min(self._blocked_until_ms.values(), default=None)

    def on_link(self, link: LinkId, up: bool) -> bool:
        """Take a change; False: not one of these links."""
        if link not in self._endpoints:
            return False
        self._blocked_until_ms.pop(link, None)
        if up:
            self._down.discard(link)
        else:
            self._down.add(link)
        return True

    def keep_only(self, endpoints: Collection[str]) -> list[LinkId]:
        """Close the links to all other endpoints and return them: their requests have ended."""
        closed: list[LinkId] = []
        for endpoint in [known for known in self._by_endpoint if known not in endpoints]:
            assert self._wire is not None
            link = self._by_endpoint.pop(endpoint)
            del self._endpoints[link]
            self._down.discard(link)
            self._blocked_until_ms.pop(link, None)
            self._wire.disconnect(link)
            closed.append(link)
        return closed
