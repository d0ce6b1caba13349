"""People who move the cluster from mode zookeeper to kraft and back, until they finish, or stop.

First they restart each coordinator once, so that it can be a controller too.
"""

from __future__ import annotations

from functools import partial

from nodes.coordinator.server import CoordinatorServer
from tests.simulation.asker import Asker
from tests.simulation.cluster import SUPERVISOR_KEY
from tests.simulation.health import live_coordinators
from tests.simulation.workloads.workload import Stage as World
from tests.simulation.workloads.workload import Workload
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.messages import Message
from transport.wire.messages.migration import MigrateRequest, MigrateResponse, Stage

PAUSE_US = (50_000, 1_000_000)
ORDER_MAX_MS = 4_000
FINISH_SHARE = 0.3
"""Of the times when it could go back as well."""


class Movers(Workload):
    """Prepares, then gives one order after the other to whoever leads, again where it came to nothing."""

    def __init__(self, stage: World, count: int) -> None:
        super().__init__(stage)
        assert count == 1, "one move at a time"
        names = {*self.cluster.names("coordinator"), *self.cluster.names("observer")}
        self._nodes = [node for node in self.cluster.nodes if node.name in names]
        self._asker = Asker([node.clients for node in self._nodes])
        self._process = self.cluster.add_client(self._asker, "mover")
        self.stage = Stage.BEGINNING
        """As last answered."""
        self._next()

    def _next(self) -> None:
        def order() -> None:
            if self.running and not self.cluster.moved:
                self._process.do(self._order)

        self.world.after(self.world.between(PAUSE_US), order)

    def _prepare(self) -> bool:
        """Restart one coordinator that is no controller yet, if all are up; tell whether there is none."""
        processes = self.cluster.processes
        names = [str(node.name) for node in self._nodes]
        plain = [name for name in names if isinstance(processes[name].program, CoordinatorServer)]
        if plain and all(processes[name].alive for name in names):
            self.cluster.prepared.add(plain[0])
            self.world.note(f"the mover restarts {plain[0]}")
            processes[plain[0]].do(processes[plain[0]].program.stop)
        return not plain

    def _order(self, now: Now) -> None:
        if not self._prepare():
            self._next()
            return
        leading = [
            server._context.id
            for server in live_coordinators(self.cluster).values()
            if server._quorum.leads
        ]
        if not leading:
            self._next()
            return
        to = Stage.MIRRORING
        if self.stage is Stage.MIRRORING:
            finish = self.world.random.random() < FINISH_SHARE
            to = Stage.FINISHED if finish else Stage.ROLLED_BACK
        link = self._asker.links[[node.id for node in self._nodes].index(leading[-1])]
        request = MigrateRequest(SUPERVISOR_KEY, to)
        self.world.note(f"the mover asks {leading[-1]} for {to.name}")
        answered = partial(self._answered, to)
        sent = self._asker.calls.request(link, request, answered, now, timeout_ms=ORDER_MAX_MS)
        if not sent:
            self._next()

    def _answered(self, to: Stage, body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
        done = isinstance(body, MigrateResponse)
        if isinstance(body, MigrateResponse):
            self.stage = Stage(body.stage)
        story = f"{body.error} {body.text}" if done else "nothing"  # type: ignore[attr-defined]
        self.world.note(f"the mover is answered {story}, it is {self.stage.name}")
        if self.stage is Stage.FINISHED:
            self.cluster.moved = True
        self._next()
