"""S8: servers that have applied the same entries hold the same tree, sessions, zxid and image.

And no server's zxid goes back while its process lives.
"""

from __future__ import annotations

from hashlib import blake2b

from nodes.coordinator.machine import Machine
from nodes.core.znode.core import ZnodeCore
from tests.simulation.checkers.violation import require

NUMBER = "S8"
EVERY_ENTRIES = 16
"""A state is hashed at every so many entries, where a turn happens to end there."""


class SameState:
    """The state's hash by the entry up to which it was applied."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[int, bytes, str]] = {}
        self._zxids: dict[str, int] = {}

    def restarted(self, host: str) -> None:
        """A new process reads its state anew, from an older snapshot perhaps."""
        self._zxids.pop(host, None)

    def look(self, host: str, index: int, core: ZnodeCore, machine: Machine | None = None) -> None:
        """Take the state of a server after a turn."""
        before = self._zxids.get(host, 0)
        require(core.zxid >= before, NUMBER, host, "was at zxid", before, "is at", core.zxid)
        self._zxids[host] = int(core.zxid)
        if index % EVERY_ENTRIES == 0:
            self.compare(host, index, core, machine)

    def compare(
        self, host: str, index: int, core: ZnodeCore, machine: Machine | None = None
    ) -> None:
        """Hash the state and compare it with the others' at the same entry."""
        both = core.to_snapshot()
        if machine is not None:
            image = machine.begin_snapshot()  # None: as much as one that cannot hold it
            both += b"" if image is None else image.finish()
        digest = blake2b(both, digest_size=16).digest()
        state = (int(core.zxid), digest, host)
        known = self._states.setdefault(index, state)
        story = f"{host} and {known[2]} differ after the same {index} entries"
        require(known[:2] == state[:2], NUMBER, story, f"(zxid {state[0]} and {known[0]})")
