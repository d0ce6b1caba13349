"""Three coordinators: watches that last, removed ones, and what was missed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nodes.config import CoordinatorConfig
from nodes.coordinator import openings, rewatching
from nodes.core.znode import watch
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.ids import Zxid
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    AddWatch,
    CloseSession,
    Create,
    Delete,
    Exists,
    GetData,
    Multi,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateResponse,
    RemoveWatches,
    SetData,
    Sync,
    WatchEvent,
    WatchRegistration,
)

E = ErrorCode


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def pair(ensemble: Ensemble) -> tuple[SessionClient, SessionClient]:
    """Somebody at a follower, and somebody at the leader."""
    leader = ensemble.leader()
    return opened(ensemble, ensemble.followers()[0]), opened(ensemble, leader)


def attachment(
    of: SessionClient, seen: int, watches: Sequence[tuple[str, str]]
) -> OpenSessionRequest:
    registrations = tuple(WatchRegistration(path, kind) for path, kind in watches)
    return OpenSessionRequest(2000, of.session_id, of.password, Zxid(seen), watches=registrations)


def test_a_persistent_and_a_recursive_watch(ensemble: Ensemble) -> None:
    client, writer = pair(ensemble)
    assert [r.error for r in client.operate(AddWatch("/a"), AddWatch("/t", recursive=True))] == [
        0,
        0,
    ]
    writer.operate(Create("/a"), Create("/a/x"), SetData("/a", b"1"), SetData("/a", b"2"))
    writer.operate(Create("/t"), Multi((Create("/t/x"), Create("/t/x/y"))), Delete("/t/x/y"))
    ensemble.run(200)
    assert client.events() == [
        (NODE_CREATED, "/a"),
        (NODE_CHILDREN_CHANGED, "/a"),
        (NODE_DATA_CHANGED, "/a"),
        (NODE_DATA_CHANGED, "/a"),
        (NODE_CREATED, "/t"),
        (NODE_CREATED, "/t/x"),
        (NODE_CREATED, "/t/x/y"),
        (NODE_DELETED, "/t/x/y"),
    ]


def test_each_event_of_a_lasting_watch_comes_before_the_change_can_be_read(
    ensemble: Ensemble,
) -> None:
    client, writer = pair(ensemble)
    client.operate(AddWatch("/", recursive=True))
    writer.operate(Create("/x", b"0"))
    for n in range(1, 4):
        client.send(client.request(GetData("/x")))
        writer.operate(SetData("/x", b"%d" % n))
        client.operate(Sync(), GetData("/x"))
    heard = b"-"
    for body in [envelope.body for envelope in client.received]:
        if isinstance(body, WatchEvent):
            heard = b"0" if heard == b"-" else b"%d" % (int(heard) + 1)
        elif isinstance(body, OperateResponse) and body.results[-1].data is not None:
            assert body.results[-1].data == heard
    assert heard == b"3"


def test_removed_watches_are_silent(ensemble: Ensemble) -> None:
    client, writer = pair(ensemble)
    client.operate(AddWatch("/a"), AddWatch("/a", recursive=True), Exists("/a", watch=True))
    results = client.operate(
        RemoveWatches("/a", "persistent"),
        RemoveWatches("/a", "persistent"),
        RemoveWatches("/a"),
        RemoveWatches("/a"),
        RemoveWatches("/a", "nonsense"),
        RemoveWatches("nonsense"),
        AddWatch("nonsense"),
    )
    assert [result.error for result in results] == [
        0,
        E.NO_WATCHER,
        0,
        E.NO_WATCHER,
        *[E.BAD_ARGUMENTS] * 3,
    ]
    writer.operate(Create("/a"))
    ensemble.run(200)
    assert client.events() == []


def test_lasting_watches_hear_at_another_server_of_all_that_they_missed(
    ensemble: Ensemble,
) -> None:
    client, writer = pair(ensemble)
    seen = client.operate(AddWatch("/t", recursive=True))[0].zxid
    writer.operate(Create("/t"), Create("/t/x"), Delete("/t/x"), SetData("/t", b"1"))
    moved = ensemble.session(ensemble.followers()[1])
    moved.attach(client, seen, [("/t", "recursive"), ("/t", "persistent")])
    assert moved.events() == [
        (NODE_CREATED, "/t"),
        (NODE_CREATED, "/t/x"),
        (NODE_CHILDREN_CHANGED, "/t"),
        (NODE_DELETED, "/t/x"),
        (NODE_CHILDREN_CHANGED, "/t"),
        (NODE_DATA_CHANGED, "/t"),
    ]
    assert isinstance(moved.received[0].body, WatchEvent)
    writer.operate(SetData("/t", b"2"))
    ensemble.run(200)
    assert moved.events()[6:] == [(NODE_DATA_CHANGED, "/t")]


def test_who_has_more_watches_than_there_is_room_for_is_sent_elsewhere(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for what it is never told."""
    monkeypatch.setattr(watch, "WATCHES_MAX", 2)
    client, writer = pair(ensemble)
    seen = writer.operate(Create("/a"))[0].zxid
    moved = ensemble.session(ensemble.followers()[1])
    three = [(f"/{number}", "exists") for number in range(3)]
    assert moved.attach(client, seen, three).error == E.OVERLOADED
    assert moved.attach(client, seen, three[:2]).error == 0
    assert moved.operate(Exists("/2", watch=True))[0].error == E.OVERLOADED
    writer.operate(Create("/1"))
    ensemble.run(200)
    assert moved.events() == [(NODE_CREATED, "/1")]


