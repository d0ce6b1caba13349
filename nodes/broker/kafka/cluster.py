"""The cluster for Kafka's clients: its brokers, and brokers that are gone for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodes.broker.kafka.exchange import Exchange, place_of
from nodes.broker.kafka.operations import authorized_operations
from nodes.broker.kafka.parts import TIMEOUT_MS, verdict
from transport.gateway.kafka.messages import cluster as foreign
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, NodeId
from transport.wire.messages import Refusal
from transport.wire.messages.acls import CLUSTER_NAME, ResourceType
from transport.wire.messages.metadata import MetadataRequest
from transport.wire.messages.reassignments import UnregisterBrokerRequest


def describe_cluster(exchange: Exchange) -> None:
    """Tell the live brokers, if asked also those that are away, and the controller if it is a broker."""
    asked = exchange.body

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        brokers = [] if code else list(_brokers(exchange, asked.include_fenced_brokers))
        ids = {broker.broker_id for broker in brokers if not broker.is_fenced}
        controller = NO_NODE if code else answer.controller_id
        exchange.answer(
            foreign.DescribeClusterResponse(
                error_code=code,
                error_message=text,
                cluster_id=exchange.context.config.cluster_id,
                controller_id=controller if controller in ids else exchange.context.id,
                brokers=tuple(brokers),
                cluster_authorized_operations=authorized_operations(
                    exchange,
                    ResourceType.CLUSTER,
                    CLUSTER_NAME,
                    asked=asked.include_cluster_authorized_operations and not code,
                ),
            )
        )

    if asked.endpoint_type != foreign.ENDPOINTS_OF_BROKERS:
        told(Refusal(ErrorCode.MISMATCHED_ENDPOINT_TYPE), ())
    else:
        exchange.ask(MetadataRequest(()), told)


def _brokers(exchange: Exchange, also_away: bool) -> Iterator[foreign.DescribeClusterBroker]:
    """Yield those that listen for this protocol."""
    for node, broker in sorted(exchange.context.image.brokers.items()):
        place = place_of(broker)
        if place is not None and (broker.alive or also_away):
            yield foreign.DescribeClusterBroker(
                broker_id=node,
                host=place.host,
                port=place.port,
                rack=place.rack or None,
                is_fenced=not broker.alive,
            )


def unregister_broker(exchange: Exchange) -> None:
    """Forget a broker that is stopped and has no replicas."""

    def done(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        exchange.answer(foreign.UnregisterBrokerResponse(error_code=code, error_message=text))

    node = NodeId(exchange.body.broker_id)
    exchange.ask(UnregisterBrokerRequest(node, TIMEOUT_MS), done)
