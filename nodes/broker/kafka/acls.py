"""ACLs for Kafka's clients. A principal is ``User:name`` to them, and its bare name here."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import TIMEOUT_MS, ask_parts, verdict
from transport.gateway.kafka.messages import acls as foreign
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.acls import (
    AclBinding,
    AclEntry,
    AclFilter,
    CreateAclsRequest,
    DeleteAclsRequest,
    DescribeAclsRequest,
)

USER = "User:"
NO_USER = Refusal(ErrorCode.INVALID_REQUEST, "a principal must be given as User:name")


def describe_acls(exchange: Exchange) -> None:
    """Tell the entries that a filter means."""
    wanted = _filter(exchange.body)

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        resources = tuple(
            foreign.DescribeAclsResource(
                resource_type=pattern[0],
                pattern_type=pattern[1],
                resource_name=pattern[2],
                acls=tuple(map(_description, bindings)),
            )
            for pattern, bindings in groupby(() if code else answer.acls, _pattern)
        )
        exchange.answer(
            foreign.DescribeAclsResponse(error_code=code, error_message=text, resources=resources)
        )

    if isinstance(wanted, Refusal):
        told(wanted, ())
    else:
        exchange.ask(DescribeAclsRequest(wanted), told)


def _filter(asked: foreign.DescribeAclsRequest) -> AclFilter | Refusal:
    principal = asked.principal_filter
    if principal is not None and not principal.startswith(USER):
        return NO_USER
    return AclFilter(
        asked.resource_type_filter,
        asked.pattern_type_filter,
        asked.resource_name_filter,
        None if principal is None else principal.removeprefix(USER),
        asked.host_filter,
        asked.operation,
        asked.permission_type,
    )


def _pattern(binding: AclBinding) -> tuple[int, int, str]:
    return binding.resource_type, binding.pattern_type, binding.name


def _description(binding: AclBinding) -> foreign.AclDescription:
    entry = binding.entry
    return foreign.AclDescription(
        principal=USER + entry.principal,
        host=entry.host,
        operation=entry.operation,
        permission_type=entry.permission,
    )


def create_acls(exchange: Exchange) -> None:
    """Add entries."""

    def make(bindings: tuple[AclBinding, ...]) -> CreateAclsRequest:
        return CreateAclsRequest(bindings, TIMEOUT_MS)

    def done(outcomes: list[Any]) -> None:
        verdicts = map(verdict, outcomes)
        results = tuple(
            foreign.AclCreationResult(error_code=code, error_message=text)
            for code, text in verdicts
        )
        exchange.answer(foreign.CreateAclsResponse(results=results))

    bindings = [_binding(one) for one in exchange.body.creations]
    ask_parts(exchange, bindings, make, "outcomes", done)


def _binding(one: foreign.AclCreation) -> AclBinding | Refusal:
    if not one.principal.startswith(USER):
        return NO_USER
    principal = one.principal.removeprefix(USER)
    entry = AclEntry(principal, one.host, one.operation, one.permission_type)
    return AclBinding(one.resource_type, one.resource_pattern_type, one.resource_name, entry)


def delete_acls(exchange: Exchange) -> None:
    """Remove what filters mean, and tell what it was."""

    def make(filters: tuple[AclFilter, ...]) -> DeleteAclsRequest:
        return DeleteAclsRequest(filters, TIMEOUT_MS)

    def done(outcomes: list[Any]) -> None:
        results = tuple(map(_deleted, outcomes))
        exchange.answer(foreign.DeleteAclsResponse(filter_results=results))

    filters = [_filter(one) for one in exchange.body.filters]
    ask_parts(exchange, filters, make, "outcomes", done)


def _deleted(outcome: Any) -> foreign.DeleteAclsFilterResult:
    code, text = verdict(outcome)
    return foreign.DeleteAclsFilterResult(
        error_code=code,
        error_message=text,
        matching_acls=tuple(
            foreign.DeleteAclsMatchingAcl(
                resource_type=one.resource_type,
                resource_name=one.name,
                pattern_type=one.pattern_type,
                principal=USER + one.entry.principal,
                host=one.entry.host,
                operation=one.entry.operation,
                permission_type=one.entry.permission,
            )
            for one in (() if code else outcome.acls)
        ),
    )