def test_without_a_history_the_tree_tells_what_was_missed() -> None:
    ensemble = Ensemble(coordinator=CoordinatorConfig(history_changes_max=0))
    client, writer = pair(ensemble)
    writer.operate(Create("/t"), Create("/t/x"), Create("/t/y"))
    seen = client.operate(Sync(), AddWatch("/t", recursive=True))[1].zxid
    writer.operate(Delete("/t/y"), SetData("/t/x", b"1"))
    moved = ensemble.session(ensemble.followers()[1])
    moved.attach(client, seen, [("/t", "recursive")])
    assert moved.events() == [(NODE_DATA_CHANGED, "/t"), (NODE_DATA_CHANGED, "/t/x")]


def test_very_many_watches_are_set_anew_some_a_turn_and_others_attach_meanwhile(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, writer = pair(ensemble)
    other = opened(ensemble, ensemble.followers()[0])
    monkeypatch.setattr(openings, "WATCHES_AT_ONCE", 2)
    monkeypatch.setattr(openings, "WATCHES_A_TURN", 4)
    set_at_once: list[int] = []

    def set_watches(context: Any, session_id: Any, watches: Any, seen: Any) -> Any:
        set_at_once.append(len(watches))
        return rewatching.set_watches(context, session_id, watches, seen)

    monkeypatch.setattr(openings, "set_watches", set_watches)
    seen = writer.operate(Create("/t"))[0].zxid
    writer.operate(Create("/t/x"), Create("/3"), Create("/17"))
    here = ensemble.followers()[1]
    moved, second = ensemble.session(here), ensemble.session(here)
    many = [(f"/{number}", "exists") for number in range(20)]
    lasting = [("/t", "recursive"), ("/t", "persistent"), ("/u", "recursive")]
    moved.send(attachment(client, seen, [*lasting, *many]))
    second.send(attachment(other, seen, [("/3", "exists")]))
    counts = []
    for _ in range(60):
        before = len(set_at_once)
        ensemble.turn_each(1)
        counts.append(sum(set_at_once[before:]))
    assert sum(counts) == 24
    assert max(counts) <= 4 + 4 + len(lasting)  # some when the barrier is passed, some at the end
    assert set_at_once[-1] == len(lasting), "they come last, and together"
    answered = [type(each.body).__name__ for each in moved.received]
    assert answered == ["WatchEvent"] * 22 + ["OpenSessionResponse"]
    created = [path for type_, path in moved.events() if type_ == NODE_CREATED]
    assert created == ["/3", "/17", "/t/x"]
    assert moved.events()[-2:] == [(NODE_CREATED, "/t/x"), (NODE_CHILDREN_CHANGED, "/t")]
    assert second.events() == [(NODE_CREATED, "/3")]
    assert isinstance(second.received[-1].body, OpenSessionResponse)


@pytest.fixture
def one_watch_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "WATCHES_AT_ONCE", 1)
    monkeypatch.setattr(openings, "WATCHES_A_TURN", 1)


@pytest.mark.usefixtures("one_watch_a_turn")
def test_a_session_that_attaches_again_and_again_waits_once(ensemble: Ensemble) -> None:
    """However fast it asks: what is to be set for it is kept once."""
    client, writer = pair(ensemble)
    seen = writer.operate(Create("/t"))[0].zxid
    moved = ensemble.session(ensemble.followers()[1])
    for _ in range(3):
        moved.send(attachment(client, seen, [(f"/{number}", "exists") for number in range(9)]))
    for _ in range(60):
        ensemble.turn_each(1)
    errors = [each.body.error for each in moved.received]  # type: ignore[attr-defined]
    assert errors == [E.SESSION_MOVED, E.SESSION_MOVED, E.NONE]


@pytest.mark.usefixtures("one_watch_a_turn")
def test_a_session_that_ends_while_its_watches_are_set_is_told_so(ensemble: Ensemble) -> None:
    client, writer = pair(ensemble)
    seen = writer.operate(Create("/t"))[0].zxid
    moved = ensemble.session(ensemble.followers()[1])
    moved.send(attachment(client, seen, [(f"/{number}", "exists") for number in range(40)]))
    for _ in range(8):
        ensemble.turn_each(1)
    assert not moved.received
    client.send(client.request(CloseSession()))
    for _ in range(60):
        ensemble.turn_each(1)
    [answer] = [each.body for each in moved.received]
    assert isinstance(answer, OpenSessionResponse)
    assert answer.error == E.SESSION_EXPIRED
