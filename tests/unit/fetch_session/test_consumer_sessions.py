"""Sessions of consumers: what is answered stays as it was named, and all of them have one bound."""

from __future__ import annotations

from nodes.core.fetch_session.leader import COUNTED_EVERY_MS, FetchSession, FetchSessions
from tests.unit.fetch_session.test_follower_session import key_of, part_at
from tests.unit.fetch_session.test_leader_sessions import told
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, Offset
from transport.wire.messages.fetch import FetchPartition, FetchRequest

WAY = "acls"


def request(*parts: FetchPartition, session: int = 7, epoch: int = 0) -> FetchRequest:
    return FetchRequest(0, 1, 1_000, parts, NO_NODE, session_id=session, session_epoch=epoch)


def begin(
    sessions: FetchSessions, lane: str = "a", parts: int = 0, now_ms: int = 0
) -> FetchSession:
    sessions.make_room(lane, now_ms)
    session = sessions.find(request(), lane, WAY, now_ms)
    assert isinstance(session, FetchSession)
    for number in range(parts):
        session.name(part_at(number))
    return session


def test_what_is_answered_may_be_read_again_until_it_is_named_anew() -> None:
    session = begin(FetchSessions(of_consumers=True), parts=2)
    assert session.answered([(key_of(0), told(0, frame=0)), (key_of(1), told(1))]) == []
    assert set(session.parts) == {key_of(0), key_of(1)}
    assert key_of(0) in session.ready
    assert session.told[key_of(0)] == (9, 1)
    assert not session.behind
    session.name(part_at(0, 5))
    assert session.parts[key_of(0)].offset == Offset(5)
    assert key_of(0) in session.behind, "its reader goes on, and is told how far it is committed"
    session.check()


def test_after_an_error_its_ends_are_told_again() -> None:
    session = begin(FetchSessions(of_consumers=True), parts=1)
    session.answered([(key_of(0), told(0))])
    session.behind[key_of(0)] = None
    session.answered([(key_of(0), told(0, error=ErrorCode.NOT_LEADER_OR_FOLLOWER))])
    assert key_of(0) in session.parts
    assert key_of(0) in session.behind
    session.check()


def test_a_session_is_of_one_connection_and_of_the_acls_it_was_begun_under() -> None:
    sessions = FetchSessions(of_consumers=True)
    session = begin(sessions)
    not_found = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert sessions.find(request(epoch=1), "another", WAY, 0) is not_found
    assert sessions.find(request(epoch=1), "a", "other acls", 0) is not_found
    assert sessions.find(request(epoch=2), "a", WAY, 0) is ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert sessions.find(request(epoch=1), "a", WAY, 0) is session


def test_all_of_them_together_have_a_bound() -> None:
    sessions = FetchSessions(of_consumers=True, consumers_partitions_max=3)
    first = begin(sessions, "a", parts=3)
    now_ms = COUNTED_EVERY_MS
    assert not begin(sessions, "b", now_ms=now_ms).is_held, "it names everything each time"
    idle = request(epoch=1)
    assert sessions.find(idle, "a", WAY, now_ms) is first
    known = request(part_at(2, 5), epoch=2)
    assert sessions.find(known, "a", WAY, now_ms) is first
    more = request(part_at(5), epoch=3)
    not_found = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert sessions.find(more, "a", WAY, now_ms) is not_found
    assert sessions.drop("a") == [first]
    assert begin(sessions, "b", now_ms=2 * now_ms).is_held
