"""S13: what a session asks for takes effect in the order of asking, each write once.

A session pipelines sets of a znode that only it writes, and reads between them: the answered
versions count the sets, and each read sees the set just before it.  The zxids that a session is
told never go back, whichever servers tell them.
"""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S13"


def check_expected(name: str, what: str, error: int, *others: int) -> None:
    """An answer has to be one that this very request can have: none of a write's before or behind."""
    require(error in (0, *others), NUMBER, f"{name} was answered {error} to {what}")


class SessionOrder:
    """What one session was told, in the order of its asking."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._version = 0
        self._value = b""
        self._zxid = 0

    def made(self, value: bytes) -> None:
        """Its own znode was made, with this value."""
        self._version, self._value = 0, value

    def note_set(self, value: bytes, version: int) -> None:
        """Its next set was answered with ``version``."""
        expected = self._version + 1
        story = f"{self.name}: set number {expected} made version {version}"
        require(version == expected, NUMBER, story)
        self._version, self._value = version, value

    def note_get(self, version: int, value: bytes) -> None:
        """A read that was asked for after that set and before the next one was answered."""
        story = f"{self.name}: read version {version} ({value!r}) after setting {self._version} "
        same = (version, value) == (self._version, self._value)
        require(same, NUMBER, story + f"({self._value!r})")

    def note_zxid(self, zxid: int) -> None:
        """Any answer named this zxid."""
        story = f"{self.name} was told zxid {zxid} after {self._zxid}"
        require(zxid >= self._zxid, NUMBER, story)
        self._zxid = zxid
