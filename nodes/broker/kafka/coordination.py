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

    Too many are refused together.
    """

    def answered(answers: list[Any]) -> None:
        then(list(zip(named, answers, strict=True)))

    if len(named) > ASKED_MAX:
        refusal = Refusal(ErrorCode.INVALID_REQUEST, f"name at most {ASKED_MAX} at once")
        answered([refusal] * len(named))
    else:
        exchange.ask_all([question(one) for one in named], answered)


def ask_each_once(
    exchange: Exchange,
    names: Sequence[str],
    question: Callable[[str], Message],
    then: Callable[[list[tuple[str, Any]]], None],
) -> None:
    """The same, where a name that came before is refused: what is told of one may be long."""

    def answered(answers: list[tuple[str, Any]]) -> None:
        told = dict(answers)
        then([(name, told.pop(name, TWICE)) for name in names])

    too_many = len(names) > ASKED_MAX
    ask_each(exchange, names if too_many else list(dict.fromkeys(names)), question, answered)
