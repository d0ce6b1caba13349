"""A client that may write only while somebody lets it, who changes their mind all the time.

The cluster judges by ACLs; all other clients are above them.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.core.acls import Pattern
from odradek.admin.acls import AclBinding, AclFilter, AclOperation, ResourceType
from odradek.admin.engine import AdminEngine
from odradek.errors import OdradekError, TopicAlreadyExistsError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.checkers.granted import Granted
from tests.simulation.cluster import broker_of
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.messages.topics import NewTopic

GRANTEE = "grantee"
TOPIC = "by-leave"
CHANGE_US = (200_000, 1_200_000)
WRITE_US = (10_000, 60_000)
TIMEOUT_MS = 3_000
BINDING = AclBinding(GRANTEE, AclOperation.WRITE, ResourceType.TOPIC, TOPIC)


class Grantees(Workload):
    """One of them, and who lets it."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        assert count == 1, "there is one grant"
        wire = BINDING.on_the_wire()
        pattern = Pattern(wire.resource_type, wire.pattern_type, wire.name)
        self._granted = Granted(pattern, wire.entry)
        cluster = self.cluster
        cluster.watch(self._look)
        self._admin = AdminEngine(cluster.bootstrap)
        self._lets = cluster.add_client(self._admin, "lets")
        settings = ProducerSettings(bootstrap=tuple(cluster.bootstrap), delivery_timeout_ms=3_000)
        self._engine = ProducerEngine(settings)
        self._writes = cluster.add_client(self._engine, GRANTEE, principal=GRANTEE)
        self._made = False
        self._allow = True
        self._sent = 0
        self._met_its_end = False
        self._change_later()
        self._write_later()

    def unsettled(self) -> str:
        """In the end the grant stands, and what it allows is done."""
        return "" if self._met_its_end else "the grantee has not written with its last grant"

    def _look(self, process: SimulatedProcess) -> None:
        broker = broker_of(process)
        if broker is not None and broker._started:
            self._granted.look(process.host, broker.context.image, self.world.now_us)

    # Letting

    def _change_later(self) -> None:
        def change() -> None:
            if self.running or not self._met_its_end:
                self._lets.do(self._change)

        self.world.after(self.world.between(CHANGE_US), change)

    def _change(self, now: Now) -> None:
        def done(result: object, _now: Now) -> None:
            failed = isinstance(result, OdradekError)
            deed = ("allow" if self._allow else "forbid") if self._made else "make"
            self.world.note(f"{deed} {TOPIC}: {result if failed else 'done'}")
            if not failed and self._made:
                self._allow = not self._allow or not self.running
            self._made = self._made or not failed or isinstance(result, TopicAlreadyExistsError)
            self._change_later()

        if not self._made:
            self._admin.topics.create([NewTopic(TOPIC)], TIMEOUT_MS, done, now)
        elif self._allow or not self.running:
            self._allow = True
            self._admin.acls.create([BINDING], TIMEOUT_MS, done, now)
        else:
            self._admin.acls.delete([AclFilter(principal=GRANTEE)], TIMEOUT_MS, done, now)

    # Writing

    def _write_later(self) -> None:
        def write() -> None:
            if self.running or not self._met_its_end:
                self._writes.do(self._write)
                self._write_later()

        self.world.after(self.world.between(WRITE_US), write)

    def _write(self, now: Now) -> None:
        self._sent += 1
        value, sent_us, late = b"%d" % self._sent, self.world.now_us, not self.running

        def done(outcome: Outcome, _index: int, _positions: Sequence[int] | None) -> None:
            if outcome.error is not None:
                return
            for process in self.cluster.processes.values():
                if process.alive:
                    self._look(process)
            self._granted.acknowledged(value, sent_us)
            self._met_its_end = self._met_its_end or late

        self._engine.send(TOPIC, None, None, value, done, now)
