"""A whole cluster in one process: the real servers on simulated ports, with a stand-in supervisor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import starmap

from msgspec.structs import replace

from nodes.broker.context import BrokerContext
from nodes.broker.kafka.doorkeeper import Doorkeeper
from nodes.broker.server import BrokerServer
from nodes.config import EXIT_BUG, EXIT_CONFIG, EXIT_ENVIRONMENT, QUORUM_ROLES, NodeConfig
from nodes.coordinator.server import CoordinatorServer
from nodes.kraft.server import KraftServer
from supervisor.member import OBSERVER_ID_BASE
from tests.simulation.clock import HostClock
from tests.simulation.disk import SimulatedDisk
from tests.simulation.foreign.login import USERS
from tests.simulation.network import Network
from tests.simulation.process import Inputs, SimulatedProcess
from tests.simulation.shape import Shape
from tests.simulation.supervision import DeathTeller
from tests.simulation.transitions import Transitions
from tests.simulation.world import World
from transport.driver.ports import Program
from transport.wire.ids import (
    CLUSTER_PRINCIPAL,
    NO_NODE,
    ClusterId,
    Incarnation,
    NodeId,
    NodeName,
)
from transport.wire.messages.cluster import NodeEndpoints

CLUSTER_ID = ClusterId("simulated-cluster")
SUPERVISOR_KEY = "a secret of the simulation"
SASL_SECRET = b"another one"
NOBODY = ""
"""The principal of most clients: they prove nothing, and are above the ACLs of brokers."""
RESTART_MS = 300
"""How long a simulated Python takes to start."""
RESTART_MAX_MS = 5_000
"""The longest pause after starts that the environment has ended."""
CONTROLLER_ID_BASE = 100
"""In mode ``kraft`` controllers and brokers share one space of ids."""
NOTICE_US = 2_000
"""From the kernel's exit notice to the supervisor's word on the wire."""


class Cluster:
    """Disks, clocks, processes and the supervisor's part, by node name."""

    def __init__(self, world: World, shape: Shape | None = None) -> None:
        self.world = world
        self.network = Network(world)
        self.shape = shape or Shape()
        self.transitions = Transitions(world)
        self.disks: dict[str, SimulatedDisk] = {}
        self.clocks: dict[str, HostClock] = {}
        self.processes: dict[str, SimulatedProcess] = {}
        self.incarnations: dict[str, int] = {}
        self.boots: dict[str, int] = {}
        """How often a host lost its power, and what it had not synced."""
        self.emptied: dict[str, int] = {}
        """How often a node lost something that it had synced."""
        self.clients: dict[str, SimulatedProcess] = {}
        """By host; also those that have ended."""
        self.prepared: set[str] = set()
        """Coordinators that can be controllers too, from their next start on."""
        self.moved = False
        """The image is in the log for good: nodes start in mode ``kraft`` from now on."""
        self._watchers: list[Callable[[SimulatedProcess], None]] = []
        self._without_power: set[str] = set()
        """Their supervisors have none either."""
        self.ailing = NO_NODE
        """A broker that has lost data, and may not have it all again: it may have nothing alone."""
        self.flipped = NO_NODE
        """A broker in whose logs a bit has flipped that nobody has met."""
        self._failures: dict[str, int] = {}
        """Starts in a row that the environment has ended."""
        self.nodes = tuple(starmap(_endpoints, _members(self.shape)))
        if self.shape.has_listeners:
            self.nodes = tuple(map(_listening, self.nodes))
        if self.shape.mix.clients.get("zookeeper_setters"):
            self.nodes = tuple(map(_listening_for_zookeeper, self.nodes))
        if self.shape.judged:
            names = [str(node.name) for node in self.nodes]
            self.network.principals.update(dict.fromkeys(names, CLUSTER_PRINCIPAL))
        if self.shape.prepared:
            self.prepared.update(node.name for node in self.nodes)
        for node in self.nodes:
            self.disks[node.name] = SimulatedDisk()
            self.clocks[node.name] = HostClock(world)
            self.start(node.name)

    @property
    def bootstrap(self) -> list[str]:
        """The client endpoints of all nodes."""
        return [node.clients for node in self.nodes]

    def names(self, role: str = "") -> list[str]:
        """Return the sorted names of all nodes, or of those of a role.

        In mode ``kraft`` the coordinators are the members of the quorum, the brokers among them.
        Observers are no coordinators here: what may befall a coordinator is not the same.
        """
        role = QUORUM_ROLES[self.shape.mode] if role == "coordinator" else role
        having = [node for node in self.nodes if not role or role in node.roles]
        if role and role != "observer":
            having = [node for node in having if "observer" not in node.roles]
        return sorted(node.name for node in having)

    def start(self, name: str) -> SimulatedProcess:
        """Start a node's next incarnation."""
        node = next(node for node in self.nodes if node.name == name)
        self.incarnations[name] = self.incarnations.get(name, 0) + 1
        self._without_power.discard(name)
        self.disks[name].write_back()
        self.world.note(f"{name} starts as incarnation {self.incarnations[name]}")
        program = self._program(node)
        process = SimulatedProcess(
            self.world,
            self.network,
            name,
            program,
            (node.peers, node.clients, node.events),
            clock=self.clocks[name],
        )
        process.on_exit = self._exited
        process.on_turn = self._look
        self.processes[name] = process
        return process

    def add_client(
        self, program: Program, name: str = "client", *, principal: str = NOBODY
    ) -> SimulatedProcess:
        """Run a client's engine as a process of its own host."""
        host = f"{name}-{len(self.clients) + 1}"
        self.network.principals[host] = principal
        process = SimulatedProcess(self.world, self.network, host, program)
        self.clients[host] = process
        return process

    def kill(self, name: str) -> None:
        """SIGKILL a node; the supervisor notices and restarts it."""
        self.world.note(f"{name} is killed")
        self.processes[name].kill()

    def lose_power(self, name: str) -> None:
        """Take a host's power: the process and what was not synced are gone, and nobody is told."""
        self.world.note(f"{name} loses power")
        self.boots[name] = self.boots.get(name, 0) + 1
        self._without_power.add(name)
        self.processes[name].kill(powered=False)
        self.disks[name].lose_power(self.world.random)
        self.clocks[name].boot()

    def lose_disk(self, name: str) -> None:
        """Give a node an empty disk; its process dies of that."""
        self.world.note(f"{name} loses its disk")
        self.lose_folder(name, "")

    def lose_folder(self, name: str, folder: str) -> None:
        """Remove what a node has below a folder; its process dies of that."""
        self.emptied[name] = self.emptied.get(name, 0) + 1
        self.processes[name].kill()
        self.disks[name].wipe(folder)

    def check(self) -> None:
        """Let every living server assert its invariants."""
        for process in self.processes.values():
            if process.alive:
                process.program.check()  # type: ignore[attr-defined]

    def broker(self, name: str) -> BrokerServer:
        """Return the broker that a node is."""
        broker = broker_of(self.processes[name])
        assert broker is not None, f"{name} is no broker"
        return broker

    def coordinator(self, name: str) -> CoordinatorServer | None:
        """Return the member of the quorum that a node is; None while it starts."""
        return coordinator_of(self.processes[name])

    def watch(self, look: Callable[[SimulatedProcess], None]) -> None:
        """Call ``look`` after every turn of every node, from now on."""
        self._watchers.append(look)

    def _look(self, process: SimulatedProcess, inputs: Inputs) -> None:
        self.transitions.look(process, inputs)
        for look in self._watchers:
            look(process)

    # The supervisor's part

    def _exited(self, process: SimulatedProcess) -> None:
        name, incarnation = process.host, self.incarnations[process.host]
        why = f", {process.fault}" if process.fault else ""
        self.world.note(f"{name} has ended with status {process.status}{why}")
        assert process.status not in (EXIT_BUG, EXIT_CONFIG), f"{name} gives up{why}"
        failed = process.status == EXIT_ENVIRONMENT
        self._failures[name] = self._failures.get(name, 0) + 1 if failed else 0
        pause_ms = min(RESTART_MAX_MS, RESTART_MS * 2 ** min(self._failures[name], 6))
        if self.shape.death_notices and name not in self._without_power:
            self.world.after(NOTICE_US, self._tell_death, name, incarnation)
        if self.shape.restarts:
            self.world.after(pause_ms * 1_000, self._restart, name, incarnation)

    def _restart(self, name: str, incarnation: int) -> None:
        if self.incarnations[name] == incarnation and not self.processes[name].alive:
            self.start(name)

    def _tell_death(self, name: str, incarnation: int) -> None:
        self.add_client(DeathTeller(self.nodes, name, incarnation, SUPERVISOR_KEY), "supervisor")

    def _program(self, node: NodeEndpoints) -> Program:
        disk = self.disks[node.name]
        config = NodeConfig(
            name=node.name,
            id=node.id,
            role=node.roles[0],
            mode="kraft" if self.moved else self.shape.mode,
            cluster_id=CLUSTER_ID,
            incarnation=Incarnation(self.incarnations[node.name]),
            data_dir="",
            nodes=self.nodes,
            supervisor_key=SUPERVISOR_KEY,
            raft=self.shape.raft,
            coordinator=self.shape.coordinator,
            broker=self.shape.broker,
            log=self.shape.log,
            authorizer=self.shape.judged,
            super_users=(NOBODY, *USERS),
            sasl=self.shape.asks_passwords,
        )
        boot = hashlib.sha256(f"{node.name} {self.boots.get(node.name, 0)}".encode()).hexdigest()
        plain = "coordinator" in node.roles and node.name not in self.prepared
        if "controller" in node.roles and not plain:
            server = KraftServer(config, disk, boot)
            if isinstance(server.broker, BrokerServer):
                _keep_secret(server.broker)
            return server
        if "coordinator" in node.roles:
            return CoordinatorServer(config, disk)
        return _keep_secret(BrokerServer(config, disk, boot))


