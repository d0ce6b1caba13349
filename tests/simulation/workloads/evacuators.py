"""Drains of brokers that hold the cluster's own topics, while groups and transactions go on.

An operator drains a broker, plans as ``odradek broker drain`` does, moves what is there of offsets and
transactions away, and lets the broker again; the last one that is drained stays so.  What is not
lost meanwhile is the checkers' of groups and transactions to say (S37, S41).
"""

from __future__ import annotations

from functools import partial

from nodes.broker.replicas import Replicas
from nodes.broker.server import BrokerServer
from odradek.admin.engine import AdminEngine
from odradek.admin.partitions import Outcomes
from odradek.admin.topic_descriptions import TopicDescription
from odradek.commands.reassignment_plan import away_from
from odradek.errors import OdradekError
from tests.simulation.checkers.evacuated import (
    OWN_TOPICS,
    Evacuated,
    check_left_empty,
    own_partitions_of,
)
from tests.simulation.cluster import broker_of, rack_of
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.ids import NodeId, TopicPartition

BEGIN_US = (300_000, 1_500_000)
AGAIN_US = (100_000, 300_000)
STAYS_US = (500_000, 2_000_000)
"""How long a broker stays drained that has nothing any more."""
TIMEOUT_MS = 5_000


class Evacuators(Workload):
    """One operator, whatever the number; none where there is only one broker."""

    def __init__(self, stage: Stage, _count: int) -> None:
        super().__init__(stage)
        self._engine = AdminEngine(self.cluster.bootstrap)
        self._process = self.cluster.add_client(self._engine, "evacuator")
        self._brokers = list(range(1, self.cluster.shape.brokers + 1))
        self._drained = 0
        self._incarnations: dict[str, int] = {}
        """Of the nodes, when the broker was drained."""
        self._evacuated: Evacuated | None = None
        self.done = 0
        """How many brokers were relieved of everything."""
        if len(self._brokers) > 1:
            self.cluster.watch(self._look)
            self._later(BEGIN_US, self._drain)

    def unsettled(self) -> str:
        """The last one that is drained is to be relieved of everything."""
        if len(self._brokers) < 2 or self._evacuated is not None:
            return ""
        return f"broker {self._drained} is drained, and has not been relieved of what it has"

    def check(self) -> None:
        """Judge what the last one still has."""
        for host in self.cluster.names("broker"):
            server = self.cluster.broker(host)
            if server.context.id == self._drained:
                assert isinstance(server.replicas, Replicas)
                hosted = [(one.name.topic, one.name.partition) for one in server.replicas._all()]
                check_left_empty(host, hosted, self._folders(host, server))

    def _folders(self, host: str, server: BrokerServer) -> list[str]:
        """Return what is in its directories, of a broker that has not started since it was drained.

        What went to others while it was away it removes a minute after its start, and what is in a
        directory that it cannot reach after its next one.
        """
        if self.cluster.incarnations[host] != self._incarnations.get(host):
            return []
        directories, disk = server.context.directories, self.cluster.disks[host]
        online = [one.path for one in directories.all if one.is_online]
        return [name for path in online for name in disk.list(path)]

    def _look(self, process: SimulatedProcess) -> None:
        server = broker_of(process)
        if server is None or not server._started:
            return
        image = server.context.image
        if self._evacuated is not None:
            self._evacuated.look(image)

    def _later(self, pause_us: tuple[int, int], step: object) -> None:
        self.world.after(self.world.between(pause_us), self._process.do, step)

    def _note(self, what: str, error: object) -> None:
        told = error if isinstance(error, OdradekError) else "done"
        self.world.note(f"{what}: {told}")

    # Steps, one after the other

    def _drain(self, now: Now) -> None:
        if not self._drained:
            self._drained = self.world.random.choice(self._brokers)

        def drained(error: OdradekError | None, _now: Now) -> None:
            self._note(f"drain broker {self._drained} of everything", error)
            self._incarnations = dict(self.cluster.incarnations)
            self._later(AGAIN_US, self._drain if error else self._describe)

        self._engine.partitions.drain(self._drained, TIMEOUT_MS, drained, now)

    def _describe(self, now: Now) -> None:
        if self._is_relieved():
            return

        def described(topics: list[TopicDescription] | OdradekError, now: Now) -> None:
            if isinstance(topics, OdradekError):
                self._later(AGAIN_US, self._describe)
            else:
                self._move(topics, now)

        self._engine.topics.describe(None, TIMEOUT_MS, described, now, include_internal=True)

    def _move(self, topics: list[TopicDescription], now: Now) -> None:
        placed = {
            TopicPartition(topic.name, one.partition): one.replicas
            for topic in topics
            if topic.name in OWN_TOPICS
            for one in topic.partitions
        }
        racks = {node: rack_of(node) for node in self._brokers if node != self._drained}
        plan = away_from(placed, racks, [self._drained], may_shrink=OWN_TOPICS)
        targets = {
            key: after
            for key, after in plan.items()
            if after != placed[key] and after != (self.cluster.ailing,)
        }
        if not targets:
            self._later(AGAIN_US, self._describe)
            return

        def moved(outcomes: Outcomes | OdradekError, _now: Now) -> None:
            self._note(f"move {len(targets)} partitions away from broker {self._drained}", outcomes)
            self._later(AGAIN_US, self._describe)

        self._engine.partitions.reassign(targets, TIMEOUT_MS, moved, now)

    def _is_relieved(self) -> bool:
        """Tell whether the broker has nothing any more; then it stays so for a while, or for good."""
        image, node = self.cluster.transitions.image, NodeId(self._drained)
        if image is None or not image.brokers[node].draining or own_partitions_of(image, node):
            return False
        self.world.note(f"broker {node} is relieved")
        self._evacuated = Evacuated(image, node)
        self.done += 1
        self._later(STAYS_US, self._undrain)
        return True

    def _undrain(self, now: Now) -> None:
        if not self.running:
            return
        self._evacuated = None

        def undrained(error: OdradekError | None, _now: Now) -> None:
            self._note(f"let broker {self._drained} again", error)
            if error is None:
                self._drained = 0
            self._later(AGAIN_US, self._undrain if error and self.running else self._drain)

        drain = partial(self._engine.partitions.drain, draining=False)
        drain(self._drained, TIMEOUT_MS, undrained, now)
