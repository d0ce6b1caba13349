"""Real clients on one ensemble in memory: the znode state machine behind wires that are calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.watch import PERSISTENT, RECURSIVE, Watches
from odradek.coordination.client import CoordinationClient
from tests.unit.client_loop import ClientLoop
from transport.driver.ports import Program
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
    AddWatch,
    OpenedSession,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    PingSessionResponse,
    ProposedWrite,
    RemoveWatches,
    Result,
)

NODE = NodeEndpoints(NodeId(1), NodeName("coordinator-1"), ("coordinator",), "", "tcp://c:1", "")
KINDS = {"GetData": "data", "Exists": "exists", "GetChildren": "children"}


class Ensemble:
    """One tree, its sessions and watches, and the loops of the clients that use it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.core = ZnodeCore()
        self.watches = Watches()
        self.loops: dict[SessionId, InMemoryLoop] = {}
        self.sessions = 100
        self.made = 0
        self.clients: list[CoordinationClient] = []
        self.by_client: dict[int, list[InMemoryLoop]] = {}
        self.requests: list[str] = []
        """Every operation that was asked for, as ``Name path``."""

    def client(self, hosts: str = "c:1", **options: Any) -> CoordinationClient:
        """Return a started client."""
        loops: list[InMemoryLoop] = []

        def make_loop(program: Program) -> InMemoryLoop:
            loops.append(InMemoryLoop(self, program))
            return loops[-1]

        client = CoordinationClient(hosts, make_loop=make_loop, **options)
        self.clients.append(client)
        self.by_client[id(client)] = loops
        client.start()
        return client

    def close(self) -> None:
        for client in self.clients:
            for loop in self.by_client[id(client)]:
                loop.answering = True
            client.stop()

    # Faults

    def suspend(self, client: CoordinationClient) -> None:
        """Cut the client off from all coordinators."""
        self.by_client[id(client)][-1].cut(answering=False)

    def resume(self, client: CoordinationClient) -> None:
        """Let it connect again."""
        self.by_client[id(client)][-1].answering = True

    def expire(self, client: CoordinationClient, *, silently: bool = False) -> None:
        """End its session on the servers, and let it notice unless ``silently``."""
        assert client.client_id is not None
        self.apply(ProposedWrite(SessionId(0), 1, expire=(SessionId(client.client_id[0]),)))
        if not silently:
            self.by_client[id(client)][-1].cut(answering=True)

    # Requests

    def apply(self, write: ProposedWrite) -> list[Result]:
        with self.lock:
            applied = self.core.apply(write)
            for change in applied.changes:
                for event in self.watches.fire(change):
                    loop = self.loops.get(event.session_id)
                    if loop is not None:
                        loop.deliver(Envelope(Kind.ONE_WAY, event))
            self.core.check()
            return [result for _, result in applied.results]

    def answer(self, loop: InMemoryLoop, request: Any) -> Message:
        with self.lock:
            if isinstance(request, DescribeNodeRequest):
                return DescribeNodeResponse(
                    0, ClusterId("x"), "zookeeper", NODE.name, Incarnation(1), (NODE,)
                )
            if isinstance(request, PingSessionRequest):
                return PingSessionResponse(0, self.core.zxid)
            if isinstance(request, OpenSessionRequest):
                return self.open(loop, request)
            assert isinstance(request, OperateRequest)
            return self.operate(request)

    def open(self, loop: InMemoryLoop, request: OpenSessionRequest) -> Message:
        if request.session_id:
            known = self.core.sessions.get(request.session_id)
            error = ErrorCode.NONE if known is not None else ErrorCode.SESSION_EXPIRED
            return OpenSessionResponse(error, request.session_id, b"p", 60_000, self.core.zxid)
        self.sessions += 1
        opened = OpenedSession(request.timeout_ms, b"p", None, request.nonce)
        session_id = SessionId(self.sessions)
        self.apply(ProposedWrite(session_id, 1, open=opened))
        self.loops[session_id] = loop
        return OpenSessionResponse(0, session_id, b"p", 60_000, self.core.zxid)

    def operate(self, request: OperateRequest) -> Message:
        results: list[Result] = []
        for item in request.operations:
            operation: Any = item.operation
            name = type(operation).__name__
            self.requests.append(f"{name} {getattr(operation, 'path', '')}")
            if item.request_id:
                write = ProposedWrite(request.session_id, 1, request.lowest_unanswered, (item,))
                results.extend(self.apply(write))
                continue
            if isinstance(operation, AddWatch):
                kind = RECURSIVE if operation.recursive else PERSISTENT
                self.watches.add(request.session_id, kind, operation.path)
                results.append(Result(0, self.core.zxid))
                continue
            if isinstance(operation, RemoveWatches):
                self.watches.remove(request.session_id, operation.kind, operation.path)
                results.append(Result(0, self.core.zxid))
                continue
            results.append(self.core.read(operation))
            if getattr(operation, "watch", False) and (not results[-1].error or name == "Exists"):
                self.watches.add(request.session_id, KINDS[name], operation.path)
        return OperateResponse(0, tuple(results), self.core.zxid)


class InMemoryLoop(ClientLoop):
    """A client's loop whose wire is a call of the ensemble."""

    def __init__(self, ensemble: Ensemble, program: Program) -> None:
        ensemble.made += 1
        super().__init__(program, seed=ensemble.made)  # a nonce of its own
        self.ensemble = ensemble

    def answer(self, request: Message) -> Message:
        return self.ensemble.answer(self, request)


@pytest.fixture
def ensemble() -> Iterator[Any]:
    made = Ensemble()
    yield made
    made.close()


@pytest.fixture
def one(ensemble: Any) -> CoordinationClient:
    client: CoordinationClient = ensemble.client(client_name="one")
    return client


@pytest.fixture
def two(ensemble: Any) -> CoordinationClient:
    client: CoordinationClient = ensemble.client(client_name="two")
    return client