def _keep_secret(server: BrokerServer) -> BrokerServer:
    """Give a broker the cluster's secret, which a real one has in a file."""

    def doorkeeper(context: BrokerContext) -> Doorkeeper:
        return Doorkeeper(context, SASL_SECRET, lambda: server.metadata.is_known)

    server._doorkeeper = doorkeeper  # type: ignore[method-assign]
    return server


def broker_of(process: SimulatedProcess) -> BrokerServer | None:
    """Return the broker that a process is, if it is one."""
    program = process.program
    found = program.broker if isinstance(program, KraftServer) else program
    return found if isinstance(found, BrokerServer) else None


def coordinator_of(process: SimulatedProcess) -> CoordinatorServer | None:
    """Return the member of the quorum that a process is, if it is one and has started."""
    program = process.program
    if isinstance(program, KraftServer):
        return program.coordinator if program._started else None
    return program if isinstance(program, CoordinatorServer) else None


def _members(shape: Shape) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield the kind, number and roles of each node."""
    if shape.moves:
        for number in range(1, shape.coordinators + 1):
            yield "coordinator", CONTROLLER_ID_BASE + number, ("coordinator", "controller")
        yield from _observers(shape, "coordinator", "controller")
        yield from (("broker", number, ("broker",)) for number in range(1, shape.brokers + 1))
        return
    if shape.mode == "zookeeper":
        for role, count in (("coordinator", shape.coordinators), ("broker", shape.brokers)):
            yield from ((role, number, (role,)) for number in range(1, count + 1))
        yield from _observers(shape, "coordinator")
        return
    combined = 0 if shape.separate else min(shape.coordinators, shape.brokers)
    for number in range(1, combined + 1):
        yield "node", number, ("broker", "controller")
    for number in range(combined + 1, shape.brokers + 1):
        yield "broker", number, ("broker",)
    for number in range(combined + 1, shape.coordinators + 1):
        yield "controller", CONTROLLER_ID_BASE + number, ("controller",)
    yield from _observers(shape, "controller")


def _observers(shape: Shape, *roles: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    for number in range(1, shape.observers + 1):
        yield "observer", OBSERVER_ID_BASE + number, (*roles, "observer")


def _endpoints(kind: str, number: int, roles: tuple[str, ...]) -> NodeEndpoints:
    name = NodeName(f"{kind}-{number}")
    base = f"sim://{name}"
    doors = f"{base}/peers", f"{base}/clients", f"{base}/events"
    return NodeEndpoints(NodeId(number), name, roles, *doors, rack_of(number))


def _listening(node: NodeEndpoints) -> NodeEndpoints:
    """Return a node that listens for Kafka's clients, if it is a broker."""
    return replace(node, kafka=kafka_endpoint(node.name)) if "broker" in node.roles else node


def kafka_endpoint(name: str) -> str:
    """Return where the broker of that name listens for Kafka's clients, where any does."""
    return f"tcp://{name}:9092"


def _listening_for_zookeeper(node: NodeEndpoints) -> NodeEndpoints:
    """Return a node that listens for ZooKeeper's clients, if it is of the quorum."""
    if frozenset(QUORUM_ROLES.values()).isdisjoint(node.roles):
        return node
    return replace(node, zookeeper=f"tcp://{node.name}:2181")


def rack_of(number: int) -> str:
    """Return the rack of the node of that number: every node stands in its own."""
    return f"rack-{number}"
