"""Brokers that have asked a client to wait, because it is above its quota there."""

from __future__ import annotations

from odradek.measures import Latencies
from transport.driver.ports import LinkId
from transport.kernel import Now


class Rests:
    """By connection."""

    def __init__(self) -> None:
        self._until_ms: dict[LinkId, int] = {}
        self.throttles = Latencies()
        """What was asked, by every answer."""

    def note(self, link: LinkId, throttle_time_ms: int, now: Now) -> None:
        """Take what an answer says; 0 changes nothing."""
        self.throttles.add(throttle_time_ms)
        if throttle_time_ms > 0:
            until_ms = now.mono_ms + throttle_time_ms
            self._until_ms[link] = max(until_ms, self._until_ms.get(link, 0))

    def until_ms(self, link: LinkId, now: Now) -> int | None:
        """Return when the next request may be sent; None: now."""
        until_ms = self._until_ms.get(link)
        if until_ms is not None and now.mono_ms >= until_ms:
            del self._until_ms[link]
            return None
        return until_ms
