"""Everything that clients do in one simulated run, and everything that is checked of it."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.checkers.log_checks import LOG_CHECKS
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.observer import Observer
from tests.simulation.cluster import Cluster
from tests.simulation.workloads.administrators import Administrators
from tests.simulation.workloads.discoverers import Discoverers
from tests.simulation.workloads.evacuators import Evacuators
from tests.simulation.workloads.foreign_administrators import ForeignAdministrators
from tests.simulation.workloads.foreign_groups import ForeignGroups
from tests.simulation.workloads.foreign_ledgers import ForeignLedgers
from tests.simulation.workloads.foreign_pipelines import ForeignPipelines
from tests.simulation.workloads.foreigners import Foreigners
from tests.simulation.workloads.foresters import Foresters
from tests.simulation.workloads.grantees import Grantees
from tests.simulation.workloads.groups import Groups
from tests.simulation.workloads.guards import Guards
from tests.simulation.workloads.holders import Holders
from tests.simulation.workloads.keepers import Keepers
from tests.simulation.workloads.ledgers import Ledgers
from tests.simulation.workloads.lodgers import Lodgers
from tests.simulation.workloads.movers import Movers
from tests.simulation.workloads.operators import Operators
from tests.simulation.workloads.pipelines import Pipelines
from tests.simulation.workloads.producers import Producers
from tests.simulation.workloads.readers import Readers
from tests.simulation.workloads.sessions import Sessions
from tests.simulation.workloads.setters import Setters
from tests.simulation.workloads.shelvers import Shelvers
from tests.simulation.workloads.topics import Topics
from tests.simulation.workloads.watchers import Watchers
from tests.simulation.workloads.workload import Stage, Workload
from tests.simulation.workloads.zookeeper_setters import ZooKeeperSetters

WORKLOADS: dict[str, Callable[[Stage, int], Workload]] = {
    "producers": Producers,
    "setters": Setters,
    "members": Sessions,
    "watchers": Watchers,
    "topics": Topics,
    "readers": Readers,
    "groups": Groups,
    "keepers": Keepers,
    "operators": Operators,
    "administrators": Administrators,
    "foresters": Foresters,
    "guards": Guards,
    "ledgers": Ledgers,
    "holders": Holders,
    "discoverers": Discoverers,
    "evacuators": Evacuators,
    "movers": Movers,
    "grantees": Grantees,
    "pipelines": Pipelines,
    "shelvers": Shelvers,
    "lodgers": Lodgers,
    "foreigners": Foreigners,
    "foreign_administrators": ForeignAdministrators,
    "foreign_groups": ForeignGroups,
    "foreign_ledgers": ForeignLedgers,
    "foreign_pipelines": ForeignPipelines,
    "zookeeper_setters": ZooKeeperSetters,
}
"""What each kind of client is; how many there are of it is drawn in ``shape.py``."""


class Workloads:
    """The clients of a run and the checkers that they feed; used as a Workload is."""

    def __init__(self, cluster: Cluster) -> None:
        self.observer = Observer(cluster)
        self.history = LogHistory(self.observer.brokers.survivors.is_excused)
        stage = Stage(cluster, self.observer, self.history)
        clients = cluster.shape.mix.clients
        self.parts = {
            kind: begin(stage, clients[kind])
            for kind, begin in WORKLOADS.items()
            if clients.get(kind)
        }

    def stop(self) -> None:
        """Begin nothing new."""
        for part in self.parts.values():
            part.stop()

    def unsettled(self) -> str:
        """Say what has not come to its end yet; empty: everything has."""
        return "; ".join(filter(None, (part.unsettled() for part in self.parts.values())))

    def read_all(self) -> None:
        """Begin to read everything anew, from the beginning."""
        for part in self.parts.values():
            part.read_all()

    def unread(self) -> str:
        """Say what is still to be read; empty: nothing."""
        return "; ".join(filter(None, (part.unread() for part in self.parts.values())))

    def check(self) -> None:
        """Assert everything that can only be said of the whole history."""
        self.observer.finish()
        for check in LOG_CHECKS:
            check(self.history)
        for part in self.parts.values():
            part.check()

    def end(self) -> None:
        """Leave nothing behind."""
        for part in self.parts.values():
            part.end()

    def records_acked(self) -> int:
        """Return how many records were acknowledged."""
        return len(self.history.acked)

    def operations_answered(self) -> int:
        """Return how many operations on znodes were answered."""
        return sum(part.answered() for part in self.parts.values())
