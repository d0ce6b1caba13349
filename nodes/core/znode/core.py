"""The door to the znode state machine: apply, read, snapshot, check.

``apply`` is the only mutator and is the same on leader, follower and restart: it uses nothing but
its entry and the state that earlier entries left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from nodes.core.znode import operations, reads, snapshot
from nodes.core.znode.acl import SUPER
from nodes.core.znode.modes import NO_SESSION
from nodes.core.znode.operations import Attempt
from nodes.core.znode.reads import NOBODY, Reader
from nodes.core.znode.session import Session, Sessions
from nodes.core.znode.tree import Tree
from nodes.core.znode.watch import TreeChange
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    CloseSession,
    Identity,
    OpenedSession,
    ProposedWrite,
    ReadOperation,
    Result,
    SessionOperation,
    WriteOperation,
)


class Opening(NamedTuple):
    """What came of an opening: the session of this nonce (perhaps opened long ago), or an error."""

    nonce: bytes
    error: ErrorCode
    session: Session | None


@dataclass(slots=True)
class Applied:
    """What one entry came to."""

    results: list[tuple[RequestId, Result]] = field(default_factory=list)
    """One per operation of the entry, in order."""
    changes: list[TreeChange] = field(default_factory=list)
    """In the order they happened: what watches hear of."""
    opening: Opening | None = None
    ended: list[SessionId] = field(default_factory=list)
    quotas_passed: list[str] = field(default_factory=list)
    """Paths whose soft quota was passed: to be told to people."""


class ZnodeCore:
    """Tree, sessions and zxid of one ensemble, as far as this member has applied its log."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.sessions = Sessions()
        self.zxid: Zxid = Zxid(0)
        """Of the newest write tried."""

    def apply(self, write: ProposedWrite) -> Applied:
        """Apply one committed entry. Never fails: refusals are results."""
        applied = Applied()
        if write.died is not None:
            for session in self.sessions.of_node(write.died.name):
                if session.is_of(write.died):
                    self._end_session(session.id, write.wall_ms, applied)
        for session_id in write.expire:
            if self.sessions.get(session_id) is not None:
                self._end_session(session_id, write.wall_ms, applied)
        for path in write.sweep:
            if operations.is_due(self.tree, path, write.wall_ms):
                attempt = Attempt(self._next_zxid(), write.wall_ms, NO_SESSION)
                operations.remove(self.tree, path, attempt)
                applied.changes += attempt.changes
        if write.open is not None:
            applied.opening = self._open_session(write, write.open, applied)
        if write.operations:
            self._apply_operations(write, applied)
        return applied

    def apply_own(self, steps: Iterable[WriteOperation], wall_ms: int) -> Applied:
        """Apply what another state machine of the same log has to write, all under one zxid.

        No ACL refuses it. ``results`` are those of the steps that were refused all the same.
        """
        applied = Applied()
        attempt = Attempt(self._next_zxid(), wall_ms, NO_SESSION, (Identity(SUPER, ""),))
        for step in steps:
            result = operations.apply(self.tree, step, attempt)
            if result.error:
                applied.results.append((RequestId(0), result))
        applied.changes += attempt.changes
        applied.quotas_passed += attempt.quotas_passed
        return applied

    def read(self, operation: ReadOperation, reader: Reader = NOBODY) -> Result:
        """Answer a read of the tree from the state as it is here and now."""
        return reads.read(self.tree, operation, self.zxid, reader)

    def write_result(self, session: Session, request_id: RequestId) -> Result | None:
        """Return what an earlier write of ``session`` came to; None if it was not applied yet."""
        if request_id > session.last_request_id:
            return None
        result = session.results.get(request_id)
        return result or Result(int(ErrorCode.RESULT_FORGOTTEN), self.zxid)

    # Operations of a session

    def _apply_operations(self, write: ProposedWrite, applied: Applied) -> None:
        session = self.sessions.get(write.session_id)
        if session is not None:
            session.forget_below(write.lowest_unanswered)
        for item in write.operations:
            if session is None:
                applied.results.append((item.request_id, self._without_session(item)))
                continue
            result = self.write_result(session, item.request_id)
            if result is None and item.request_id > session.last_request_id + 1:
                result = Result(int(ErrorCode.REQUEST_GAP), self.zxid)
            if result is None:
                result = self._try(session, item, write, applied)
                session = self.sessions.get(write.session_id)
            applied.results.append((item.request_id, result))

    def _try(
        self, session: Session, item: SessionOperation, write: ProposedWrite, applied: Applied
    ) -> Result:
        assert type(item.operation) in operations.WRITES, item
        attempt = Attempt(self._next_zxid(), write.wall_ms, session.id, write.identities)
        result = operations.apply(self.tree, item.operation, attempt)  # type: ignore[arg-type]
        session.remember(item.request_id, result)
        applied.changes += attempt.changes
        applied.quotas_passed += attempt.quotas_passed
        if attempt.ends_session:
            self._end(session.id, attempt, applied)
        return result

    def _without_session(self, item: SessionOperation) -> Result:
        # Closing a session that has ended is no news: so a repeated close is answered like the first.
        closes = type(item.operation) is CloseSession
        return Result(int(ErrorCode.NONE if closes else ErrorCode.SESSION_EXPIRED), self.zxid)

    # Sessions

    def _open_session(
        self, write: ProposedWrite, opened: OpenedSession, applied: Applied
    ) -> Opening:
        known = self.sessions.with_nonce(opened.nonce) if opened.nonce else None
        if known is not None:
            return Opening(opened.nonce, ErrorCode.NONE, known)
        if write.session_id <= 0 or self.sessions.get(write.session_id) is not None:
            return Opening(opened.nonce, ErrorCode.NODE_EXISTS, None)
        if opened.owner is not None:
            others = self.sessions.of_node(opened.owner.name)
            if any(not session.is_of(opened.owner) for session in others):
                # A later process of this node lives: an earlier one must not come back.
                return Opening(opened.nonce, ErrorCode.SESSION_EXPIRED, None)
            for session in others:
                if session.owner != opened.owner:
                    self._end_session(session.id, write.wall_ms, applied)
        self._next_zxid()
        session = self.sessions.open(write.session_id, opened)
        return Opening(opened.nonce, ErrorCode.NONE, session)

    def _end_session(self, session_id: SessionId, wall_ms: int, applied: Applied) -> None:
        attempt = Attempt(self._next_zxid(), wall_ms, session_id)
        self._end(session_id, attempt, applied)

    def _end(self, session_id: SessionId, attempt: Attempt, applied: Applied) -> None:
        """Remove a session and its ephemerals, in one go and under one zxid."""
        before = len(attempt.changes)
        for path in self.tree.ephemerals(session_id):
            operations.remove(self.tree, path, attempt)
        self.sessions.end(session_id)
        applied.changes += attempt.changes[before:]
        applied.ended.append(session_id)

    def _next_zxid(self) -> Zxid:
        self.zxid = Zxid(self.zxid + 1)
        return self.zxid

    def due(self, wall_ms: int, paths: Iterable[str] | None = None) -> list[str]:
        """Return the containers and znodes with a TTL that should go, for ``sweep`` to name.

        Of ``paths``, or of all there are.
        """
        tree = self.tree
        looked_at = tree.passing() if paths is None else paths
        return [path for path in looked_at if operations.is_due(tree, path, wall_ms)]

    # Snapshots

    def begin_snapshot(self) -> snapshot.Encoding:
        """Begin to encode the whole replicated state as it is now; later changes do not matter."""
        picture = snapshot.Picture(snapshot.FORMAT, self.zxid, tuple(self.sessions), [])
        return snapshot.Encoding(picture, dict(self.tree.znodes))

    def to_snapshot(self) -> bytes:
        """Return the whole replicated state."""
        return self.begin_snapshot().finish()

    def restore(self, data: bytes | memoryview) -> None:
        """Become the state of a snapshot; raises ``BadSnapshot`` and then has changed nothing."""
        picture = snapshot.from_bytes(data)
        self.tree.restore(picture.znodes)
        self.sessions.restore(picture.sessions)
        self.zxid = picture.zxid

    # Invariants

    def check(self) -> None:
        """Assert Z1 to Z5, Z7 and Z8."""
        self.tree.check(self.zxid)
        self.sessions.check()
        for owner in self.tree.owners():
            assert self.sessions.get(owner) is not None, f"session {owner} left ephemerals behind"
