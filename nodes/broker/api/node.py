"""DESCRIBE_NODE and HEALTH: a broker about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.broker.cluster.peers import endpoints_of
from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    HealthRequest,
    HealthResponse,
    NodeEndpoints,
)
from transport.wire.registry import VERSIONS


class Condition(NamedTuple):
    """How the broker is at this moment."""

    state: str
    """``starting``, ``ready`` or ``stopping``."""
    is_controller: bool
    leader_count: int
    replica_count: int


class NodeApi:
    """Answers from the config, the counters and the broker's condition."""

    def __init__(self, context: BrokerContext, condition: Callable[[], Condition]) -> None:
        self._context = context
        self._condition = condition
        self._api_versions = {int(api): versions for api, versions in VERSIONS.items()}
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeNodeRequest: self._on_describe,
            HealthRequest: self._on_health,
        }

    def _on_describe(self, request: Request, _now: Now) -> None:
        config = self._context.config
        answer = DescribeNodeResponse(
            ErrorCode.NONE,
            config.cluster_id,
            config.mode,
            config.name,
            config.incarnation,
            self._nodes(),
            self._api_versions,
            config.cluster_name,
        )
        self._context.reply(request, answer)

    def _nodes(self) -> tuple[NodeEndpoints, ...]:
        """Return the nodes of the settings, and brokers that came since, also from other hosts."""
        named = self._context.config.nodes
        known = {node.name for node in named}
        came = (
            endpoints_of(broker)
            for broker in self._context.image.live_brokers()
            if broker.name not in known
        )
        return (*named, *came)

    def _on_health(self, request: Request, _now: Now) -> None:
        self._context.reply(request, self.health())

    def health(self) -> HealthResponse:
        """Return what HEALTH shows of this broker."""
        config, condition = self._context.config, self._condition()
        return HealthResponse(
            ErrorCode.NONE,
            config.name,
            config.incarnation,
            condition.state,
            False,
            condition.is_controller,
            condition.leader_count,
            condition.replica_count,
            self._context.broker_epoch,
            dict(sorted(self._context.figures.items())),
        )
