"""What a session knows of its connection to one coordinator. Plain data; decides nothing."""

from __future__ import annotations

from transport.driver.ports import LinkId
from transport.kernel import Now

PROBE_AFTER_MS = 200
"""Operations without an answer for so long have us ask whether the coordinator lives at all."""


class Connection:
    """One attempt at, and then the use of, one coordinator."""

    __slots__ = (
        "asked",
        "blocked",
        "deadline_ms",
        "endpoint",
        "gaps",
        "heard_ms",
        "link",
        "open",
        "pinging",
        "probing",
    )

    def __init__(self, link: LinkId, endpoint: str, deadline_ms: int) -> None:
        self.link = link
        self.endpoint = endpoint
        self.deadline_ms = deadline_ms
        """To be connected by."""
        self.asked = False
        """The opening is sent."""
        self.open = False
        """The opening is answered: the session is served here."""
        self.pinging = False
        self.blocked = False
        """The link is full; the next answer makes room."""
        self.gaps = 0
        """How often everything had to be sent again on this connection."""
        self.heard_ms = 0
        """When it last said anything, or operations began to wait."""
        self.probing = False

    def late(self, now: Now) -> bool:
        """Say whether it should have come up by now."""
        return not self.asked and now.mono_ms >= self.deadline_ms

    def probe_due_ms(self, in_flight: int) -> int | None:
        """Return when to ask whether it lives, while requests are in flight; None: not now."""
        if not (self.open and in_flight) or self.probing:
            return None
        return self.heard_ms + PROBE_AFTER_MS
