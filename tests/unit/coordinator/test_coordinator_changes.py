"""The stream of changes: pages that miss nothing, and honest words about what is forgotten."""

from __future__ import annotations

import pytest

from nodes.config import CoordinatorConfig
from nodes.coordinator.changes import page
from nodes.core.znode.history import History
from nodes.core.znode.tree import new_znode
from nodes.core.znode.watch import TreeChange
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.ids import Zxid
from transport.wire.messages.coordination import (
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Acl,
    AddAuth,
    Change,
    Create,
    Delete,
    GetChanges,
    Multi,
    Result,
    SetData,
    Sync,
)

E = ErrorCode
MANY = 1_000_000


def kept(*zxids_and_paths: tuple[int, str], data: bytes = b"x") -> History:
    history = History(1_000, 10_000_000)
    history.add(
        TreeChange(NODE_CREATED, path, Zxid(zxid), new_znode(data, (), Zxid(zxid), 0))
        for zxid, path in zxids_and_paths
    )
    return history


def told(
    history: History, prefix: str, since: int, limit: int, size_bytes_max: int = MANY
) -> object:
    found = page(history, GetChanges(prefix, Zxid(since), limit), Zxid(9), (), size_bytes_max)
    return found and ([(each.zxid, each.path) for each in found.changes], found.through)


def test_only_what_is_at_or_under_the_prefix() -> None:
    history = kept((1, "/a"), (2, "/ab"), (3, "/a/b"), (4, "/c"))
    assert told(history, "/a", 0, 100) == ([(1, "/a"), (3, "/a/b")], 9)
    assert told(history, "/", 2, 100) == ([(3, "/a/b"), (4, "/c")], 9)
    assert told(history, "/a", 3, 100) == ([], 9)
    assert told(history, "/a", 50, 100) == ([], 50)


def test_a_page_ends_between_two_zxids() -> None:
    history = kept((1, "/a"), (2, "/b"), (2, "/c"), (3, "/d"))
    assert told(history, "/", 0, 1) == ([(1, "/a")], 1)
    assert told(history, "/", 1, 1) == ([(2, "/b"), (2, "/c")], 2)
    assert told(history, "/", 2, 1) == ([(3, "/d")], 9)
    assert told(history, "/", 0, 100, 40) == ([(1, "/a"), (2, "/b"), (2, "/c")], 2)


def test_a_page_without_room_holds_one_write_all_the_same() -> None:
    history = kept((1, "/x"), (2, "/a"), (2, "/a/b"), (3, "/a/c"))
    assert told(history, "/a", 0, 100, -1) == ([(2, "/a"), (2, "/a/b")], 2)
    assert told(history, "/a", 3, 100, -1) == ([], 9)


def test_what_lies_elsewhere_takes_no_room() -> None:
    history = kept((1, "/a"), (2, "/x"), (3, "/x/y"), (4, "/a/b"))
    assert told(history, "/a", 0, 1) == ([(1, "/a")], 1)
    assert told(history, "/a", 1, 1) == ([(4, "/a/b")], 9)


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def ask(client: SessionClient, prefix: str, since: int, limit: int = 1_000) -> Result:
    return client.operate(Sync(), GetChanges(prefix, Zxid(since), limit))[1]


def test_every_server_tells_the_same_changes() -> None:
    ensemble = Ensemble()
    writer = opened(ensemble, ensemble.leader())
    writer.operate(
        Create("/a", b"1"),
        Multi((Create("/a/b", b"2"), SetData("/a", b"3"))),
        Delete("/a/b"),
    )
    answers = [ask(opened(ensemble, number), "/a", 0).changes for number in ensemble.nodes]
    first = answers[0][0].zxid
    assert answers[0] == (
        Change(first, NODE_CREATED, "/a", b"1", 0),
        Change(Zxid(first + 1), NODE_CREATED, "/a/b", b"2", 0),
        Change(Zxid(first + 1), NODE_DATA_CHANGED, "/a", b"3", 1),
        Change(Zxid(first + 2), NODE_DELETED, "/a/b", None, 0),
    )
    assert answers[1:] == answers[:1] * 2


def test_going_on_from_each_answer_misses_nothing() -> None:
    ensemble = Ensemble()
    client = opened(ensemble, ensemble.leader())
    client.operate(*[Create(f"/n{n}") for n in range(20)])
    since, paths = 0, list[str]()
    while True:
        result = ask(client, "/", since, 3)
        assert result.error == 0
        if not result.changes:
            break
        since = result.zxid
        paths += [change.path for change in result.changes]
    assert paths == [f"/n{n}" for n in range(20)]


def test_forgotten_history_is_said_to_be() -> None:
    ensemble = Ensemble(coordinator=CoordinatorConfig(history_changes_max=2))
    client = opened(ensemble, ensemble.leader())
    made = client.operate(*[Create(f"/n{n}") for n in range(4)])
    result = ask(client, "/", made[0].zxid)
    assert (result.error, result.zxid) == (E.HISTORY_COMPACTED, made[1].zxid)
    assert [change.path for change in ask(client, "/", result.zxid).changes] == ["/n2", "/n3"]


def test_after_a_restart_the_history_begins_at_the_snapshot() -> None:
    ensemble = Ensemble(size=1, coordinator=CoordinatorConfig(snapshot_entries=10))
    client = opened(ensemble, 1)
    made = [client.operate(Create(f"/n{n}"))[0].zxid for n in range(12)]
    ensemble.run(100)
    ensemble.kill(1)
    ensemble.start(1)
    again = opened(ensemble, ensemble.leader())
    compacted = ask(again, "/", 0)
    assert compacted.error == E.HISTORY_COMPACTED
    assert made[0] <= compacted.zxid <= made[-1]
    rest = [zxid for zxid in made if zxid > compacted.zxid]
    assert [change.zxid for change in ask(again, "/", compacted.zxid).changes] == rest


@pytest.mark.parametrize(
    "question", [GetChanges("a", Zxid(0)), GetChanges("/", Zxid(-1)), GetChanges("/", Zxid(0), 0)]
)
def test_bad_questions(question: GetChanges) -> None:
    ensemble = Ensemble(size=1)
    assert opened(ensemble, ensemble.leader()).operate(question)[0].error == E.BAD_ARGUMENTS


def test_what_may_not_be_read_is_left_out() -> None:
    ensemble = Ensemble(size=1)
    number = ensemble.leader()
    alice, bob = opened(ensemble, number), opened(ensemble, number)
    auth = AddAuth("digest", b"alice:a")
    alice.operate(auth, Create("/a", b"secret", 0, (Acl(31, "auth", ""),)), Create("/open"))
    alice.operate(Delete("/a"))
    assert [change.path for change in ask(bob, "/", 0).changes] == ["/open"]
    assert [change.path for change in ask(alice, "/", 0).changes] == ["/a", "/open", "/a"]
