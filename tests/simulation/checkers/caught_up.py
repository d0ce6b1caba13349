"""S58: a broker of mode kraft asks to be registered only once it knows what was committed when it started.

Before, it would be counted on for partitions of which it has an image of the past (M4).
"""

from __future__ import annotations

from nodes.broker.server import BrokerServer
from tests.simulation.checkers.violation import require

NUMBER = "S58"


class CaughtUp:
    """What each broker has yet to know, from its process's first turn to its first registration."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def started(self, host: str, server: BrokerServer, committed: int) -> None:
        """A process begins; ``committed``: the newest version of the image that any broker has."""
        if server._config.mode == "kraft":
            self._due[host] = committed

    def look(self, host: str, server: BrokerServer) -> None:
        """Take a broker after a turn."""
        membership = server.membership
        if host in self._due and (membership._registering or membership.is_registered):
            due, has = self._due.pop(host), int(server.context.image.position.version)
            require(has >= due, NUMBER, f"{host} registers at {has}, {due} was committed before")
