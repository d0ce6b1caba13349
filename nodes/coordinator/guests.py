"""Clients served without a quorum because they asked for that: reads only, from the tree as it is.

A guest is nobody's session: its number is known to this coordinator alone and ends as soon as a
leader is heard again, or when its client opens anew.  Nothing is applied in the meantime, so there
is nothing to watch: a guest's watches live in its client, which sets them again with its session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.lane import PendingRequest
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.reads import READS, Reads
from nodes.coordinator.rewatching import may_hear, set_watches
from nodes.core.znode.operations import WRITES
from transport.driver.ports import Origin
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId
from transport.wire.messages.coordination import (
    AddAuth,
    CloseSession,
    Identity,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    PingSessionResponse,
    Result,
    SessionOperation,
    Sync,
)

GUESTS_MAX = 10_000


@dataclass(slots=True)
class _Guest:
    origin: Origin
    identities: tuple[Identity, ...]


class Guests:
    """All guests of this coordinator."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum) -> None:
        self._context = context
        self._core = context.core
        self._quorum = quorum
        self._reads = Reads(context)
        self._guests: dict[SessionId, _Guest] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def welcome(self, request: Request, session_id: SessionId, now: Now) -> ErrorCode:
        """Serve who waited for a quorum in vain, under this number; or return why not.

        What its watches missed until now is told before the answer, as to anybody who attaches.
        """
        body = cast("OpenSessionRequest", request.envelope.body)
        if not body.read_only or self._quorum.hears_leader(now):
            return ErrorCode.NO_QUORUM
        if body.last_zxid > self._core.zxid:
            return ErrorCode.SERVER_BEHIND
        if len(self._guests) >= GUESTS_MAX:
            # Most likely long gone; if not, SESSION_MOVED lets it open anew.
            del self._guests[next(iter(self._guests))]
        identities = self._context.identities.of_opening(request.origin, body.auth)
        self._guests[session_id] = _Guest(request.origin, identities)
        if not self._has_told_missed(session_id, body):
            del self._guests[session_id]
            return ErrorCode.OVERLOADED
        config = self._context.config.coordinator
        timeout_ms = min(
            max(body.timeout_ms, config.session_timeout_min_ms), config.session_timeout_max_ms
        )
        answer = OpenSessionResponse(
            int(ErrorCode.NONE), session_id, b"", timeout_ms, self._core.zxid, read_only=True
        )
        self._reply(session_id, request, answer)
        return ErrorCode.NONE

    def _has_told_missed(self, session_id: SessionId, body: OpenSessionRequest) -> bool:
        """Tell what watches missed. False: there is no room for so many."""
        guest = self._guests[session_id]
        events = set_watches(self._context, session_id, body.watches, body.last_zxid)
        self._context.watches.forget(session_id)
        if events is None:
            return False
        for event, change in events.items():
            if may_hear(self._core.tree, guest.identities, event, change):
                told = Envelope(Kind.ONE_WAY, event, cluster_id=self._context.config.cluster_id)
                if not self._context.ports.wire.reply(guest.origin, told):
                    self._guests.pop(session_id, None)
        return True

    def on_operate(self, request: Request, now: Now) -> bool:
        """Answer a guest's operations. False: no guest of this number comes by this connection."""
        body = cast("OperateRequest", request.envelope.body)
        guest = self._guest(body.session_id, request, now)
        if guest is None:
            return False
        config = self._context.config.coordinator
        if len(body.operations) > config.outstanding_operations_max:
            self._reply(body.session_id, request, self._refusal(ErrorCode.OVERLOADED))
        elif not all(self._fits(item) for item in body.operations):
            self._reply(body.session_id, request, self._refusal(ErrorCode.BAD_ARGUMENTS))
        else:
            self._reply(body.session_id, request, self._answer(guest, request, body))
            if any(type(item.operation) is CloseSession for item in body.operations):
                self._guests.pop(body.session_id, None)
        return True

    def on_ping(self, request: Request, now: Now) -> bool:
        """Answer a guest's ping. False: as above."""
        body = cast("PingSessionRequest", request.envelope.body)
        if self._guest(body.session_id, request, now) is None:
            return False
        answer = PingSessionResponse(int(ErrorCode.NONE), self._core.zxid)
        self._reply(body.session_id, request, answer)
        return True

    def _guest(self, session_id: SessionId, request: Request, now: Now) -> _Guest | None:
        if self._guests and self._quorum.hears_leader(now):
            # From now on SESSION_MOVED sends them to open their sessions.
            self._guests.clear()
        guest = self._guests.get(session_id)
        return guest if guest is not None and guest.origin == request.origin else None

    @staticmethod
    def _fits(item: SessionOperation) -> bool:
        return type(item.operation) in (WRITES if item.request_id > 0 else READS)

    def _answer(self, guest: _Guest, request: Request, body: OperateRequest) -> OperateResponse:
        proofs = [each.operation for each in body.operations if type(each.operation) is AddAuth]
        guest.identities = self._context.identities.added(guest.identities, proofs)
        pending = PendingRequest(
            request, body.lowest_unanswered, body.operations, (), guest.identities
        )
        results = tuple([self._do(body.session_id, pending, each) for each in body.operations])
        self._context.watches.forget(body.session_id)
        return OperateResponse(int(ErrorCode.NONE), results, self._core.zxid)

    def _do(self, session_id: SessionId, pending: PendingRequest, item: SessionOperation) -> Result:
        if type(item.operation) is CloseSession:
            return Result(int(ErrorCode.NONE), self._core.zxid)
        if item.request_id or type(item.operation) is Sync:
            return Result(int(ErrorCode.NOT_READ_ONLY), self._core.zxid)
        return self._reads.do(session_id, pending, item.operation)

    def _refusal(self, error: ErrorCode) -> OperateResponse:
        return OperateResponse(int(error), (), self._core.zxid)

    def _reply(
        self,
        session_id: SessionId,
        request: Request,
        answer: OpenSessionResponse | OperateResponse | PingSessionResponse,
    ) -> None:
        if not self._context.reply(request, answer):
            self._guests.pop(session_id, None)

    def check(self) -> None:
        """Assert that no guest is taken for a session, and none watches."""
        for session_id in self._guests:
            assert self._core.sessions.get(session_id) is None
        assert not set(self._guests) & set(self._context.watches.sessions())
