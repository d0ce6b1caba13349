"""Requests of several parts, each of which has an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.codes import foreign_code
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal

TIMEOUT_MS = 30_000
"""For what Kafka's clients give no time of their own; it is their request's default."""


def verdict(outcome: Any) -> tuple[int, str | None]:
    """Return Kafka's code and message for one of our outcomes, answers or refusals."""
    if outcome.error == ErrorCode.NONE:
        return 0, None
    text = getattr(outcome, "text", "") or meaning(outcome.error).text
    return foreign_code(outcome.error), text


def ask_parts(
    exchange: Exchange,
    parts: Sequence[Any],
    make: Callable[[tuple[Any, ...]], Message],
    told: str,
    then: Callable[[list[Any]], None],
) -> None:
    """Ask about all parts but those that are refused already: what our messages cannot say.

    ``then`` gets an outcome for each part, in order, from the answer's field ``told``: something
    with an ``error``, and where that is NONE, what the answer says of the part.
    """
    asked = tuple(part for part in parts if not isinstance(part, Refusal))

    def answered(answer: Any, _payload: object) -> None:
        good = answer.error == ErrorCode.NONE
        outcomes = iter(getattr(answer, told) if good else [answer] * len(asked))
        then([part if isinstance(part, Refusal) else next(outcomes) for part in parts])

    if asked:
        exchange.ask(make(asked), answered)
    else:
        then(list(parts))
