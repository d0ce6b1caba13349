"""FindCoordinator: one key, or several."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.coordination import code_of
from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages.coordinators import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Refusal
from transport.wire.messages import coordinators as native

SEVERAL_FROM = 4


def find_coordinator(exchange: Exchange) -> None:
    """Ask for the keys; a coordinator is told by where it listens for this protocol."""
    asked: FindCoordinatorRequest = exchange.body
    keys = asked.coordinator_keys if exchange.version >= SEVERAL_FROM else (asked.key,)

    def then(answer: native.FindCoordinatorResponse | Refusal, _payload: Any) -> None:
        found = getattr(answer, "coordinators", ())
        if answer.error or len(found) != len(keys):
            text = getattr(answer, "text", "")
            found = tuple(native.FoundCoordinator(key, answer.error, text=text) for key in keys)
        told = tuple(_told(exchange, one) for one in found)
        if exchange.version >= SEVERAL_FROM:
            exchange.answer(FindCoordinatorResponse(coordinators=told))
            return
        [only] = told
        exchange.answer(
            FindCoordinatorResponse(
                error_code=only.error_code,
                error_message=only.error_message,
                node_id=only.node_id,
                host=only.host,
                port=only.port,
            )
        )

    exchange.ask(native.FindCoordinatorRequest(asked.key_type, keys), then)


def _told(exchange: Exchange, found: native.FoundCoordinator) -> Coordinator:
    place, error, text = exchange.place_of(found.node), found.error, found.text
    if not error and place is None:
        error = ErrorCode.COORDINATOR_NOT_AVAILABLE
        text = meaning(error).text
    if error or place is None:
        return Coordinator(
            key=found.key,
            node_id=-1,
            host="",
            port=-1,
            error_code=code_of(error),
            error_message=text or None,
        )
    return Coordinator(
        key=found.key,
        node_id=found.node,
        host=place.host,
        port=place.port,
        error_code=ErrorCode.NONE,
        error_message=None,
    )
