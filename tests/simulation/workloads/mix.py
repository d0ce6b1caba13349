"""Everything that clients do in one simulated run, and everything that is checked of it."""

from __future__ import annotations

from nodes.coordinator.server import CoordinatorServer
from tests.simulation.checkers.acked_kept import check_acked_kept
from tests.simulation.checkers.ephemerals import check_dead_are_gone
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.no_duplicates import check_no_duplicates
from tests.simulation.checkers.observer import Observer
from tests.simulation.checkers.one_order import check_one_order
from tests.simulation.checkers.reader_order import check_reader_order
from tests.simulation.checkers.send_order import check_send_order
from tests.simulation.cluster import Cluster
from tests.simulation.workloads.producers import Producers
from tests.simulation.workloads.readers import Reader
from tests.simulation.workloads.sessions import Sessions
from tests.simulation.workloads.setters import Setters
from tests.simulation.workloads.topics import Topics
from tests.simulation.workloads.watchers import Watchers

TOPIC = "events"
LAST_READER = "late-reader"


class Workloads:
    """The clients of a run and the checkers that they feed.

    In this order: run; ``stop``; run until ``settled``; ``read_all``; run until ``all_read``;
    ``check``.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.observer = Observer(cluster)
        self.history = LogHistory()
        mix = cluster.shape.mix
        self.producers = Producers(cluster, self.history, TOPIC, count=mix.producers)
        self.setters = Setters(cluster, clients=mix.setters)
        self.sessions = Sessions(cluster, clients=mix.members)
        self.watchers = Watchers(cluster, clients=mix.watchers)
        self.topics = Topics(cluster)
        for number in range(mix.readers):
            self._read(f"reader-{number + 1}")
        self._late_reader: Reader | None = None

    def stop(self) -> None:
        """Begin nothing new."""
        for part in (self.producers, self.setters, self.sessions, self.watchers, self.topics):
            part.stop()

    def settled(self) -> bool:
        """Tell whether everything begun has ended, and dead clients have left nothing behind."""
        return self.producers.outstanding == 0 and not self._left_behind()

    def trouble(self) -> str:
        """Say what keeps it from being settled, or from being read."""
        if self.producers.outstanding:
            return f"{self.producers.outstanding} records have met no end"
        if self._left_behind():
            return "ephemerals of dead clients are left"
        return f"of {len(self.history.acked)} acked records not all can be read"

    def read_all(self) -> None:
        """Begin to read everything anew, from the beginning."""
        self._late_reader = self._read(LAST_READER)

    def all_read(self) -> bool:
        """Tell whether the late reader has come to the end of every partition."""
        assert self._late_reader is not None, "read_all() first"
        ends = self.observer.brokers.committed_ends(TOPIC)
        partitions = self.history.read[LAST_READER]
        for partition, end in ends.items():
            records = partitions.get(partition)
            if end > 0 and (not records or records[-1][0] < end - 1):
                return False
        return bool(ends) or not self.history.acked

    def check(self) -> None:
        """Assert everything that can only be said of the whole history."""
        self.observer.finish()
        excused = self.observer.brokers.survivors.is_excused
        check_one_order(self.history, excused)
        check_reader_order(self.history, excused)
        check_no_duplicates(self.history)
        check_send_order(self.history, excused)
        check_acked_kept(self.history, LAST_READER, excused)
        self.setters.check()
        self.sessions.check()
        for host, server in self._coordinators():
            check_dead_are_gone(host, server._context.core.tree, self.sessions.dead)

    def records_acked(self) -> int:
        """Return how many records were acknowledged."""
        return len(self.history.acked)

    def operations_answered(self) -> int:
        """Return how many operations on znodes were answered."""
        return self.setters.answered() + self.sessions.answered

    def _read(self, name: str) -> Reader:
        marks = self.observer.brokers.watermarks
        return Reader(self._cluster, self.history, marks, TOPIC, name)

    def _left_behind(self) -> bool:
        return any(
            server._context.core.tree.get(path) is not None
            for _, server in self._coordinators()
            for path in self.sessions.dead
        )

    def _coordinators(self) -> list[tuple[str, CoordinatorServer]]:
        return [
            (host, process.program)
            for host, process in self._cluster.processes.items()
            if process.alive
            and isinstance(process.program, CoordinatorServer)
            and process.program._started
        ]
