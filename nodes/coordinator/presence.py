"""Who was heard of: told to the leader by its followers, judged by the leader.

On a follower: gathers the sessions that spoke here and tells the leader now and then.  On the
leader: feeds :class:`SessionLiveness` and offers the end of dead sessions to the log.  Everywhere:
remembers which sessions belong to nodes that publish heartbeats, so that a new leader knows.
"""

from __future__ import annotations

from typing import cast

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.liveness import SessionLiveness
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.writes import Writes
from nodes.core.znode.session import Session
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.ids import SessionId
from transport.wire.messages.cluster import Heartbeat
from transport.wire.messages.coordination import Owner, ProposedWrite, TouchSessions

EXPIRIES_PER_ENTRY = 500
"""Sessions ended by one entry: applying it stays in the milliseconds."""
NO_SESSION = SessionId(0)


class Presence:
    """Contacts and heartbeats of the sessions."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum, writes: Writes) -> None:
        self._context = context
        self._quorum = quorum
        self._writes = writes
        self._liveness = SessionLiveness()
        self._leading = False
        self._spoke: dict[SessionId, None] = {}
        """Since the leader was last told."""
        self._beating: dict[SessionId, None] = {}
        """Live sessions whose nodes were heard to beat."""
        self._interval_ms = max(1, context.config.coordinator.session_timeout_min_ms // 10)
        self._tell_ms = 0

    # What is heard

    def spoke(self, session_id: SessionId, now: Now) -> None:
        """A client of a session was heard here."""
        if self._leading:
            self._liveness.spoke(session_id, now.mono_ms)
        else:
            self._spoke[session_id] = None

    def on_touched(self, envelope: Envelope, now: Now) -> None:
        """Another coordinator tells which sessions spoke to it."""
        if self._leading:
            for session_id in cast("TouchSessions", envelope.body).sessions:
                self._liveness.spoke(session_id, now.mono_ms)

    def on_beat(self, envelope: Envelope, now: Now) -> None:
        """A node published a heartbeat; it counts for a session only if it is that very process's."""
        beat = cast("Heartbeat", envelope.body)
        session = self._context.core.sessions.get(beat.session_id)
        if session is None or session.owner != Owner(beat.name, beat.incarnation):
            return
        self._beating[session.id] = None
        if self._leading:
            self._liveness.beat(session.id, now.mono_ms)

    # What was decided

    def opened(self, session: Session, now: Now) -> None:
        """A session was opened."""
        if self._leading:
            self._liveness.opened(session.id, session.timeout_ms, now.mono_ms)

    def ended(self, session_id: SessionId) -> None:
        """A session has ended."""
        self._spoke.pop(session_id, None)
        self._beating.pop(session_id, None)
        self._liveness.ended(session_id)

    def restored(self) -> None:
        """All sessions are others now: forget those that have ended."""
        sessions = self._context.core.sessions
        for known in (self._spoke, self._beating):
            for session_id in [each for each in known if sessions.get(each) is None]:
                del known[session_id]

    def on_leader(self, now: Now) -> None:
        """Leadership may have changed: a new leader gives everybody a whole timeout."""
        if self._quorum.leads and not self._leading:
            self.begin(now)
        elif not self._quorum.leads:
            self._liveness.end()
            self._leading = False

    def begin(self, now: Now) -> None:
        """Judge from now on, starting with grace."""
        self._leading = True
        sessions = [(session.id, session.timeout_ms) for session in self._context.core.sessions]
        self._liveness.begin(sessions, self._beating, now.mono_ms)
        self._spoke.clear()

    # Time

    def on_gap(self, gap_ms: int) -> None:
        """This loop was away."""
        self._liveness.delay(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Judge (leader), or tell the leader who spoke (follower)."""
        if self._leading:
            dead = self._liveness.take_dead(now.mono_ms)
            if dead:
                self._context.count("sessions_expired", len(dead))
            for start in range(0, len(dead), EXPIRIES_PER_ENTRY):
                expire = tuple(dead[start : start + EXPIRIES_PER_ENTRY])
                self._writes.submit((ProposedWrite(NO_SESSION, 0, expire=expire),))
        elif self._spoke and now.mono_ms >= self._tell_ms:
            self._tell_ms = now.mono_ms + self._interval_ms
            if self._quorum.tell_leader(TouchSessions(tuple(self._spoke))):
                self._spoke.clear()

    def next_deadline_ms(self) -> int | None:
        """Return when somebody is to be judged or told."""
        if self._leading:
            return self._liveness.next_deadline_ms()
        return self._tell_ms if self._spoke else None

    def check(self) -> None:
        """Assert that exactly the live sessions are judged, by the leader alone."""
        self._liveness.check()
        assert self._leading == self._quorum.leads
        live = len(self._context.core.sessions) if self._leading else 0
        assert len(self._liveness) == live, (len(self._liveness), live)
