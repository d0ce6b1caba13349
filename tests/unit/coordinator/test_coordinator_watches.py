"""Three coordinators: watches that last, removed ones, and what was missed on the way."""

from __future__ import annotations

import pytest

from nodes.config import CoordinatorConfig
from nodes.core.znode import watch
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    AddWatch,
    Create,
    Delete,
    Exists,
    GetData,
    Multi,
    OperateResponse,
    RemoveWatches,
    SetData,
    Sync,
    WatchEvent,
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
