"""The blocking and the asyncio coordination client, against one coordinator in this process."""

from __future__ import annotations

import asyncio

import pytest

from odradek import aio
from odradek.coordination.client import (
    CoordinationClient,
    CoordinationState,
    EventType,
    WatchedEvent,
)
from odradek.errors import (
    BadArgumentsError,
    BadVersionError,
    ClientClosedError,
    ClientTimeoutError,
    ConnectionLoss,
    NoClusterError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from tests.unit.client.coordinator import WAIT_S, Heard, InProcessLoop, Place
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.codec import Envelope


def test_create_get_set_delete(client: CoordinationClient) -> None:
    assert client.create("/a", b"one") == "/a"
    data, stat = client.get("/a")
    assert (data, stat.version, stat.dataLength, stat.data_length) == (b"one", 0, 3, 3)
    assert client.set("/a", b"two", version=0).version == 1
    assert client.get("/a")[0] == b"two"
    assert client.delete("/a", version=1) is True
    assert client.exists("/a") is None


def test_errors_are_classes_and_name_the_path(client: CoordinationClient) -> None:
    client.create("/a")
    with pytest.raises(NodeExistsError, match="/a"):
        client.create("/a")
    with pytest.raises(NoNodeError, match="/no"):
        client.get("/no")
    with pytest.raises(BadVersionError):
        client.set("/a", b"", version=3)
    client.create("/a/b")
    with pytest.raises(NotEmptyError):
        client.delete("/a")


def test_sequential_and_ephemeral_znodes(client: CoordinationClient) -> None:
    client.create("/q")
    assert client.create("/q/n-", sequence=True) == "/q/n-0000000000"
    path, stat = client.create("/q/", ephemeral=True, sequence=True, include_data=True)
    assert path == "/q/0000000001"
    assert client.client_id is not None
    assert stat.ephemeralOwner == client.client_id[0]
    assert client.get_children("/q") == ["0000000001", "n-0000000000"]


def test_makepath_ensure_path_and_recursive_delete(client: CoordinationClient) -> None:
    assert client.create("/a/b/c", b"x", makepath=True) == "/a/b/c"
    assert client.ensure_path("/a/b/d/e") is True
    assert client.ensure_path("/a/b/d/e") is True
    names, stat = client.get_children("/a/b", include_data=True)
    assert (names, stat.numChildren) == (["c", "d"], 2)
    with pytest.raises(NodeExistsError):
        client.create("/a/b/c", makepath=True)
    assert client.delete("/a", recursive=True) is True
    assert client.exists("/a") is None
    with pytest.raises(NoNodeError):
        client.delete("/a", recursive=True)


@pytest.mark.parametrize("path", ["", "/a/", "//", "/a//b", "/a/../b", "/.", "/a\x00", "/\n"])
def test_wrong_paths_are_refused_here(client: CoordinationClient, path: str) -> None:
    with pytest.raises(BadArgumentsError, match=r"path|name"):
        client.get(path)


def test_wrong_types_are_refused_here(client: CoordinationClient) -> None:
    with pytest.raises(TypeError, match="bytes"):
        client.create("/a", "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="string"):
        client.get(b"/a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="function"):
        client.get("/", watch=3)  # type: ignore[arg-type]


def test_asynchronous_calls_are_pipelined_in_order(client: CoordinationClient) -> None:
    results = [client.create_async(f"/{n}") for n in range(300)]
    assert [result.get(timeout=WAIT_S) for result in results] == [f"/{n}" for n in range(300)]
    assert results[0].ready()
    assert results[0].successful()
    failed = client.create_async("/0")
    heard = Heard()
    failed.rawlink(heard)
    assert heard.next() is failed
    assert failed.ready()
    assert not failed.successful()
    with pytest.raises(NodeExistsError):
        failed.get_nowait()


def test_watches_are_called_once_in_order_and_off_the_loop(client: CoordinationClient) -> None:
    heard = Heard()
    client.create("/a")
    client.exists("/b", watch=heard)
    client.get("/a", watch=heard)
    client.get_children("/a", watch=heard)
    client.create("/b")
    client.set("/a", b"1")
    client.set("/a", b"2")
    client.create("/a/c")
    expected = [(EventType.CREATED, "/b"), (EventType.CHANGED, "/a"), (EventType.CHILD, "/a")]
    for type_, path in expected:
        assert heard.next() == WatchedEvent(type_, "CONNECTED", path)
    assert heard.told.empty()
    assert {thread.name for thread in heard.threads} == {"odradek-callbacks"}


def test_a_watch_callback_may_use_the_client(client: CoordinationClient) -> None:
    heard = Heard()
    client.create("/a")
    client.get("/a", watch=lambda _event: heard(client.get("/a")[0]))
    client.set("/a", b"new")
    assert heard.next() == b"new"


def test_a_callback_that_raises_harms_no_other(
    client: CoordinationClient, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    client.exists("/a", watch=lambda _event: 1 / 0)
    client.exists("/b", watch=heard)
    client.create("/a")
    client.create("/b")
    assert heard.next().path == "/b"
    assert "callback" in caplog.text


def test_a_transaction_is_done_whole_or_not_at_all(client: CoordinationClient) -> None:
    with client.transaction() as transaction:
        transaction.create("/a", b"1")
        transaction.set_data("/a", b"2")
        transaction.check("/a", 1)
    path, stat, checked = transaction.outcomes
    assert (path, stat.version, checked) == ("/a", 1, True)
    assert client.get("/a")[0] == b"2"
    failing = client.transaction()
    failing.create("/b")
    failing.check("/a", 7)
    failing.delete("/a")
    kinds = [type(outcome) for outcome in failing.commit()]
    assert kinds == [RolledBackError, BadVersionError, RuntimeInconsistency]
    assert client.exists("/b") is None
    with pytest.raises(ValueError, match="committed"):
        failing.commit()
    assert client.transaction().commit() == []


def test_a_block_that_raises_commits_nothing(client: CoordinationClient) -> None:
    def use() -> None:
        with client.transaction() as transaction:
            transaction.create("/a")
            raise KeyError

    with pytest.raises(KeyError):
        use()
    assert client.exists("/a") is None


def test_listeners_hear_of_a_break_and_operations_wait_for_its_end(place: Place) -> None:
    heard = Heard()
    place.client.add_listener(heard)
    place.client.start()
    assert heard.next() == CoordinationState.CONNECTED
    place.loop.cut(answering=False)
    assert heard.next() == CoordinationState.SUSPENDED
    assert not place.client.connected
    waiting = place.client.create_async("/a")
    assert not waiting.wait(0)
    place.loop.cut(answering=True)
    assert waiting.get(timeout=WAIT_S) == "/a"
    assert heard.next() == CoordinationState.CONNECTED


def test_a_lost_session_is_followed_by_a_new_one_without_its_watches(place: Place) -> None:
    heard, watched = Heard(), Heard()
    client = place.client
    client.start()
    client.add_listener(heard)
    client.create("/e", ephemeral=True)
    client.get("/e", watch=watched)
    before = client.client_id
    place.loop.expire(client)
    states = [heard.next() for _ in range(3)]
    assert states == [
        CoordinationState.SUSPENDED,
        CoordinationState.LOST,
        CoordinationState.CONNECTED,
    ]
    assert watched.next() == WatchedEvent(EventType.NONE, "EXPIRED_SESSION", None)
    assert client.exists("/e") is None
    assert client.client_id != before


def test_a_listener_that_returns_true_is_removed(place: Place) -> None:
    heard = Heard()
    once: list[str] = []

    def listen(state: str) -> bool:
        once.append(state)
        return True

    place.client.add_listener(listen)
    place.client.add_listener(heard)
    place.client.start()
    heard.next()
    place.loop.cut(answering=True)
    assert [heard.next(), heard.next()] == [
        CoordinationState.SUSPENDED,
        CoordinationState.CONNECTED,
    ]
    assert once == [CoordinationState.CONNECTED]


def test_the_first_use_starts_the_client_and_stop_ends_it(place: Place) -> None:
    client = place.client
    assert client.create("/a", ephemeral=True) == "/a"
    core = place.loop.coordinator.core
    client.stop()
    client.stop()
    assert core.tree.get("/a") is None, "the session was closed"
    assert place.loop.status == 0
    assert not client.connected
    with pytest.raises(ClientClosedError, match="start"):
        client.get("/a")
    client.start()
    assert client.exists("/a") is None


def test_stop_fails_what_still_waits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odradek.coordination.session.CLOSE_MAX_MS", 20)
    place.client.start()
    place.loop.cut(answering=False)
    waiting = place.client.create_async("/a")
    place.client.stop()
    with pytest.raises((ConnectionLoss, ClientClosedError)):
        waiting.get(timeout=0)


def test_a_call_gives_up_when_its_time_is_over() -> None:
    place = Place(operation_timeout=0.05)
    with place.client as client:
        place.loop.cut(answering=False)
        with pytest.raises(ClientTimeoutError):
            client.get("/")
        with pytest.raises(ClientTimeoutError), client.transaction() as transaction:
            transaction.create("/a")
        reads = client.multi_read()
        reads.get("/a")
        with pytest.raises(ClientTimeoutError):
            reads.commit()
        place.loop.cut(answering=True)


def test_credentials_that_are_refused_are_why_there_is_no_session() -> None:
    client = CoordinationClient("c:1", auth_data=[("foo", "x")], make_loop=InProcessLoop)
    with pytest.raises(NoClusterError, match="Authentication failed"):
        client.start(1)


def test_no_cluster_is_an_error_that_says_what_was_tried() -> None:
    class Deaf(InProcessLoop):
        def send(self, link: LinkId, envelope: Envelope) -> bool:
            return False

    client = CoordinationClient("nowhere:1", make_loop=Deaf)
    with pytest.raises(NoClusterError, match="tcp://nowhere:1: no connection"):
        client.start(timeout=0.6)
    assert not client.connected


def test_a_loop_that_fails_fails_every_call(place: Place) -> None:
    place.client.start()

    def fail(_now: Now) -> None:
        raise ZeroDivisionError("planted")

    place.loop.cut(answering=False)
    open_result = place.client.create_async("/a")
    place.loop.post(fail)
    with pytest.raises(ClientClosedError, match="planted"):
        open_result.get(timeout=WAIT_S)
    with pytest.raises(ClientClosedError, match="planted"):
        place.client.get("/")


def test_the_asyncio_client_has_the_same_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odradek.cluster.engine._real_loop", InProcessLoop)

    async def use() -> None:
        events: asyncio.Queue[WatchedEvent] = asyncio.Queue()
        async with aio.CoordinationClient("c:1") as client:
            assert client.connected
            assert await client.create("/a/b", b"1", makepath=True) == "/a/b"
            data, stat = await client.get("/a/b", watch=events.put)
            assert (data, stat.version) == (b"1", 0)
            await client.set("/a/b", b"2")
            event = await asyncio.wait_for(events.get(), WAIT_S)
            assert (event.type, event.path) == (EventType.CHANGED, "/a/b")
            async with client.transaction() as transaction:
                transaction.create("/c")
            assert transaction.outcomes == ["/c"]
            names, path = await asyncio.gather(client.get_children("/"), client.sync("/"))
            assert (names, path) == (["a", "c", "zookeeper"], "/")
            assert await client.delete("/a", recursive=True) is True
            assert await client.exists("/a") is None
            with pytest.raises(NoNodeError):
                await client.get("/a")

    asyncio.run(use())


def test_a_client_whose_block_is_interrupted_before_it_begins_is_stopped() -> None:
    class Interrupted(CoordinationClient):
        def start(self, timeout: float = WAIT_S) -> None:
            super().start(timeout)
            raise KeyboardInterrupt

    client = Interrupted("c:1", make_loop=InProcessLoop)
    with pytest.raises(KeyboardInterrupt), client:
        pass
    assert not client.connected
