"""S57: a broker acknowledges a client's record only if the client may write when that comes.

Seen from outside: since the record was sent, some broker's image has held the grant.
"""

from __future__ import annotations

from nodes.core.acls import Pattern
from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require
from transport.wire.messages.acls import AclEntry

NUMBER = "S57"


class Granted:
    """Knows when a grant was last in force anywhere."""

    def __init__(self, pattern: Pattern, entry: AclEntry) -> None:
        self._pattern = pattern
        self._entry = entry
        self._last_us = -1
        self._seen: dict[str, int] = {}

    def look(self, host: str, image: ClusterImage, now_us: int) -> None:
        """Take a living broker's image. Within a turn that changed ACLs it may have held the grant."""
        if self._entry in image.acls.get(self._pattern, ()) or (
            self._seen.get(host) != image.acl_changes
        ):
            self._last_us = now_us
        self._seen[host] = image.acl_changes

    def acknowledged(self, value: bytes, sent_us: int) -> None:
        """A record that was sent at that moment was acknowledged; all that live were looked at."""
        story = f"{value!r}, sent at {sent_us} us, was acknowledged, and granted until {self._last_us} us"
        require(self._last_us >= sent_us, NUMBER, story)
