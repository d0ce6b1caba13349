"""Sessions opened and attached to: OPEN_SESSION.

An opening is an entry of the log and is answered when it is applied here.  An attachment asks the
quorum for a barrier first, so that this server knows of the session's opening, of its end, and of
everything its client has seen anywhere; then it sets the watches anew and fires what was missed.
"""

from __future__ import annotations

import heapq
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import cast

from nodes.coordinator.barriers import Barriers
from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.guests import Guests
from nodes.coordinator.lanes import Lanes
from nodes.coordinator.presence import Presence
from nodes.coordinator.rewatching import set_watches
from nodes.coordinator.writes import Writes
from nodes.core.znode.core import Opening
from nodes.core.znode.session import Session
from nodes.core.znode.watch import LASTING
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId
from transport.wire.messages.coordination import (
    OpenedSession,
    OpenSessionRequest,
    OpenSessionResponse,
    ProposedWrite,
    WatchRegistration,
)

NONCE_BYTES_MAX = 64
PASSWORD_BYTES = 16
"""ZooKeeper's."""
OPENINGS_MAX = 10_000
"""Openings and attachments waiting at one time; more are told to try elsewhere."""
WATCHES_A_TURN = 2_000
"""Set anew for all who attach, at the end of a turn: some ten milliseconds."""
WATCHES_AT_ONCE = 500
"""For one of them; then it is the turn of who has the fewest left. Those of one that last are set together."""


@dataclass(slots=True)
class _Attaching:
    """A session that is served, and whose client is told so once its watches are set."""

    request: Request
    session: Session
    once: Sequence[WatchRegistration]
    """Those that are not set yet."""
    lasting: Sequence[WatchRegistration]
    """The same of those that last, which come last: what they have missed is told in its order."""

    @property
    def left(self) -> int:
        """How many are not set yet."""
        return len(self.once) + len(self.lasting)

    def next_part(self) -> Sequence[WatchRegistration]:
        """Return those that are to be set next; nothing: all are."""
        return self.once[:WATCHES_AT_ONCE] or self.lasting

    def took(self, part: Sequence[WatchRegistration]) -> None:
        """The next part is set."""
        if self.once:
            self.once = self.once[len(part) :]
        else:
            self.lasting = ()


@dataclass(slots=True)
class _Waiting:
    request: Request
    write: ProposedWrite | None
    """The opening's entry; None for an attachment."""
    done: bool = False


