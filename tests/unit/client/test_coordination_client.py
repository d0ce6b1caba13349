"""The blocking and the asyncio coordination client, against one coordinator in this process."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.watch import Watches
from odradek import aio
from odradek.coordination import CoordinationClient, CoordinationState, EventType, WatchedEvent
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
from transport.driver.calls import response
from transport.driver.ports import LinkId, Program
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName, SessionId
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    NodeEndpoints,
)
from transport.wire.messages.coordination import (
    OpenedSession,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    PingSessionResponse,
    ProposedWrite,
    Result,
)

WAIT_S = 10.0
NODE = NodeEndpoints(NodeId(1), NodeName("coordinator-1"), ("coordinator",), "", "tcp://c:1", "")


class Coordinator:
    """The real state machine behind a wire that is a function call; lives on one loop's thread."""

    def __init__(self, loop: InProcessLoop) -> None:
        self.loop = loop
        self.core = ZnodeCore()
        self.watches = Watches()
        self.sessions = 100
        self.answers: dict[type, Callable[[Any], Message]] = {
            DescribeNodeRequest: self.describe,
            OpenSessionRequest: self.open,
            PingSessionRequest: lambda _request: PingSessionResponse(0, self.core.zxid),
            OperateRequest: self.operate,
        }

    def describe(self, _request: DescribeNodeRequest) -> Message:
        return DescribeNodeResponse(
            0, ClusterId("x"), "zookeeper", NODE.name, Incarnation(1), (NODE,)
        )

    def open(self, request: OpenSessionRequest) -> Message:
        if request.session_id:
            known = self.core.sessions.get(request.session_id)
            error = ErrorCode.NONE if known is not None else ErrorCode.SESSION_EXPIRED
            return OpenSessionResponse(error, request.session_id, b"p", 60_000, self.core.zxid)
        self.sessions += 1
        opened = OpenedSession(request.timeout_ms, b"p", None, request.nonce)
        self.core.apply(ProposedWrite(SessionId(self.sessions), 1, open=opened))
        return OpenSessionResponse(0, SessionId(self.sessions), b"p", 60_000, self.core.zxid)

    def operate(self, request: OperateRequest) -> Message:
        results: list[Result] = []
        for item in request.operations:
            operation: Any = item.operation
            if item.request_id == 0:
                results.append(self.core.read(operation))
                if getattr(operation, "watch", False):
                    self.watch(request.session_id, operation, results[-1])
                continue
            applied = self.core.apply(
                ProposedWrite(request.session_id, 1, request.lowest_unanswered, (item,))
            )
            results.extend(result for _, result in applied.results)
            for change in applied.changes:
                for event in self.watches.fire(change):
                    self.loop.deliver(Envelope(Kind.ONE_WAY, event))
        return OperateResponse(0, tuple(results), self.core.zxid)

    def watch(self, session_id: SessionId, operation: object, result: Result) -> None:
        kind = {"GetData": "data", "Exists": "exists", "GetChildren": "children"}[
            type(operation).__name__
        ]
        if not result.error or kind == "exists":
            self.watches.add(session_id, kind, operation.path)  # type: ignore[attr-defined]


class InProcessLoop:
    """A loop without sockets: everything that is sent to a live coordinator is answered at once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.coordinator = Coordinator(self)
        self.random = Random(1)
        self.inputs: queue.SimpleQueue[Callable[[Now], None]] = queue.SimpleQueue()
        self.link = 0
        self.answering = True
        self.status: int | None = None

    # Ports

    @property
    def wire(self) -> InProcessLoop:
        return self

    def exit(self, status: int) -> None:
        self.status = status

    def connect(self, _endpoint: str) -> LinkId:
        self.link += 1
        return LinkId(self.link)

    def disconnect(self, link: LinkId) -> None:
        pass

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        if not self.answering or link != self.link:
            return False
        answer = self.coordinator.answers[type(envelope.body)](envelope.body)
        self.deliver(response(envelope, answer))
        return True

    def deliver(self, envelope: Envelope) -> None:
        link = LinkId(self.link)
        self.inputs.put(lambda now: self.program.on_message(link, envelope, now))

    # LoopLike

    def post(self, fn: Callable[[Now], None]) -> None:
        self.inputs.put(fn)

    def run(self) -> int:
        self.program.start(self, self.now())  # type: ignore[arg-type]
        while True:
            self.program.end_turn(self.now())
            if self.status is not None:
                return self.status
            due_ms = self.program.next_deadline_ms()
            wait_s = 1.0 if due_ms is None else max(0.0, (due_ms - self.now().mono_ms) / 1000)
            try:
                self.inputs.get(timeout=wait_s)(self.now())
            except queue.Empty:
                continue

    @staticmethod
    def now() -> Now:
        return Now(time.monotonic_ns() // 1_000_000, 1)

    # Faults, from the test's thread

    def cut(self, *, answering: bool) -> None:
        """End the present connection; later ones are answered or not."""

        def cut(now: Now) -> None:
            self.answering = answering
            self.program.on_link(LinkId(self.link), False, now)

        self.post(cut)

    def expire(self, client: CoordinationClient) -> None:
        """End the client's session on the server, and make the client notice."""
        assert client.client_id is not None
        session_id = SessionId(client.client_id[0])

        def expire(now: Now) -> None:
            self.coordinator.core.apply(ProposedWrite(SessionId(0), 1, expire=(session_id,)))
            self.program.on_link(LinkId(self.link), False, now)

        self.post(expire)


class Place:
    """A client and the loop it runs on."""

    def __init__(self, **options: Any) -> None:
        self.loops: list[InProcessLoop] = []
        self.client = CoordinationClient("c:1", make_loop=self.make_loop, **options)

    def make_loop(self, program: Program) -> InProcessLoop:
        self.loops.append(InProcessLoop(program))
        return self.loops[-1]

    @property
    def loop(self) -> InProcessLoop:
        return self.loops[-1]


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.client.stop()


@pytest.fixture
def client(place: Place) -> CoordinationClient:
    place.client.start()
    return place.client


class Heard:
    """Collects what callbacks are told."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []

    def __call__(self, told: Any) -> None:
        self.threads.append(threading.current_thread())
        self.told.put(told)

    def next(self) -> Any:
        return self.told.get(timeout=WAIT_S)


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


@pytest.mark.parametrize("path", ["", "a", "/a/", "//", "/a//b", "/a/../b", "/.", "/a\x00", "/\n"])
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
    monkeypatch.setattr("odradek.session.CLOSE_MAX_MS", 20)
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
        place.loop.cut(answering=True)


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
    monkeypatch.setattr("odradek.engine._real_loop", InProcessLoop)

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
            assert (names, path) == (["a", "c"], "/")
            assert await client.delete("/a", recursive=True) is True
            assert await client.exists("/a") is None
            with pytest.raises(NoNodeError):
                await client.get("/a")

    asyncio.run(use())
