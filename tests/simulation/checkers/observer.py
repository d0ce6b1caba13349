"""Everything that is watched on the servers of one simulated cluster, from its first turn on."""

from __future__ import annotations

from nodes.kraft.server import KraftServer
from tests.simulation.checkers.brokers import BrokerWatch
from tests.simulation.checkers.coordinators import CoordinatorWatch
from tests.simulation.checkers.mirrors import Mirrors
from tests.simulation.cluster import Cluster, broker_of, coordinator_of
from tests.simulation.process import Inputs, SimulatedProcess


class Observer:
    """Raises a Violation in the very turn that breaks a promise."""

    def __init__(self, cluster: Cluster) -> None:
        self.coordinators = CoordinatorWatch(cluster.world)
        self.brokers = BrokerWatch(cluster)
        self._mirrors = Mirrors()
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
        coordinator, broker = coordinator_of(process), broker_of(process)
        if coordinator is not None:
            self.coordinators.look(process, coordinator)
        if broker is not None:
            self.brokers.look(process, broker)
        elif isinstance(process.program, KraftServer) and process.program._started:
            dedicated = process.program.broker
            self.brokers.look_at_controller(dedicated.context.id, dedicated.controller)
            self._mirrors.look(process.host, process.program._machine)

    def finish(self) -> None:
        """Assert what must hold once everything has healed and come to rest."""
        self.coordinators.finish()
        self.brokers.finish()
