"""S68: a listener answers a user, and lets one in by a password, only while its broker knows of both.

Seen from outside: since the request was sent, the broker's image has held the user, and the password.
So a user that was removed gets nothing but refusals of a broker that has heard of it.
"""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require

NUMBER = "S68"

Known = tuple[str, bytes]
"""A user, and what is kept of a password; empty: of any."""


class KnownUsers:
    """Knows when each broker last knew of whom."""

    def __init__(self) -> None:
        self._until_us: dict[tuple[str, Known], int] = {}
        self._held: dict[str, set[Known]] = {}
        self._seen: dict[str, int] = {}

    def look(self, host: str, image: ClusterImage, now_us: int) -> None:
        """Take a living broker's image. Within a turn that changed users it may have held the old ones."""
        held = self._held.setdefault(host, set())
        if self._seen.get(host) != image.user_changes:
            self._seen[host] = image.user_changes
            self._note(host, held, now_us)
            held.clear()
            for user, credentials in image.users.items():
                held.add((user, b""))
                held.update((user, one.stored_key) for one in credentials)
        self._note(host, held, now_us)

    def _note(self, host: str, held: set[Known], now_us: int) -> None:
        for known in held:
            self._until_us[host, known] = now_us

    def answered(self, host: str, user: str, sent_us: int, stored_key: bytes = b"") -> None:
        """What was sent at that moment was answered, or proved a password; all that live were looked at."""
        until_us = self._until_us.get((host, (user, stored_key)), -1)
        what = "a password" if stored_key else "a request"
        story = f"{host} took {what} of {user}, sent at {sent_us} us, known until {until_us} us"
        require(until_us >= sent_us, NUMBER, story)