class Openings:
    """Openings and attachments that are not answered yet."""

    def __init__(
        self,
        context: CoordinatorContext,
        barriers: Barriers,
        writes: Writes,
        lanes: Lanes,
        presence: Presence,
        guests: Guests,
    ) -> None:
        self._context = context
        self._core = context.core
        self._barriers = barriers
        self._writes = writes
        self._lanes = lanes
        self._presence = presence
        self._guests = guests
        self._openings: dict[bytes, _Waiting] = {}
        self._attachments = 0
        self._attaching: dict[SessionId, _Attaching] = {}
        """The latest of each session."""
        self._by_left: list[tuple[int, int, _Attaching]] = []
        """The same, as a heap: those first that will be done first."""
        self._order = count()
        self._room = WATCHES_A_TURN
        """Watches that may still be set in this turn."""

    # Requests

    def on_open(self, request: Request, now: Now) -> None:
        """Open a session or attach to one. Waits for the quorum, but not for ever (NO_QUORUM)."""
        body = cast("OpenSessionRequest", request.envelope.body)
        if len(self._openings) + self._attachments + len(self._by_left) >= OPENINGS_MAX:
            self._refuse(request, ErrorCode.OVERLOADED)
        elif not all(map(self._context.identities.proves, body.auth)):
            self._refuse(request, ErrorCode.AUTH_FAILED)
        elif body.session_id != 0:
            self._attach(request, now)
        elif len(body.nonce) > NONCE_BYTES_MAX or body.timeout_ms < 0:
            self._refuse(request, ErrorCode.BAD_ARGUMENTS)
        else:
            self._open(request, body, now)

    def _open(self, request: Request, body: OpenSessionRequest, now: Now) -> None:
        random, config = self._context.ports.random, self._context.config.coordinator
        nonce = body.nonce or random.randbytes(NONCE_BYTES_MAX)
        earlier = self._openings.get(nonce)
        if earlier is not None:
            # The client lost patience or its connection; the newest one gets the answer.
            earlier.done = True
        timeout_ms = min(
            max(body.timeout_ms, config.session_timeout_min_ms), config.session_timeout_max_ms
        )
        opened = OpenedSession(timeout_ms, random.randbytes(PASSWORD_BYTES), body.owner, nonce)
        waiting = _Waiting(request, ProposedWrite(self._new_id(), 0, open=opened))
        self._openings[nonce] = waiting
        self._offer(waiting)
        self._limit(waiting, now)

    def _new_id(self) -> SessionId:
        """Return a number nobody else gives: the node's id, and chance. Positive in 64 bits."""
        number = (self._context.id & 0x7F) << 56 | self._context.ports.random.getrandbits(56)
        return SessionId(number or 1)

    def _attach(self, request: Request, now: Now) -> None:
        waiting = _Waiting(request, None)
        self._attachments += 1
        self._barriers.want(partial(self._barrier_passed, waiting))
        self._limit(waiting, now)

    def _limit(self, waiting: _Waiting, now: Now) -> None:
        """Give up when the client does, or after two elections' worth of time."""
        patience_ms = 2 * self._context.config.raft.election_timeout_max_ms
        envelope = waiting.request.envelope
        if envelope.deadline_ms >= 0:
            patience_ms = min(patience_ms, envelope.deadline_ms)
        if cast("OpenSessionRequest", envelope.body).read_only:
            patience_ms //= 2  # while its client still listens
        self._context.timers.after(now, patience_ms, partial(self._give_up, waiting))

    def _give_up(self, waiting: _Waiting, now: Now) -> None:
        if waiting.done:
            return
        self._settle(waiting)
        error = self._guests.welcome(waiting.request, self._new_id(), now)
        if error != ErrorCode.NONE:
            self._refuse(waiting.request, error)

    def _settle(self, waiting: _Waiting) -> None:
        waiting.done = True
        if waiting.write is None:
            self._attachments -= 1
        elif waiting.write.open is not None:
            self._openings.pop(waiting.write.open.nonce, None)

    # Openings

    def propose_again(self) -> None:
        """Offer every opening again: it may have been lost."""
        for waiting in self._openings.values():
            self._offer(waiting)

    def _offer(self, waiting: _Waiting) -> None:
        assert waiting.write is not None
        self._writes.submit((waiting.write,))

    def on_applied(self, opening: Opening, now: Now) -> None:
        """An opening was applied: if it was asked for here, its session is served here."""
        session = opening.session
        if session is not None:
            self._presence.opened(session, now)
        waiting = self._openings.get(opening.nonce)
        if waiting is None:
            return
        self._settle(waiting)
        if session is None and opening.error == ErrorCode.NODE_EXISTS:
            # Another session drew the same number: draw again.
            self.on_open(waiting.request, now)
        elif session is None:
            self._refuse(waiting.request, opening.error)
        else:
            self._serve(waiting.request, session, now)

    # Attachments

    def _barrier_passed(self, waiting: _Waiting, now: Now) -> None:
        if waiting.done:
            return
        self._settle(waiting)
        body = cast("OpenSessionRequest", waiting.request.envelope.body)
        session = self._core.sessions.get(body.session_id)
        if session is None or not hmac.compare_digest(session.password, body.password):
            self._refuse(waiting.request, ErrorCode.SESSION_EXPIRED)
        elif body.last_zxid > self._core.zxid:
            # More than the quorum has ever committed: this client was elsewhere.
            self._refuse(waiting.request, ErrorCode.SERVER_BEHIND)
        else:
            self._serve(waiting.request, session, now)

    def _serve(self, request: Request, session: Session, now: Now) -> None:
        body = cast("OpenSessionRequest", request.envelope.body)
        identities = self._context.identities.of_opening(request.origin, body.auth)
        self._lanes.attach(session.id, request.origin, identities)
        self._presence.spoke(session.id, now)
        once = [watch for watch in body.watches if watch.kind not in LASTING]
        lasting = [watch for watch in body.watches if watch.kind in LASTING]
        attaching = _Attaching(request, session, once, lasting)
        before = self._attaching.pop(session.id, None)
        if before is not None:
            self._by_left = [one for one in self._by_left if one[2] is not before]
            heapq.heapify(self._by_left)
            self._refuse(before.request, ErrorCode.SESSION_MOVED)
        if not self._is_done(attaching):
            self._attaching[session.id] = attaching
            heapq.heappush(self._by_left, (attaching.left, next(self._order), attaching))

    def end_turn(self) -> None:
        """Go on setting watches anew, some a turn."""
        self._room = WATCHES_A_TURN
        while self._by_left and self._room > 0:
            _, order, attaching = heapq.heappop(self._by_left)
            if self._is_done(attaching):
                del self._attaching[attaching.session.id]
            else:
                heapq.heappush(self._by_left, (attaching.left, order, attaching))

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn: at once while watches are to be set."""
        return 0 if self._by_left else None

    def _is_done(self, attaching: _Attaching) -> bool:
        """Set some of its watches, if there is room in this turn; True: its client has its answer."""
        request, session = attaching.request, attaching.session
        if not self._lanes.serves_over(session.id, request.origin):
            ended = self._core.sessions.get(session.id) is None
            self._refuse(request, ErrorCode.SESSION_EXPIRED if ended else ErrorCode.SESSION_MOVED)
            return True
        part = attaching.next_part()
        if part and self._room <= 0:
            return False
        attaching.took(part)
        self._room -= len(part)
        # Missed events first: once the answer has named our zxid, they must not get lost.
        seen = cast("OpenSessionRequest", request.envelope.body).last_zxid
        missed = set_watches(self._context, session.id, part, seen)
        if missed is None:
            self._lanes.detach(session.id)
            self._refuse(request, ErrorCode.OVERLOADED)
            return True
        for event, change in missed.items():
            self._lanes.tell((event,), change)
        if attaching.next_part():
            return False
        if self._lanes.serves(session.id):
            self._answer(request, session)
        return True

    def _answer(self, request: Request, session: Session) -> None:
        there = self._context.config.quorum_members()
        answer = OpenSessionResponse(
            int(ErrorCode.NONE),
            session.id,
            session.password,
            session.timeout_ms,
            self._core.zxid,
            session.last_request_id,
            servers=tuple(node.clients for node in there),
            members=() if session.owner is None else there,
        )
        if not self._context.reply(request, answer):
            self._lanes.detach(session.id)

    def _refuse(self, request: Request, error: ErrorCode) -> None:
        self._context.reply(request, OpenSessionResponse(int(error), zxid=self._core.zxid))

    def check(self) -> None:
        """Assert that every opening kept is still waited for."""
        assert all(not waiting.done for waiting in self._openings.values())
        assert self._attachments >= 0
        assert {one.session.id: one for _, _, one in self._by_left} == self._attaching
