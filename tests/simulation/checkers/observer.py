"""Everything that is watched on the servers of one simulated cluster, from its first turn on."""

from __future__ import annotations

from nodes.broker.server import BrokerServer
from nodes.coordinator.server import CoordinatorServer
from nodes.kraft.server import KraftServer
from tests.simulation.checkers.brokers import BrokerWatch
from tests.simulation.checkers.coordinators import CoordinatorWatch
from tests.simulation.checkers.failed_sync import FailedSyncs
from tests.simulation.checkers.mirrors import Mirrors
from tests.simulation.checkers.truly_synced import TrulySynced
from tests.simulation.cluster import Cluster
from tests.simulation.process import Inputs, SimulatedProcess


class Observer:
    """Raises a Violation in the very turn that breaks a promise."""

    def __init__(self, cluster: Cluster) -> None:
        synced = TrulySynced(cluster.disks)
        self.coordinators = CoordinatorWatch(cluster.world, synced)
        self.brokers = BrokerWatch(cluster, synced)
        self._mirrors = Mirrors()
        self._failed_syncs = FailedSyncs(cluster.disks)
        for process in cluster.processes.values():
            self._attach(process)
        start = cluster.start

        def start_watched(name: str) -> SimulatedProcess:
            process = start(name)
            self._attach(process)
            return process

        cluster.start = start_watched  # type: ignore[method-assign]

    def _attach(self, process: SimulatedProcess) -> None:
        before = process.on_turn

        def look(process: SimulatedProcess, inputs: Inputs) -> None:
            if before is not None:
                before(process, inputs)
            self._look(process)

        process.on_turn = look

    def _look(self, process: SimulatedProcess) -> None:
        self._failed_syncs.look(process)
        program = process.program
        if isinstance(program, BrokerServer):
            self.brokers.look(process, program)
        elif isinstance(program, CoordinatorServer):
            self.coordinators.look(process, program)
        elif isinstance(program, KraftServer):
            self._look_at_both(process, program)

    def _look_at_both(self, process: SimulatedProcess, program: KraftServer) -> None:
        if program._started:
            self.coordinators.look(process, program.coordinator)
        broker = program.broker
        if isinstance(broker, BrokerServer):
            self.brokers.look(process, broker)
        elif program._started:
            self.brokers.look_at_controller(broker.context.id, broker.controller)
            self._mirrors.look(process.host, program._machine)

    def finish(self) -> None:
        """Assert what must hold once everything has healed and come to rest."""
        self.coordinators.finish()
        self.brokers.finish()
        self._failed_syncs.finish()
