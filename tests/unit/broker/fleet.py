"""Brokers in a simulated world around a stand-in tree, and a client to ask them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from nodes.broker.server import BrokerServer
from nodes.config import BrokerConfig, NodeConfig
from tests.simulation.disk import SimulatedDisk
from tests.simulation.network import Network
from tests.simulation.process import SimulatedProcess
from tests.simulation.world import World
from tests.unit.broker.stand_ins import StandInReplicas, Tree, TreeSession
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.ids import CLUSTER_PRINCIPAL, ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages import Message
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.metadata import EVENT_METADATA

CLUSTER = ClusterId("fleet")
NOTICE_US = 1_000
KEY = "of the supervisor"


class Asker:
    """A client's program: asks one door, and listens to events."""

    def __init__(self, endpoints: list[str], events: list[str]) -> None:
        self.endpoints = endpoints
        self.events = events
        self.heard: list[Message] = []
        self.links: dict[str, LinkId] = {}
        self.up: set[LinkId] = set()

    def start(self, ports: Ports, now: Now) -> None:
        self.calls = Calls()
        self.calls.attach(ports.wire)
        self.links = {endpoint: ports.wire.connect(endpoint) for endpoint in self.endpoints}
        for endpoint in self.events:
            ports.wire.subscribe(endpoint, (EVENT_METADATA,))

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        assert not isinstance(origin, Origin)
        if not self.calls.on_message(origin, envelope, now):
            self.heard.append(envelope.body)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        if up:
            self.up.add(link)
        else:
            self.up.discard(link)
            self.calls.on_link_down(link, now)

    def on_gap(self, gap_ms: int, now: Now) -> None: ...

    def end_turn(self, now: Now) -> None:
        self.calls.expire(now)

    def next_deadline_ms(self) -> int | None:
        return self.calls.next_deadline_ms()

    def stop(self, now: Now) -> None: ...


class Fleet:
    """``count`` brokers, by number."""

    def __init__(self, count: int = 3, *, seed: int = 1, **settings: Any) -> None:
        self.world = World(seed)
        self.network = Network(self.world)
        self.tree = Tree(self.world)
        self.settings = BrokerConfig(**settings)
        self.numbers = range(1, count + 1)
        coordinator = NodeEndpoints(
            NodeId(1), NodeName("coordinator-1"), ("coordinator",), "none", "none", "none"
        )
        self.nodes = (coordinator, *(endpoints(number) for number in self.numbers))
        self.nodes_of: dict[int, tuple[NodeEndpoints, ...]] = {}
        """As the settings of some broker have the nodes, where those of others do not."""
        self.network.principals = dict.fromkeys(
            (str(node.name) for node in self.nodes), CLUSTER_PRINCIPAL
        )
        self.disks = {number: SimulatedDisk() for number in self.numbers}
        self.incarnations = dict.fromkeys(self.numbers, 0)
        self.processes: dict[int, SimulatedProcess] = {}
        for number in self.numbers:
            self.start(number)
        here = self.nodes[1:]
        doors = [node.clients for node in here] + [node.peers for node in here]
        self.asker = Asker(doors, [node.events for node in here])
        self.client = SimulatedProcess(self.world, self.network, "client", self.asker)

    def start(self, number: int) -> None:
        self.incarnations[number] += 1
        nodes = self.nodes_of.get(number, self.nodes)
        (here,) = (node for node in nodes if node.name == f"broker-{number}")
        config = NodeConfig(
            name=here.name,
            id=here.id,
            role="broker",
            mode="zookeeper",
            cluster_id=CLUSTER,
            incarnation=Incarnation(self.incarnations[number]),
            data_dir="",
            supervisor_key=KEY,
            nodes=nodes,
            broker=self.settings,
        )
        server = BrokerServer(
            config,
            self.disks[number],
            "boot",
            make_replicas=StandInReplicas,
            make_session=partial(TreeSession, self.tree),
        )
        self.processes[number] = SimulatedProcess(
            self.world, self.network, here.name, server, (here.peers, here.clients, here.events)
        )

    def server(self, number: int) -> BrokerServer:
        program = self.processes[number].program
        assert isinstance(program, BrokerServer)
        return program

    def replicas(self, number: int) -> StandInReplicas:
        replicas = self.server(number).replicas
        assert isinstance(replicas, StandInReplicas)
        return replicas

    def alive(self) -> list[int]:
        return [number for number in self.numbers if self.processes[number].alive]

    def kill(self, number: int) -> None:
        """SIGKILL, and the supervisor's notice right after."""
        process = self.processes[number]
        process.kill()
        self.world.after(NOTICE_US, lambda: self.expire(number, process))

    def expire(self, number: int, process: SimulatedProcess | None = None) -> None:
        """The ensemble ends the sessions of this broker's process."""
        process = process or self.processes[number]
        for session in list(self.tree.sessions.values()):
            if session.process is process:
                self.tree.expire(session)

    def controllers(self) -> list[int]:
        started = [n for n in self.alive() if hasattr(self.server(n), "controller")]
        return [n for n in started if self.server(n).controller.is_active]

    def controller(self) -> int:
        (controller,) = self.controllers()
        return controller

    def now(self) -> Now:
        """Return the moment as brokers see it that are asked from outside their turns."""
        return Now(self.world.now_us // 1_000, 0)

    def settled(self) -> bool:
        """One controller, everybody living is known, and all have applied the same."""
        alive = self.alive()
        if not all(self.server(number).is_ready() for number in alive):
            return False
        images = [self.server(number).context.image for number in alive]
        return (
            len(self.controllers()) == 1
            and len({image.position for image in images}) == 1
            and [broker.id for broker in images[0].live_brokers()] == alive
        )

    def settle(self, limit_ms: int = 5_000) -> None:
        self.wait(self.settled, limit_ms)

    def wait(self, condition: Callable[[], bool], limit_ms: int = 5_000) -> None:
        assert self.world.run_until(condition, limit_ms=limit_ms), "not within the time"
        self.check()

    def check(self) -> None:
        for number in self.alive():
            self.server(number).check()
        assert len(self.controllers()) <= 1 or not self.settled()

    def ask(self, number: int, body: Message, *, door: str = "clients", **how: Any) -> Any:
        """Ask a broker and wait for the answer."""
        answers: list[Message] = []
        self.post(number, body, answers.append, door=door, **how)
        self.wait(lambda: bool(answers), 10_000)
        return answers[0]

    def post(
        self,
        number: int,
        body: Message,
        on_answer: Callable[[Message], None],
        *,
        door: str = "clients",
        timeout_ms: int = 5_000,
        **how: Any,
    ) -> None:
        link_of = f"fleet://broker-{number}/{door}"
        self.wait(lambda: self.asker.links.get(link_of) in self.asker.up)

        def send(now: Now) -> None:
            assert self.asker.calls.request(
                self.asker.links[link_of],
                body,
                lambda answer, _payload, _now: on_answer(answer),
                now,
                timeout_ms=timeout_ms,
                **how,
            )

        self.client.do(send)


def endpoints(number: int, host: str = "") -> NodeEndpoints:
    name = NodeName(f"broker-{number}")
    base = f"fleet://{host or name}"
    doors = f"{base}/peers", f"{base}/clients", f"{base}/events"
    return NodeEndpoints(NodeId(number), name, ("broker",), *doors, f"rack-{number}")
