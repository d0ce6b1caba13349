"""Stand-ins for a broker's surroundings: a znode tree with sessions, and parts of other authors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from nodes.broker.api.log_dirs import LogSizes
from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext, Request
from nodes.broker.replicas import OnMoved
from odradek.coordination.lane import OnResults
from odradek.coordination.session import SessionState
from odradek.coordination.watches import OnEvent
from tests.simulation.process import SimulatedProcess
from tests.simulation.world import World
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey, SessionId, TopicId, Zxid
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.coordination import (
    ANY_VERSION,
    EPHEMERAL,
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Check,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Operation,
    Owner,
    Result,
    SetData,
    Stat,
    WatchEvent,
)
from transport.wire.messages.fetch import FetchRequest

DELAY_US = 700


@dataclass
class Znode:
    data: bytes
    czxid: int
    owner: int
    version: int = 0


class Broken(Exception):
    def __init__(self, error: ErrorCode) -> None:
        super().__init__(error.name)
        self.error = error


class Tree:
    """One znode tree for all: every operation at once, every watch once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.znodes: dict[str, Znode] = {}
        self.zxid = 0
        self.sessions: dict[int, TreeSession] = {}
        self.watches: list[tuple[str, str, TreeSession, OnEvent]] = []
        self.multis: list[tuple[int, Multi, bool]] = []
        """(session, what, done)"""

    def open(self, session: TreeSession) -> None:
        for other in list(self.sessions.values()):
            ours, theirs = session.owner, other.owner
            if (
                ours
                and theirs
                and ours.name == theirs.name
                and ours.incarnation > theirs.incarnation
            ):
                self.expire(other)
        session.session_id = SessionId(len(self.sessions) + 1)
        self.sessions[session.session_id] = session

    def expire(self, session: TreeSession) -> None:
        if session.ended:
            return
        session.ended = True
        self.watches = [watch for watch in self.watches if watch[2] is not session]
        self.zxid += 1
        for path in [p for p, z in self.znodes.items() if z.owner == session.session_id]:
            self._remove(path)
        session.lose()

    def perform(self, session: TreeSession, operation: Operation) -> Result:
        if isinstance(operation, Multi):
            before = {path: replace_znode(znode) for path, znode in self.znodes.items()}
            waiting, self.watches = self.watches, []
            fired: list[tuple[int, str]] = []
            self.zxid += 1
            try:
                steps = tuple(self._write(session, step, fired) for step in operation.operations)
            except Broken as broken:
                self.znodes = before
                self.watches = waiting
                self.multis.append((session.session_id, operation, False))
                return Result(broken.error, results=(Result(broken.error),))
            self.watches = waiting
            self.multis.append((session.session_id, operation, True))
            self._fire(fired)
            return Result(ErrorCode.NONE, Zxid(self.zxid), results=steps)
        if isinstance(operation, Create | Delete | SetData | Check):
            fired = []
            self.zxid += 1
            try:
                result = self._write(session, operation, fired)
            except Broken as broken:
                return Result(broken.error)
            self._fire(fired)
            return result
        return self._read(operation)

    def _write(self, session: TreeSession, step: Operation, fired: list[tuple[int, str]]) -> Result:
        assert isinstance(step, Create | Delete | SetData | Check)
        znode = self.znodes.get(step.path)
        if isinstance(step, Create):
            parent = step.path.rpartition("/")[0]
            if znode is not None:
                raise Broken(ErrorCode.NODE_EXISTS)
            if parent and parent not in self.znodes:
                raise Broken(ErrorCode.NO_NODE)
            owner = session.session_id if step.mode == EPHEMERAL else 0
            self.znodes[step.path] = Znode(step.data, self.zxid, owner)
            fired += [(NODE_CREATED, step.path), (NODE_CHILDREN_CHANGED, parent)]
            return Result(ErrorCode.NONE, Zxid(self.zxid), step.path)
        if znode is None:
            raise Broken(ErrorCode.NO_NODE)
        if step.version not in (ANY_VERSION, znode.version):
            raise Broken(ErrorCode.BAD_VERSION)
        if isinstance(step, SetData):
            znode.data = step.data
            znode.version += 1
            fired.append((NODE_DATA_CHANGED, step.path))
        elif isinstance(step, Delete):
            if self.children(step.path):
                raise Broken(ErrorCode.NOT_EMPTY)
            del self.znodes[step.path]
            fired += removal(step.path)
        return Result(ErrorCode.NONE, Zxid(self.zxid))

    def _read(self, operation: Operation) -> Result:
        assert isinstance(operation, GetData | Exists | GetChildren)
        znode = self.znodes.get(operation.path)
        if znode is None:
            return Result(ErrorCode.NO_NODE, Zxid(self.zxid))
        stat = Stat(
            Zxid(znode.czxid),
            Zxid(0),
            0,
            0,
            znode.version,
            0,
            0,
            SessionId(znode.owner),
            0,
            0,
            Zxid(0),
        )
        found = Result(ErrorCode.NONE, Zxid(self.zxid), stat=stat)
        if isinstance(operation, GetData):
            return replace(found, data=znode.data)
        if isinstance(operation, GetChildren):
            return replace(found, children=tuple(self.children(operation.path)))
        return found

    def children(self, path: str) -> list[str]:
        start = path + "/"
        return sorted(
            p.removeprefix(start)
            for p in self.znodes
            if p.startswith(start) and "/" not in p.removeprefix(start)
        )

    def _remove(self, path: str) -> None:
        del self.znodes[path]
        self._fire(removal(path))

    def _fire(self, fired: list[tuple[int, str]]) -> None:
        ended = {
            NODE_CREATED: ("exists",),
            NODE_DATA_CHANGED: ("data", "exists"),
            NODE_DELETED: ("data", "exists", "children"),
            NODE_CHILDREN_CHANGED: ("children",),
        }
        for kind, path in fired:
            for watch in [w for w in self.watches if w[0] == path and w[1] in ended[kind]]:
                self.watches.remove(watch)
                _, _, session, callback = watch
                event = WatchEvent(session.session_id, kind, path, Zxid(self.zxid))
                session.tell(lambda now, c=callback, e=event: c(e, now))  # type: ignore[misc]


