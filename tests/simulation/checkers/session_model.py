"""S9, S10: sessions and zxids as the committed log alone explains them.

A model that reads every committed entry once and says, for each index: which sessions live and what
the zxid is.  A server whose own state says otherwise has applied a write twice or never (S9), or has
begun or ended a session for no reason in the log (S10): a session ends by its close, its expiry, the
death of its very process or of an earlier one, or the opening of a later one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nodes.coordinator.machine import MARK
from nodes.kraft.entries import writes_znodes
from tests.simulation.checkers.forest_model import ForestModel
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import (
    CloseSession,
    Owner,
    ProposedWrite,
    decode_write,
)
from transport.wire.messages.raft import ENTRY_DATA, Entry

APPLIED_ONCE = "S9"
SESSION_ENDS = "S10"


@dataclass(slots=True)
class ModelSession:
    """One session, by the log."""

    owner: Owner | None
    nonce: bytes
    timeout_ms: int
    begin: int
    end: int | None = None
    """The first entry after which it is no more."""
    writes: int = 0


class SessionModel:
    """Fed with committed entries in order, asked about any index up to the newest."""

    def __init__(self) -> None:
        self.sessions: dict[int, ModelSession] = {}
        self._live: dict[int, ModelSession] = {}
        self._zxids: list[int] = [0]
        """Zxid after each index."""
        self.forest = ForestModel()

    @property
    def index(self) -> int:
        """The newest entry taken."""
        return len(self._zxids) - 1

    def apply(self, entry: Entry) -> None:
        """Take the next committed entry."""
        zxid = self._zxids[-1]
        if entry.kind == ENTRY_DATA and entry.data.startswith(MARK):
            zxid += writes_znodes(entry.data[len(MARK) :])
        elif entry.kind == ENTRY_DATA:
            zxid += self._write(entry.index, decode_write(entry.data))
        self._zxids.append(zxid)

    def check(self, host: str, index: int, zxid: int, sessions: Iterable[int]) -> None:
        """Compare a server that has applied everything up to ``index``."""
        if index >= len(self._zxids):
            return  # committed by a snapshot only so far: nobody showed its entries
        living = {
            session_id
            for session_id, session in self.sessions.items()
            if session.begin <= index and (session.end is None or session.end > index)
        }
        found = set(sessions)
        if found != living:
            lost, extra = sorted(living - found), sorted(found - living)
            story = f"{host} at entry {index}: ended for no reason {lost}, not ended {extra}"
            require(False, SESSION_ENDS, story)
        expected = self._zxids[index]
        story = f"{host} has applied {index} entries: zxid {zxid}, by the log {expected}"
        require(zxid == expected, APPLIED_ONCE, story)

    # The model

    def _write(self, index: int, write: ProposedWrite) -> int:
        """Return how many zxids the entry takes."""
        taken = 0
        if write.died is not None:
            for session_id, session in list(self._live.items()):
                if _is_of(session, write.died):
                    taken += self._end(session_id, index)
        for session_id in write.expire:
            if session_id in self._live:
                taken += self._end(session_id, index)
        for path in write.sweep:
            taken += self.forest.sweep(self._zxids[-1] + taken + 1, write.wall_ms, path)
        if write.open is not None:
            taken += self._open(index, write)
        return self._operate(index, write, taken)

    def _open(self, index: int, write: ProposedWrite) -> int:
        opened, taken = write.open, 0
        assert opened is not None
        known = any(session.nonce == opened.nonce for session in self._live.values())
        if (opened.nonce and known) or write.session_id in self._live or write.session_id <= 0:
            return 0
        owner = opened.owner
        if owner is not None:
            others = {
                session_id: session.owner
                for session_id, session in self._live.items()
                if session.owner is not None and session.owner.name == owner.name
            }
            if any(other.incarnation > owner.incarnation for other in others.values()):
                return 0
            for session_id, other in others.items():
                if other != owner:
                    taken += self._end(session_id, index)
        session = ModelSession(owner, opened.nonce, opened.timeout_ms, index)
        self.sessions[write.session_id] = self._live[write.session_id] = session
        return taken + 1

    def _operate(self, index: int, write: ProposedWrite, taken: int) -> int:
        for item in write.operations:
            session = self._live.get(write.session_id)
            if session is None or item.request_id != session.writes + 1:
                continue  # ended, repeated, or before its turn
            session.writes += 1
            taken += 1
            self.forest.operate(self._zxids[-1] + taken, write.wall_ms, item.operation)
            if isinstance(item.operation, CloseSession):
                self._end(write.session_id, index)
        return taken

    def _end(self, session_id: int, index: int) -> int:
        self._live.pop(session_id).end = index
        return 1


def _is_of(session: ModelSession, died: Owner) -> bool:
    owner = session.owner
    return owner is not None and owner.name == died.name and owner.incarnation <= died.incarnation
