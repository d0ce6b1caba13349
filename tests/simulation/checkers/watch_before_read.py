"""S14: no answer reveals a change before the event of the watch that was set for it."""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S14"


class WatchBeforeRead:
    """The watches that one session holds, and what its reads reveal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._armed: dict[str, int] = {}

    def held(self) -> dict[str, int]:
        """Return the watches whose events are awaited, each with the zxid at which it was set."""
        return dict(self._armed)

    def armed(self, path: str, mzxid: int) -> None:
        """A read that set a watch was answered: the znode was last changed under ``mzxid``."""
        self._armed.setdefault(path, mzxid)

    def is_armed(self, path: str) -> bool:
        """Tell whether an event of this path is awaited."""
        return path in self._armed

    def fired(self, path: str) -> None:
        """The event of a watch arrived."""
        self._armed.pop(path, None)

    def lost(self) -> None:
        """The session is gone, and its watches with it."""
        self._armed.clear()

    def note_seen(self, path: str, mzxid: int) -> None:
        """An answer of this session shows the znode as last changed under ``mzxid``."""
        known = self._armed.get(path)
        if known is not None:
            story = f"{self._name} saw the change {mzxid} of {path} before the event of its watch, "
            require(mzxid <= known, NUMBER, story + f"set when it was at {known}")
