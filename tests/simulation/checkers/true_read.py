"""S54: every read shows what the log has committed, and no session is shown an earlier state.

Also a read-only session, which a coordinator without a quorum serves, and on its way to the session
proper; its writes are refused.
"""

from __future__ import annotations

from tests.simulation.checkers.forest_model import ForestModel
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import Stat

NUMBER = "S54"


class TrueReads:
    """What one session was answered."""

    def __init__(self, name: str, model: ForestModel) -> None:
        self._name = name
        self._model = model
        self._zxid = 0

    def note_zxid(self, zxid: int) -> None:
        """A read was answered by a server that had applied ``zxid``."""
        story = f"{self._name} was served at zxid {zxid} after {self._zxid}"
        require(zxid >= self._zxid, NUMBER, story)
        self._zxid = zxid

    def note_read(self, path: str, stat: Stat, data: bytes) -> None:
        """A znode of the forest was read."""
        written = (stat.mzxid, path, data, stat.version)
        known = [
            (change.zxid, change.path, change.data, change.version)
            for change in self._model.between(stat.mzxid - 1, stat.mzxid)
        ]
        require(written in known, NUMBER, f"{self._name} read {written}, the log has {known}")

    def note_refused(self, *, read_only: bool) -> None:
        """A write was refused as one that a read-only session may not do."""
        require(read_only, NUMBER, f"{self._name} was refused a write, with a quorum")
