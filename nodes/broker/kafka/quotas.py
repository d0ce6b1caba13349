"""Quotas for Kafka's clients. What they call the default of a type, a missing name, is empty here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import TIMEOUT_MS, ask_parts, verdict
from transport.gateway.kafka.messages import quotas as foreign
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.quotas import (
    DEFAULT_ENTITY,
    AlterClientQuotasRequest,
    DescribeClientQuotasRequest,
    QuotaEntity,
    QuotaValues,
)

USER, CLIENT_ID, ADDRESS = "user", "client-id", "ip"
MATCH_EXACT, MATCH_DEFAULT, MATCH_ANY = 0, 1, 2
WHOLE_MAX = 2**63

# Descriptions


def describe_client_quotas(exchange: Exchange) -> None:
    """Tell the quotas of the entities that fit."""
    asked = exchange.body
    wrong = next(filter(None, map(_complaint, asked.components)), None)
    if len({one.entity_type for one in asked.components}) < len(asked.components):
        wrong = wrong or "a type of entities is named twice"

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        entries = () if code else answer.entries
        found = tuple(
            foreign.DescribedQuotas(
                entity=tuple(_entity(one.entity)),
                values=tuple(
                    foreign.ValueData(key=name, value=float(value))
                    for name, value in one.values.items()
                    if value is not None
                ),
            )
            for one in entries
            if _fits(one.entity, asked)
        )
        exchange.answer(
            foreign.DescribeClientQuotasResponse(
                error_code=code, error_message=text, entries=None if code else found
            )
        )

    if wrong is not None:
        told(Refusal(ErrorCode.INVALID_REQUEST, wrong), ())
    else:
        exchange.ask(DescribeClientQuotasRequest(), told)


def _complaint(component: foreign.ComponentData) -> str | None:
    if component.entity_type not in (USER, CLIENT_ID, ADDRESS):
        return f"there are no quotas of type {component.entity_type[:80]!r}; known: user, client-id"
    if component.match_type not in (MATCH_EXACT, MATCH_DEFAULT, MATCH_ANY):
        return f"a match type is 0 (a name), 1 (the default) or 2 (any), not {component.match_type}"
    if (component.match is None) == (component.match_type == MATCH_EXACT):
        return f"a name goes with match type {MATCH_EXACT}, and with no other"
    return None


def _names(entity: QuotaEntity) -> dict[str, str]:
    named = {USER: entity.user, CLIENT_ID: entity.client_id}
    return {kind: name for kind, name in named.items() if name is not None}


def _entity(entity: QuotaEntity) -> Iterator[foreign.EntityData]:
    for kind, name in _names(entity).items():
        told = None if name == DEFAULT_ENTITY else name
        yield foreign.EntityData(entity_type=kind, entity_name=told)


def _fits(entity: QuotaEntity, asked: foreign.DescribeClientQuotasRequest) -> bool:
    names = _names(entity)
    if asked.strict and len(names) != len(asked.components):
        return False
    for component in asked.components:
        name = names.get(component.entity_type)
        wanted = {MATCH_EXACT: component.match, MATCH_DEFAULT: DEFAULT_ENTITY, MATCH_ANY: name}
        if name is None or name != wanted[component.match_type]:
            return False
    return True


# Changes


def alter_client_quotas(exchange: Exchange) -> None:
    """Change the quotas that are named."""
    asked = exchange.body

    def make(entries: tuple[QuotaValues, ...]) -> AlterClientQuotasRequest:
        return AlterClientQuotasRequest(entries, TIMEOUT_MS, asked.validate_only)

    def done(outcomes: list[Any]) -> None:
        entries = []
        for entry, outcome in zip(asked.entries, outcomes, strict=True):
            code, text = verdict(outcome)
            entries.append(
                foreign.QuotasOutcome(error_code=code, error_message=text, entity=entry.entity)
            )
        exchange.answer(foreign.AlterClientQuotasResponse(entries=tuple(entries)))

    ask_parts(exchange, [_values(entry) for entry in asked.entries], make, "outcomes", done)


def _values(entry: foreign.AlteredQuotas) -> QuotaValues | Refusal:
    names: dict[str, str] = {}
    for part in entry.entity:
        if part.entity_type not in (USER, CLIENT_ID) or part.entity_type in names:
            text = (
                f"a quota is of one user, one client-id, or both; not of {part.entity_type[:80]!r}"
            )
            return Refusal(ErrorCode.INVALID_REQUEST, text)
        if part.entity_name == DEFAULT_ENTITY:
            text = f"a {part.entity_type} has a name; the default of all has none (null)"
            return Refusal(ErrorCode.INVALID_REQUEST, text)
        names[part.entity_type] = DEFAULT_ENTITY if part.entity_name is None else part.entity_name
    values: dict[str, int | None] = {}
    for op in entry.ops:
        if not (op.remove or (op.value.is_integer() and abs(op.value) < WHOLE_MAX)):
            text = f"{op.key[:80]} must be a whole number below 2^63, not {op.value}"
            return Refusal(ErrorCode.INVALID_REQUEST, text)
        values[op.key] = None if op.remove else int(op.value)
    return QuotaValues(QuotaEntity(names.get(USER), names.get(CLIENT_ID)), values)
