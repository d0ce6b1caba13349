"""A znode core with sessions whose writes are numbered by themselves; checked after each entry."""

from __future__ import annotations

from typing import Any

from nodes.core.znode.core import Applied, ZnodeCore
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages.coordination import (
    Exists,
    Identity,
    OpenedSession,
    ProposedWrite,
    Result,
    SessionOperation,
    Stat,
)

ONE, TWO = SessionId(1), SessionId(2)


class Machine:
    """A core with the sessions ONE and TWO."""

    def __init__(self) -> None:
        self.core = ZnodeCore()
        self.last: Applied
        self._next = {ONE: 1, TWO: 1}
        for session_id in (ONE, TWO):
            opened = OpenedSession(1000, b"secret", None, b"nonce-%d" % session_id)
            self.apply(ProposedWrite(session_id, 5, open=opened))

    def apply(self, write: ProposedWrite) -> Applied:
        self.last = self.core.apply(write)
        self.core.check()
        return self.last

    def write(
        self,
        operation: Any,
        wall_ms: int = 100,
        session_id: SessionId = ONE,
        identities: tuple[Identity, ...] = (),
    ) -> Result:
        item = SessionOperation(RequestId(self._next[session_id]), operation)
        self._next[session_id] += 1
        applied = self.apply(
            ProposedWrite(session_id, wall_ms, operations=(item,), identities=identities)
        )
        return applied.results[0][1]

    def errors(self, *operations: Any, identities: tuple[Identity, ...] = ()) -> list[int]:
        return [self.write(operation, identities=identities).error for operation in operations]

    def changes(self) -> list[tuple[int, str]]:
        """What the last entry did."""
        return [(change.type, change.path) for change in self.last.changes]

    def stat(self, path: str) -> Stat:
        stat = self.core.read(Exists(path)).stat
        assert stat is not None
        return stat

    def restarted(self) -> ZnodeCore:
        """Another core, from this one's snapshot."""
        other = ZnodeCore()
        other.restore(self.core.to_snapshot())
        other.check()
        return other
