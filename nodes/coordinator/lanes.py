"""The lanes of the sessions served here: operations in order, answers in order, events before them.

Owns the rule that a read is done after the earlier writes of its session and before the later ones:
a lane is drained after each applied entry.  Nothing is answered while no leader is heard, so that
every answer has the word of a working quorum behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

from nodes.coordinator.admission import admit
from nodes.coordinator.barriers import Barriers
from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.lane import Lane, PendingRequest
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.reads import Reads
from nodes.coordinator.rewatching import may_hear
from nodes.coordinator.writes import Writes
from nodes.core.znode.session import Session
from nodes.core.znode.watch import TreeChange
from transport.driver.ports import Origin
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages.coordination import (
    Identity,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    PingSessionResponse,
    Result,
    Sync,
    WatchEvent,
)

PINGS_MAX = 4


class Lanes:
    """All lanes of this coordinator."""

    def __init__(
        self, context: CoordinatorContext, quorum: Quorum, barriers: Barriers, writes: Writes
    ) -> None:
        self._context = context
        self._core = context.core
        self._quorum = quorum
        self._barriers = barriers
        self._writes = writes
        self._reads = Reads(context)
        self._lanes: dict[SessionId, Lane] = {}
        self._held_back = False
        """Something was not answered because no leader was heard."""
        self._committing = False
        """Committed entries are being applied."""

    def __len__(self) -> int:
        return len(self._lanes)

    # Who is served

    def serves(self, session_id: SessionId) -> bool:
        """Tell whether the session is attached here."""
        return session_id in self._lanes

    def serves_over(self, session_id: SessionId, origin: Origin) -> bool:
        """Tell whether the session is attached here, by this very connection."""
        lane = self._lanes.get(session_id)
        return lane is not None and lane.origin == origin

    def attach(
        self, session_id: SessionId, origin: Origin, identities: tuple[Identity, ...] = ()
    ) -> None:
        """Serve the session over this connection from now on; what was asked before is forgotten."""
        self.detach(session_id)
        self._lanes[session_id] = Lane(session_id, origin, identities)

    def detach(self, session_id: SessionId) -> None:
        """Serve the session no more: its client is gone, stuck, or comes by another connection."""
        lane = self._lanes.pop(session_id, None)
        if lane is not None:
            lane.attached = False
            lane.queue.clear()
            self._context.watches.forget(session_id)

    def leave(self, session_id: SessionId, origin: Origin) -> None:
        """The connection has ended: if the session was served over it, it is served no more."""
        lane = self._lanes.get(session_id)
        if lane is not None and lane.origin == origin:
            self.detach(session_id)

    def detach_all(self) -> None:
        """Serve nobody: every client must attach again, with its watches."""
        for session_id in list(self._lanes):
            self.detach(session_id)

    # Requests

    def on_operate(self, request: Request, now: Now) -> bool:
        """Take operations. False: the session is not served here over this connection."""
        body = cast("OperateRequest", request.envelope.body)
        lane = self._lanes.get(body.session_id)
        if lane is None or lane.origin != request.origin:
            self._refuse(request, ErrorCode.SESSION_MOVED)
            return False
        config = self._context.config.coordinator
        if lane.outstanding + len(body.operations) > config.outstanding_operations_max:
            self._refuse(request, ErrorCode.OVERLOADED)
            return True
        admitted = admit(body.operations, config.data_bytes_max)
        if isinstance(admitted, ErrorCode):
            self._refuse(request, admitted)
            return True
        if admitted.proofs:
            lane.identities = self._context.identities.added(lane.identities, admitted.proofs)
        pending = PendingRequest(
            request, body.lowest_unanswered, admitted.operations, admitted.runs, lane.identities
        )
        if not lane.queue:
            lane.progress_ms = now.mono_ms
        syncs_before = lane.syncs
        lane.queue.append(pending)
        lane.outstanding += len(admitted.operations)
        lane.syncs += admitted.syncs
        self._drain(lane, now)
        if lane.attached and lane.queue and not syncs_before:
            self._writes.submit(lane.to_propose((pending,), self._applied(lane)))
        return True

    def on_ping(self, request: Request, now: Now) -> bool:
        """Answer a ping, now or when a leader is heard again. False: not served here."""
        body = cast("PingSessionRequest", request.envelope.body)
        lane = self._lanes.get(body.session_id)
        if lane is None or lane.origin != request.origin:
            answer = PingSessionResponse(int(ErrorCode.SESSION_MOVED), self._core.zxid)
            self._context.reply(request, answer)
            return False
        if self._quorum.hears_leader(now):
            self._pong(lane, request)
        else:
            self._held_back = True
            lane.pings = [*lane.pings[1 - PINGS_MAX :], request]
        return True

    def _pong(self, lane: Lane, request: Request) -> None:
        answer = PingSessionResponse(int(ErrorCode.NONE), self._core.zxid)
        if not self._context.reply(request, answer):
            self.detach(lane.session_id)

    # Progress

    def tell(self, events: Iterable[WatchEvent], change: TreeChange | None = None) -> None:
        """Send watch events, each on its session's lane and so before any later answer.

        ``change`` is what set them off, if it is known.  Who may not read a znode hears nothing.
        """
        cluster_id = self._context.config.cluster_id
        for event in events:
            lane = self._lanes.get(event.session_id)
            if lane is None or not may_hear(self._core.tree, lane.identities, event, change):
                continue
            envelope = Envelope(Kind.ONE_WAY, event, cluster_id=cluster_id)
            if not self._context.ports.wire.reply(lane.origin, envelope):
                # It missed an event: it must not read what comes after it.
                self._context.count("watch_events_dropped")
                self.detach(event.session_id)

    def applied(
        self, session_id: SessionId, results: Iterable[tuple[RequestId, Result]], now: Now
    ) -> None:
        """An entry of this session was applied: answer what waited for it."""
        lane = self._lanes.get(session_id)
        if lane is None or not lane.queue:
            return
        gap = any(result.error == ErrorCode.REQUEST_GAP for _, result in results)
        if not gap:
            lane.progress_ms = now.mono_ms
        elif not lane.gap_seen:
            # One before these was lost: once is enough to bring all of them in order.
            self._writes.submit(lane.again(self._applied(lane)))
        lane.gap_seen = gap
        self._drain(lane, now)

    def ended(self, session_id: SessionId, results: Mapping[RequestId, Result]) -> None:
        """The session has ended: answer what its last entry decided, refuse the rest."""
        lane = self._lanes.get(session_id)
        if lane is None:
            return
        for pending in lane.queue:
            for item in pending.operations[len(pending.results) :]:
                result = results.get(item.request_id)
                if result is None:
                    break
                pending.results.append(result)
            if len(pending.results) == len(pending.operations):
                answer = OperateResponse(0, tuple(pending.results), self._core.zxid)
                self._context.reply(pending.request, answer)
            else:
                self._refuse(pending.request, ErrorCode.SESSION_EXPIRED)
        for ping in lane.pings:
            expired = PingSessionResponse(int(ErrorCode.SESSION_EXPIRED), self._core.zxid)
            self._context.reply(ping, expired)
        self.detach(session_id)

    def leader_heard(self, now: Now) -> None:
        """Answer what was held back while no leader was heard, if one is heard now."""
        if not self._held_back or not self._quorum.hears_leader(now):
            return
        self._held_back = False
        for lane in list(self._lanes.values()):
            pings, lane.pings = lane.pings, []
            for ping in pings:
                if lane.attached:
                    self._pong(lane, ping)
            if lane.attached:
                self._drain(lane, now)

    def begin_commits(self, now: Now) -> None:
        """Entries are about to be applied: what was read before them must not see them.

        That they are committed is the word of a quorum, also for a leader whose followers answer too
        slowly to be counted as in contact.
        """
        self._committing = True
        if self._held_back:
            for lane in list(self._lanes.values()):
                if lane.attached:
                    self._drain(lane, now)

    def end_commits(self) -> None:
        """All of them are applied."""
        self._committing = False

    def propose_again(self, now: Now, silent_ms: int = 0) -> None:
        """Offer every write that is not applied again, where none was applied for so long."""
        for lane in self._lanes.values():
            if lane.queue and now.mono_ms - lane.progress_ms >= silent_ms:
                lane.progress_ms = now.mono_ms
                self._writes.submit(lane.again(self._applied(lane)))

    def check(self) -> None:
        """Assert that lanes are whole, and that watches belong to sessions served here."""
        for session_id, lane in self._lanes.items():
            assert lane.attached
            assert lane.session_id == session_id
            assert self._core.sessions.get(session_id) is not None, "a lane of an ended session"
            lane.check()
        for session_id in self._context.watches.sessions():
            assert session_id in self._lanes, f"watches of {session_id}, which is not served here"

    # One lane

    def _drain(self, lane: Lane, now: Now) -> None:
        """Do and answer everything whose turn has come."""
        if not self._committing and not self._quorum.hears_leader(now):
            self._held_back = True
            return
        session = self._core.sessions.get(lane.session_id)
        assert session is not None, "a lane outlived its session"
        while lane.queue:
            pending = lane.queue[0]
            error = self._advance(lane, session, pending)
            if error is None:
                return
            lane.queue.popleft()
            lane.outstanding -= len(pending.operations)
            lane.syncs -= sum(run is None for run in pending.runs) - pending.syncs_done
            results = () if error else tuple(pending.results)
            answer = OperateResponse(int(error), results, self._core.zxid)
            if not self._context.reply(pending.request, answer):
                self.detach(lane.session_id)
                return

    def _advance(self, lane: Lane, session: Session, pending: PendingRequest) -> ErrorCode | None:
        """Do what can be done of the first request: NONE when done, None while it must wait."""
        results = pending.results
        for item in pending.operations[len(results) :]:
            if item.request_id:
                result = self._core.write_result(session, item.request_id)
                if result is None:
                    behind_gap = item.request_id > session.last_request_id + 1
                    return ErrorCode.REQUEST_GAP if behind_gap else None
            elif type(item.operation) is Sync:
                if not pending.sync_ready:
                    self._await_barrier(lane, pending)
                    return None
                pending.sync_ready = False
                pending.syncs_done += 1
                lane.syncs -= 1
                result = self._core.read(item.operation)
            else:
                result = self._reads.do(lane.session_id, pending, item.operation)
            results.append(result)
        return ErrorCode.NONE

    def _await_barrier(self, lane: Lane, pending: PendingRequest) -> None:
        if pending.sync_asked:
            return
        pending.sync_asked = True
        self._barriers.want(partial(self._barrier_passed, lane, pending))

    def _barrier_passed(self, lane: Lane, pending: PendingRequest, now: Now) -> None:
        pending.sync_asked = False
        if not lane.attached:
            return
        pending.sync_ready = True
        lane.progress_ms = now.mono_ms
        self._drain(lane, now)
        if lane.attached:
            self._writes.submit(lane.to_propose(lane.queue, self._applied(lane)))

    def _applied(self, lane: Lane) -> RequestId:
        session = self._core.sessions.get(lane.session_id)
        return session.last_request_id if session is not None else RequestId(0)

    def _refuse(self, request: Request, error: ErrorCode) -> None:
        self._context.reply(request, OperateResponse(int(error), (), self._core.zxid))
