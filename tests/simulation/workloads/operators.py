"""People who look after the ensemble meanwhile: leaders handed over, voters changed, snapshots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nodes.coordinator.server import CoordinatorServer
from tests.simulation.asker import Asker
from tests.simulation.cluster import SUPERVISOR_KEY
from tests.simulation.health import live_coordinators
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.ids import NO_NODE, NodeId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.ensemble import (
    ChangeVotersRequest,
    TakeSnapshotRequest,
    TransferLeadershipRequest,
)

PAUSE_US = (200_000, 2_000_000)
ORDER_MAX_MS = 3_000
VOTERS_MIN = 3
"""Not fewer where there are so many: one of them may lose its disk, and is rebuilt by the others."""


class Operators(Workload):
    """Each gives one order after the other to whoever leads, and waits for no answer."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        names = {*self.cluster.names("coordinator"), *self.cluster.names("observer")}
        self._nodes = [node for node in self.cluster.nodes if node.name in names]
        named = [node for node in self._nodes if "observer" not in node.roles]
        self._voters_min = min(VOTERS_MIN, len(named))
        for _ in range(count):
            asker = Asker([node.clients for node in self._nodes])
            process = self.cluster.add_client(asker, "operator")
            self._next(partial(process.do, partial(self._order, asker)))

    def _next(self, begin: Callable[[], None]) -> None:
        def order() -> None:
            if self.running:
                begin()
                self._next(begin)

        self.world.after(self.world.between(PAUSE_US), order)

    def _order(self, asker: Asker, now: Now) -> None:
        for server in live_coordinators(self.cluster).values():
            if server._quorum.leads:
                order = self._draw(server)
                if order is not None:
                    self._give(asker, server._context.id, order, now)
                return

    def _draw(self, leader: CoordinatorServer) -> Message | None:
        random = self.world.random
        voters, node = leader._quorum.voters, random.choice(self._nodes).id
        kind = random.choice(("transfer", "voters", "voters", "snapshot"))
        if kind == "snapshot":
            return TakeSnapshotRequest(SUPERVISOR_KEY)
        if kind == "transfer":
            return TransferLeadershipRequest(SUPERVISOR_KEY, random.choice((NO_NODE, node)))
        if node in voters and len(voters) <= self._voters_min:
            return None
        return ChangeVotersRequest(SUPERVISOR_KEY, node, node not in voters)

    def _give(self, asker: Asker, to: NodeId, order: Message, now: Now) -> None:
        what = repr(order).replace(repr(SUPERVISOR_KEY), "…")
        self.world.note(f"an operator asks {to} for {what}")

        def answered(body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
            error = body.error if not isinstance(body, Refusal) else int(body.error)  # type: ignore[attr-defined]
            self.world.note(f"{to} answers the operator {error} {getattr(body, 'text', '')}")

        link = asker.links[[node.id for node in self._nodes].index(to)]
        asker.calls.request(link, order, answered, now, timeout_ms=ORDER_MAX_MS)
