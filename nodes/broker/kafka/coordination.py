"""What translators of requests to coordinators have in common: many questions in one, and codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from transport.gateway.kafka.codes import foreign_code
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal

if TYPE_CHECKING:
    from nodes.broker.kafka.exchange import Exchange

NamedT = TypeVar("NamedT")
ASKED_MAX = 1_000
"""Groups, members or transactional ids in one request."""
TWICE = Refusal(ErrorCode.INVALID_REQUEST, "it is named twice in one request")

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
    exchange: Exchange,
    named: Sequence[NamedT],
    question: Callable[[NamedT], Message],
    then: Callable[[list[tuple[NamedT, Any]]], None],
) -> None:
    """Ask about each thing that the request names; ``then`` gets them with their answers, in order.

    Too many are refused together; a name that came before is refused, as what is told of one may
    be a thousand times longer.
    """
    if len(named) > ASKED_MAX:
        refusal = Refusal(ErrorCode.INVALID_REQUEST, f"name at most {ASKED_MAX} at once")
        then([(one, refusal) for one in named])
        return
    asked: list[NamedT] = []
    repeated: set[int] = set()
    names: set[str] = set()
    for place, one in enumerate(named):
        if isinstance(one, str) and one in names:
            repeated.add(place)
            continue
        asked.append(one)
        if isinstance(one, str):
            names.add(one)

    def answered(answers: list[Any]) -> None:
        left = iter(answers)
        then([(one, TWICE if place in repeated else next(left)) for place, one in enumerate(named)])

    exchange.ask_all([question(one) for one in asked], answered)
