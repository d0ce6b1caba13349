"""The supervisor's program, in a world of plain values: no process, no socket, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec
import pytest

from nodes.config import EXIT_BUG, EXIT_CONFIG, EXIT_ENVIRONMENT
from nodes.settings import ConfigError
from supervisor.data_dir import Cluster, DataDir
from supervisor.engine import EXIT_NOT_READY, Supervisor
from supervisor.growth import Growth
from supervisor.lives import Exited, Started
from supervisor.member import NodePorts
from supervisor.plan import ClusterPlan
from supervisor.roster import Usage
from supervisor.sections import ClusterConfig, SupervisorConfig
from supervisor.settings import Settings
from supervisor.status import status_json, status_text
from transport.driver.ports import Door, LinkId, Origin, Ports, Streams
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    ForgetNodeRequest,
    ForgetNodeResponse,
    HealthRequest,
    HealthResponse,
    NodeEndpoints,
    death_notice_proof,
)
from transport.wire.messages.reassignments import HandOverRequest, HandOverResponse
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    MoveRequest,
    MoveResponse,
    RebuildNodeRequest,
    RebuildNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
    RestartNodeRequest,
    RestartNodeResponse,
    SignalNodeRequest,
    SignalNodeResponse,
    SupervisorStatusRequest,
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


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_ready_when_every_node_serves_and_a_controller_is_active(world: World) -> None:
    world.connect_all()
    world.answer_health(silent="broker-1")
    assert not world.observer.was_ready
    world.advance(1_100)
    assert len(world.observer.was_ready) == 1
    assert world.observer.was_ready[0].ready


def test_a_node_that_says_starting_is_asked_again_soon(world: World) -> None:
    world.connect_all()
    world.answer_health(state="starting")
    world.advance(40, well=False)
    assert len(world.take(HealthRequest)) == 3


def test_a_death_is_told_before_a_disk_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.become_ready()
    told: list[int] = []
    monkeypatch.setattr(FakeProcesses, "reap", lambda *_: told.append(len(world.take(DeathNotice))))
    world.die("broker-1")
    assert told == [2], "the end is written down when both have been told"


def test_every_coordinator_is_told_of_a_death_at_once_with_proof(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    notices = world.take(DeathNotice)
    assert [door for door, _ in notices] == [
        world.peers["coordinator-1"],
        world.peers["coordinator-2"],
    ]
    name, number = NodeName("broker-1"), world.plan.find("broker-1").id
    proof = death_notice_proof(KEY, name, number, Incarnation(1))
    assert notices[0][1].body == DeathNotice(name, number, Incarnation(1), proof)


def test_a_notice_is_repeated_until_one_coordinator_has_acted_on_it(world: World) -> None:
    world.become_ready()
    world.ports.down.update(world.peers.values())
    world.die("broker-1")
    assert world.take(DeathNotice) == []
    world.ports.down.clear()
    world.advance(60, well=False)
    first, second = world.take(DeathNotice)
    world.answer(*first, DeathNoticeResponse(ErrorCode.NOT_RAFT_LEADER))
    world.advance(60, well=False)
    again = world.take(DeathNotice)
    assert [door for door, _ in again] == [world.peers["coordinator-1"]]
    world.answer(*second, DeathNoticeResponse(ErrorCode.NONE))
    world.answer(*again[0], DeathNoticeResponse(ErrorCode.NOT_RAFT_LEADER))
    world.advance(500, well=False)
    assert world.take(DeathNotice) == []


def test_a_notice_ends_when_the_next_process_serves(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    assert len(world.engine.notices) == 1
    world.advance(100)
    assert len(world.engine.notices) == 0


def test_a_notice_that_nobody_acts_on_ends_when_no_session_can_be_left(world: World) -> None:
    world.become_ready()
    world.processes.refuse = True
    world.die("broker-1")
    world.advance(29_000, well=False)
    assert len(world.engine.notices) == 1
    world.advance(2_000, well=False)
    assert len(world.engine.notices) == 0


def test_a_coordinator_is_not_told_of_its_own_death(world: World) -> None:
    world.become_ready()
    world.die("coordinator-1", EXIT_BUG)
    assert [door for door, _ in world.take(DeathNotice)] == [world.peers["coordinator-2"]]


def test_notices_can_be_switched_off() -> None:
    world = World(death_notices=False)
    world.become_ready()
    world.die("broker-1")
    world.advance(200)
    assert world.take(DeathNotice) == []


def test_a_killed_node_is_started_at_once_and_a_failing_one_after_a_delay(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    assert world.processes.started.count("broker-1") == 2
    assert world.state("broker-1") == "starting"
    world.die("broker-1", EXIT_ENVIRONMENT)
    assert world.state("broker-1") == "restarting"
    world.advance(190)
    assert world.processes.started.count("broker-1") == 2
    world.advance(20)
    assert world.processes.started.count("broker-1") == 3
    assert world.engine.roster[NodeName("broker-1")].restarts == 2


def test_an_exit_that_was_already_taken_is_passed_over(world: World) -> None:
    world.become_ready()
    old = Exited(NodeName("broker-1"), world.engine.roster[NodeName("broker-1")].pid, KILLED)
    world.die("broker-1")
    world.engine.on_exit(old, world.now)
    assert world.state("broker-1") == "starting"


def test_a_process_that_cannot_be_started_now_is_tried_again(world: World) -> None:
    world.become_ready()
    world.processes.refuse = True
    world.die("broker-1")
    assert world.state("broker-1") == "restarting"
    world.processes.refuse = False
    world.advance(1_010)
    assert world.processes.started.count("broker-1") == 2


def test_wrong_settings_at_the_start_end_everything_with_the_nodes_own_words(
    world: World,
) -> None:
    world.die("broker-1", EXIT_CONFIG)
    [(status, text)] = world.observer.failures
    assert status == EXIT_CONFIG
    assert "broker-1 cannot run with these settings: its last words" in text
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]
    world.die("coordinator-1", 0)
    assert world.ports.status is None
    world.die("coordinator-2", 0)
    assert world.ports.status == EXIT_CONFIG


def test_wrong_settings_later_give_up_that_node_alone(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_CONFIG)
    world.advance(10_000)
    assert world.state("broker-1") == "failed"
    assert world.processes.asked_to_end == []
    assert world.observer.failures == []


def test_a_start_that_somebody_waits_for_fails_in_time_and_says_what_is_missing() -> None:
    world = World(must_be_ready=True)
    world.connect_all()
    world.answer_health(silent="broker-1")
    world.advance(5_100, well=False)
    [(status, text)] = world.observer.failures
    assert status == EXIT_NOT_READY
    assert "not ready after 5 s" in text
    assert "broker-1 starting" in text
    for name in list(world.peers):
        world.die(name, 0)
    assert world.ports.status == EXIT_NOT_READY


def test_stop_ends_all_at_once_and_kills_what_hangs(world: World) -> None:
    world.become_ready()
    world.engine.stop(world.now)
    assert world.processes.asked_to_end == list(world.peers)
    world.die("coordinator-1", 0)
    world.die("broker-1", 0)
    world.advance(9_000)
    assert world.processes.signals == []
    world.advance(1_100)
    assert world.processes.signals == [("coordinator-2", 9)]
    world.die("coordinator-2")
    assert world.ports.status == 0
    assert world.processes.started == list(world.peers)


def test_a_second_stop_kills_at_once(world: World) -> None:
    world.become_ready()
    world.engine.stop(world.now)
    world.engine.stop(world.now)
    assert world.processes.signals == [(name, 9) for name in world.peers]


def test_a_node_that_waits_for_its_next_start_does_not_start_during_a_stop(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_BUG)
    world.engine.stop(world.now)
    world.advance(1_000)
    assert world.processes.started.count("broker-1") == 1


def test_a_node_that_hangs_is_unresponsive_and_leads_nothing(world: World) -> None:
    world.become_ready()
    for _ in range(800):
        world.now = Now(world.now.mono_ms + 5, 0)
        world.engine.end_turn(world.now)
        world.answer_health(silent="broker-1")
    assert world.state("broker-1") == "unresponsive"
    shown = {str(node.name): node for node in world.observer.shown[-1].nodes}
    assert not shown["broker-1"].controller
    assert shown["coordinator-1"].leader
    assert not world.observer.shown[-1].ready


def test_after_a_gap_of_our_own_nobody_is_blamed(world: World) -> None:
    world.become_ready()
    world.now = Now(world.now.mono_ms + 60_000, 0)
    world.engine.on_gap(59_000, world.now)
    assert world.state("broker-1") == "ready"


def test_after_a_gap_of_our_own_a_node_that_ends_has_the_rest_of_its_time() -> None:
    world = World(must_be_ready=True)
    world.connect_all()
    world.answer_health(silent="broker-1")
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-2")))
    world.advance(1_000, well=False)
    world.now = Now(world.now.mono_ms + 60_000, 0)
    world.engine.on_gap(60_000, world.now)
    world.engine.end_turn(world.now)
    assert world.processes.signals == [], "it is not killed for what we have slept"
    assert world.observer.failures == [], "nor is the start given up"
    world.advance(10_000, well=False)
    assert world.processes.signals == [("coordinator-2", 9)]
    assert len(world.observer.failures) == 1


# Commands


def test_status_is_fresh_and_has_every_key_that_programs_rely_on(world: World) -> None:
    world.become_ready()
    [status] = world.command(SupervisorStatusRequest(KEY))
    assert isinstance(status, SupervisorStatusResponse)
    table = status_json(status)
    assert list(table) == ["cluster", "mode", "ready", "supervisor", "tls", "nodes"]
    assert table["ready"] is True
    assert table["supervisor"] == {"pid": 77}
    assert table["nodes"][2] == {
        "name": "broker-1",
        "roles": ["broker"],
        "id": 1,
        "pid": 1030,
        "state": "ready",
        "leader": False,
        "controller": True,
        "restarts": 0,
        "note": "",
        "uptime_ms": 0,
        "rss_bytes": 1_030_000,
        "endpoints": {
            "peers": "tcp://127.0.0.1:30",
            "clients": "tcp://127.0.0.1:31",
            "events": "tcp://127.0.0.1:32",
        },
    }
    assert "broker (controller)" in status_text(status)


def test_status_waits_for_a_hanging_node_a_moment_only(world: World) -> None:
    world.become_ready()
    world.ports.replies = []
    request = Envelope(Kind.REQUEST, SupervisorStatusRequest(KEY), correlation_id=9)
    world.engine.on_message(PERSON, request, world.now)
    world.advance(290, well=False)
    assert world.ports.replies == []
    world.advance(20, well=False)
    assert len(world.ports.replies) == 1


@pytest.mark.parametrize(
    "body",
    [
        SupervisorStatusRequest("wrong"),
        SignalNodeRequest("wrong", NodeName("broker-1"), 9),
        RestartNodeRequest("ключ", NodeName("broker-1")),
    ],
)
def test_whoever_does_not_know_the_key_is_refused(world: World, body: Message) -> None:
    world.become_ready()
    [refusal] = world.command(body)
    assert isinstance(refusal, Refusal)
    assert refusal.error == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    assert world.processes.signals == []


def test_a_request_meant_for_nodes_is_refused(world: World) -> None:
    [refusal] = world.command(HealthRequest())
    assert isinstance(refusal, Refusal)
    assert refusal.error == ErrorCode.UNKNOWN_API


def test_a_node_killed_by_a_person_is_started_at_once_each_time(world: World) -> None:
    world.become_ready()
    for kills in range(1, 6):
        [answer] = world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 9))
        assert isinstance(answer, SignalNodeResponse)
        assert answer.error == ErrorCode.NONE
        assert world.state("broker-1") == "stopping"
        world.die("broker-1")
        assert world.processes.started.count("broker-1") == kills + 1


def test_a_frozen_node_is_not_taken_for_one_that_ends(world: World) -> None:
    world.become_ready()
    world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 19))
    assert world.processes.signals == [("broker-1", 19)]
    assert world.state("broker-1") == "ready"


def test_wrong_names_and_signals_are_answered_with_what_would_be_right(world: World) -> None:
    world.become_ready()
    [answer] = world.command(SignalNodeRequest(KEY, NodeName("brokr-1"), 9))
    assert isinstance(answer, SignalNodeResponse)
    assert "did you mean 'broker-1'?" in answer.text
    [answer] = world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 99))
    assert isinstance(answer, SignalNodeResponse)
    assert "99 is no signal" in answer.text
    [restart] = world.command(RestartNodeRequest(KEY, NodeName("brokr-1")))
    assert isinstance(restart, RestartNodeResponse)
    assert "did you mean 'broker-1'?" in restart.text


def test_restart_answers_when_the_new_process_serves(world: World) -> None:
    world.become_ready()
    assert world.command(RestartNodeRequest(KEY, NodeName("broker-1"))) == []
    assert world.processes.asked_to_end == [], "others lead first"
    world.hand_over()
    assert world.processes.asked_to_end == ["broker-1"]
    world.die("broker-1", 0)
    assert world.ports.replies == []
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == RestartNodeResponse(0, "", world.engine.roster[NodeName("broker-1")].pid)


def test_a_broker_that_does_not_hand_over_is_restarted_all_the_same(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.advance(4_990)
    assert world.processes.asked_to_end == []
    world.advance(20)
    assert world.processes.asked_to_end == ["broker-1"]


def test_two_nodes_are_not_emptied_at_once_while_the_first_hands_over() -> None:
    world = World(kraft=True)
    world.connect_all()
    world.answer_health()
    assert world.command(RebuildNodeRequest(KEY, NodeName("node-1"))) == []
    assert world.take(HandOverRequest), "it serves still"
    assert world.state("node-1") == "ready"
    [refused] = world.command(RebuildNodeRequest(KEY, NodeName("node-2")))
    assert isinstance(refused, RebuildNodeResponse)
    assert "node-1 is being restarted" in refused.text
    assert world.processes.marked == ["node-1"]


def test_two_voters_are_not_restarted_together() -> None:
    """As of two people who prepare a move at the same time: there would be no majority for a moment."""
    world = World(coordinators=3)
    world.become_ready()
    for number in (1, 2):
        assert world.command(RestartNodeRequest(KEY, NodeName(f"coordinator-{number}"))) == []
    assert world.processes.asked_to_end == ["coordinator-1"]
    world.die("coordinator-1", 0)
    assert world.processes.asked_to_end == ["coordinator-1"], "it does not serve yet"
    world.advance(100)
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]
    world.die("coordinator-2", 0)
    world.advance(100)
    assert [answer.error for answer in world.ports.replies] == [0, 0]  # type: ignore[attr-defined]


def test_a_voter_is_not_restarted_after_one_that_does_not_come_back() -> None:
    world = World(coordinators=3)
    world.become_ready()
    for number in (1, 2):
        world.command(RestartNodeRequest(KEY, NodeName(f"coordinator-{number}")))
    world.die("coordinator-1", 0)
    world.die("coordinator-1", EXIT_CONFIG)
    first, second = world.ports.replies
    assert isinstance(first, RestartNodeResponse)
    assert isinstance(second, RestartNodeResponse)
    assert first.error == ErrorCode.INVALID_CONFIG
    assert "coordinator-2 is as it was: coordinator-1" in second.text
    assert world.processes.asked_to_end == ["coordinator-1"]


def test_a_voter_that_is_not_ready_is_restarted_at_once() -> None:
    world = World(coordinators=3)
    world.become_ready()
    world.die("coordinator-3", EXIT_CONFIG)
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-1")))
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-3")))
    world.advance(100)
    assert world.state("coordinator-3") == "ready"


def test_a_broker_is_added_answered_when_it_serves_and_ended_for_good(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    assert world.command(AddNodeRequest(KEY, "cellar")) == []
    node = world.engine.roster[NodeName("broker-2")]
    assert (node.endpoints.id, node.endpoints.rack) == (2, "cellar")
    assert world.processes.started[-1] == "broker-2"
    assert [one.name for one in world.plan.nodes][-1] == "broker-2"
    world.peers["broker-2"] = node.endpoints.peers
    world.engine.on_link(world.link("broker-2"), True, world.now)
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == AddNodeResponse(0, "", node.pid, NodeName("broker-2"))
    assert node.restarts == 0, "it was started, not restarted"
    world.die("broker-2")
    assert node.restarts == 1
    world.ports.replies.clear()
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == []
    assert world.processes.asked_to_end == ["broker-2"]
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == []
    world.die("broker-2", 0)
    assert world.ports.replies == [RemoveNodeResponse(0)] * 2, "both wait for its end"
    assert NodeName("broker-2") not in world.engine.roster.nodes
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == [RemoveNodeResponse(0)], (
        "whoever was interrupted asks again"
    )
    assert world.processes.started.count("broker-2") == 2, "it is not started again"
    world.ports.replies.clear()
    world.command(AddNodeRequest(KEY))
    assert NodeName("broker-3") in world.engine.roster.nodes, "no number is given twice"
    [refused] = world.command(RemoveNodeRequest(KEY, NodeName("coordinator-1")))
    assert isinstance(refused, RemoveNodeResponse)
    assert "votes still" in refused.text


def test_a_coordinator_comes_as_an_observer_and_goes_without_a_vote(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    came = NodeName("coordinator-3")
    [answer] = world.command(AddNodeRequest(KEY, coordinator=True))
    node = world.engine.roster[came]
    assert answer == AddNodeResponse(0, "", node.pid, came)
    assert (node.endpoints.id, node.endpoints.roles) == (115, ("coordinator", "observer"))
    goes = NodeName("coordinator-2")
    word = world.engine.roster[goes].health
    assert word is not None
    world.engine.roster[goes].health = msgspec.structs.replace(word, figures={"raft_voter": 0})
    assert world.command(RemoveNodeRequest(KEY, goes)) == []
    assert world.processes.asked_to_end == [goes]
    world.die(goes, 0)
    assert world.ports.replies == [RemoveNodeResponse(0)]
    assert goes not in world.engine.roster.nodes
    world.command(AddNodeRequest(KEY, coordinator=True))
    assert NodeName("coordinator-4") in world.engine.roster.nodes


def test_all_others_are_told_of_a_removal_until_they_have_forgotten(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    world.command(AddNodeRequest(KEY, coordinator=True))
    gone = NodeName("coordinator-3")
    world.engine.roster[gone].health = msgspec.structs.replace(
        HealthResponse(0, gone, Incarnation(1), "ready", False, False), figures={"raft_voter": 0}
    )
    world.command(RemoveNodeRequest(KEY, gone))
    world.die(gone, 0)
    told = world.take(ForgetNodeRequest)
    assert sorted(question.destination for _, question in told) == sorted(world.peers)
    for endpoint, question in told:
        behind = question.destination == "coordinator-2"
        error = ErrorCode.SERVER_BEHIND if behind else ErrorCode.NONE
        world.answer(endpoint, question, ForgetNodeResponse(error))
    world.advance(150)
    [(endpoint, question)] = world.take(ForgetNodeRequest)
    assert question.destination == "coordinator-2"
    world.answer(endpoint, question, ForgetNodeResponse(ErrorCode.NONE))
    world.advance(1_000)
    assert world.take(ForgetNodeRequest) == []


def test_a_move_is_noted_and_restarts_nobody(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    before = list(world.processes.started)
    for finished, roles in ((False, ("coordinator", "controller")), (True, ("controller",))):
        assert world.command(MoveRequest(KEY, finished)) == [MoveResponse(0)]
        world.ports.replies.clear()
        assert world.engine.roster[NodeName("coordinator-1")].endpoints.roles == roles
    assert world.processes.started == before
    assert world.plan.settings.cluster.mode == "kraft"
    [refused] = world.command(MoveRequest(KEY, False))
    assert isinstance(refused, MoveResponse)
    assert "already" in refused.text


def test_the_process_after_a_restart_is_not_killed_for_the_one_before(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.die("broker-1", 0)
    world.advance(11_000)
    assert world.processes.signals == []


def test_restart_brings_back_a_node_that_was_given_up(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_CONFIG)
    assert world.state("broker-1") == "failed"
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.advance(100)
    assert world.state("broker-1") == "ready"


def test_restart_of_a_node_that_cannot_run_says_why(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.die("broker-1", 0)
    world.die("broker-1", EXIT_CONFIG)
    [answer] = world.ports.replies
    assert isinstance(answer, RestartNodeResponse)
    assert answer.error == ErrorCode.INVALID_CONFIG
    assert "its last words" in answer.text


def test_a_node_that_does_not_end_for_a_restart_is_killed(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.advance(10_010)
    assert world.processes.signals == [("broker-1", 9)]


def test_rebuild_marks_a_coordinator_and_restarts_it() -> None:
    world = World(coordinators=3)
    world.become_ready()
    assert world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2"))) == []
    assert world.processes.marked == ["coordinator-2"]
    assert world.processes.asked_to_end == ["coordinator-2"]
    world.die("coordinator-2", 0)
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == RebuildNodeResponse(0, "", world.engine.roster[NodeName("coordinator-2")].pid)


def test_a_rebuild_that_the_others_are_enough_for_does_not_wait() -> None:
    """It is marked already: who restarts it later would not expect that it is emptied."""
    world = World(coordinators=5)
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-1")))
    assert world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2"))) == []
    assert world.processes.marked == ["coordinator-2"]
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]


def test_rebuild_of_what_cannot_be_rebuilt_is_refused() -> None:
    world = World(coordinators=3)
    world.become_ready()
    [answer] = world.command(RebuildNodeRequest(KEY, NodeName("broker-1")))
    assert isinstance(answer, RebuildNodeResponse)
    assert "not of the quorum" in answer.text
    world.ports.replies.clear()
    world.die("coordinator-1", 3)
    [answer] = world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2")))
    assert isinstance(answer, RebuildNodeResponse)
    assert "2 of the other members of the quorum must be ready" in answer.text
    assert "coordinator-1 is restarting" in answer.text
    assert world.processes.marked == []
