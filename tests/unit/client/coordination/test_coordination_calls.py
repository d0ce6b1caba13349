"""What kazoo's users know beyond single operations, and what ZooKeeper does not have."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from odradek.acl import ACL, CREATOR_ALL_ACL, Id, make_digest_acl, parse_acl
from odradek.cluster.engine import LoopLike
from odradek.coordination.async_result import AsyncResult
from odradek.coordination.chroot import Chroot, split_chroot
from odradek.coordination.client import (
    CoordinationClient,
    CoordinationState,
    EventType,
    KeeperState,
)
from odradek.coordination.multi_read import MultiRead
from odradek.errors import (
    AuthFailedError,
    BadArgumentsError,
    NoNodeError,
    NotReadOnlyCallError,
    NoWatcherError,
)
from tests.unit.client.coordinator import WAIT_S, Heard, InProcessLoop, Place
from transport.driver.ports import Program
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    CONTAINER,
    PERSISTENT_WITH_TTL,
    Acl,
    AddAuth,
    GetData,
    Result,
    Stat,
    Sync,
)


def rooted(hosts: str = "c:1/app") -> tuple[CoordinationClient, list[InProcessLoop]]:
    loops: list[InProcessLoop] = []

    def make_loop(program: Program) -> InProcessLoop:
        loops.append(InProcessLoop(program))
        return loops[-1]

    return CoordinationClient(hosts, make_loop=make_loop), loops


# Paths


@pytest.mark.parametrize(
    ("hosts", "left", "prefix"),
    [
        ("a:1,b:2", "a:1,b:2", ""),
        ("a:1,b:2/app/x", ["a:1", "b:2"], "/app/x"),
        ("a:1/", ["a:1"], ""),
        (["a:1", "tcp://b:2/app"], ["a:1", "tcp://b:2"], "/app"),
        ("tcp://a:1", "tcp://a:1", ""),
        (None, None, ""),
    ],
)
def test_a_root_may_stand_behind_the_last_address(hosts: object, left: object, prefix: str) -> None:
    assert split_chroot(hosts) == (left, Chroot(prefix))  # type: ignore[arg-type]


def test_a_wrong_root_is_refused() -> None:
    with pytest.raises(BadArgumentsError):
        CoordinationClient("a:1/app/../b")


def test_paths_go_through_the_root_and_back() -> None:
    chroot = Chroot("/app")
    assert [chroot.full(path) for path in ("/", "/a", "a/b")] == ["/app", "/app/a", "/app/a/b"]
    assert chroot.full("/", prefix=True) == "/app/"
    assert [chroot.user(path) for path in ("/app", "/app/a", "/apple")] == ["/", "/a", "/apple"]


def test_a_client_sees_its_root_as_the_trees() -> None:
    client, loops = rooted()
    heard = Heard()
    with client:
        with pytest.raises(NoNodeError, match="the root of this client"):
            client.create("/a")
        client.ensure_path("/")
        assert client.create("/a/n-", sequence=True, makepath=True) == "/a/n-0000000000"
        client.get_children("/a", watch=heard)
        with client.transaction() as transaction:
            transaction.create("/a/t")
        assert transaction.outcomes == ["/a/t"]
        assert heard.next().path == "/a"
        assert client.get_children("/") == ["a"]
        with pytest.raises(NoNodeError, match=r"^/no: "):
            client.get("/no")
        assert client.chroot == "/app"
        assert loops[0].coordinator.core.tree.get("/app/a/t") is not None


def test_a_missing_slash_is_added_as_in_kazoo(client: CoordinationClient) -> None:
    assert client.create("a") == "/a"
    assert client.create("a/b") == "/a/b"
    assert client.get_children("a") == ["b"]


def test_a_create_names_the_parent_that_is_missing(client: CoordinationClient) -> None:
    with pytest.raises(NoNodeError, match="/a/b/c: its parent /a/b does not exist"):
        client.create("/a/b/c")
    transaction = client.transaction()
    transaction.create("/x/y")
    assert "its parent /x does not exist" in str(transaction.commit()[0])


# Reads


def test_linearizable_reads_sync_first(client: CoordinationClient) -> None:
    client.create("/a", b"1")
    heard = Heard()
    assert client.get("/a", watch=heard, linearizable=True)[0] == b"1"
    assert client.get_children("/", linearizable=True) == ["a", "zookeeper"]
    assert client.exists("/no", linearizable=True) is None
    stat = client.exists("/a", linearizable=True)
    assert stat is not None
    assert stat.version == 0
    with pytest.raises(NoNodeError):
        client.get("/no", linearizable=True)
    client.set("/a", b"2")
    assert heard.next().type == EventType.CHANGED


def test_server_info_names_who_serves(place: Place) -> None:
    assert place.client.server_info() is None
    place.client.start()
    info = place.client.server_info()
    assert info is not None
    assert (info.name, info.endpoint, info.mode) == ("coordinator-1", "tcp://c:1", "zookeeper")


# Modes and ACLs


def operations_of(client: CoordinationClient) -> list[Any]:
    """Return the list in which the operations of its calls gather from now on, undone."""
    sent: list[Any] = []

    def begin(begin: object, _value_of: object) -> None:
        def submit(operations: list[object], *_: object) -> None:
            sent.extend(operations)

        program = type("Program", (), {"submit": staticmethod(submit)})
        begin(program, None, None)  # type: ignore[operator]

    client._begin = begin  # type: ignore[method-assign, assignment]
    return sent


def test_a_linearizable_read_is_a_sync_and_the_read(place: Place) -> None:
    sent = operations_of(place.client)
    place.client.get_async("/a", linearizable=True)
    place.client.get_async("/b")
    assert sent == [Sync("/a"), GetData("/a"), GetData("/b")]


def test_modes_and_acls_are_sent_as_asked_for(place: Place) -> None:
    client = place.client
    sent = operations_of(client)
    client.default_acl = CREATOR_ALL_ACL
    client.create_async("/c", container=True)
    client.create_async("/t", ttl=1.5, acl=[ACL(1, Id("world", "anyone"))])
    container, lasting = sent
    assert (container.mode, container.acl) == (CONTAINER, (Acl(31, "auth", ""),))
    assert (lasting.mode, lasting.ttl_ms) == (PERSISTENT_WITH_TTL, 1500)
    assert lasting.acl == (Acl(1, "world", "anyone"),)


@pytest.mark.parametrize(
    "modes",
    [
        {"container": True, "ephemeral": True},
        {"container": True, "sequence": True},
        {"container": True, "ttl": 1.0},
        {"ttl": 1.0, "ephemeral": True},
        {"ttl": 0.0},
    ],
)
def test_modes_that_exclude_each_other_are_refused(
    client: CoordinationClient, modes: dict[str, bool]
) -> None:
    with pytest.raises(BadArgumentsError):
        client.create("/a", **modes)  # type: ignore[arg-type]


def test_an_acl_that_is_no_list_is_refused(client: CoordinationClient) -> None:
    with pytest.raises(TypeError, match="list"):
        client.create("/a", acl=ACL(31, Id("world", "anyone")))


def test_digest_acls_are_zookeepers() -> None:
    entry = make_digest_acl("super", "super", read=True, admin=True)
    assert entry == ACL(17, Id("digest", "super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss="))
    assert entry.acl_list == ["READ", "ADMIN"]
    assert parse_acl("digest-password:super:super:ra") == entry
    assert parse_acl("ip:10.0.0.0/8:cdrwa").acl_list == ["ALL"]
    for wrong in ("world", "world:anyone:x", "world:anyone:", ":a:r"):
        with pytest.raises(ValueError, match=r"ACL|permissions"):
            parse_acl(wrong)


# Identity


def test_identities_are_proved_again_on_every_connection(place: Place) -> None:
    heard = Heard()
    client = place.client
    client.start()
    client.add_listener(heard)
    assert client.add_auth("digest", "me:secret") is True
    with pytest.raises(AuthFailedError):
        client.add_auth("digest", b"bad")
    place.loop.cut(answering=True)
    assert [heard.next(), heard.next()] == [
        CoordinationState.SUSPENDED,
        CoordinationState.CONNECTED,
    ]
    assert place.loop.coordinator.proofs == [AddAuth("digest", b"me:secret")]
    place.loop.expire(client)
    assert [heard.next() for _ in range(3)][-1] == CoordinationState.CONNECTED
    assert place.loop.coordinator.opened[-1].auth == (AddAuth("digest", b"me:secret"),)


def test_auth_data_is_proved_by_the_opening() -> None:
    place = Place(auth_data=[("digest", "me:secret")])
    with place.client:
        assert place.loop.coordinator.proofs == [AddAuth("digest", b"me:secret")]


# Lasting watches


def test_lasting_watches_hear_of_every_change_until_they_are_removed(
    client: CoordinationClient,
) -> None:
    one, deep = Heard(), Heard()
    client.add_watch("/a", one)
    client.add_watch("/a", deep, recursive=True)
    client.create("/a")
    client.create("/a/b")
    client.set("/a/b", b"1")
    client.delete("/a/b")
    assert [one.next().type for _ in range(3)] == [
        EventType.CREATED,
        EventType.CHILD,
        EventType.CHILD,
    ]
    heard = [deep.next() for _ in range(4)]
    assert [(event.type, event.path) for event in heard] == [
        (EventType.CREATED, "/a"),
        (EventType.CREATED, "/a/b"),
        (EventType.CHANGED, "/a/b"),
        (EventType.DELETED, "/a/b"),
    ]
    assert client.remove_watches("/a", "recursive") is True
    assert deep.next().type == EventType.REMOVED
    client.set("/a", b"")
    assert one.next().type == EventType.CHANGED
    assert client.remove_all_watches("/a", 3) is True
    assert one.next().type == EventType.REMOVED
    with pytest.raises(NoWatcherError):
        client.remove_watches("/a")
    with pytest.raises(ValueError, match="recursive"):
        client.remove_watches("/a", "deep")
    assert deep.told.empty()


def test_lasting_watches_move_with_the_session_and_end_with_it(place: Place) -> None:
    heard = Heard()
    client = place.client
    client.start()
    client.add_watch("/a", heard, recursive=True)
    place.loop.cut(answering=True)
    client.sync()
    [moved] = place.loop.coordinator.opened[-1].watches
    assert (moved.path, moved.kind) == ("/a", "recursive")
    client.create("/a")
    assert heard.next().type == EventType.CREATED
    place.loop.expire(client)
    ended = heard.next()
    assert (ended.type, ended.state, ended.path) == (EventType.NONE, "EXPIRED_SESSION", None)


# Read-only


def test_a_session_without_a_quorum_only_reads_and_becomes_whole_later() -> None:
    client, loops = rooted("c:1")
    client._read_only = True
    make_loop = client._make_loop
    assert make_loop is not None

    def without_quorum(program: Program) -> LoopLike:
        loop = make_loop(program)
        loops[0].coordinator.read_only = True
        return loop

    client._make_loop = without_quorum
    early = client.create_async("/early")
    client.start()
    assert (client.state, client.client_state) == ("CONNECTED", KeeperState.CONNECTED_RO)
    with pytest.raises(NotReadOnlyCallError):
        early.get(timeout=WAIT_S)
    with pytest.raises(NotReadOnlyCallError):
        client.create("/a")
    assert client.get_children("/") == ["zookeeper"]
    loops[0].on_server(lambda coordinator: setattr(coordinator, "read_only", False))
    loops[0].cut(answering=True)
    client.sync()
    assert client.create("/a") == "/a"
    assert client.client_state == KeeperState.CONNECTED
    client.stop()
    assert client.client_state == KeeperState.CLOSED


# Listeners


def test_listeners_hear_of_the_end_as_in_kazoo(place: Place) -> None:
    first, second = Heard(), Heard()
    client = place.client
    client.add_listener(first)
    client.add_listener(second)
    client.add_listener(first)
    client.start()
    client.stop()
    for heard in (first, second):
        assert [heard.next(), heard.next()] == [CoordinationState.CONNECTED, CoordinationState.LOST]
        assert heard.told.empty()
    assert (client.state, client.client_state) == (CoordinationState.LOST, KeeperState.CLOSED)
    client.restart()
    assert first.next() == CoordinationState.CONNECTED


def test_a_listener_that_blocks_holds_up_no_answer(client: CoordinationClient) -> None:
    free, blocked = threading.Event(), threading.Event()

    def block(_event: object) -> None:
        blocked.set()
        free.wait(WAIT_S)

    client.create("/a")
    client.get("/a", watch=block)
    client.set("/a", b"1")
    assert blocked.wait(WAIT_S)
    assert client.get("/a")[0] == b"1"
    free.set()


# Reads at once


def test_reads_at_once_have_an_outcome_each() -> None:
    reads = MultiRead(lambda _reads: None, Chroot("/app"), AsyncResult.get)  # type: ignore[arg-type, return-value]
    reads.get("/a")
    reads.exists("/no")
    reads.get_children("/")
    reads.get("/no")
    assert [one.path for one in reads.multi().operations] == [
        "/app/a",
        "/app/no",
        "/app",
        "/app/no",
    ]
    stat = Stat(Zxid(1), Zxid(1), 0, 0, 0, 0, 0, SessionId(0), 1, 0, Zxid(1))
    gone = Result(ErrorCode.NO_NODE)
    answers = (Result(0, data=b"1", stat=stat), gone, Result(0, children=("a",)), gone)
    data, absent, names, error = reads.outcomes_of(Result(0, results=answers))
    assert (data[0], absent, names) == (b"1", None, ["a"])
    assert isinstance(error, NoNodeError)
    assert "/no" in str(error)
