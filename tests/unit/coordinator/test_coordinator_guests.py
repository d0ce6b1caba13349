"""Clients that asked to be served without a quorum: what they may do, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.coordinator import guests
from nodes.core.znode import watch
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    NODE_CREATED,
    NODE_DATA_CHANGED,
    Acl,
    AddAuth,
    AddWatch,
    CloseSession,
    Create,
    Exists,
    GetChildren,
    GetData,
    OpenSessionRequest,
    OpenSessionResponse,
    ReadMulti,
    SetData,
    Sync,
    WatchEvent,
    WatchRegistration,
)

E = ErrorCode
AUTH = AddAuth("digest", b"alice:a")


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def left_alone(ensemble: Ensemble) -> int:
    """One coordinator without the others; the tree has /a (data "1") and /mine (of Alice)."""
    here, *others = (*ensemble.followers(), ensemble.leader())
    writer = opened(ensemble, here)
    mine = (Acl(31, "auth", ""),)
    writer.operate(Create("/a", b"1"), AUTH, Create("/mine", b"2", 0, mine), Sync())
    for number in others:
        ensemble.kill(number)
    ensemble.run(2_000)
    return here


def come(ensemble: Ensemble, number: int, **fields: Any) -> tuple[SessionClient, Any]:
    client = ensemble.session(number)
    sent = client.send(OpenSessionRequest(2_000, read_only=True, **fields))
    ensemble.run(1_500)
    answer = client.answer(sent)
    assert isinstance(answer, OpenSessionResponse)
    client.session_id = answer.session_id
    return client, answer


def test_a_guest_reads_and_writes_nothing(ensemble: Ensemble) -> None:
    client, answer = come(ensemble, left_alone(ensemble))
    assert (answer.error, answer.read_only, answer.timeout_ms) == (0, True, 2_000)
    results = client.operate(
        GetData("/a"),
        Create("/b"),
        SetData("/a", b""),
        Sync(),
        GetChildren("/"),
        ReadMulti((Exists("/a"), Exists("/gone"))),
        GetData("/mine"),
    )
    refused = E.NOT_READ_ONLY
    assert [r.error for r in results] == [0, refused, refused, refused, 0, 0, E.NO_AUTH]
    assert results[0].data == b"1"
    assert client.ping().error == 0
    proved = client.operate(AUTH, GetData("/mine"))
    assert [r.error for r in proved] == [0, 0]


def test_who_did_not_ask_for_it_is_refused(ensemble: Ensemble) -> None:
    number = left_alone(ensemble)
    client = ensemble.session(number)
    sent = client.send(OpenSessionRequest(2_000))
    ensemble.run(1_500)
    answer = client.answer(sent)
    assert isinstance(answer, OpenSessionResponse)
    assert (answer.error, answer.read_only) == (E.NO_QUORUM, False)


def test_with_a_quorum_it_is_a_session_like_any_other(ensemble: Ensemble) -> None:
    client = ensemble.session(ensemble.leader())
    answer = client.ask(OpenSessionRequest(2_000, read_only=True))
    assert (answer.error, answer.read_only) == (0, False)
    client.session_id = answer.session_id
    assert client.operate(Create("/a"))[0].error == 0


def test_it_is_answered_while_its_client_still_listens(ensemble: Ensemble) -> None:
    number = left_alone(ensemble)
    client = ensemble.session(number)
    sent = client.send(OpenSessionRequest(2_000, read_only=True), deadline_ms=200)
    ensemble.run(150)
    answer = client.answer(sent)
    assert isinstance(answer, OpenSessionResponse)
    assert answer.read_only


def test_once_there_is_a_quorum_the_guest_opens_its_session(ensemble: Ensemble) -> None:
    number = left_alone(ensemble)
    client, _ = come(ensemble, number)
    client.operate(GetData("/a", watch=True), AddWatch("/", recursive=True))
    for other in ensemble.nodes:
        if other != number:
            ensemble.start(other)
    writer = opened(ensemble, ensemble.leader())
    writer.operate(SetData("/a", b"3"))
    ensemble.run(500)
    assert client.events() == []
    assert client.ask(client.request(GetData("/a"))).error == E.SESSION_MOVED
    assert client.ping().error == E.SESSION_MOVED
    answer = client.open()
    assert (answer.error, answer.read_only) == (0, False)
    assert client.operate(SetData("/a", b"4"))[0].error == 0


def test_a_session_without_a_quorum_becomes_a_guest_and_hears_what_it_missed(
    ensemble: Ensemble,
) -> None:
    here = ensemble.followers()[0]
    client = opened(ensemble, ensemble.followers()[1])
    seen = client.operate(Create("/a"), Sync())[1].zxid
    opened(ensemble, here).operate(SetData("/a", b"x"), Create("/b"), Sync())
    for number in ensemble.nodes:
        if number != here:
            ensemble.kill(number)
    ensemble.run(2_000)
    watches = (WatchRegistration("/a", "data"), WatchRegistration("/", "recursive"))
    moved, answer = come(
        ensemble,
        here,
        session_id=client.session_id,
        password=client.password,
        last_zxid=seen,
        watches=watches,
    )
    assert (answer.error, answer.read_only) == (0, True)
    assert answer.session_id != client.session_id
    assert set(moved.events()) == {(NODE_DATA_CHANGED, "/a"), (NODE_CREATED, "/b")}
    bodies = [envelope.body for envelope in moved.received]
    assert [isinstance(body, WatchEvent) for body in bodies][-1:] == [False]


def test_who_has_more_watches_than_there_is_room_for_is_sent_elsewhere(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCHES_MAX", 1)
    here = left_alone(ensemble)
    watches = (WatchRegistration("/a", "persistent"), WatchRegistration("/", "recursive"))
    _, answer = come(ensemble, here, watches=watches)
    assert answer.error == E.OVERLOADED
    _, answer = come(ensemble, here, watches=watches[:1])
    assert (answer.error, answer.read_only) == (0, True)


def test_a_server_behind_its_client_does_not_serve_it(ensemble: Ensemble) -> None:
    _, answer = come(ensemble, left_alone(ensemble), last_zxid=10**6)
    assert answer.error == E.SERVER_BEHIND


def test_a_guest_is_served_on_its_connection_alone(ensemble: Ensemble) -> None:
    number = left_alone(ensemble)
    client, _ = come(ensemble, number)
    other = ensemble.session(number)
    assert other.ask(client.request(GetData("/a"))).error == E.SESSION_MOVED


def test_a_guest_that_closes_is_gone(ensemble: Ensemble) -> None:
    client, _ = come(ensemble, left_alone(ensemble))
    assert client.operate(CloseSession())[0].error == 0
    assert client.ping().error == E.SESSION_MOVED


def test_bad_requests_of_guests(ensemble: Ensemble) -> None:
    client, _ = come(ensemble, left_alone(ensemble))
    many = client.request(*[Exists("/a")] * 1_001)
    assert client.ask(many).error == E.OVERLOADED
    wrong = client.request(Exists("/a"))
    as_write = type(wrong.operations[0])(
        client.request(Create("/x")).operations[0].request_id, Exists("/a")
    )
    assert client.ask(
        type(wrong)(wrong.session_id, wrong.lowest_unanswered, (as_write,))
    ).error == (E.BAD_ARGUMENTS)


def test_the_oldest_guest_makes_room(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "GUESTS_MAX", 1)
    number = left_alone(ensemble)
    first, _ = come(ensemble, number)
    second, answer = come(ensemble, number)
    assert answer.read_only
    assert first.ping().error == E.SESSION_MOVED
    assert second.ping().error == 0
