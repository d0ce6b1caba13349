"""A whole cluster in one process: the real servers on simulated ports, with a stand-in supervisor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.broker.server import BrokerServer
from nodes.config import (
    BrokerConfig,
    CoordinatorConfig,
    LogConfig,
    NodeConfig,
    RaftConfig,
)
from nodes.coordinator.server import CoordinatorServer
from tests.simulation.disk import SimulatedDisk
from tests.simulation.network import Network
from tests.simulation.process import SimulatedProcess
from tests.simulation.supervision import DeathTeller
from tests.simulation.world import World
from transport.driver.ports import Program
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

CLUSTER_ID = ClusterId("simulated-cluster")
SUPERVISOR_KEY = "a secret of the simulation"
RESTART_MS = 300
"""How long a simulated Python takes to start."""
NOTICE_US = 2_000
"""From the kernel's exit notice to the supervisor's word on the wire."""


@dataclass
class Shape:
    """What the cluster is made of."""

    coordinators: int = 3
    brokers: int = 3
    death_notices: bool = True
    restarts: bool = True
    raft: RaftConfig = field(default_factory=RaftConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    broker: BrokerConfig = field(
        default_factory=lambda: BrokerConfig(
            num_partitions=3, default_replication_factor=3, min_insync_replicas=2
        )
    )
    log: LogConfig = field(default_factory=LogConfig)


class Cluster:
    """Disks, processes and the supervisor's part, by node name."""

    def __init__(self, world: World, shape: Shape | None = None) -> None:
        self.world = world
        self.network = Network(world)
        self.shape = shape or Shape()
        self.disks: dict[str, SimulatedDisk] = {}
        self.processes: dict[str, SimulatedProcess] = {}
        self.incarnations: dict[str, int] = {}
        self.boots: dict[str, int] = {}
        self.clients = 0
        self._on_turn: Callable[[SimulatedProcess], None] | None = None
        self.nodes = tuple(
            _endpoints(role, number)
            for role, count in (
                ("coordinator", self.shape.coordinators),
                ("broker", self.shape.brokers),
            )
            for number in range(1, count + 1)
        )
        for node in self.nodes:
            self.disks[node.name] = SimulatedDisk()
            self.start(node.name)

    @property
    def bootstrap(self) -> list[str]:
        """The client endpoints of all nodes."""
        return [node.clients for node in self.nodes]

    def start(self, name: str) -> SimulatedProcess:
        """Start a node's next incarnation."""
        node = next(node for node in self.nodes if node.name == name)
        self.incarnations[name] = self.incarnations.get(name, 0) + 1
        program = self._program(node)
        process = SimulatedProcess(
            self.world, self.network, name, program, (node.peers, node.clients, node.events)
        )
        process.on_exit = self._exited
        process.on_turn = self._on_turn
        self.processes[name] = process
        self.world.note(f"{name} starts as incarnation {self.incarnations[name]}")
        return process

    def watch(self, on_turn: Callable[[SimulatedProcess], None]) -> None:
        """Show every node to ``on_turn`` after each of its turns, from now on."""
        self._on_turn = on_turn
        for process in self.processes.values():
            process.on_turn = on_turn

    def add_client(self, program: Program, name: str = "client") -> SimulatedProcess:
        """Run a client's engine as a process of its own host."""
        self.clients += 1
        return SimulatedProcess(self.world, self.network, f"{name}-{self.clients}", program)

    def kill(self, name: str) -> None:
        """SIGKILL a node; the supervisor notices and restarts it."""
        self.world.note(f"{name} is killed")
        self.processes[name].kill()

    def lose_power(self, name: str) -> None:
        """Take a host's power: the process and what was not synced are gone."""
        self.world.note(f"{name} loses power")
        self.boots[name] = self.boots.get(name, 0) + 1
        self.processes[name].kill()
        self.disks[name].lose_power(self.world.random)

    def check(self) -> None:
        """Let every living server assert its invariants."""
        for process in self.processes.values():
            if process.alive:
                process.program.check()  # type: ignore[attr-defined]

    def server(self, name: str) -> BrokerServer | CoordinatorServer:
        """Return the program of a node."""
        program = self.processes[name].program
        assert isinstance(program, BrokerServer | CoordinatorServer)
        return program

    def _exited(self, process: SimulatedProcess) -> None:
        name, incarnation = process.host, self.incarnations[process.host]
        self.world.note(f"{name} has ended with status {process.status}")
        if self.shape.death_notices:
            self.world.after(NOTICE_US, lambda: self._tell_death(name, incarnation))
        if self.shape.restarts:
            self.world.after(RESTART_MS * 1_000, lambda: self._restart(name, incarnation))

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
            mode="zookeeper",
            cluster_id=CLUSTER_ID,
            incarnation=Incarnation(self.incarnations[node.name]),
            data_dir="",
            nodes=self.nodes,
            supervisor_key=SUPERVISOR_KEY,
            raft=self.shape.raft,
            coordinator=self.shape.coordinator,
            broker=self.shape.broker,
            log=self.shape.log,
        )
        if node.roles == ("coordinator",):
            return CoordinatorServer(config, disk)
        boot = hashlib.sha256(f"{node.name} {self.boots.get(node.name, 0)}".encode()).hexdigest()
        return BrokerServer(config, disk, boot)


def _endpoints(role: str, number: int) -> NodeEndpoints:
    name = NodeName(f"{role}-{number}")
    base = f"sim://{name}"
    return NodeEndpoints(
        NodeId(number), name, (role,), f"{base}/peers", f"{base}/clients", f"{base}/events"
    )
