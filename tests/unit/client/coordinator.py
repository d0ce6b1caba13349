"""One coordinator in this process, behind a wire that is a function call, for the real clients."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.watch import TreeChange, Watches
from odradek.coordination.client import CoordinationClient
from tests.unit.client_loop import ClientLoop
from transport.driver.ports import LinkId, Program
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName, SessionId, Zxid
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    NodeEndpoints,
)
from transport.wire.messages.coordination import (
    AddAuth,
    AddWatch,
    Change,
    GetChanges,
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

WAIT_S = 10.0
SCHEMES = ("digest", "ip")
NODE = NodeEndpoints(NodeId(1), NodeName("coordinator-1"), ("coordinator",), "", "tcp://c:1", "")


class Coordinator:
    """The real state machine behind a wire that is a function call; lives on one loop's thread."""

    def __init__(self, loop: InProcessLoop) -> None:
        self.loop = loop
        self.core = ZnodeCore()
        self.watches = Watches()
        self.sessions = 100
        self.changes: list[Change] = []
        self.forgotten_zxid = 0
        """Changes up to here are no longer known."""
        self.read_only = False
        """Without a quorum: refuses who wants more than to read."""
        self.opened: list[OpenSessionRequest] = []
        self.proofs: list[AddAuth] = []
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
        self.opened.append(request)
        self.proofs = list(request.auth)
        if any(proof.scheme not in SCHEMES for proof in request.auth):
            return OpenSessionResponse(ErrorCode.AUTH_FAILED)
        if self.read_only:
            if not request.read_only:
                return OpenSessionResponse(ErrorCode.NO_QUORUM)
            zxid = self.core.zxid
            return OpenSessionResponse(0, SessionId(1), b"", 60_000, zxid, read_only=True)
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
                results.append(self.read(request.session_id, operation))
                continue
            applied = self.core.apply(
                ProposedWrite(request.session_id, 1, request.lowest_unanswered, (item,))
            )
            results.extend(result for _, result in applied.results)
            for change in applied.changes:
                self.happened(change)
        return OperateResponse(0, tuple(results), self.core.zxid)

    def happened(self, change: TreeChange) -> None:
        znode = self.core.tree.get(change.path)
        data = None if znode is None else znode.data
        version = -1 if znode is None else znode.version
        self.changes.append(Change(change.zxid, change.type, change.path, data, version))
        for event in self.watches.fire(change):
            self.loop.deliver(Envelope(Kind.ONE_WAY, event))

    def read(self, session_id: SessionId, operation: Any) -> Result:
        zxid = self.core.zxid
        if isinstance(operation, AddAuth):
            if operation.credential == b"bad":
                return Result(ErrorCode.AUTH_FAILED, zxid)
            self.proofs.append(operation)
            return Result(0, zxid)
        if isinstance(operation, AddWatch):
            kind = "recursive" if operation.recursive else "persistent"
            self.watches.add(session_id, kind, operation.path)
            return Result(0, zxid)
        if isinstance(operation, RemoveWatches):
            found = self.watches.remove(session_id, operation.kind, operation.path)
            return Result(0 if found else ErrorCode.NO_WATCHER, zxid)
        if isinstance(operation, GetChanges):
            return self.changes_since(operation)
        result = self.core.read(operation)
        if getattr(operation, "watch", False):
            self.watch(session_id, operation, result)
        return result

    def changes_since(self, wanted: GetChanges) -> Result:
        if wanted.since < self.forgotten_zxid:
            return Result(ErrorCode.HISTORY_COMPACTED, Zxid(self.forgotten_zxid))
        below = wanted.prefix.rstrip("/") + "/"
        found = tuple(
            change
            for change in self.changes
            if change.zxid > wanted.since and f"{change.path}/".startswith(below)
        )
        return Result(0, self.core.zxid, changes=found)

    def watch(self, session_id: SessionId, operation: object, result: Result) -> None:
        kind = {"GetData": "data", "Exists": "exists", "GetChildren": "children"}[
            type(operation).__name__
        ]
        if not result.error or kind == "exists":
            self.watches.add(session_id, kind, operation.path)  # type: ignore[attr-defined]


class InProcessLoop(ClientLoop):
    """One coordinator for itself."""

    def __init__(self, program: Program) -> None:
        super().__init__(program, seed=1)
        self.coordinator = Coordinator(self)

    def answer(self, request: Message) -> Message:
        return self.coordinator.answers[type(request)](request)

    # Faults, from the test's thread

    def on_server(self, change: Callable[[Coordinator], object]) -> None:
        """Change the coordinator, on its own thread."""
        done = threading.Event()

        def run(_now: Now) -> None:
            change(self.coordinator)
            done.set()

        self.post(run)
        assert done.wait(WAIT_S)

    def expire(self, client: CoordinationClient) -> None:
        """End the client's session on the server, and make the client notice."""
        assert client.client_id is not None
        session_id = SessionId(client.client_id[0])

        def expire(now: Now) -> None:
            ended = self.coordinator.core.apply(
                ProposedWrite(SessionId(0), 1, expire=(session_id,))
            )
            self.coordinator.watches.forget(session_id)
            for change in ended.changes:
                self.coordinator.happened(change)
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
