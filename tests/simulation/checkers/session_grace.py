"""S11: a leader ends nobody's session before it has led for that session's whole timeout.

It cannot know earlier who has spoken to its predecessor.
"""

from __future__ import annotations

from nodes.coordinator.machine import MARK
from tests.simulation.checkers.one_leader_per_term import OneLeaderPerTerm
from tests.simulation.checkers.session_model import SessionModel
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import decode_write
from transport.wire.messages.raft import ENTRY_DATA, Entry

NUMBER = "S11"
DRIFT = 0.001
"""Of clocks: the leader measures by its own."""


def check_grace(entry: Entry, leaders: OneLeaderPerTerm, model: SessionModel, now_ms: int) -> None:
    """Judge an entry at the moment at which it first stands in a log, which is its leader's."""
    if entry.kind != ENTRY_DATA or entry.data.startswith(MARK):
        return
    since_ms = leaders.since_ms.get(entry.term)
    for session_id in decode_write(entry.data).expire if since_ms is not None else ():
        session = model.sessions.get(session_id)
        if session is None or since_ms is None:
            continue
        led_ms = now_ms - since_ms
        story = f"the leader of term {entry.term} ends session {session_id} after {led_ms} ms, "
        allowed_ms = session.timeout_ms * (1 - DRIFT) - 2
        require(led_ms >= allowed_ms, NUMBER, story + f"not {session.timeout_ms}")