def replace_znode(znode: Znode) -> Znode:
    return Znode(znode.data, znode.czxid, znode.owner, znode.version)


def removal(path: str) -> list[tuple[int, str]]:
    return [(NODE_DELETED, path), (NODE_CHILDREN_CHANGED, path.rpartition("/")[0])]


class TreeSession:
    """Stands in for :class:`odradek.coordination.session.CoordinationSession`."""

    def __init__(
        self,
        tree: Tree,
        *,
        timeout_ms: int,
        owner: Owner | None,
        on_state: Callable[[SessionState, Now], None],
    ) -> None:
        self.tree = tree
        self.owner = owner
        self.timeout_ms = timeout_ms
        self.session_id = SessionId(0)
        self.members: tuple[NodeEndpoints, ...] = ()
        self.ended = False
        self.process: Any = None
        self._on_state = on_state
        self._watch_callbacks: dict[tuple[str, str], list[OnEvent]] = {}
        self._waiting: list[OnResults] = []

    def start(self, ports: Ports, calls: Calls, endpoints: Sequence[str], now: Now) -> None:
        assert isinstance(ports, SimulatedProcess)
        self.process = ports
        assert endpoints
        self.tree.world.after(DELAY_US, self._open)

    def _open(self) -> None:
        if self.process.alive:
            self.tree.open(self)
            self.tell(lambda now: self._on_state(SessionState.CONNECTED, now))

    def tell(self, action: Callable[[Now], object]) -> None:
        self.tree.world.after(DELAY_US, lambda: self.process.do(action))

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        if self.ended:
            on_results(Refusal(ErrorCode.SESSION_EXPIRED), now)
            return
        self._waiting.append(on_results)
        self.tree.world.after(DELAY_US, lambda: self._perform(list(operations), on_results))

    def _perform(self, operations: list[Operation], on_results: OnResults) -> None:
        if self.ended:
            return
        results = []
        for operation in operations:
            result = self.tree.perform(self, operation)
            results.append(result)
            if isinstance(operation, GetData | Exists | GetChildren) and operation.watch:
                self._arm(operation, result)
        self.tell(lambda now: self._answer(on_results, results, now))

    def _arm(self, operation: GetData | Exists | GetChildren, result: Result) -> None:
        kinds: dict[type, str] = {GetData: "data", Exists: "exists", GetChildren: "children"}
        kind = kinds[type(operation)]
        callbacks = self._watch_callbacks.pop((operation.path, kind), [])
        if result.error == ErrorCode.NONE or kind == "exists":
            self.tree.watches += [(operation.path, kind, self, c) for c in callbacks]

    def _answer(self, on_results: OnResults, results: Sequence[Result], now: Now) -> None:
        if on_results in self._waiting:
            self._waiting.remove(on_results)
            on_results(results, now)

    def lose(self) -> None:
        def happen(now: Now) -> None:
            waiting, self._waiting = self._waiting, []
            for on_results in waiting:
                on_results(Refusal(ErrorCode.SESSION_EXPIRED), now)
            self._on_state(SessionState.LOST, now)

        self.tell(happen)

    def watch(self, path: str, kind: str, callback: OnEvent) -> None:
        self._watch_callbacks.setdefault((path, kind), []).append(callback)

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        return False

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        return False

    def end_turn(self, now: Now) -> None: ...

    def next_deadline_ms(self) -> int | None:
        return None

    def close(self, now: Now) -> None:
        def happen() -> None:
            if not self.ended:
                self.ended = True
                for path in [p for p, z in self.tree.znodes.items() if z.owner == self.session_id]:
                    self.tree._remove(path)
                self.tell(lambda now: self._on_state(SessionState.CLOSED, now))

        self.tree.world.after(DELAY_US, happen)


@dataclass
class StandInReplicas:
    """Notes what it is told."""

    context: BrokerContext
    peers: Peers
    channel: ControllerChannel
    applied: list[tuple[list[PartitionKey], list[TopicId]]] = field(default_factory=list)
    fetched: list[Request] = field(default_factory=list)
    stopped: bool = False
    handlers: dict[type[Message], Callable[[Request, Now], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.handlers[FetchRequest] = lambda request, _now: self.fetched.append(request)

    def apply(self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now) -> None:
        self.applied.append((list(changed), list(removed)))

    def watch(self, topic: str, on_moved: OnMoved) -> None: ...

    def lookup(self, key: PartitionKey) -> ErrorCode:
        return ErrorCode.NOT_LEADER_OR_FOLLOWER

    def verify_with(self, verify: object) -> None: ...

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        return False

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        return False

    def end_turn(self, now: Now) -> None: ...

    def next_deadline_ms(self) -> int | None:
        return None

    def on_gap(self, gap_ms: int, now: Now) -> None: ...

    def stop(self, now: Now) -> None:
        self.stopped = True

    def check(self) -> None: ...

    has_moved = False

    def leader_count(self) -> int:
        parts = self.context.image.partitions.values()
        return sum(record.leader == self.context.id for p in parts for record in p.values())

    def log_sizes(self) -> LogSizes:
        return {}

    def replica_count(self) -> int:
        parts = self.context.image.partitions.values()
        return sum(self.context.id in record.replicas for p in parts for record in p.values())
