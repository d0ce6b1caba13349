"""The leader's judgement of which sessions are dead: soft state, in no log.

Pure.  A session lives while its client speaks within its timeout and, if it has ever published
heartbeats, while those come too: a broker that beats but reaches nobody is as dead as one that is
reached but does not turn.  A new leader gives everybody a whole timeout.  Deadlines of others shift
by the time this loop was away.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from transport.wire.ids import SessionId

EXPIRY_REPEAT_MS = 1_000
"""A session judged dead that still lives after this is judged again: the first word was lost."""


@dataclass(slots=True)
class _Life:
    timeout_ms: int
    contact_ms: int
    beat_ms: int | None
    number: int
    """Another life of the same session has another: an opening that was offered twice may be applied
    again after the session's end."""

    def due_ms(self) -> int:
        """The moment it is dead if nothing more is heard."""
        last_ms = self.contact_ms if self.beat_ms is None else min(self.contact_ms, self.beat_ms)
        return last_ms + self.timeout_ms


class SessionLiveness:
    """Last contact of every live session. Empty on everybody but the leader."""

    def __init__(self) -> None:
        self._lives: dict[SessionId, _Life] = {}
        self._numbers = count()
        self._due: list[tuple[int, SessionId, int]] = []
        """When to look at a session's life of this number again, never later than it is due: one
        for each, and some for lives that have ended."""

    def __len__(self) -> int:
        return len(self._lives)

    def begin(
        self, sessions: Iterable[tuple[SessionId, int]], beating: Iterable[SessionId], now_ms: int
    ) -> None:
        """Lead from now on: (session, timeout) of all that live, and which of them publish beats."""
        self._lives = {
            session_id: _Life(timeout_ms, now_ms, None, next(self._numbers))
            for session_id, timeout_ms in sessions
        }
        for session_id in beating:
            if session_id in self._lives:
                self._lives[session_id].beat_ms = now_ms
        self._due = [
            (life.due_ms(), session_id, life.number) for session_id, life in self._lives.items()
        ]
        heapq.heapify(self._due)

    def end(self) -> None:
        """Lead no more."""
        self._lives, self._due = {}, []

    def opened(self, session_id: SessionId, timeout_ms: int, now_ms: int) -> None:
        """A session was opened."""
        if session_id not in self._lives:
            life = _Life(timeout_ms, now_ms, None, next(self._numbers))
            self._lives[session_id] = life
            heapq.heappush(self._due, (life.due_ms(), session_id, life.number))

    def ended(self, session_id: SessionId) -> None:
        """A session has ended."""
        self._lives.pop(session_id, None)

    def spoke(self, session_id: SessionId, now_ms: int) -> None:
        """The session's client was heard, here or by another coordinator."""
        life = self._lives.get(session_id)
        if life is not None:
            life.contact_ms = now_ms

    def beat(self, session_id: SessionId, now_ms: int) -> None:
        """A heartbeat of the session's node was heard; from now on they must go on."""
        life = self._lives.get(session_id)
        if life is not None:
            life.beat_ms = now_ms

    def delay(self, gap_ms: int) -> None:
        """This loop was away for so long: they may have spoken without being heard."""
        for life in self._lives.values():
            life.contact_ms += gap_ms
            if life.beat_ms is not None:
                life.beat_ms += gap_ms

    def take_dead(self, now_ms: int) -> list[SessionId]:
        """Return the sessions whose time is up; each is named again only if it still lives later."""
        dead: list[SessionId] = []
        while self._due and self._due[0][0] <= now_ms:
            _, session_id, number = heapq.heappop(self._due)
            life = self._lives.get(session_id)
            if life is None or life.number != number:
                continue
            due_ms = life.due_ms()
            if due_ms <= now_ms:
                dead.append(session_id)
                due_ms = now_ms + EXPIRY_REPEAT_MS
            heapq.heappush(self._due, (due_ms, session_id, number))
        return dead

    def next_deadline_ms(self) -> int | None:
        """Return when somebody may have to be judged."""
        return self._due[0][0] if self._due else None

    def check(self) -> None:
        """Assert that nobody who lives is forgotten by the clock."""
        queued = [number for _, _, number in self._due]
        assert len(queued) == len(set(queued)), "a life is queued twice"
        living = {life.number for life in self._lives.values()}
        assert living <= set(queued), "a session is never judged"
