"""The replicated table of sessions, and the results of each one's latest writes.

Knows who may still write and what was answered; nothing of time (when a session is dead is the
leader's soft state) and nothing of connections (which server serves it is that server's).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from transport.wire.ids import NodeName, RequestId, SessionId
from transport.wire.messages.coordination import OpenedSession, Owner, Result

RESULTS_KEPT_MAX = 4096
"""Results kept of one session whose client never says that answers arrived: four times the default
limit of its outstanding operations. The oldest are forgotten first."""


class Session(msgspec.Struct, array_like=True):
    """One live session. Changed only by :class:`Sessions` and by applied writes."""

    id: SessionId
    timeout_ms: int
    password: bytes
    owner: Owner | None
    nonce: bytes
    last_request_id: RequestId = RequestId(0)
    """Its newest applied write."""
    lowest_unanswered: RequestId = RequestId(0)
    """Results below it are dropped: it never goes back, nor past the next write."""
    results: dict[RequestId, Result] = {}
    """Of its newest writes, in their order."""

    def remember(self, request_id: RequestId, result: Result) -> None:
        """Take over the result of the next write."""
        assert request_id == self.last_request_id + 1, (request_id, self.last_request_id)
        self.last_request_id = request_id
        self.results[request_id] = result
        if len(self.results) > RESULTS_KEPT_MAX:
            del self.results[next(iter(self.results))]

    def forget_below(self, lowest_unanswered: RequestId) -> None:
        """Drop the results whose answers have arrived; an older word changes nothing.

        A client that speaks of writes it has yet to send is not believed: their results are kept.
        """
        lowest = min(lowest_unanswered, RequestId(self.last_request_id + 1))
        if lowest <= self.lowest_unanswered:
            return
        self.lowest_unanswered = lowest
        results = self.results
        while results:
            oldest = next(iter(results))
            if oldest >= lowest:
                break
            del results[oldest]

    def is_of(self, died: Owner) -> bool:
        """Tell whether the process behind this session is ``died`` or an earlier one of its name."""
        owner = self.owner
        return (
            owner is not None and owner.name == died.name and owner.incarnation <= died.incarnation
        )


class Sessions:
    """All live sessions, by id, by the nonce of their opening, and by the node behind them."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, Session] = {}
        self._by_nonce: dict[bytes, SessionId] = {}
        self._by_owner: dict[NodeName, dict[SessionId, None]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def get(self, session_id: SessionId) -> Session | None:
        """Return the live session of this id, or None."""
        return self._sessions.get(session_id)

    def with_nonce(self, nonce: bytes) -> Session | None:
        """Return the live session whose opening carried ``nonce``, or None."""
        session_id = self._by_nonce.get(nonce)
        return None if session_id is None else self._sessions[session_id]

    def of_node(self, name: NodeName) -> list[Session]:
        """Return the live sessions of the node ``name``, in order of opening."""
        return [self._sessions[session_id] for session_id in self._by_owner.get(name, ())]

    def open(self, session_id: SessionId, opened: OpenedSession) -> Session:
        """Add a session; its id and nonce must be new."""
        assert session_id not in self._sessions
        session = Session(
            session_id, opened.timeout_ms, opened.password, opened.owner, opened.nonce
        )
        self._add(session)
        return session

    def end(self, session_id: SessionId) -> None:
        """Remove a live session."""
        session = self._sessions.pop(session_id)
        if session.nonce:
            del self._by_nonce[session.nonce]
        if session.owner is not None:
            ids = self._by_owner[session.owner.name]
            del ids[session_id]
            if not ids:
                del self._by_owner[session.owner.name]

    def restore(self, sessions: Iterable[Session]) -> None:
        """Become the table of these sessions (from a snapshot)."""
        self._sessions = {}
        self._by_nonce = {}
        self._by_owner = {}
        for session in sessions:
            self._add(session)

    def check(self) -> None:
        """Assert Z5 and the sessions' part of Z4."""
        for session_id, session in self._sessions.items():
            assert session.id == session_id > 0
            kept = list(session.results)
            last = session.last_request_id
            assert kept == list(range(last - len(kept) + 1, last + 1)), (session_id, kept)
            assert session.lowest_unanswered <= last + 1, (session_id, "of no write yet")
            assert not kept or kept[0] >= session.lowest_unanswered
            assert not session.nonce or self._by_nonce[session.nonce] == session_id
        owned = sum(1 for session in self._sessions.values() if session.owner is not None)
        assert owned == sum(len(ids) for ids in self._by_owner.values())
        assert len(self._by_nonce) == sum(1 for s in self._sessions.values() if s.nonce)

    def _add(self, session: Session) -> None:
        self._sessions[session.id] = session
        if session.nonce:
            self._by_nonce[session.nonce] = session.id
        if session.owner is not None:
            self._by_owner.setdefault(session.owner.name, {})[session.id] = None
