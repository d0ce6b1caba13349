"""The leader's side of fetch sessions, by plain values."""

from __future__ import annotations

import pytest

from nodes.core.fetch_session import leader
from nodes.core.fetch_session.leader import (
    IDLE_MAX_MS,
    NOTE_AGAIN_MS,
    NOTED_AGAIN_MAX,
    FetchSession,
    FetchSessions,
)
from tests.unit.fetch_session.test_follower_session import key_of, part_at
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, Offset
from transport.wire.messages.fetch import (
    Divergence,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
)

WAY = ("registration", "connection")


def request(
    replica: int = 2, *parts: FetchPartition, session: int = 7, epoch: int = 0
) -> FetchRequest:
    return FetchRequest(
        0, 1, 1_000, parts, NodeId(replica), session_id=session, session_epoch=epoch
    )


def begin(sessions: FetchSessions, replica: int = 2, now_ms: int = 0) -> FetchSession:
    sessions.make_room(NodeId(replica), now_ms)
    session = sessions.find(request(replica), NodeId(replica), WAY, now_ms)
    assert isinstance(session, FetchSession)
    return session


def told(
    number: int, *, error: int = 0, frame: int = -1, diverging: Divergence | None = None
) -> FetchedPartition:
    topic_id = key_of(number).topic_id
    return FetchedPartition(topic_id, number, error, Offset(9), Offset(1), frame, diverging)


def test_a_session_goes_on_by_its_number_and_the_next_epoch() -> None:
    sessions = FetchSessions()
    session = begin(sessions)
    assert session.is_held
    assert sessions.find(request(epoch=1), NodeId(2), WAY, 5) is session
    assert sessions.find(request(epoch=2), NodeId(2), WAY, 6) is session
    repeated, later = request(epoch=2), request(epoch=4)
    assert sessions.find(repeated, NodeId(2), WAY, 7) is ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert sessions.find(later, NodeId(2), WAY, 7) is ErrorCode.INVALID_FETCH_SESSION_EPOCH


def test_a_session_is_of_one_follower_its_registration_and_connection() -> None:
    sessions = FetchSessions()
    begin(sessions)
    not_found = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert sessions.find(request(epoch=1, session=8), NodeId(2), WAY, 0) is not_found
    assert sessions.find(request(3, epoch=1), NodeId(3), WAY, 0) is not_found
    assert sessions.find(request(epoch=1), NodeId(2), ("another", "connection"), 0) is not_found
    sessions.drop(NodeId(2))
    assert sessions.find(request(epoch=1), NodeId(2), WAY, 0) is not_found


def test_a_follower_that_begins_anew_ends_its_session_before() -> None:
    sessions = FetchSessions()
    first = begin(sessions)
    assert sessions.make_room(NodeId(2), 0) == [first]
    assert list(sessions) == []


def test_sessions_are_bounded_and_unused_ones_make_room() -> None:
    sessions = FetchSessions(2)
    begin(sessions, 2, now_ms=10)
    begin(sessions, 3, now_ms=0)
    assert not begin(sessions, 4, now_ms=1_000).is_held, "there is no room"
    assert begin(sessions, 4, now_ms=IDLE_MAX_MS).is_held
    assert (
        sessions.find(request(3, epoch=1), NodeId(3), WAY, 0)
        is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    )
    assert isinstance(sessions.find(request(2, epoch=1), NodeId(2), WAY, 0), FetchSession)


def test_a_session_without_a_number_ends_with_its_fetch() -> None:
    sessions = FetchSessions()
    session = sessions.find(request(session=0), NodeId(2), WAY, 0)
    assert isinstance(session, FetchSession)
    assert not session.is_held
    assert list(sessions) == []


def test_a_session_holds_so_many_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "PARTITIONS_MAX", 2)
    sessions = FetchSessions()
    session = begin(sessions)
    session.name(part_at(0))
    session.name(part_at(1))
    beyond = request(2, part_at(2), epoch=1)
    assert sessions.find(beyond, NodeId(2), WAY, 0) is ErrorCode.INVALID_REQUEST


def test_what_an_answer_tells_takes_its_partition_out_unless_it_tells_of_ends_only() -> None:
    session = FetchSession(1)
    for number in range(4):
        session.name(part_at(number))
    divergence = Divergence(LeaderEpoch(1), Offset(2))
    parts = [told(0, frame=0), told(1, error=6), told(2, diverging=divergence), told(3)]
    answered = [(key_of(part.partition), part) for part in parts]
    assert session.answered(answered) == [key_of(0), key_of(1), key_of(2)]
    assert list(session.parts) == [key_of(3)]
    assert session.told == {key_of(3): (9, 1)}
    assert not session.behind
    assert key_of(3) in session.ready, "what there was no room for is read later"
    session.check()


def test_whatever_is_named_is_looked_at_noted_and_told_again() -> None:
    session = FetchSession(1)
    session.name(part_at(0))
    session.answered([(key_of(0), told(0))])
    assert session.take_unnoted(0) == [key_of(0)]
    session.name(part_at(0, 5))
    assert session.parts == {key_of(0): part_at(0, 5)}
    assert key_of(0) in session.ready
    assert session.take_unnoted(0) == [key_of(0)]
    assert key_of(0) in session.behind
    assert not session.told
    session.name(part_at(0, 5, start=3))
    assert session.told == {key_of(0): (3, 3)}, "what is before its log is committed"
    session.leave(key_of(0))
    session.leave(key_of(0))
    session.check()


def test_who_is_not_in_sync_is_noted_again_in_a_while() -> None:
    session = FetchSession(1)
    session.name(part_at(0))
    session.unsettled.update(dict.fromkeys(session.take_unnoted(100)))
    session.ready.clear()
    assert session.take_unnoted(NOTE_AGAIN_MS - 1) == []
    assert session.take_unnoted(NOTE_AGAIN_MS) == [key_of(0)]
    assert key_of(0) in session.ready, "there may be something to tell now"
    assert session.take_unnoted(2 * NOTE_AGAIN_MS) == [], "it was settled"


def test_of_many_that_are_not_in_sync_each_fetch_notes_some_and_what_it_names_first() -> None:
    session = FetchSession(1)
    count = 2 * NOTED_AGAIN_MAX
    for number in range(count):
        session.name(part_at(number))
    session.unsettled.update(dict.fromkeys(session.take_unnoted(0)))
    session.name(part_at(count - 1, 5))
    keys = [key_of(number) for number in range(count)]
    assert session.take_unnoted(NOTE_AGAIN_MS) == [keys[-1], *keys[:NOTED_AGAIN_MAX]]
    session.check()
    session.leave(keys[-1])
    assert session.take_unnoted(NOTE_AGAIN_MS) == keys[NOTED_AGAIN_MAX:-1]
    assert not session.again
