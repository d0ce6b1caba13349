"""S52: a persistent recursive watch hears of every change before an answer shows it.

Also across servers.  Where a server's history does not reach back, an event at an ancestor that is
at least as new stands for a znode that is gone.  What a client is told while it is being attached
stands for all that it has missed at that path: when it was written is not known then.
"""

from __future__ import annotations

from tests.simulation.checkers.forest_model import ForestModel
from tests.simulation.checkers.violation import require

NUMBER = "S52"


class LastingWatch:
    """What one session heard of the forest since its watch was set."""

    def __init__(self, name: str, model: ForestModel) -> None:
        self._name = name
        self._changes = model.changes
        self._heard: dict[str, int] = {}
        """Path -> the newest zxid that an event of it has named."""
        self._missed: set[str] = set()
        """What is told while the session is being attached to a server."""
        self._next = -1
        """The first change of which it must hear and has not been asked yet; −1: no watch is set."""

    def armed(self, zxid: int) -> None:
        """The watch is set: everything later than ``zxid`` must be told."""
        if self._next < 0:
            later = (place for place, one in enumerate(self._changes) if one.zxid > zxid)
            self._next = next(later, len(self._changes))

    def lost(self) -> None:
        """The session is gone, and its watch with it."""
        self._heard.clear()
        self._missed.clear()
        self._next = -1

    def on_event(self, path: str, zxid: int) -> None:
        """An event arrived."""
        self._heard[path] = max(self._heard.get(path, 0), zxid)

    def on_missed(self, path: str) -> None:
        """An event arrived before the session was attached to a server."""
        self._missed.add(path)

    def attached(self, zxid: int) -> None:
        """All is told that was missed until then."""
        for path in self._missed:
            self.on_event(path, zxid)
        self._missed.clear()

    def note_answer(self, zxid: int) -> None:
        """An answer came from a server that had applied ``zxid``."""
        while 0 <= self._next < len(self._changes):
            change = self._changes[self._next]
            if change.zxid > zxid:
                return
            self._next += 1
            story = f"{self._name} was answered at zxid {zxid} and has not heard of {change}"
            require(self._has_heard(change.path, change.zxid), NUMBER, story)

    def _has_heard(self, path: str, zxid: int) -> bool:
        while path:
            if self._heard.get(path, 0) >= zxid:
                return True
            path = path.rpartition("/")[0]
        return False
