"""What translators of requests to coordinators have in common: many questions in one, and codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from transport.gateway.kafka.codes import foreign_code
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal

if TYPE_CHECKING:
    from nodes.broker.kafka.exchange import Exchange

ASKED_MAX = 1_000
"""Groups, members or transactional ids in one request."""

_NEAREST: dict[int, int] = {
    ErrorCode.OVERLOADED: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.STOPPING: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.DISCONNECTED: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.UNKNOWN_TOPIC_ID: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
}
"""What Kafka's clients ask a coordinator again after, and what they know topics by."""


def code_of(error: int) -> int:
    """Return Kafka's number for what a coordinator has answered."""
    return foreign_code(_NEAREST.get(error, error))


def ask_each(
    exchange: Exchange, bodies: Sequence[Message], then: Callable[[list[Any]], None]
) -> None:
    """Ask one question for each thing that the request names; too many are refused together."""
    if len(bodies) > ASKED_MAX:
        refusal = Refusal(ErrorCode.INVALID_REQUEST, f"name at most {ASKED_MAX} at once")
        then([refusal] * len(bodies))
    else:
        exchange.ask_all(bodies, then)
