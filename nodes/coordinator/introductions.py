"""Who this node is and how it does: DESCRIBE_NODE and HEALTH."""

from __future__ import annotations

from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.lanes import Lanes
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.replica import Replica
from nodes.runtime.measures import Outlook, counters, gauge
from transport.kernel import Now
from transport.wire.apis import Api
from transport.wire.errors import ErrorCode
from transport.wire.messages.cluster import DescribeNodeResponse, HealthResponse
from transport.wire.registry import VERSIONS

SPOKEN = (
    Api.OPEN_SESSION,
    Api.OPERATE,
    Api.PING_SESSION,
    Api.DESCRIBE_NODE,
    Api.HEALTH,
    Api.DEATH_NOTICE,
    Api.TRANSFER_LEADERSHIP,
    Api.TAKE_SNAPSHOT,
    Api.CHANGE_VOTERS,
)


class Introductions:
    """Answers about the node itself; changes nothing."""

    def __init__(
        self, context: CoordinatorContext, quorum: Quorum, replica: Replica, lanes: Lanes
    ) -> None:
        self._context = context
        self._quorum = quorum
        self._replica = replica
        self._lanes = lanes
        self._caught_up = False

    def on_describe(self, request: Request, now: Now) -> None:
        """Name every node of the cluster, and what this one speaks."""
        config = self._context.config
        self._context.reply(
            request,
            DescribeNodeResponse(
                int(ErrorCode.NONE),
                config.cluster_id,
                config.mode,
                config.name,
                config.incarnation,
                config.nodes,
                {int(api): VERSIONS[api] for api in SPOKEN},
                config.cluster_name,
            ),
        )

    def on_health(self, request: Request, now: Now) -> None:
        """Answer how this coordinator is."""
        self._context.reply(request, self.health(now))

    def health(self, now: Now) -> HealthResponse:
        """Ready: a whole part of a working quorum, so that sessions can be served.

        After a start that takes having caught up with the leader once: till then another member
        had better not be taken away.
        """
        config = self._context.config
        return HealthResponse(
            int(ErrorCode.NONE),
            config.name,
            config.incarnation,
            self._state(now),
            leader=self._quorum.leads,
            controller=False,
            figures={**self._context.figures, **self._standing()},
        )

    def outlook(self, now: Now) -> Outlook:
        """Return the same for ``/metrics``: where it stands as gauges, what it counted as counters."""
        standing = (
            gauge(name, f"{name.replace('_', ' ').capitalize()} now.", value)
            for name, value in self._standing().items()
        )
        leads = self._quorum.leads
        measures = (
            gauge("raft_leads", "1 on the one coordinator that leads.", leads),
            *standing,
            *counters(self._context.figures),
        )
        return Outlook(self._state(now), leads, False, measures)

    def _state(self, now: Now) -> str:
        if self._context.stopping:
            return "stopping"
        hears = self._quorum.hears_leader(now)
        self._caught_up = self._caught_up or (hears and self._quorum.has_caught_up)
        ready = hears and self._caught_up and not self._quorum.is_rebuilding
        return "ready" if ready else "starting"

    def _standing(self) -> dict[str, int]:
        core = self._context.core
        return {
            **self._quorum.figures(),
            "zxid": core.zxid,
            "applied_index": self._replica.applied_index,
            "znodes": len(core.tree),
            "sessions": len(core.sessions),
            "sessions_served": len(self._lanes),
            "watches": len(self._context.watches),
        }
