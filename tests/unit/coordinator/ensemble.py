"""Three coordinators in one process: the real programs on a fake wire, pool, disk and clock.

Messages are encoded and decoded on their way.  Nothing moves unless the test says so: ``settle``
delivers everything there is, ``run`` lets time pass, links can be cut, syncs held back, processes
killed.  After every turn of a program its ``check()`` is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar, cast, get_args

from nodes.config import CoordinatorConfig, NodeConfig, RaftConfig
from nodes.coordinator.server import CoordinatorServer
from tests.simulation.disk import SimulatedDisk
from tests.unit.coordinator.zookeeper_client import FakeStreams
from transport.driver.ports import Door, LinkId, Origin
from transport.kernel import Now
from transport.wire import codec
from transport.wire.codec import Envelope, Kind
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName, RequestId, SessionId, Zxid
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    HealthRequest,
    HealthResponse,
    Heartbeat,
    NodeEndpoints,
)
from transport.wire.messages.coordination import (
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    Operation,
    Owner,
    PingSessionRequest,
    PingSessionResponse,
    ReadOperation,
    Result,
    SessionOperation,
    WatchEvent,
    WatchRegistration,
)

T = TypeVar("T")
CLUSTER = ClusterId("test-cluster")
KEY = "supervisor's secret"
SETTLE_ROUNDS_MAX = 10_000
READS = {kind.__name__ for kind in get_args(ReadOperation)}


def through_the_wire(envelope: Envelope) -> Envelope:
    return codec.decode(codec.encode(envelope))


class Node:
    """One coordinator: its disk, and the process that runs on it at present."""

    def __init__(self, ensemble: Ensemble, config: NodeConfig) -> None:
        self.ensemble = ensemble
        self.config = config
        self.disk = SimulatedDisk()
        self.process: Process | None = None

    @property
    def server(self) -> CoordinatorServer:
        assert self.process is not None, f"{self.config.name} is down"
        return self.process.server


class Process:
    """A running server with its ports."""

    def __init__(self, ensemble: Ensemble, node: Node, seed: int) -> None:
        self.ensemble = ensemble
        self.node = node
        self.random = Random(seed)
        self.server = CoordinatorServer(node.config, node.disk)
        self.inbox: deque[tuple[Origin | LinkId, Envelope]] = deque()
        self.posted: deque[Callable[[Now], None]] = deque()
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any, Now], None]]] = deque()
        self.links: dict[LinkId, str] = {}
        self.streams = FakeStreams()
        self.hold_syncs = False
        self.status: int | None = None

    # Ports

    @property
    def wire(self) -> Process:
        return self

    @property
    def pool(self) -> Process:
        return self

    def exit(self, status: int) -> None:
        self.status = status

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        self.jobs.append((job, cast("Callable[[Any, Now], None]", done)))

    sync = submit

    def connect(self, endpoint: str) -> LinkId:
        link = LinkId(self.ensemble.next_link())
        self.links[link] = endpoint
        return link

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        assert list(topics) == [b"beat"]
        return self.connect(endpoint)

    def disconnect(self, link: LinkId) -> None:
        del self.links[link]

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        target = self.ensemble.node_at(self.links[link])
        here = self.node.config.name
        if target is None or target.process is None:
            return False
        if self.ensemble.is_cut(here, target.config.name):
            return False
        origin = Origin(Door.PEERS, f"{here}/{link}".encode())
        if not self.ensemble.drop(here, target.config.name, envelope):
            target.process.inbox.append((origin, through_the_wire(envelope)))
        return True

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        client = self.ensemble.clients.get(origin.route)
        if client is None or client.process is not self or client.stuck:
            return False
        client.received.append(through_the_wire(envelope))
        return True

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        raise AssertionError("a coordinator publishes nothing")

    # Life

    def turn(self, *, forced: bool = False) -> bool:
        """Run one turn if there is a reason to; tell whether there was."""
        now = self.ensemble.now
        due_ms = self.server.next_deadline_ms()
        due = due_ms is not None and due_ms <= now.mono_ms
        if not (self.inbox or self.posted or due or forced):
            return False
        for _ in range(len(self.inbox)):
            origin, envelope = self.inbox.popleft()
            self.server.on_message(origin, envelope, now)
        for _ in range(len(self.posted)):
            self.posted.popleft()(now)
        self.server.end_turn(now)
        self.server.check()
        return True

    def work(self) -> bool:
        """Let the pool do its jobs; tell whether it had any."""
        if self.hold_syncs or not self.jobs:
            return False
        while self.jobs:
            job, done = self.jobs.popleft()
            outcome: Any
            try:
                outcome = job()
            except Exception as error:  # noqa: BLE001 - as the real pool does
                outcome = error
            self.posted.append(lambda now, done=done, outcome=outcome: done(outcome, now))  # type: ignore[misc]
        return True


class Client:
    """A connection to one coordinator, and what came back over it."""

    def __init__(
        self, ensemble: Ensemble, node: Node, door: Door, route: bytes, address: str = ""
    ) -> None:
        assert node.process is not None
        self.ensemble = ensemble
        self.process = node.process
        self.origin = Origin(door, route, address)
        self.received: list[Envelope] = []
        self.stuck = False
        self._number = 0

    def send(
        self, body: Message, *, kind: Kind = Kind.REQUEST, deadline_ms: int = -1, **fields: Any
    ) -> int:
        self._number += 1
        envelope = Envelope(
            kind, body, correlation_id=self._number, deadline_ms=deadline_ms, **fields
        )
        self.process.inbox.append((self.origin, through_the_wire(envelope)))
        return self._number

    def answer(self, number: int) -> Message | None:
        for envelope in self.received:
            answers = envelope.kind in (Kind.RESPONSE, Kind.REFUSAL)
            if answers and envelope.correlation_id == number:
                return envelope.body
        return None

    def ask(self, body: Message, **fields: Any) -> Any:
        """Send, settle, and return the answer, which must be there."""
        number = self.send(body, **fields)
        self.ensemble.settle()
        answer = self.answer(number)
        assert answer is not None, f"no answer to {body}"
        return answer


class SessionClient(Client):
    """A connection with a session: numbers its writes."""

    session_id = SessionId(0)
    password = b""
    next_id = 1

    def open(
        self, timeout_ms: int = 2000, owner: Owner | None = None, nonce: bytes = b""
    ) -> OpenSessionResponse:
        answer: OpenSessionResponse = self.ask(
            OpenSessionRequest(timeout_ms, owner=owner, nonce=nonce)
        )
        self.session_id, self.password = answer.session_id, answer.password
        return answer

    def attach(
        self, other: SessionClient, last_zxid: int = 0, watches: Sequence[tuple[str, str]] = ()
    ) -> OpenSessionResponse:
        registrations = tuple(WatchRegistration(path, kind) for path, kind in watches)
        answer: OpenSessionResponse = self.ask(
            OpenSessionRequest(
                2000, other.session_id, other.password, Zxid(last_zxid), watches=registrations
            )
        )
        self.session_id, self.password = other.session_id, other.password
        self.next_id = other.next_id
        return answer

    def request(self, *operations: Operation, first_id: int | None = None) -> OperateRequest:
        """Number the writes among these; ``first_id`` repeats earlier numbers."""
        number = self.next_id if first_id is None else first_id
        items = []
        for operation in operations:
            if type(operation).__name__ in READS:
                items.append(SessionOperation(RequestId(0), operation))
            else:
                items.append(SessionOperation(RequestId(number), operation))
                number += 1
        self.next_id = max(self.next_id, number)
        return OperateRequest(self.session_id, RequestId(1), tuple(items))

    def operate(self, *operations: Operation) -> tuple[Result, ...]:
        answer: OperateResponse = self.ask(self.request(*operations))
        assert answer.error == 0, answer
        return answer.results

    def ping(self) -> PingSessionResponse:
        answer: PingSessionResponse = self.ask(PingSessionRequest(self.session_id))
        return answer

    def events(self) -> list[tuple[int, str]]:
        bodies = [envelope.body for envelope in self.received]
        return [(body.type, body.path) for body in bodies if isinstance(body, WatchEvent)]


class Ensemble:
    """Coordinators 1 to ``size`` and a broker's name; virtual time from 1,000 ms."""

    def __init__(
        self,
        size: int = 3,
        coordinator: CoordinatorConfig | None = None,
        raft: RaftConfig | None = None,
        observers: int = 0,
        *,
        listening: bool = False,
    ) -> None:
        self.now = Now(1_000, 1_700_000_000_000)
        self.clients: dict[bytes, Client] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.drop: Callable[[str, str, Envelope], bool] = lambda here, there, envelope: False
        self._links = 0
        self._seed = 0
        names: list[tuple[NodeId, NodeName, tuple[str, ...]]] = [
            (NodeId(n), NodeName(f"coordinator-{n}"), ("coordinator",)) for n in range(1, size + 1)
        ]
        names += [
            (NodeId(64 + n), NodeName(f"observer-{n}"), ("coordinator", "observer"))
            for n in range(1, observers + 1)
        ]
        names.append((NodeId(101), NodeName("broker-101"), ("broker",)))
        endpoints = tuple(
            NodeEndpoints(
                node_id,
                name,
                roles,
                f"{name}:peers",
                f"{name}:clients",
                f"{name}:events",
                zookeeper=f"tcp://{name}:2181" if listening and "coordinator" in roles else "",
            )
            for node_id, name, roles in names
        )
        self.nodes: dict[int, Node] = {}
        for node_id, name, roles in names:
            if "coordinator" in roles:
                config = NodeConfig(
                    name=name,
                    id=node_id,
                    role=roles[0],
                    mode="zookeeper",
                    cluster_id=CLUSTER,
                    incarnation=Incarnation(1),
                    data_dir="",
                    nodes=endpoints,
                    supervisor_key=KEY,
                    coordinator=coordinator or CoordinatorConfig(),
                    raft=raft or RaftConfig(),
                )
                self.nodes[node_id] = Node(self, config)
        for number in self.nodes:
            self.start(number)

    def next_link(self) -> int:
        self._links += 1
        return self._links

    def node_at(self, endpoint: str) -> Node | None:
        name, _, door = endpoint.partition(":")
        found = [node for node in self.nodes.values() if node.config.name == name]
        assert not found or door == "peers"
        return found[0] if found else None

    def is_cut(self, here: str, there: str) -> bool:
        return (here, there) in self.cuts or (there, here) in self.cuts

    # Life and death

    def start(self, number: int) -> None:
        node = self.nodes[number]
        assert node.process is None
        self._seed += 1
        process = node.process = Process(self, node, self._seed)
        process.server.start(process, self.now)
        for other in self.nodes.values():
            self._tell_links(node, other, up=True)
            self._tell_links(other, node, up=True)
        process.turn(forced=True)

    def kill(self, number: int) -> None:
        node = self.nodes[number]
        dead, node.process = node.process, None
        for route, client in list(self.clients.items()):
            if client.process is dead:
                del self.clients[route]
        for other in self.nodes.values():
            self._tell_links(other, node, up=False)

    def cut(self, here: int, *there: int) -> None:
        """Cut the links between ``here`` and the others, both ways."""
        for other in there:
            a, b = self.nodes[here], self.nodes[other]
            self.cuts.add((a.config.name, b.config.name))
            self._tell_links(a, b, up=False)
            self._tell_links(b, a, up=False)

    def heal(self) -> None:
        cuts, self.cuts = self.cuts, set()
        for here, there in sorted(cuts):
            a, b = (self.node_at(f"{name}:peers") for name in (here, there))
            assert a is not None
            assert b is not None
            self._tell_links(a, b, up=True)
            self._tell_links(b, a, up=True)

    def _tell_links(self, here: Node, there: Node, *, up: bool) -> None:
        process = here.process
        if here is there or process is None or (up and there.process is None):
            return
        if up and self.is_cut(here.config.name, there.config.name):
            return
        for link, endpoint in process.links.items():
            if endpoint == f"{there.config.name}:peers":
                process.posted.append(
                    lambda now, link=link: process.server.on_link(link, up, now)  # type: ignore[misc]
                )

    # Time

    def settle(self) -> None:
        """Deliver everything there is, without letting time pass."""
        for _ in range(SETTLE_ROUNDS_MAX):
            busy = False
            for node in self.nodes.values():
                if node.process is not None:
                    busy |= node.process.turn()
                    busy |= node.process.work()
            if not busy:
                return
        raise AssertionError("the ensemble never comes to rest")

    def run(self, duration_ms: int) -> None:
        """Let time pass, from deadline to deadline."""
        end_ms = self.now.mono_ms + duration_ms
        self.settle()
        while self.now.mono_ms < end_ms:
            due = [
                deadline
                for node in self.nodes.values()
                if node.process is not None
                and (deadline := node.process.server.next_deadline_ms()) is not None
            ]
            next_ms = min([*due, end_ms])
            self._advance(max(1, next_ms - self.now.mono_ms))
            self.settle()

    def turn_each(self, duration_ms: int) -> None:
        """Let time pass, and everybody do a single turn."""
        self._advance(duration_ms)
        for node in self.nodes.values():
            if node.process is not None:
                node.process.turn()
                node.process.work()

    def _advance(self, by_ms: int) -> None:
        self.now = Now(self.now.mono_ms + by_ms, self.now.wall_ms + by_ms)

    def away(self, number: int, gap_ms: int) -> None:
        """Let time pass for everybody but ``number``, which then hears of its gap."""
        node = self.nodes[number]
        asleep, node.process = node.process, None
        assert asleep is not None
        self.run(gap_ms)
        node.process = asleep
        asleep.posted.appendleft(lambda now: asleep.server.on_gap(gap_ms, now))

    # Questions

    def health(self, number: int) -> HealthResponse:
        answer = self.client(number).ask(HealthRequest())
        assert isinstance(answer, HealthResponse)
        return answer

    def leader(self) -> int:
        """Run until somebody leads with a quorum, and return who."""
        for _ in range(100):
            leaders = [
                number
                for number, node in self.nodes.items()
                if node.process is not None
                and (health := self.health(number)).leader
                and health.state == "ready"
            ]
            if leaders:
                return leaders[0]
            self.run(50)
        raise AssertionError("nobody leads")

    def followers(self) -> list[int]:
        leader = self.leader()
        return [n for n, node in self.nodes.items() if n != leader and node.process is not None]

    # Connections

    def client(self, number: int, door: Door = Door.CLIENTS) -> Client:
        route = f"client-{self.next_link()}".encode()
        client = self.clients[route] = Client(self, self.nodes[number], door, route)
        return client

    def session(self, number: int, *, address: str = "") -> SessionClient:
        route = f"client-{self.next_link()}".encode()
        client = SessionClient(self, self.nodes[number], Door.CLIENTS, route, address)
        self.clients[route] = client
        return client

    def beat(self, heartbeat: Heartbeat) -> None:
        """Publish a broker's heartbeat to every coordinator."""
        envelope = through_the_wire(Envelope(Kind.EVENT, heartbeat, cluster_id=CLUSTER))
        for node in self.nodes.values():
            if node.process is not None:
                subscriptions = [
                    link
                    for link, endpoint in node.process.links.items()
                    if endpoint == f"{heartbeat.name}:events"
                ]
                node.process.inbox += [(link, envelope) for link in subscriptions]
        self.settle()
