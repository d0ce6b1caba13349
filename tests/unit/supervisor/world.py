"""A supervisor's program in a world of plain values: no process, no socket, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec

from nodes.settings import ConfigError
from supervisor.data_dir import Cluster, DataDir
from supervisor.engine import Supervisor
from supervisor.growth import Growth
from supervisor.lives import Exited, Started
from supervisor.member import NodePorts
from supervisor.plan import ClusterPlan
from supervisor.roster import Usage
from supervisor.sections import ClusterConfig, SupervisorConfig
from supervisor.settings import Settings
from transport.driver.ports import Door, LinkId, Origin, Ports, Streams
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    HealthRequest,
    HealthResponse,
    NodeEndpoints,
)
from transport.wire.messages.reassignments import HandOverRequest, HandOverResponse
from transport.wire.messages.supervision import (
    AddNodeRequest,
    SupervisorStatusResponse,
)

T = TypeVar("T")
KEY = "the key"
KILLED = -9
PERSON = Origin(Door.CLIENTS, b"person")


@dataclass(slots=True)
class FakePool:
    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        raise AssertionError("a supervisor has nothing for the pool")

    sync = submit


@dataclass(slots=True)
class FakePorts:
    """The wire, and what became of the program."""

    endpoints: dict[LinkId, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    sent: list[tuple[str, Envelope]] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    status: int | None = None

    @property
    def wire(self) -> FakePorts:
        return self

    @property
    def streams(self) -> Streams:
        raise AssertionError("a supervisor listens to nobody of another tongue")

    @property
    def pool(self) -> FakePool:
        return FakePool()

    @property
    def random(self) -> Random:
        return Random(0)

    def exit(self, status: int) -> None:
        self.status = status

    def connect(self, endpoint: str) -> LinkId:
        link = LinkId(len(self.endpoints) + 1)
        self.endpoints[link] = endpoint
        return link

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        raise AssertionError("a supervisor subscribes to nothing")

    def disconnect(self, link: LinkId) -> None:
        del self.endpoints[link]

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        endpoint = self.endpoints[link]
        if endpoint in self.down:
            return False
        self.sent.append((endpoint, envelope))
        return True

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        self.replies.append(envelope.body)
        return True

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        raise AssertionError("a supervisor publishes nothing")


@dataclass(slots=True)
class FakeProcesses:
    """Children that live in a dictionary."""

    clock: World
    started: list[str] = field(default_factory=list)
    signals: list[tuple[str, int]] = field(default_factory=list)
    asked_to_end: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    refuse: bool = False
    incarnations: dict[str, int] = field(default_factory=dict)

    def start(self, node: NodeEndpoints) -> Started:
        if self.refuse:
            raise ConfigError("no memory")
        self.started.append(node.name)
        number = self.incarnations[node.name] = self.incarnations.get(node.name, 0) + 1
        pid = 1_000 + 10 * len(self.started)
        return Started(pid, Incarnation(number), self.clock.now.mono_ms)

    def reap(self, name: NodeName) -> None:
        pass

    def signal(self, name: NodeName, number: int) -> bool:
        self.signals.append((name, number))
        return True

    def ask_to_end(self, name: NodeName) -> bool:
        self.asked_to_end.append(name)
        return True

    def mark_for_rebuild(self, node: NodeEndpoints) -> None:
        if self.refuse:
            raise ConfigError("no space")
        self.marked.append(node.name)

    def last_words(self, name: NodeName) -> str:
        return "its last words"

    def bound_logs(self) -> None:
        pass


@dataclass(slots=True)
class FakeObserver:
    said: list[str] = field(default_factory=list)
    shown: list[SupervisorStatusResponse] = field(default_factory=list)
    was_ready: list[SupervisorStatusResponse] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, status: SupervisorStatusResponse) -> None:
        self.shown.append(status)

    def ready(self, status: SupervisorStatusResponse) -> None:
        self.was_ready.append(status)

    def failed(self, exit_status: int, text: str) -> None:
        self.failures.append((exit_status, text))


class FakeMeter:
    def measure(self, pid: int) -> Usage:
        return Usage(pid * 1_000, 1.5) if pid else Usage()


class World:
    """A supervisor of one coordinator more than there are brokers: 2 and 1."""

    def __init__(
        self,
        *,
        must_be_ready: bool = False,
        death_notices: bool = True,
        coordinators: int = 2,
        growth: Path | None = None,
        kraft: bool = False,
    ) -> None:
        self.now = Now(100_000, 0)
        self.ports = FakePorts()
        self.processes = FakeProcesses(self)
        self.observer = FakeObserver()
        settings = Settings(
            "test",
            cluster=ClusterConfig(mode="kraft")
            if kraft
            else ClusterConfig(brokers=1, coordinators=coordinators),
            supervisor=SupervisorConfig(death_notices=death_notices, start_timeout_ms=5_000),
        )
        nodes = tuple(
            member.endpoints(NodePorts(port, port + 1, port + 2, port + 3))
            for port, member in zip(range(10, 99, 10), settings.members(), strict=False)
        )
        self.plan = ClusterPlan(settings, ClusterId("c"), KEY, Path("/nowhere"), nodes)
        self.peers = {str(node.name): node.peers for node in nodes}
        started = {node.name: self.processes.start(node) for node in nodes}
        self.engine = Supervisor(
            self.plan,
            self.processes,
            self.observer,
            FakeMeter(),
            77,
            started=started,
            must_be_ready=must_be_ready,
            growth=None if growth is None else self._growth(growth, nodes),
        )
        ports: Ports = self.ports
        self.engine.start(ports, self.now)
        self.engine.end_turn(self.now)

    def _growth(self, folder: Path, nodes: tuple[NodeEndpoints, ...]) -> Growth:
        data_dir = DataDir(folder)
        data_dir.write_cluster(Cluster("test", ClusterId("c"), "zookeeper", nodes))
        return Growth(self.plan, data_dir)

    # What the test does

    def link(self, name: str) -> LinkId:
        return next(link for link, door in self.ports.endpoints.items() if door == self.peers[name])

    def connect_all(self) -> None:
        for name in self.peers:
            self.engine.on_link(self.link(name), True, self.now)
        self.engine.end_turn(self.now)

    def advance(self, ms: int, *, well: bool = True) -> None:
        """Let time pass in small steps; ``well``: nodes answer HEALTH at once."""
        until_ms = self.now.mono_ms + ms
        while self.now.mono_ms < until_ms:
            self.now = Now(min(until_ms, self.now.mono_ms + 5), 0)
            self.engine.end_turn(self.now)
            if well:
                self.answer_health()

    def hand_over(self, name: str = "broker-1") -> None:
        """Let a broker say that others lead now."""
        [(endpoint, question)] = self.take(HandOverRequest)
        assert endpoint == self.peers[name]
        self.answer(endpoint, question, HandOverResponse(0))
        self.engine.end_turn(self.now)

    def take(self, kind: type[Message]) -> list[tuple[str, Envelope]]:
        taken = [row for row in self.ports.sent if isinstance(row[1].body, kind)]
        self.ports.sent = [row for row in self.ports.sent if row not in taken]
        return taken

    def answer(self, endpoint: str, question: Envelope, body: Message) -> None:
        name = next(name for name, door in self.peers.items() if door == endpoint)
        envelope = Envelope(Kind.RESPONSE, body, correlation_id=question.correlation_id)
        self.engine.on_message(self.link(name), envelope, self.now)
        self.engine.end_turn(self.now)

    def answer_health(self, *, silent: str = "", state: str = "ready") -> None:
        for endpoint, question in self.take(HealthRequest):
            name = question.destination
            if name != silent:
                first = name.endswith("-1")
                incarnation = question.incarnation
                leads, controls = first and "coord" in name, "broker" in name
                word = HealthResponse(0, name, incarnation, state, leads, controls, 5)
                self.answer(endpoint, question, word)

    def add_coordinator(self, name: str) -> NodeName:
        """Have one more started, which gets this name."""
        self.become_ready()
        self.command(AddNodeRequest(KEY, coordinator=True))
        assert NodeName(name) in self.engine.roster.nodes
        return NodeName(name)

    def say_vote(self, name: str, *, votes: bool, state: str = "ready") -> None:
        """Let a member of the quorum say whether it votes."""
        node = self.engine.roster[NodeName(name)]
        word = HealthResponse(0, node.name, node.incarnation, state, False, False)
        figures = {"raft_voter": int(votes)}
        node.heard(msgspec.structs.replace(word, figures=figures), self.now.mono_ms)

    def become_ready(self) -> None:
        self.connect_all()
        self.answer_health()
        assert len(self.observer.was_ready) == 1

    def die(self, name: str, status: int = KILLED) -> None:
        node = self.engine.roster[NodeName(name)]
        self.engine.on_exit(Exited(node.name, node.pid, status), self.now)
        self.engine.end_turn(self.now)

    def command(self, body: Message) -> list[Message]:
        self.ports.replies = []
        self.engine.on_message(PERSON, Envelope(Kind.REQUEST, body, correlation_id=9), self.now)
        self.engine.end_turn(self.now)
        self.answer_health()
        return self.ports.replies

    def state(self, name: str) -> str:
        return self.engine.roster[NodeName(name)].state(self.now.mono_ms)
